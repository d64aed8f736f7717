"""Shards: stable stretches of a manifest, of which each run looks at its own shots and at nothing else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet.archive.store_local import LocalStore
from callsheet.batch.open import open_run
from callsheet.batch.prepare import read_request
from callsheet.batch.report import write_report
from callsheet.batch.request import RunRequest
from callsheet.batch.shards import end_shard, follow_ledger, join_shards, list_attempts, open_shard, tally_between
from callsheet.batch.start import open_batch, set_aside
from callsheet.context.context import RunContext
from callsheet.errors import ManifestError, SettingsError
from callsheet.manifest import CheckRules, read_manifest
from callsheet.models import load_catalogue
from callsheet.plan import Action, Plan, ShotPlan
from callsheet.plan.grouping import MOST_RUNS, PATIENCE_S, STARTING_S, Next, Shard, Stand, shards_of, what_next
from callsheet.settings import Settings, load_settings
from callsheet.shots import Batch, Shot, ShotOutcome
from callsheet.steps.archive import write_shot
from callsheet.steps.images import make_images
from tests.support.media_samples import encoded, picture
from tests.support.service import Service
from tests.support.whole_batch import whole_batch


@given(st.integers(1, 400), st.integers(1, 60), st.sets(st.integers(0, 399)))
def test_every_shot_that_goes_on_is_in_one_shard_and_its_shard_does_not_depend_on_the_others(
    total: int, size: int, numbers: set[int]
) -> None:
    shots = [f"s{n}" for n in range(total)]
    going = {f"s{n}" for n in numbers if n < total}
    found = shards_of(shots, going, size, "r1")
    held = [shot for shard in found for shot in shots[shard.stretch]]
    assert len(held) == len(set(held))
    assert going <= set(held)
    assert all(going & set(shots[shard.stretch]) for shard in found)
    assert set(found) <= set(shards_of(shots, shots, size, "r1"))


@pytest.mark.parametrize(
    ("state", "silent_s", "runs", "expected"),
    [
        ("COMPLETED", 0, 1, Next.OVER),
        ("CANCELLED", 0, 1, Next.OVER),  # a person's word
        ("CRASHED", 0, 1, Next.AGAIN),
        ("FAILED", 0, MOST_RUNS - 1, Next.AGAIN),
        ("CRASHED", 0, MOST_RUNS, Next.OVER),
        ("RUNNING", 89, 1, Next.WAIT),
        ("RUNNING", 90, 1, Next.LOST),
        ("CANCELLING", 90, 1, Next.LOST),
        ("PENDING", 90, 1, Next.WAIT),  # a container may be starting
        ("PENDING", STARTING_S, 1, Next.LOST),
        ("SCHEDULED", PATIENCE_S - 1, 1, Next.WAIT),
        ("SCHEDULED", PATIENCE_S, 1, Next.TAKE),
        ("PAUSED", 10_000, 1, Next.WAIT),
    ],
)
def test_what_is_done_about_a_run_follows_from_how_it_stands(
    state: str, silent_s: float, runs: int, expected: Next
) -> None:
    assert what_next(Stand(state, silent_s, runs), silence_s=90) is expected


def test_of_a_stretch_only_its_own_pictures_are_read(tmp_path: Path) -> None:
    sheet = tmp_path / "looks.csv"
    sheet.write_text("id,prompt,reference_images\n" + "".join(f"s{n},A hat {n},look{n}.png\n" for n in range(4)))
    for n in (1, 2):
        (tmp_path / f"look{n}.png").write_bytes(encoded(picture(n)))
    catalogue, today = load_catalogue(), datetime.now(UTC).date()
    part = read_manifest(str(sheet), CheckRules(catalogue, today, stretch=slice(1, 3)))
    assert [(shot.id, shot.line, len(shot.reference_images)) for shot in part.shots] == [("s1", 3, 1), ("s2", 4, 1)]
    with pytest.raises(ManifestError, match=r"look0\.png"):
        read_manifest(str(sheet), CheckRules(catalogue, today))


SHEET = "id,prompt,takes\n" + "".join(f"s{n},A lamp number {n},1\n" for n in range(6))


@dataclass
class Team:
    """A manifest of six shots, the ledger, archive and service of its batch."""

    settings: Settings
    request: RunRequest
    lists: list[str] = field(default_factory=list)

    def shard(self, number: int, **other: Any) -> RunRequest:
        """The request for shots 1 to 3 or 4 to 6."""
        revision = read_request(self.request, self.settings).manifest.sha256
        return replace(self.request, shard=Shard(3 * number - 2, 3 * number, revision), **other)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[tuple[RunContext, Plan, list[Shot]]]:
        """The batch as the run that splits it opens it."""
        async with open_run(self.request, self.settings) as (run, sheet):
            plan = await open_batch(run, sheet)
            yield run, plan, await set_aside(run, plan)

    async def work(self, number: int) -> dict[str, Any]:
        """What a run of a shard does, without Prefect."""
        request = self.shard(number)
        assert request.shard is not None
        async with open_run(request, self.settings) as (run, sheet):
            plan = await open_shard(run, sheet.manifest, request.shard)
            going = await set_aside(run, plan)
            for work in run.state.hold(going):
                await make_images(run, work)
                await write_shot(run, work)
            return await end_shard(run, plan)


@pytest.fixture
def team(tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch) -> Team:
    (tmp_path / "lamps.csv").write_text(SHEET)
    settings = load_settings(home=tmp_path / "home", gemini_base_url=service.url, tier=3)
    team = Team(settings, RunRequest(str(tmp_path / "lamps.csv")))
    listed = LocalStore.list

    async def noted(store: LocalStore, prefix: str) -> tuple[str, ...]:
        team.lists.append(prefix)
        return await listed(store, prefix)

    monkeypatch.setattr(LocalStore, "list", noted)
    return team


async def test_two_shards_make_their_own_shots_and_the_join_ends_the_whole_batch(team: Team) -> None:
    async with team.opened() as (run, _, going):
        sent, folder = await list_attempts(run), team.settings.home / "archive" / run.batch.prefix
        team.lists.clear()
        assert await team.work(1) == {"exit_code": 0, "shots": {"total": 3, "done": 3}}
        assert {path.name for path in (folder / "shots").iterdir()} == {"s0", "s1", "s2"}
        assert not (folder / "gallery.html").exists()
        assert not (folder / "_SUCCESS.json").exists()
        assert await team.work(1) == {"exit_code": 0, "shots": {"total": 3, "done": 3}}, "a shard is done once"
        root = f"{run.batch.prefix}/shots"
        assert set(team.lists) == {f"{root}/{shot}/" for shot in ("s0", "s1", "s2")}, "a shard lists its own folders"

        await follow_ledger(run, 6)
        assert run.state.progress.as_text() == "shots 3/6"
        await team.work(2)
        await join_shards(run, going, sent)
        ended = (await write_report(run, 1.0)).summary
    assert (ended["exit_code"], ended["shots"]["done"], ended["images"]) == (0, 6, {"created": 6, "reused": 0})
    assert ended["submissions"] == {"image": 6, "video": 0}
    assert 0 < ended["usd"]["spent"] <= ended["usd"]["estimated"]
    marker = json.loads((folder / "_SUCCESS.json").read_text())
    assert (marker["complete"], len(marker["sidecars"])) == (True, 6)
    assert len(pl.read_parquet(team.settings.home / "archive" / marker["catalogue"])) == 6
    assert "s5" in (folder / "gallery.html").read_text()


async def test_shots_of_a_shard_that_nobody_brought_to_an_end_are_pending(team: Team) -> None:
    async with team.opened() as (run, _, going):
        sent = await list_attempts(run)
        await team.work(2)
        # Its run was killed after the sidecars, before the ledger was told how two of the shots stand.
        await run.resources.ledger.set_shots(run.batch.name, ["s3", "s4"], ShotOutcome.PENDING)
        await join_shards(run, going, sent)
        ended = (await write_report(run, 1.0)).summary
    assert (ended["exit_code"], ended["shots"]["done"]) == (1, 3)
    marker = json.loads((team.settings.home / "archive" / "lamps" / "lamps.rehearsal" / "_SUCCESS.json").read_text())
    assert (marker["complete"], marker["unfinished"]) == (False, ["s0", "s1", "s2"])


async def test_a_sidecar_that_broke_leaves_its_shot_pending_and_the_join_goes_on(team: Team, service: Service) -> None:
    async with team.opened() as (run, _, going):
        sent, folder = await list_attempts(run), team.settings.home / "archive" / run.batch.prefix
        await team.work(1)
        await team.work(2)
        (folder / "shots" / "s1" / "shot.json").write_text("{")
        await join_shards(run, going, sent)
        ended = (await write_report(run, 1.0)).summary
    assert (ended["exit_code"], ended["shots"]["done"]) == (1, 5)
    report = await whole_batch(team.request, team.settings)
    assert (report.exit_code, report.summary["submissions"]) == (0, {"image": 0, "video": 0})
    assert list(folder.glob(".damaged/*/shots/s1/shot.json"))


@pytest.mark.long
@pytest.mark.parametrize("lost", [False, True])
async def test_a_batch_made_in_shards_is_paid_for_once_whatever_ledger_goes_on_with_it_in_shards(
    team: Team, service: Service, tmp_path: Path, lost: bool
) -> None:
    async with team.opened() as (run, _, going):
        sent = await list_attempts(run)
        await team.work(1)
        if not lost:
            await team.work(2)
            await join_shards(run, going, sent)
            await write_report(run, 1.0)
    archive = str(team.settings.home / "archive")
    other = Team(team.settings.model_copy(update={"home": tmp_path / "other", "archive": archive}), team.request)
    async with other.opened() as (run, _, going):
        sent = await list_attempts(run)
        left = [shot.id for shot in going]
        for number in (1, 2):
            assert (await other.work(number))["exit_code"] == 0
        await join_shards(run, going, sent)
        ended = (await write_report(run, 1.0)).summary
    assert left == (["s3", "s4", "s5"] if lost else [])
    assert (ended["exit_code"], ended["shots"]["done"]) == (0, 6)
    assert service.counts()["accepted"]["image"] == 6


async def test_a_worker_with_another_ledger_archive_or_manifest_sends_nothing(
    team: Team, service: Service, tmp_path: Path
) -> None:
    async with team.opened():
        pass
    shard, settings = team.shard(1).shard, team.settings
    assert shard is not None

    async def refused(settings: Settings, told: str) -> None:
        with pytest.raises(SettingsError, match=told):
            async with open_run(replace(team.request, shard=shard), settings) as (run, sheet):
                await open_shard(run, sheet.manifest, shard)

    await refused(settings.model_copy(update={"ledger": f"sqlite:///{tmp_path / 'own.db'}"}), "CALLSHEET_LEDGER")
    await refused(settings.model_copy(update={"archive": str(tmp_path / "elsewhere")}), "CALLSHEET_ARCHIVE")
    (tmp_path / "lamps.csv").write_text(SHEET.replace("lamp", "lantern"))
    await refused(settings, "another one now")
    assert service.counts()["accepted"].get("image", 0) == 0


def test_what_was_made_between_two_plans_is_counted_by_how_it_came_to_be() -> None:
    since = datetime(2026, 11, 21, tzinfo=UTC)
    before = {
        "take-1": Action("image", "take-1", "reuse"),
        "take-2": Action("image", "take-2", "create"),
        "take-3": Action("image", "take-3", "failed"),
        "clip-1": Action("video", "clip-1", "resume", since=since),
        "cut-9x16": Action("cut", "cut-9x16", "create"),
    }
    now = [replace(one, what="reuse") for name, one in before.items() if name != "take-3"]
    shot = Shot("s1", 2, "A lamp", "model", "16:9", "1K", 3)
    batch = Batch("lamps", None, "rehearsal")
    tally = tally_between(
        Plan(batch, (ShotPlan(shot, tuple(before.values())),)),
        Plan(batch, (ShotPlan(shot, (*now, Action("video", "clip-2", "reuse"), before["take-3"])),)),
        [],
    ).as_json()
    assert tally["images"] == {"created": 1, "reused": 1}
    assert tally["videos"] == {"created": 1, "reused": 0, "resumed": 1}
    assert tally["cuts"] == {"created": 1, "reused": 0}
