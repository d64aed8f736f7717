"""What recovery does about single jobs: fetched, held, expired, put back, lost; and the names it gives."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from callsheet.batch.open import open_run
from callsheet.batch.recover import name_of, parent_of, recover_all
from callsheet.batch.resume import resumable, resumable_shots
from callsheet.clock import Clock
from callsheet.errors import CannotContinue, SettingsError
from callsheet.jobs.missing import exit_code
from callsheet.ledger import Job, JobState, Ledger, ShotRow, Want
from callsheet.settings import Settings
from callsheet.shots import Batch, ShotOutcome
from tests.support.ledger_rows import BATCH as SPRING
from tests.support.ledger_rows import order
from tests.support.left_behind import BATCH, leave_behind, request_in, settings_at
from tests.support.recovery import recovered
from tests.support.service import Service, start_service


@pytest.fixture
def forgetful_service(tmp_path: Path) -> Iterator[Service]:
    """A service that forgets a video half a second after it is done."""
    service = start_service(tmp_path / "service", factor=60, latency={"image": 0, "video": 10}, retention_s=30)
    yield service
    service.process.terminate()
    service.process.wait(timeout=20)


async def the_clip(settings: Settings) -> Job:
    async with await Ledger.open(settings.ledger_url, clock=Clock()) as ledger:
        [clip] = [job for job in await ledger.jobs_of(BATCH) if job.kind == "video"]
        return clip


async def test_an_operation_whose_owner_is_gone_is_adopted_and_its_video_stored_once(
    service: Service, tmp_path: Path
) -> None:
    settings = settings_at(service, tmp_path)
    await leave_behind(request_in(tmp_path), settings)
    [one] = await recovered(settings)
    assert (one.how, one.batch, one.shot, one.slot) == ("fetched", BATCH, "kite", "clip-1")
    clip = await the_clip(settings)
    assert (clip.state, clip.spent_usd) == (JobState.STORED, clip.estimated_usd)
    [file] = (settings.home / "archive").rglob("clip-*.mp4")
    assert hashlib.sha256(file.read_bytes()).hexdigest() == clip.sha256
    assert file.name == f"clip-{clip.sha256[:12]}.mp4"
    assert service.counts()["accepted"]["video"] == 1
    assert await recover_all(settings) == []


async def test_a_job_of_a_living_process_is_left_to_it(service: Service, tmp_path: Path) -> None:
    settings = settings_at(service, tmp_path)
    await leave_behind(request_in(tmp_path), settings)
    async with await Ledger.open(settings.ledger_url, clock=Clock()) as other:
        assert (await other.take((await the_clip(settings)).key)).mine
        found = await recover_all(settings)
        assert [one.how for one in found] == ["held"]
        assert exit_code(found) == 4
    assert [one.how for one in await recovered(settings)] == ["fetched"]


async def test_a_video_that_the_provider_has_forgotten_is_told_and_recorded_with_its_money(
    forgetful_service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_at(forgetful_service, tmp_path)
    await leave_behind(request_in(tmp_path), settings)
    await asyncio.sleep(1.0)
    [early] = await recovered(settings)
    assert (early.how, exit_code([early])) == ("withheld", 4), "the provider promises two days"
    monkeypatch.setattr("callsheet.ledger.records.RETENTION", timedelta(seconds=30))
    [one] = await recovered(settings)
    assert one.how == "lost"
    assert exit_code([one]) == 3
    clip = await the_clip(settings)
    assert (clip.state, clip.reason_kind, clip.spent_usd) == (JobState.EXPIRED, "OperationExpired", clip.estimated_usd)
    assert await recover_all(settings) == [], "it is told once"


async def test_a_file_that_is_gone_from_the_archive_is_put_back_from_wherever_it_still_is(
    service: Service, tmp_path: Path
) -> None:
    settings = settings_at(service, tmp_path)
    await leave_behind(request_in(tmp_path), settings)
    await recovered(settings)
    [clip] = (settings.home / "archive").rglob("clip-*.mp4")
    [take] = (settings.home / "archive").rglob("take-*.*")
    whole = clip.read_bytes(), take.read_bytes()
    clip.unlink()
    take.unlink()
    assert [one.how for one in await recover_all(settings)] == ["fetched", "fetched"], "from the spool"
    assert (clip.read_bytes(), take.read_bytes()) == whole
    clip.unlink()
    take.unlink()
    for file in (settings.home / "spool").rglob("*"):
        if file.is_file():
            file.unlink()
    found = {one.slot: one for one in await recover_all(settings)}
    assert (found["clip-1"].how, found["take-1"].how) == ("fetched", "lost")
    assert "from the provider" in found["clip-1"].reason
    assert clip.read_bytes() == whole[0]
    assert service.counts()["accepted"] == {"image": 1, "video": 1}


async def test_a_copy_in_another_batch_serves_too(service: Service, tmp_path: Path) -> None:
    settings = settings_at(service, tmp_path)
    await leave_behind(request_in(tmp_path), settings)
    await recovered(settings)
    [take] = (settings.home / "archive").rglob("take-*.*")
    copy = Path(str(take).replace(f"sheet/{BATCH}", "other/other.rehearsal"))
    copy.parent.mkdir(parents=True)
    async with await Ledger.open(settings.ledger_url, clock=Clock()) as ledger:
        [asset] = [one for one in await ledger.assets_of(BATCH) if one.kind == "take"]
        await ledger.open_batch(Batch("other", None, "rehearsal"), [("kite", 0)])
        await ledger.add_assets([replace(asset, batch="other.rehearsal", uri=str(copy))])
    whole = take.read_bytes()
    take.rename(copy)
    shutil.rmtree(settings.home / "spool")
    assert [one.how for one in await recover_all(settings)] == ["fetched"]
    assert take.read_bytes() == whole


async def test_an_unreachable_provider_loses_nothing(service: Service, tmp_path: Path) -> None:
    settings = settings_at(service, tmp_path)
    await leave_behind(request_in(tmp_path), settings)
    away = settings.model_copy(update={"gemini_base_url": "http://127.0.0.1:1"})
    [one] = await recover_all(away)
    assert one.how == "withheld"
    assert (await the_clip(settings)).state is JobState.SUBMITTED
    assert [one.how for one in await recovered(settings)] == ["fetched"]


async def test_an_unknown_batch_is_refused(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert await recover_all(settings) == []
    with pytest.raises(SettingsError, match=r"no batch 'spring'"):
        await recover_all(settings, "spring")


async def test_a_batch_is_carried_on_only_with_the_manifest_that_it_was_asked_for_with(
    service: Service, tmp_path: Path
) -> None:
    settings, request = settings_at(service, tmp_path), request_in(tmp_path)
    await leave_behind(request, settings)
    await recovered(settings)
    async with await Ledger.open(settings.ledger_url, clock=Clock()) as ledger:
        [one] = await resumable(ledger, "rehearsal")
        assert (await one.prepare(settings)).request == replace(request, only=("kite",), free=True)
        assert await resumable(ledger, "live") == []
        (tmp_path / "sheet.csv").write_text(f"{(tmp_path / 'sheet.csv').read_text()}other,Another,1,1,,\n")
        with pytest.raises(CannotContinue, match="changed"):
            await one.prepare(settings)
        (tmp_path / "sheet.csv").unlink()
        with pytest.raises(CannotContinue, match="no such file"):
            await one.prepare(settings)


def test_shots_go_on_for_free_when_all_their_paid_work_is_over() -> None:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    cases: dict[str, tuple[ShotOutcome, str, list[JobState], bool]] = {
        "all stored": (ShotOutcome.PENDING, "", [JobState.STORED, JobState.STORED], True),
        "one refused": (ShotOutcome.PENDING, "", [JobState.STORED, JobState.BLOCKED], True),
        "still running": (ShotOutcome.PENDING, "", [JobState.STORED, JobState.SUBMITTED], False),
        "to be paid": (ShotOutcome.PARKED, "", [JobState.STORED, JobState.PLANNED], False),
        "nothing wanted": (ShotOutcome.PENDING, "", [], False),
        "done": (ShotOutcome.DONE, "", [JobState.STORED], False),
        "came late": (ShotOutcome.FAILED, "clips", [JobState.STORED, JobState.STORED], True),
        "a bad cut": (ShotOutcome.FAILED, "cuts", [JobState.STORED, JobState.STORED], False),
        "a bad take": (ShotOutcome.FAILED, "images", [JobState.FAILED], False),
    }
    rows, wants, jobs = [], [], {}
    for position, (name, (state, step, states, _)) in enumerate(cases.items()):
        rows.append(ShotRow("b", name, position, state, step, "", "", now))
        for n, of_job in enumerate(states):
            wants.append(Want("b", name, f"take-{n}", f"{name} {n}"))
            jobs[f"{name} {n}"] = job(state=of_job)
    expected = [name for name, case in cases.items() if case[3]]
    assert resumable_shots(rows, wants, jobs) == expected


def job(**given: Any) -> Job:
    values: dict[str, Any] = dict.fromkeys(Job.__slots__)
    return Job(**{**values, "kind": "video", "slot": "clip-2", "sha256": "a" * 64, "mime_type": "video/mp4",
                  "request": {"take": 2, "inputs": ["f" * 64]}, **given})  # fmt: skip


@pytest.mark.parametrize(
    ("given", "slots", "name"),
    [
        ({}, ["take-1", "take-2", "clip-2"], "clip-aaaaaaaaaaaa.mp4"),
        ({}, ["clip-1", "clip-2"], "clip-2-aaaaaaaaaaaa.mp4"),
        ({"slot": "clip"}, ["clip"], "clip-aaaaaaaaaaaa.mp4"),
        ({"kind": "image", "slot": "take-3", "mime_type": "image/png"}, ["take-3"], "take-3-aaaaaaaaaaaa.png"),
    ],
)
def test_files_get_the_names_that_a_run_gives_them(given: dict[str, Any], slots: list[str], name: str) -> None:
    assert name_of(job(**given), slots) == name


def test_a_clip_knows_its_frame() -> None:
    assert parent_of(job()) == "f" * 64
    assert parent_of(job(request={"take": None, "inputs": ["f" * 64]})) is None
    assert parent_of(job(kind="image", request={"take": 1, "inputs": ["f" * 64]})) is None


async def test_taking_a_job_over_leaves_what_its_slot_wants_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    async with await Ledger.open(url, clock=Clock()) as ledger:
        await ledger.open_batch(SPRING, [("s1", 0)])
        await ledger.claim(order("old"))
        await ledger.claim(order("new"))
        assert (await ledger.take(order("old").key)).mine
        assert [want.job_key for want in await ledger.wants_of(SPRING.name)] == [order("new").key]


async def test_a_run_limited_to_strange_shots_or_asked_to_remake_for_free_is_refused(
    service: Service, tmp_path: Path
) -> None:
    settings, request = settings_at(service, tmp_path), request_in(tmp_path)
    for wrong, why in (
        (replace(request, only=("kite", "kyte")), r"no shot 'kyte'.*It has: kite"),
        (replace(request, free=True, remake=True), r"spend nothing"),
    ):
        with pytest.raises(SettingsError, match=why):
            async with open_run(wrong, settings):
                raise AssertionError
    assert not (settings.home / "ledger.db").exists() or service.counts()["accepted"]["image"] == 0
