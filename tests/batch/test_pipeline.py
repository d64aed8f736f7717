"""The pipeline: each shot goes through its own steps, in groups of any mix, and ledger and archive tell the same."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from callsheet.batch.open import open_run
from callsheet.batch.pipeline import PIPELINE, STEPS, run_pipeline, run_step
from callsheet.batch.report import write_report
from callsheet.batch.request import RunRequest
from callsheet.batch.shards import end_shard, join_shards, list_attempts, open_shard
from callsheet.batch.start import open_batch, set_aside
from callsheet.clock import Clock
from callsheet.context.context import RunContext
from callsheet.context.shot_state import ShotState
from callsheet.errors import ArchiveError
from callsheet.keys import job_key
from callsheet.ledger import Ledger
from callsheet.plan import requests
from callsheet.plan.grouping import Shard
from callsheet.settings import Settings, load_settings
from callsheet.shots import ShotOutcome
from callsheet.steps.archive import write_shot
from callsheet.steps.clips import make_clips
from callsheet.steps.images import make_images
from flows.content_batch import TASKS
from tests.support.cli import Cli
from tests.support.service import Service, start_service
from tests.support.whole_batch import whole_batch

HEADER = "id,prompt,takes,aspect_ratio,image_size,motion_prompt,duration_s,cuts\n"


def still(n: int, takes: int = 1) -> str:
    return f"s{n:03},A lamp number {n},{takes},1:1,1K,,,\n"


def scene(n: int, takes: int = 1) -> str:
    return f"s{n:03},A quay number {n},{takes},16:9,1K,Fog {n} drifts in,4,16x9\n"


@dataclass
class Folder:
    """A folder with a manifest, and the ledger, archive and service of its batch."""

    place: Path
    settings: Settings

    @property
    def request(self) -> RunRequest:
        return RunRequest(str(self.place / "sheet.csv"))

    @property
    def archive(self) -> Path:
        return Path(self.settings.archive_uri) / "sheet" / "sheet.rehearsal"

    def write(self, *rows: str) -> None:
        (self.place / "sheet.csv").write_text(HEADER + "".join(rows))

    def run(self, most: int = 2, **other: Any) -> dict[str, Any]:
        """Run the batch, with several shots in each group when there are more than `most`."""
        return dict(asyncio.run(whole_batch(replace(self.request, **other), self.settings, most)).summary)

    def check(self, summary: dict[str, Any]) -> Counter[str]:
        """How many shots stand how, as ledger, sidecars, marker and summary all tell it."""
        rows = asyncio.run(self._rows())
        for shot, state in rows.items():
            path = self.archive / "shots" / shot / "shot.json"
            assert (json.loads(path.read_text())["state"] if path.exists() else "pending") == state, shot
        marker = json.loads((self.archive / "_SUCCESS.json").read_text())
        assert set(marker["unfinished"]) == {shot for shot, state in rows.items() if state != "done"}
        assert marker["complete"] is (set(rows.values()) == {"done"})
        counts = Counter(rows.values())
        assert {state: n for state, n in marker["shots"].items() if n} == {"total": len(rows), **counts}
        shown = {state: n for state, n in summary["shots"].items() if n}
        assert shown == {"total": len(rows), **{state: n for state, n in counts.items() if state != "pending"}}
        return counts

    async def set_done(self, *shots: str) -> None:
        async with await Ledger.open(self.settings.ledger_url, clock=Clock()) as ledger:
            await ledger.set_shots("sheet.rehearsal", shots, ShotOutcome.DONE)

    async def models(self) -> set[str]:
        """The models of the batch's jobs."""
        async with await Ledger.open(self.settings.ledger_url, clock=Clock()) as ledger:
            return {job.model for job in await ledger.jobs_of("sheet.rehearsal")}

    async def _rows(self) -> dict[str, str]:
        async with await Ledger.open(self.settings.ledger_url, clock=Clock()) as ledger:
            return {row.shot: row.state.value for row in await ledger.shots_of("sheet.rehearsal")}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = start_service(tmp_path_factory.mktemp("service") / "state", factor=600, latency={"image": 0, "video": 20})
    yield service
    service.process.terminate()
    service.process.wait(timeout=20)


