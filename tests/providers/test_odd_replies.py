"""Odd replies behind the real SDK, on both routes: how often is asked, what is kept, what is booked, how it ends."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from callsheet.archive.open import open_archive
from callsheet.archive.verify import findings
from callsheet.clock import Clock
from callsheet.ledger import Job, JobState, Ledger
from callsheet.media.frames import FrameCandidate, choose_frames
from callsheet.media.probe import probe_image
from callsheet.media.scores import score_image
from callsheet.media.stills import as_png, thumbnail
from callsheet.reconcile.inspect import ByteReading, holdings, inspect
from callsheet.reconcile.rebuild_ledger import rebuild
from tests.support.odd_replies import AGAIN, BLOCKED, DRAFT, PAGES, PART, PASSING, REPLIES, TAKEN, UNTOLD, Odd
from tests.support.odd_reply_runs import (
    PRICE,
    ROUTES,
    TOLD,
    good,
    jobs_by_shot,
    run,
    settings_for,
    sheet,
    sidecar,
)
from tests.support.odd_server import OddServer, odd_server
from tests.support.pictures import a_picture
from tests.support.whole_batch import whole_batch

STATES = {TAKEN: JobState.STORED, AGAIN: JobState.STORED, PART: JobState.FAILED, BLOCKED: JobState.BLOCKED}


def told(odd: Odd, server: OddServer, job: Job, kept: list[Path]) -> dict[str, Any]:
    """What became of a reply, as the table says it."""
    details = job.details or {}
    return {
        "requests": server.asked[odd.name],
        "state": job.state,
        "usd": job.spent_usd,
        "mime_type": job.mime_type,
        "others": len(details.get("others", ())),
        "said": details.get("text", ""),
        "kind": job.reason_kind,
        "kept": [path.name.rpartition("-")[0] for path in kept],
    }


def wanted(odd: Odd, job: Job) -> dict[str, Any]:
    asked = 2 if odd.becomes == AGAIN else 1
    taken = odd.becomes in (TAKEN, AGAIN)
    alone = PRICE if odd.name in UNTOLD else job.estimated_usd if odd.kind == "Unknown" else TOLD
    cost = (TOLD if odd.becomes == AGAIN else alone) * taken + alone * odd.charged + Decimal(odd.usd)
    return {
        "requests": asked,
        "state": STATES[odd.becomes],
        "usd": cost,
        "mime_type": odd.mime_type if taken else None,
        "others": odd.others,
        "said": odd.said,
        "kind": "" if taken else odd.kind,
        "kept": [f"{job.key}-1"] if odd.charged and not taken else [],
    }


@pytest.mark.parametrize("route", ROUTES)
async def test_every_odd_reply_costs_what_it_costs_and_its_picture_is_kept(tmp_path: Path, route: str) -> None:
    server, _, settings = await run(tmp_path, {odd.name: odd.wire for odd in REPLIES}, route)
    jobs = await jobs_by_shot(settings)
    replies = settings.home / "spool" / "replies"
    became, right = {}, {}
    for odd in REPLIES:
        job = jobs[odd.name]
        became[odd.name] = told(odd, server, job, sorted(replies.glob(f"{job.key}-*")))
        right[odd.name] = wanted(odd, job)
    wrong = {name: (became[name], right[name]) for name in right if became[name] != right[name]}
    assert not wrong
    for odd in REPLIES:
        if odd.becomes == TAKEN:
            file = sidecar(settings, odd.name)["takes"][0]["file"]["file"]
            folder = Path(settings.archive_uri) / "sheet" / "sheet.live" / "shots" / odd.name
            assert (folder / file).read_bytes() == odd.picture, odd.name
        if odd.becomes == PART:
            assert str(replies / f"{jobs[odd.name].key}-1-") in jobs[odd.name].reason
    assert len(REPLIES) > 60


@pytest.mark.long
@pytest.mark.parametrize("name", PASSING)
async def test_an_error_in_a_200_is_that_error_and_costs_nothing(tmp_path: Path, name: str) -> None:
    server, report, settings = await run(tmp_path, {name: PASSING[name]})
    job = (await jobs_by_shot(settings))[name]
    assert (server.asked[name], job.state, job.spent_usd) == (2, JobState.STORED, TOLD)
    assert report.summary["exit_code"] == 0
    assert not list((settings.home / "spool" / "replies").glob("*"))


@pytest.mark.parametrize("name", PAGES)
async def test_a_web_page_halts_the_batch_and_is_told_by_its_title(tmp_path: Path, name: str) -> None:
    answers = {name: PAGES[name]} | {f"more-{n}": PAGES[name] for n in range(40)}
    server, report, settings = await run(tmp_path, answers)
    job = (await jobs_by_shot(settings))[name]
    assert (job.state, job.spent_usd, job.reason_kind) == (JobState.PLANNED, 0, "WebPage")
    assert "is a web page" in job.reason or "with a web page" in job.reason
    assert ("Sign in & go" in job.reason) == (name == "sign-in")
    assert sum(server.asked.values()) < 40
    assert report.summary["exit_code"] == 3


WIRES = {odd.name: odd.wire for odd in REPLIES}
# Two odd answers after one another, and the state in which the second leaves the job.
TWICE = {
    ("text-only", "empty"): JobState.FAILED,
    ("not-json", "text-only"): JobState.FAILED,
    ("text-only", "not-json"): JobState.UNKNOWN,
    ("not-json", "cut-before-the-picture"): JobState.UNKNOWN,
    ("null", "half-png-max-tokens"): JobState.FAILED,
    ("not-json", "image-safety"): JobState.BLOCKED,
}


async def test_a_picture_is_never_asked_for_a_third_time_in_whatever_runs(tmp_path: Path) -> None:
    names = {f"{first}.then.{second}": (WIRES[first], WIRES[second]) for first, second in TWICE}
    async with odd_server(names, good) as server:
        settings = settings_for(tmp_path / "home", server.url)
        for _ in range(2):
            await whole_batch(sheet(tmp_path, list(names)), settings)
    jobs = await jobs_by_shot(settings)
    assert {name: jobs[name].state for name in names} == {
        f"{first}.then.{second}": state for (first, second), state in TWICE.items()
    }
    assert set(server.asked.values()) == {2}


async def test_further_pictures_lie_beside_the_take_and_every_kind_is_known_to_the_archive(tmp_path: Path) -> None:
    names = ("text-picture-text-picture", "avif", "gif", "heic", "tiff")
    wires = {odd.name: odd.wire for odd in REPLIES if odd.name in names}
    _, _, settings = await run(tmp_path, wires)
    [take] = sidecar(settings, names[0])["takes"]
    [other] = take["others"]
    folder = Path(settings.archive_uri) / "sheet" / "sheet.live" / "shots"
    assert (folder / names[0] / other["file"]).read_bytes() == DRAFT
    assert other["file"].startswith("extra-1-")
    assert (take["text"], other["parent"]) == ("first\nthen", take["file"]["sha256"])
    files = [sidecar(settings, name)["takes"][0]["file"]["file"].rpartition(".")[2] for name in names]
    assert files == ["png", "avif", "gif", "heic", "tiff"]
    store = open_archive(settings)
    try:
        [held] = await holdings(store)
        assert findings(await inspect(store, held, reading=ByteReading())) == ()
        async with await Ledger.open(f"sqlite:///{tmp_path / 'other.db'}", clock=Clock()) as ledger:
            rebuilt = await rebuild(ledger, store, {"live": lambda _: "p"})
            assert not rebuilt.refused
            kinds = Counter(asset.kind for asset in await ledger.assets_of("sheet.live"))
            jobs = {job.shot: job for job in await ledger.jobs_of("sheet.live")}
            assert (jobs[names[0]].details or {})["text"] == "first\nthen"
    finally:
        await store.aclose()
    assert kinds == {"take": 5, "extra": 1}


def test_pictures_of_every_kind_are_measured_and_become_frames(tmp_path: Path) -> None:
    for kind in ("AVIF", "GIF", "BMP", "TIFF", "PNG", "JPEG", "WEBP"):
        path = tmp_path / f"picture.{kind.lower()}"
        path.write_bytes(a_picture(kind))
        assert score_image(path).luma > 0
        assert thumbnail(path, tmp_path / "small.jpg") == (32, 18)
        assert probe_image(as_png(path)).mime_type == "image/png"
        assert as_png(path) == as_png(path)


def test_a_heic_is_chosen_only_where_nothing_can_be_measured() -> None:
    heic, score = "a HEIC, which cannot be measured here", score_image(a_picture("PNG"))
    alone = choose_frames([FrameCandidate(1, None, heic)], "best")
    assert (alone.chosen, alone.verdicts[0].rejected) == ((1,), heic)
    both = [FrameCandidate(1, None, heic), FrameCandidate(2, score)]
    assert choose_frames(both, "best").chosen == (2,)
    assert choose_frames(both, "all").chosen == (1, 2)
    assert choose_frames([FrameCandidate(1, None)], "best").chosen == ()
