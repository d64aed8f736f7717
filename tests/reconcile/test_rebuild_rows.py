"""What a rebuild believes: files as they are, sidecars where they belong; and what is open stays open."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from callsheet.archive.open import open_archive
from callsheet.clock import Clock
from callsheet.ledger import Job, JobState, Ledger
from callsheet.providers.routing import scope_of
from callsheet.reconcile.rebuild_ledger import Rebuilt, rebuild
from callsheet.settings import Settings
from tests.support.left_behind import BATCH, give_up_waiting, request_in, settings_at
from tests.support.recovery import recovered
from tests.support.service import Service, start_service


@pytest.fixture
def slow_service(tmp_path: Path) -> Iterator[Service]:
    """Videos take three seconds, longer than the runs of these tests wait."""
    service = start_service(tmp_path / "service", factor=60, latency={"image": 0, "video": 180})
    yield service
    service.process.terminate()
    service.process.wait(timeout=20)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Ledger]:
    async with await Ledger.open(settings.ledger_url, clock=Clock()) as ledger:
        yield ledger


async def rebuilt(settings: Settings) -> Rebuilt:
    store = open_archive(settings)
    scope = scope_of(settings, "rehearsal")
    async with opened(settings) as ledger:
        return await rebuild(ledger, store, {"live": scope, "rehearsal": scope})


async def the_jobs(settings: Settings) -> dict[str, Job]:
    async with opened(settings) as ledger:
        return {job.slot: job for job in await ledger.jobs_of(BATCH)}


def lose_ledger(settings: Settings) -> None:
    for path in settings.home.glob("ledger.db*"):
        path.unlink()


async def books(settings: Settings) -> tuple[Decimal, Decimal, set[tuple[str, int, Decimal, Decimal, str]]]:
    async with opened(settings) as ledger:
        [row] = await ledger.batches()
        tries = await ledger.attempts_of(BATCH)
        return (
            row.spent_usd,
            row.reserved_usd,
            {(one.job_key, one.n, one.usd, one.reserved_usd, one.scope) for one in tries},
        )


async def test_an_operation_that_still_runs_survives_the_loss_of_the_ledger(
    slow_service: Service, tmp_path: Path
) -> None:
    settings = settings_at(slow_service, tmp_path, video_deadline_s=0.5)
    await give_up_waiting(request_in(tmp_path), settings)
    before, money = await the_jobs(settings), await books(settings)
    assert before["clip-1"].state is JobState.SUBMITTED
    lose_ledger(settings)
    told = await rebuilt(settings)
    assert (told.jobs, told.refused, told.missing) == (2, [], [])
    after = await the_jobs(settings)
    assert (after["clip-1"].state, after["clip-1"].operation) == (JobState.SUBMITTED, before["clip-1"].operation)
    assert after["clip-1"].request == before["clip-1"].request
    assert after["clip-1"].submitted_at == before["clip-1"].submitted_at
    assert await books(settings) == money
    assert [one.how for one in await recovered(settings)] == ["fetched"]
    assert slow_service.counts()["accepted"]["video"] == 1


@pytest.mark.long
async def test_rows_that_are_there_win_over_the_sidecars(slow_service: Service, tmp_path: Path) -> None:
    settings = settings_at(slow_service, tmp_path, video_deadline_s=0.5)
    await give_up_waiting(request_in(tmp_path), settings)
    await recovered(settings)
    before, money = await the_jobs(settings), await books(settings)
    told = await rebuilt(settings)
    assert (told.batches, told.shots, told.jobs) == (0, 0, 0)
    assert await the_jobs(settings) == before, "the sidecar still says submitted"
    assert await books(settings) == money


def _elsewhere(sidecar: dict[str, Any]) -> None:
    sidecar["takes"][0]["file"]["file"] = f"../../{sidecar['takes'][0]['file']['file']}"


def _other_batch(sidecar: dict[str, Any]) -> None:
    sidecar["batch"] = "other.rehearsal"


def _other_request(sidecar: dict[str, Any]) -> None:
    sidecar["takes"][0]["job"]["request"]["prompt"] = "What another prompt made"


def _refund(sidecar: dict[str, Any]) -> None:
    sidecar["takes"][0]["usd"] = -100.0


def _nothing_known(sidecar: dict[str, Any]) -> None:
    sidecar.clear()


@pytest.mark.long
@pytest.mark.parametrize("tamper", [_elsewhere, _other_batch, _other_request, _refund, _nothing_known])
async def test_a_sidecar_that_does_not_add_up_is_refused_and_the_rest_goes_on(
    service: Service, tmp_path: Path, tamper: Callable[[dict[str, Any]], None]
) -> None:
    settings = settings_at(service, tmp_path, video_deadline_s=0.5)
    await give_up_waiting(request_in(tmp_path), settings)
    [path] = (settings.home / "archive").rglob("shot.json")
    sidecar = json.loads(path.read_text())
    tamper(sidecar)
    path.write_text(json.dumps(sidecar))
    lose_ledger(settings)
    told = await rebuilt(settings)
    assert ([one.name for one in told.refused], told.jobs) == ([f"sheet/{BATCH}/shots/kite/shot.json"], 0)


async def test_a_file_that_is_not_as_told_is_not_believed_but_its_money_is(service: Service, tmp_path: Path) -> None:
    settings = settings_at(service, tmp_path)
    await give_up_waiting(request_in(tmp_path), settings)
    money = await books(settings)
    [clip] = (settings.home / "archive").rglob("clip-*.mp4")
    [take] = (settings.home / "archive").rglob("take-*.*")
    whole = clip.read_bytes()
    clip.unlink()
    take.write_bytes(b"something else")
    lose_ledger(settings)
    told = await rebuilt(settings)
    assert sorted(one.name.rpartition("/")[2] for one in told.missing) == [clip.name, take.name]
    assert await books(settings) == money
    async with opened(settings) as ledger:
        assert {asset.kind for asset in await ledger.assets_of(BATCH)} == {"thumbnail", "poster"}
    found = {one.slot: one.how for one in await recovered(settings)}
    assert found["clip-1"] == "fetched"
    assert clip.read_bytes() == whole
    assert service.counts()["accepted"] == {"image": 1, "video": 1}


async def test_a_sidecar_whose_times_name_no_zone_is_read_as_utc(service: Service, tmp_path: Path) -> None:
    settings = settings_at(service, tmp_path)
    await give_up_waiting(request_in(tmp_path), settings)
    money = await books(settings)
    [path] = (settings.home / "archive").rglob("shot.json")
    path.write_text(re.sub(r'(\d\d:\d\d:\d\d(\.\d+)?)(Z|\+00:00)"', r'\1"', path.read_text()))
    lose_ledger(settings)
    assert not (await rebuilt(settings)).refused
    assert await books(settings) == money