@pytest.fixture
def folder(tmp_path: Path, shared: Service) -> Folder:
    return Folder(tmp_path, load_settings(home=tmp_path / "home", gemini_base_url=shared.url, tier=3))


def test_every_step_of_the_pipeline_has_a_task_of_its_name() -> None:
    assert {name: task.name for name, task in TASKS.items()} == {step.name: step.name for step in PIPELINE}


@pytest.mark.parametrize("count", [9, pytest.param(60, marks=pytest.mark.slow)])
def test_rows_with_two_clips_are_all_done_by_the_flow_and_run_again_sends_nothing(cli: Cli, count: int) -> None:
    rows = [scene(n) if n in (7, count // 2) else still(n) for n in range(count)]
    folder = Folder(cli.folder, load_settings(home=cli.home))
    folder.write(*rows)
    first = cli("run", "sheet.csv", "--json", CALLSHEET_TIER="3")
    assert first.exit_code == 0, first.stderr
    assert folder.check(first.json) == {"done": count}
    assert first.json["submissions"] == {"image": count, "video": 2}
    again = cli("run", "sheet.csv", "--json", CALLSHEET_TIER="3")
    assert (again.exit_code, again.json["submissions"]) == (0, {"image": 0, "video": 0})
    assert folder.check(again.json) == {"done": count}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.quick_cases("0")
def test_any_mix_of_shots_in_groups_is_told_alike_everywhere_after_every_run(folder: Folder, seed: int) -> None:
    dice = random.Random(seed)
    mix: list[str] = []
    for n in range(dice.randint(6, 9)):
        sort = dice.choice(["still", "still", "takes", "scene", "blocked", "filtered", "text"])
        mix.append(MIX[sort](n))
    folder.write(*mix)
    first = folder.run()
    assert folder.check(first) == Counter("blocked" if "[[" in row else "done" for row in mix)
    dice.shuffle(mix)
    folder.write(*mix[:-2], still(90), scene(91))
    folder.check(folder.run(only=("s090",)))
    folder.check(folder.run())
    assert folder.run()["submissions"] == {"image": 0, "video": 0}


MIX: dict[str, Callable[[int], str]] = {
    "still": still,
    "takes": lambda n: still(n, 2),
    "scene": scene,
    "blocked": lambda n: f"s{n:03},A picture [[block:SAFETY]] {n},1,1:1,1K,,,\n",
    "filtered": lambda n: f"s{n:03},A quay number {n},1,16:9,1K,Fog {n} [[rai:17301594]],4,\n",
    "text": lambda n: f"s{n:03},,0,16:9,,A boat {n} leaves,4,\n",
}


@pytest.mark.long
async def test_shards_of_any_mix_are_told_alike_by_ledger_sidecars_and_marker(folder: Folder) -> None:
    folder.write(*(scene(n) if n in (1, 4) else still(n, 1 + n % 2) for n in range(6)))
    async with open_run(folder.request, folder.settings) as (run, sheet):
        plan = await open_batch(run, sheet)
        going, sent = await set_aside(run, plan), await list_attempts(run)
        for first in (1, 4):
            request = replace(folder.request, shard=Shard(first, first + 2, sheet.manifest.sha256))
            async with open_run(request, folder.settings) as (shard, part):
                assert request.shard is not None
                own = await open_shard(shard, part.manifest, request.shard)
                await run_pipeline(shard, await set_aside(shard, own))
                assert (await end_shard(shard, own))["exit_code"] == 0
        await join_shards(run, going, sent)
        summary = dict((await write_report(run, 1.0)).summary)
    assert await asyncio.to_thread(folder.check, summary) == {"done": 6}


async def leave_as_before(folder: Folder) -> None:
    """Do what the flow of e65594f did to a group with clips: send its stills to the clips step as well."""
    async with open_run(folder.request, folder.settings) as (run, sheet):
        going = await set_aside(run, await open_batch(run, sheet))
        for work in run.state.hold(going):
            for step in ("images", "frames", "clips", "cuts"):
                if work.going:
                    await STEPS[step].function(run, work)
            await write_shot(run, work)
        assert (await write_report(run, 1.0)).summary["shots"]["failed"] == 2


@pytest.mark.long
@pytest.mark.parametrize("told_done", [False, True])
def test_stills_that_were_told_to_have_failed_beside_clips_are_made_true_for_nothing(
    folder: Folder, told_done: bool
) -> None:
    folder.write(still(0), scene(1), still(2, 2))
    asyncio.run(leave_as_before(folder))
    if told_done:  # the second run of e65594f called them done, in the ledger alone
        asyncio.run(folder.set_done("s000", "s002"))
    summary = json.loads((folder.archive / "_SUCCESS.json").read_text())
    assert summary["unfinished"] == ["s000", "s002"]
    summary = folder.run()
    assert (summary["exit_code"], summary["submissions"]) == (0, {"image": 0, "video": 0})
    assert folder.check(summary) == {"done": 3}
    assert json.loads((folder.archive / "shots/s000/shot.json").read_text())["clips"] == []
    assert "" not in asyncio.run(folder.models())


@pytest.mark.long
async def test_a_bug_in_one_shot_leaves_the_others_of_its_group_as_they_are(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write(still(0), scene(1), scene(2), still(3, 2))

    async def broken(run: RunContext, work: ShotState) -> None:
        if work.shot.id == "s001":
            raise RuntimeError("a bug")
        await make_clips(run, work)

    steps = tuple(replace(step, function=broken) if step.name == "clips" else step for step in PIPELINE)
    monkeypatch.setattr("callsheet.batch.pipeline.PIPELINE", steps)
    async with open_run(folder.request, folder.settings) as (run, sheet):
        going = await set_aside(run, await open_batch(run, sheet))
        await run_pipeline(run, going)
        summary = dict((await write_report(run, 1.0)).summary)
        assert run.state.crashed == 1
    assert await asyncio.to_thread(folder.check, summary) == {"done": 3, "failed": 1}


async def test_an_outage_is_raised_for_another_try_and_stops_only_the_shots_that_it_met(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write(still(0), still(1), still(2))
    tries = Counter[str]()

    async def unreachable(run: RunContext, work: ShotState) -> None:
        tries[work.shot.id] += 1
        if work.shot.id == "s001":
            raise ArchiveError("No answer. Run it again.")
        await make_images(run, work)

    steps = tuple(replace(step, function=unreachable) if step.name == "images" else step for step in PIPELINE)
    monkeypatch.setattr("callsheet.batch.pipeline.PIPELINE", steps)
    async with open_run(folder.request, folder.settings) as (run, sheet):
        going = await set_aside(run, await open_batch(run, sheet))
        with pytest.raises(ArchiveError):
            await run_step(run, steps[0], run.state.hold(going))
        await run_pipeline(run, going)
        summary = dict((await write_report(run, 1.0)).summary)
    assert await asyncio.to_thread(folder.check, summary) == {"done": 2, "failed": 1}


async def test_a_finished_batch_works_out_each_key_once_and_tells_of_all_its_shots_at_once(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write(*(still(n) for n in range(6)))
    await whole_batch(folder.request, folder.settings, 50)
    requests.take_key.cache_clear()
    keys: list[str] = []
    monkeypatch.setattr(requests, "job_key", lambda **values: keys.append(job_key(**values)) or keys[-1])
    told: list[str] = []
    async with open_run(folder.request, folder.settings) as (run, asked):
        run.state.progress.listen(lambda progress, _: told.append(progress.as_text()))
        plan = await open_batch(run, asked)
        assert await set_aside(run, plan) == []
        counted = run.state.tally.as_json()["images"]["reused"]
    assert counted == 6
    assert Counter(keys).most_common(1)[0][1] == 1, "survey, plan and opening ask for the same keys"
    assert len(keys) == 6
    assert told == ["images 6/6, shots 0/6", "images 6/6, shots 6/6"]
