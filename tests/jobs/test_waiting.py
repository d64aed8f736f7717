"""From an accepted submission to a stored clip: promptly, with few looks, whole, and kept whatever fails."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import statistics
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from callsheet.concurrency import gather_all
from callsheet.context.context import RunContext
from callsheet.context.poller import INTERVAL_S
from callsheet.context.shot_state import ShotState
from callsheet.errors import ArchiveError, DownloadFailed, LedgerError, SettingsError
from callsheet.jobs import persist as persisting
from callsheet.jobs.fetch import DOWNLOADS, download, watch_of
from callsheet.jobs.persist import persist
from callsheet.ledger import JobState
from callsheet.ledger.quota import pacific_day
from callsheet.media.probe import probe_video
from callsheet.providers.protocol import VideoReady, VideoRequest
from callsheet.settings import load_settings
from callsheet.shots import Asset
from callsheet.steps.clips import make_clips
from callsheet.steps.images import make_images
from tests.support.cli import Cli, kill
from tests.support.media_samples import make_clip
from tests.support.open_batches import batch_at
from tests.support.service import Service, start_service
from tests.support.waiting import wait_for


def videos(count: int) -> str:
    rows = (f"clip{n},A paper boat number {n},0,It sails on {n},4" for n in range(count))
    return "\n".join(["id,prompt,takes,motion_prompt,duration_s", *rows]) + "\n"


@pytest.mark.slow  # compares times: a busy machine looks later
async def test_clips_are_stored_within_a_poll_interval_of_being_done_with_few_looks(tmp_path: Path) -> None:
    service = start_service(tmp_path / "service", factor=4, latency={"image": 0, "video": 40})
    try:
        async with batch_at(service, tmp_path, videos(8)) as (run, shots):
            await gather_all(make_clips(run, work) for work in run.state.hold(shots))
            jobs = await run.resources.ledger.jobs_of(run.batch.name)
        assert [job.state for job in jobs] == [JobState.STORED] * 8
        with sqlite3.connect(f"file:{tmp_path / 'service/rehearsal.db'}?mode=ro", uri=True) as state:
            due = dict(state.execute("SELECT name, due FROM operations"))
        took = [job.updated.timestamp() - due[job.operation] for job in jobs if job.operation]
        assert statistics.median(took) < INTERVAL_S
        looks = service.counts()["requests"]["fetchPredictOperation"] / len(jobs)
        assert looks <= 1.5 * 40 * 1.25 / INTERVAL_S + 2
    finally:
        service.process.terminate()
        service.process.wait(timeout=20)


def count_submitted(cli: Cli) -> int:
    if not (cli.home / "ledger.db").exists():
        return 0
    with contextlib.suppress(sqlite3.OperationalError), sqlite3.connect(cli.home / "ledger.db") as ledger:
        return int(ledger.execute("SELECT count(*) FROM jobs WHERE state = 'submitted'").fetchone()[0])
    return 0


@pytest.mark.long
def test_with_wait_a_full_day_is_slept_through(lean_cli: Cli, tmp_path: Path) -> None:
    (lean_cli.folder / "sheet.csv").write_text(
        "id,prompt,takes\n" + "".join(f"s{n},A lantern number {n},1\n" for n in range(7))
    )
    (lean_cli.folder / "limits.yaml").write_text("models:\n  gemini-nano-banana-2.1:\n    limits: {1: {rpd: 3}}\n")
    fast = {"CALLSHEET_CATALOGUE": "limits.yaml", "CALLSHEET_REHEARSAL_FACTOR": "40000"}
    parked = lean_cli("run", "sheet.csv", "--json", **fast)
    assert parked.exit_code == 4, parked.stderr
    assert parked.json["shots"]["parked"] >= 1
    done = lean_cli("run", "sheet.csv", "--wait", "--json", **fast)
    assert done.exit_code == 0, done.stderr
    with sqlite3.connect(lean_cli.home / "ledger.db") as ledger:
        sent = [row[0] for row in ledger.execute("SELECT at FROM attempts WHERE outcome = 'finished'")]
    days = Counter(pacific_day(datetime.fromtimestamp(at / 1e6, UTC))[0] for at in sent)
    assert sum(days.values()) == 7
    # An hour of this clock passes between a slot and its sending: the last three of a day may leave in the next one.
    assert len(days) >= 2
    assert max(days.values()) <= 6


def test_a_key_that_fails_while_waiting_stops_the_run_and_keeps_the_operation(lean_cli: Cli, tmp_path: Path) -> None:
    service = start_service(tmp_path / "service", factor=1, latency={"image": 0, "video": 3})
    (lean_cli.folder / "sheet.csv").write_text(videos(1))
    keys = {"GOOGLE_GEMINI_BASE_URL": service.url, "GOOGLE_VERTEX_BASE_URL": service.url, "GEMINI_API_KEY": "good"}
    good = keys | {"CALLSHEET_AGENT_PLATFORM_API_KEY": "good"}
    try:
        process = lean_cli.start("run", "sheet.csv", "--live", "--yes", **good)
        wait_for(lambda: count_submitted(lean_cli) == 1, within_s=120)  # its operation is on record before the kill
        kill(process)
        bad = lean_cli(
            "run", "sheet.csv", "--live", "--yes", "--json", **(good | {"CALLSHEET_AGENT_PLATFORM_API_KEY": "invalid"})
        )
        assert (bad.exit_code, bad.json["open_requests"]["submitted"]) == (4, 1), bad.stderr
        assert bad.json["usd"]["held"] > 0
        done = lean_cli("run", "sheet.csv", "--live", "--yes", "--json", **good)
        assert done.exit_code == 0, done.stderr
        assert service.counts()["accepted"]["video"] == 1
    finally:
        service.process.terminate()
        service.process.wait(timeout=20)


def state_of_the_job(cli: Cli) -> str | None:
    if not (cli.home / "ledger.db").exists():
        return None
    with sqlite3.connect(cli.home / "ledger.db") as ledger:
        try:
            row = ledger.execute("SELECT state FROM jobs").fetchone()
        except sqlite3.OperationalError:  # the tables are being made
            return None
    return row[0] if row else None


class Files:
    """A provider whose downloads give these files in turn."""

    def __init__(self, *files: Path) -> None:
        self.files = list(files)

    async def submit(self, request: VideoRequest) -> str:
        raise NotImplementedError

    async def poll(self, operation: str) -> VideoReady | None:
        return VideoReady(uri="https://example.test/clip")

    async def download(self, video: VideoReady, target: Path) -> None:
        await asyncio.to_thread(shutil.copy, self.files.pop(0), target)


async def fetched(run: RunContext, *files: Path):
    """What `download` makes of these files, for a job that ordered four seconds."""
    order = next(iter(await run.resources.ledger.jobs_of(run.batch.name)))
    watch = replace(await watch_of(run, replace(order, operation="operations/x")), provider=Files(*files))
    return await download(run, order, watch, VideoReady(uri="https://example.test/clip"), Decimal(1))


@pytest.mark.long
async def test_a_video_is_taken_only_whole_and_as_ordered_or_twice_the_same(service: Service, tmp_path: Path) -> None:
    good, long = make_clip(tmp_path / "good.mp4", frames=96), make_clip(tmp_path / "long.mp4", frames=200)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(good.read_bytes()[:-2000])
    async with batch_at(service, tmp_path, videos(1)) as (run, shots):
        await make_clips(run, run.state.hold(shots)[0])
        whole = await fetched(run, cut, good)
        assert (whole.size, whole.details.get("warning")) == (good.stat().st_size, None)
        assert (await fetched(run, long, good)).size == good.stat().st_size
        odd = await fetched(run, long, long)
        assert odd.size == long.stat().st_size
        assert "4 s were ordered" in odd.details["warning"]
        with pytest.raises(DownloadFailed, match="callsheet recover"):
            await fetched(run, *[cut] * DOWNLOADS)
        assert not list((run.resources.spool.root / "scratch").iterdir()), "nothing damaged is left lying about"


async def test_what_is_paid_for_is_held_on_to_until_it_can_be_kept(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(persisting, "FIRST_PAUSE_S", 0.01)
    answers: list[Exception] = [LedgerError("the database is away"), ArchiveError("the disk is full")]
    async with batch_at(service, tmp_path, videos(1)) as (run, _):

        async def write() -> str:
            if answers:
                assert run.state.troubled == 0
                raise answers.pop(0)
            return "kept"

        assert await persist(run, write, "operation x") == "kept"
        monkeypatch.setattr(persisting, "HELD_S", -1.0)
        answers.append(LedgerError("the database is away"))
        with pytest.raises(LedgerError):
            await persist(run, write, "operation x")
        assert run.state.troubled == 0


async def test_a_nearly_full_disk_parks_the_work_before_anything_is_sent(service: Service, tmp_path: Path) -> None:
    async with batch_at(service, tmp_path, "id,prompt\nkite,A kite\n", min_free_mb=10**9) as (run, shots):
        work: ShotState = run.state.hold(shots)[0]
        await make_images(run, work)
        assert work.ended == "parked"
        assert "Free some space" in work.failures_of_all()[0].message
    assert service.counts()["accepted"]["image"] == 0


@pytest.mark.long
async def test_a_clip_whose_file_is_lost_is_fetched_again_by_its_operation(service: Service, tmp_path: Path) -> None:
    async with batch_at(service, tmp_path, videos(1)) as (run, shots):
        await make_clips(run, run.state.hold(shots)[0])
        clip = run.state.work["clip0"].clips[0].asset
        assert clip is not None
    lose(clip, tmp_path / "home/spool")
    async with batch_at(service, tmp_path, videos(1)) as (run, shots):
        await make_clips(run, run.state.hold(shots)[0])
        assert run.state.work["clip0"].clips[0].asset is not None
    assert probe_video(Path(clip.uri)).size == clip.size
    assert service.counts()["accepted"]["video"] == 1


def lose(asset: Asset, spool: Path) -> None:
    Path(asset.uri).unlink()
    for path in spool.glob("??/*"):
        path.unlink()


def test_settings_of_waiting_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLSHEET_VIDEO_DEADLINE_S", "0")
    with pytest.raises(SettingsError, match="video_deadline_s"):
        load_settings()
