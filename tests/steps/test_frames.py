"""Which frame is paid for is decided once, from all takes, on record before it is paid, and holds from then on."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from callsheet.archive.store_local import LocalStore
from callsheet.batch.prepare import prepare_run
from callsheet.batch.request import RunRequest
from callsheet.cli.plan import plan_of
from callsheet.clock import Clock
from callsheet.decisions import FramePin
from callsheet.jobs import runner
from callsheet.ledger import Ledger
from callsheet.media.facts import FrameScore
from callsheet.models import load_catalogue
from callsheet.plan import Plan
from callsheet.plan.frames import Frames, decide_frames
from callsheet.reconcile.rebuild_ledger import rebuild
from callsheet.settings import Settings, load_settings
from callsheet.shots import Batch, Shot
from callsheet.steps import frames
from tests.support.forked import Forge
from tests.support.service import Service, start_service
from tests.support.whole_batch import whole_batch

HEADER = "id,prompt,takes,seed,aspect_ratio,image_size,motion_prompt,duration_s,select,cuts\n"
BATCH = "sheet.rehearsal"
# The second request of each prompt finds the day full.
FULL: dict[str, Any] = {"match": {"kind": "image", "per": "prompt", "nth": [2]}, "fault": "429-day"}


def scene(takes: int = 2, motion: str = "Fog drifts in", select: str = "best", cuts: str = "") -> str:
    return f"quay,A quay at dawn,{takes},7,16:9,1K,{motion},4,{select},{cuts}\n"


@dataclass
class Folder:
    """A sheet of one shot, and the ledger, archive and service of its batch."""

    place: Path
    settings: Settings
    service: Service

    @property
    def request(self) -> RunRequest:
        return RunRequest(str(self.place / "sheet.csv"))

    @property
    def store(self) -> LocalStore:
        return LocalStore(Path(self.settings.archive_uri))

    def run(self, row: str, **other: Any) -> dict[str, Any]:
        (self.place / "sheet.csv").write_text(HEADER + row)
        return dict(asyncio.run(whole_batch(replace(self.request, **other), self.settings)).summary)

    def plan(self, row: str) -> Plan:
        (self.place / "sheet.csv").write_text(HEADER + row)
        return asyncio.run(plan_of(asyncio.run(prepare_run(self.request, self.settings))))

    @property
    def archive(self) -> Path:
        return Path(self.settings.archive_uri) / "sheet" / BATCH

    def sidecar(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.archive / "shots/quay/shot.json").read_text())
        return found

    def animated(self) -> list[int]:
        """The takes whose clip is in use."""
        return [clip["take"] for clip in self.sidecar()["clips"]]

    def clips_sent(self) -> int:
        """How many clips the service has accepted."""
        return int(self.service.counts()["accepted"]["video"])

    def turn_day(self) -> None:
        """Have the ledger believe that a new day has begun."""
        self.sql("DELETE FROM learned_limits", "UPDATE jobs SET parked_until = NULL")

    def sql(self, *statements: str) -> None:
        with sqlite3.connect(self.settings.home / "ledger.db") as connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()

    async def pins(self) -> tuple[FramePin, ...]:
        async with await Ledger.open(self.settings.ledger_url, clock=Clock()) as ledger:
            return (await ledger.frame_pins(BATCH, ["quay"])).get("quay", ())


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    service = start_service(tmp_path / "service", factor=600, latency={"image": 0, "video": 20})
    yield Folder(tmp_path, load_settings(home=tmp_path / "home", gemini_base_url=service.url, tier=3), service)
    service.process.terminate()
    service.process.wait(timeout=20)


@pytest.fixture
def taste(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What makes a take the best: the sign of the rank by the sha of its file; another library has another sign."""
    now = {"sign": 1.0}

    def score(path: Path) -> FrameScore:
        place = int(hashlib.sha256(path.read_bytes()).hexdigest()[:6], 16) * now["sign"]
        return FrameScore(128.0, 0.0, 7.0, 1e9 + place, 50.0, 1e9 + place, hash(path.name) & (2**64 - 1))

    monkeypatch.setattr(frames, "score_image", score)
    return now


def test_a_take_that_comes_late_is_waited_for_and_one_clip_is_sent(folder: Folder, taste: dict[str, float]) -> None:
    folder.service.script(FULL)
    first = folder.run(scene())
    assert (first["exit_code"], first["shots"]["parked"]) == (4, 1)
    assert folder.clips_sent() == 0
    assert any("still to come" in failure["message"] for failure in folder.sidecar()["failures"])
    planned = [action for item in folder.plan(scene()).shots for action in item.actions if action.kind == "video"]
    assert [action.what for action in planned] == ["parked"]
    folder.service.script()
    folder.turn_day()
    assert folder.run(scene())["exit_code"] == 0
    assert folder.clips_sent() == 1
    chosen = folder.animated()
    taste["sign"] = -1.0
    for row in (scene(cuts="16x9"), scene(takes=3, cuts="16x9"), scene(takes=3, cuts="16x9;1x1")):
        plan = folder.plan(row)
        assert [action.what for action in plan.shots[0].actions if action.kind == "video"] == ["reuse"]
        done = folder.run(row)
        assert (done["exit_code"], folder.clips_sent(), folder.animated()) == (0, 1, chosen)
    (pin,) = asyncio.run(folder.pins())
    assert [pin.take] == chosen
    assert [(one["take"], one["sha256"]) for one in folder.sidecar()["pins"]] == [(pin.take, pin.sha256)]


@pytest.mark.long
def test_a_person_who_does_not_want_to_wait_names_the_take(folder: Folder) -> None:
    folder.service.script(FULL)
    assert folder.run(scene())["exit_code"] == 4
    made = [take["take"] for take in folder.sidecar()["takes"] if take["file"]]
    folder.run(scene(select=str(made[0])))
    assert (folder.clips_sent(), folder.animated()) == (1, made)


@pytest.mark.long
def test_a_clip_that_was_sent_before_there_were_pins_stays_the_one_and_a_lost_ledger_gets_the_pin_back(
    folder: Folder, taste: dict[str, float]
) -> None:
    assert folder.run(scene())["exit_code"] == 0
    chosen, (pin,) = folder.animated(), asyncio.run(folder.pins())
    taste["sign"] = -1.0
    folder.sql("DELETE FROM frame_pins")
    assert folder.plan(scene(cuts="16x9")).usd == 0
    assert folder.run(scene(cuts="16x9"))["exit_code"] == 0
    assert (folder.clips_sent(), folder.animated()) == (1, chosen)
    for path in folder.settings.home.glob("ledger.db*"):
        path.unlink()
    asyncio.run(rebuilt(folder))
    assert [(one.take, one.sha256, one.wish) for one in asyncio.run(folder.pins())] == [
        (pin.take, pin.sha256, pin.wish)
    ]
    folder.run(scene(cuts="16x9;1x1"))
    assert (folder.clips_sent(), folder.animated()) == (1, chosen)


async def rebuilt(folder: Folder) -> None:
    async with await Ledger.open(folder.settings.ledger_url, clock=Clock()) as ledger:
        await rebuild(ledger, folder.store, {"rehearsal": str, "live": str})


@pytest.mark.long
def test_an_edit_of_the_shot_is_a_new_decision_and_undoing_it_brings_the_old_one_back(
    folder: Folder, taste: dict[str, float]
) -> None:
    folder.run(scene())
    (first,) = folder.animated()
    taste["sign"] = -1.0
    folder.run(scene(motion="Rain falls"))
    (second,) = folder.animated()
    assert (second != first, folder.clips_sent()) == (True, 2)
    assert len(folder.sidecar()["earlier_clips"]) == 1
    back = folder.run(scene())
    assert (back["exit_code"], folder.clips_sent(), folder.animated()) == (0, 2, [first])
    folder.run(scene(select=str(second)))
    assert (folder.clips_sent(), folder.animated()) == (3, [second]), "a person's choice moves it"


def test_the_choice_is_on_record_in_ledger_and_sidecar_before_its_clip_is_claimed(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int]] = []
    claim = runner.claim

    async def watched(run: Any, order: Any) -> Any:
        if order.kind == "video":
            pins = (await run.resources.ledger.frame_pins(BATCH, ["quay"])).get("quay", ())
            told.append((pins[-1].take, folder.sidecar()["pins"][-1]["take"]))
        return await claim(run, order)

    monkeypatch.setattr(runner, "claim", watched)
    folder.run(scene())
    assert told == [(folder.animated()[0], folder.animated()[0])]


async def test_of_two_that_choose_at_once_the_first_one_counts(tmp_path: Path) -> None:
    takes = {1: "a" * 64, 2: "b" * 64}
    wished = FramePin(BATCH, "quay", "w" * 64, 1, takes[1], "best of 2")
    async with await Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", clock=Clock()) as ledger:
        await ledger.open_batch(Batch("sheet", None, "rehearsal"), [("quay", 0)])
        first = await ledger.pin_frame(wished, takes)
        second = await ledger.pin_frame(replace(wished, take=2, sha256=takes[2]), takes)
        moved = await ledger.pin_frame(replace(wished, take=2, sha256=takes[2]), {**takes, 1: "c" * 64})
    assert (first.n, second, moved.take, moved.n) == (1, first, 2, 2)


@pytest.mark.long
def test_a_choice_outlives_a_kill_before_its_clip_is_sent(
    folder: Folder, taste: dict[str, float], bare_forge: Forge
) -> None:
    (folder.place / "sheet.csv").write_text(HEADER + scene())
    given = json.dumps({"home": str(folder.settings.home), "gemini_base_url": folder.service.url, "tier": 3})
    args = [given, str(folder.place / "sheet.csv"), "after a choice of frame", "folder"]
    assert bare_forge.start(args, folder.place, dict(os.environ), "tests.support.whole_batch:main").wait(240) == -9
    (pin,) = asyncio.run(folder.pins())
    assert folder.clips_sent() == 0
    (other,) = [path for path in folder.archive.glob("shots/quay/take-*") if pin.sha256[:12] not in path.name]
    # Whatever this library would choose is not the take on record.
    taste["sign"] = 1.0 if other.stem[-12:] > pin.sha256[:12] else -1.0
    assert folder.run(scene())["exit_code"] == 0
    assert (folder.clips_sent(), folder.animated()) == (1, [pin.take])


@pytest.mark.long
def test_a_new_default_model_is_for_new_batches_only(folder: Folder) -> None:
    assert folder.run(scene(takes=1))["exit_code"] == 0
    other = folder.place / "catalogue.yaml"
    models = load_catalogue().models("video")
    new = next(one.id for one in models if one.status == "live" and one.id != load_catalogue().default_video)
    other.write_text(f"default_video: {new}\n")
    folder.settings = folder.settings.model_copy(update={"catalogue": other})
    assert folder.plan(scene(takes=1)).usd == 0
    assert folder.run(scene(takes=1, cuts="16x9"))["exit_code"] == 0
    assert folder.clips_sent() == 1
    fresh = asyncio.run(plan_of(asyncio.run(prepare_run(replace(folder.request, campaign="fresh"), folder.settings))))
    assert [action.model for action in fresh.shots[0].actions if action.kind == "video"] == [new]


SHOT = Shot("quay", 2, "A quay", "m", "16:9", "1K", 3, motion_prompt="Fog")
PIN = FramePin(BATCH, "quay", "w", 2, "b" * 64, "")


@pytest.mark.parametrize(
    ("select", "to_come", "pin", "sent", "expected"),
    [
        ("best", (), None, (), Frames()),
        ("best", (3,), None, (), Frames((), (3,))),
        ("first", (3,), None, (), Frames((), (3,))),
        ("best", (3,), PIN, (), Frames((2,))),
        ("all", (3,), None, (1,), Frames((1,), (3,))),
        ("all", (), None, (1,), Frames()),
        ((1, 2), (3,), None, (), Frames()),
        ((3, 1), (3,), None, (1,), Frames((1,), (3,))),
    ],
)
def test_what_is_decided_before_anything_is_chosen(
    select: Any, to_come: tuple[int, ...], pin: FramePin | None, sent: tuple[int, ...], expected: Frames
) -> None:
    assert decide_frames(replace(SHOT, select=select), to_come, pin, sent) == expected
