"""Edit chains: children are made after their parents, in whatever group or shard, each paid for once."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from callsheet.approval.decision_input import TakeSelection
from callsheet.batch import approve
from callsheet.batch.open import open_run
from callsheet.batch.pipeline import run_pipeline
from callsheet.batch.report import write_report
from callsheet.batch.request import RunRequest
from callsheet.batch.shards import end_shard, find_freed, join_shards, list_attempts, open_shard
from callsheet.batch.start import open_batch, set_aside
from callsheet.clock import Clock
from callsheet.errors import DecisionError
from callsheet.ledger import Ledger
from callsheet.plan import Known
from callsheet.plan.grouping import Shard, groups
from callsheet.settings import Settings, load_settings
from callsheet.shots import Batch, Shot
from callsheet.steps import parents
from tests.support.forked import Forge
from tests.support.odd_video_server import Asked, Reply, odd_server
from tests.support.pictures import a_png
from tests.support.service import Service, start_service
from tests.support.whole_batch import whole_batch

HEADER = "id,prompt,takes,select,edit_of,motion_prompt,duration_s,image_size,aspect_ratio\n"


def row(name: str, prompt: str = "", takes: int = 1, select: str = "", edit_of: str = "", motion: str = "") -> str:
    return f"{name},{prompt or f'Picture {name}'},{takes},{select},{edit_of},{motion},{'4' if motion else ''},1K,16:9\n"


@dataclass
class Folder:
    """A folder with a manifest, and the ledger, archive and service of its batch."""

    place: Path
    settings: Settings
    service: Service

    @property
    def request(self) -> RunRequest:
        return RunRequest(str(self.place / "sheet.csv"))

    @property
    def archive(self) -> Path:
        return Path(self.settings.archive_uri) / "sheet" / "sheet.rehearsal"

    def write(self, *rows: str) -> None:
        (self.place / "sheet.csv").write_text(HEADER + "".join(rows))

    def run(self, most: int = 50, **other: Any) -> dict[str, Any]:
        return dict(asyncio.run(whole_batch(replace(self.request, **other), self.settings, most)).summary)

    def sidecar(self, shot: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.archive / "shots" / shot / "shot.json").read_text())
        return found

    def take(self, shot: str, number: int = 1) -> dict[str, Any]:
        return next(take for take in self.sidecar(shot)["takes"] if take["take"] == number)

    def sha256(self, shot: str, number: int = 1) -> str:
        return str(self.take(shot, number)["file"]["sha256"])

    def decide(self, shot: str, *takes: int) -> None:
        """Have Ada approve these takes, or reject all."""
        seen = {take["take"]: take["file"]["sha256"] for take in self.sidecar(shot)["takes"]}
        wish = TakeSelection(shot, takes, seen=seen)
        asyncio.run(approve.decide(self.settings, "sheet.rehearsal", [wish], "Ada"))

    def accepted(self) -> dict[str, int]:
        found: dict[str, int] = self.service.counts()["accepted"]
        return found

    def attempts(self) -> list[tuple[str, str]]:
        """The requests that may have been accepted, each with its job and how it ended.

        One that is asked again ("planned") was accepted when it cost something: of its reply the head alone was kept.
        """

        async def read() -> list[tuple[str, str]]:
            async with await Ledger.open(self.settings.ledger_url, clock=Clock()) as ledger:
                found = await ledger.attempts_of("sheet.rehearsal")
                return [
                    (one.job_key, one.outcome)
                    for one in found
                    if one.outcome != "dropped" and (one.outcome != "planned" or one.usd)
                ]

        return asyncio.run(read())

    def rows(self) -> dict[str, tuple[str, str]]:
        async def read() -> dict[str, tuple[str, str]]:
            async with await Ledger.open(self.settings.ledger_url, clock=Clock()) as ledger:
                rows = await ledger.shots_of("sheet.rehearsal")
                return {one.shot: (one.state.value, one.reason) for one in rows}

        return asyncio.run(read())


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = start_service(tmp_path_factory.mktemp("service") / "state", factor=600, latency={"image": 0, "video": 20})
    yield service
    service.process.terminate()
    service.process.wait(timeout=20)


@pytest.fixture
def folder(tmp_path: Path, shared: Service) -> Folder:
    return Folder(tmp_path, load_settings(home=tmp_path / "home", gemini_base_url=shared.url, tier=3), shared)


@pytest.mark.parametrize("most", [50, 1])
def test_children_before_their_parents_in_one_group_or_many_are_made_of_these_bytes(folder: Folder, most: int) -> None:
    folder.write(
        row("pink", edit_of="red"),
        row("red", edit_of="kite:2"),
        row("kite", takes=2),
        row("best", edit_of="kite:chosen", motion="It flies"),
    )
    summary = folder.run(most)
    assert (summary["exit_code"], summary["shots"]["done"]) == (0, 4)
    assert (summary["submissions"], summary["images"]["created"]) == ({"image": 5, "video": 1}, 5)
    assert folder.take("red")["job"]["request"]["inputs"] == [folder.sha256("kite", 2)]
    assert folder.take("red")["job"]["request"]["edit_of"] == "kite:2"
    assert folder.take("red")["file"]["parent"] == folder.sha256("kite", 2)
    assert folder.take("pink")["job"]["request"]["inputs"] == [folder.sha256("red")]
    (pin,) = folder.sidecar("kite")["pins"]
    assert pin["sha256"] == folder.take("best")["job"]["request"]["inputs"][0]
    again = folder.run(most)
    assert (again["exit_code"], again["submissions"]) == (0, {"image": 0, "video": 0})


def test_a_picture_that_is_no_edit_keeps_its_key(folder: Folder) -> None:
    folder.write(row("kite", takes=2))
    folder.run()
    before = [folder.take("kite", n)["job_key"] for n in (1, 2)]
    folder.write(row("kite", takes=2), row("red", edit_of="kite"))
    assert folder.run()["submissions"] == {"image": 1, "video": 0}
    assert [folder.take("kite", n)["job_key"] for n in (1, 2)] == before
    inputs = [folder.sha256("kite", folder.sidecar("kite")["pins"][0]["take"])]
    assert folder.take("red")["job"]["request"]["inputs"] == inputs


def test_a_parent_six_hundred_rows_away_in_another_shard_is_waited_for(folder: Folder) -> None:
    """Both shards at once, the child's first; no two processes, but two ledgers' worth of connections."""
    folder.write(row("late", edit_of="far"), *(row(f"s{n:03}") for n in range(600)), row("far"))
    asyncio.run(_in_shards(folder, [Shard(1, 1, ""), Shard(602, 602, "")]))
    assert folder.take("late")["job"]["request"]["inputs"] == [folder.sha256("far")]


async def _in_shards(folder: Folder, shards: list[Shard]) -> None:
    async with open_run(folder.request, folder.settings) as (run, asked):
        plan = await open_batch(run, asked)
        going = {shot.id for shot in await set_aside(run, plan)}
        sent, wanted = await list_attempts(run), [plan.shots[one.first - 1].shot for one in shards]
        assert going >= {shot.id for shot in wanted}
        same = [replace(one, revision=asked.manifest.sha256) for one in shards]
        ended = await asyncio.gather(*(_one_shard(folder, one) for one in same))
        assert [one["exit_code"] for one in ended] == [0] * len(shards)
        await join_shards(run, wanted, sent)
        await write_report(run, 0.0)


async def _one_shard(folder: Folder, shard: Shard) -> dict[str, Any]:
    async with open_run(replace(folder.request, shard=shard), folder.settings) as (run, asked):
        plan = await open_shard(run, asked.manifest, shard)
        going = await set_aside(run, plan)
        await asyncio.gather(*(run_pipeline(run, group) for group in groups(going, 50)))
        return dict(await end_shard(run, plan))


def test_a_parent_that_is_refused_leaves_its_children_waiting_and_they_go_on_once_it_is_mended(folder: Folder) -> None:
    folder.service.script({"match": {"kind": "image", "prompt": "Forbidden"}, "fault": "block"})
    folder.write(row("pink", edit_of="red"), row("red", edit_of="kite"), row("kite", "Forbidden kite"), row("other"))
    before = folder.accepted()["image"]
    summary = folder.run()
    assert (summary["exit_code"], summary["waiting_for"]) == (5, {"approval": 0, "resolve": 0, "parent": 2})
    assert {shot: state for shot, (state, _) in folder.rows().items()} == {
        "pink": "waiting", "red": "waiting", "kite": "blocked", "other": "done",
    }  # fmt: skip
    reason = folder.rows()["pink"][1]
    assert "made of red:1, which is made of kite:1: take 1 of kite is blocked" in reason
    assert folder.sidecar("pink")["state"] == "waiting"
    assert folder.accepted()["image"] - before <= 2
    assert folder.run()["exit_code"] == 5
    folder.write(row("pink", edit_of="red"), row("red", edit_of="kite"), row("kite", "A kite"), row("other"))
    assert folder.run()["exit_code"] == 0
    assert folder.take("pink")["file"]["parent"] == folder.sha256("red")


def test_a_parent_that_the_budget_parks_parks_its_children_and_both_go_on(folder: Folder) -> None:
    folder.write(row("pink", edit_of="red"), row("red", edit_of="kite"), row("kite"))
    summary = folder.run(budget_usd=Decimal("0.01"))
    assert (summary["exit_code"], summary["shots"]["parked"], summary["submissions"]["image"]) == (4, 3, 0)
    assert "kite" in folder.rows()["pink"][1]
    middle = folder.run(budget_usd=Decimal("0.09"))
    assert (middle["exit_code"], middle["submissions"]["image"]) == (4, 2)
    assert {shot: state for shot, (state, _) in folder.rows().items()}["pink"] == "parked"
    assert folder.run()["submissions"]["image"] == 1
    assert {state for state, _ in folder.rows().values()} == {"done"}


def test_a_run_of_the_child_alone_makes_nothing_of_a_parent_that_is_not_there(folder: Folder) -> None:
    folder.write(row("red", edit_of="kite"), row("kite"))
    summary = folder.run(only=("red",))
    assert (summary["exit_code"], summary["submissions"]["image"]) == (4, 0)
    assert folder.run(only=("kite",))["submissions"]["image"] == 1
    assert folder.run(only=("red",))["submissions"]["image"] == 1


@pytest.mark.long
def test_a_person_decides_about_a_still_before_it_is_edited_and_not_after(folder: Folder) -> None:
    rows = (row("red", edit_of="kite"), row("kite", takes=2, select="approve"), row("blue", edit_of="kite:1"))
    folder.write(*rows)
    summary = folder.run()
    assert (summary["exit_code"], summary["submissions"]["image"]) == (5, 2)
    assert (summary["waiting_for"]["approval"], summary["shots"]["waiting"]) == (1, 3)
    assert "callsheet approve sheet.rehearsal" in folder.rows()["red"][1]
    assert folder.run()["submissions"]["image"] == 0
    folder.decide("kite", 2)
    summary = folder.run()
    assert (summary["exit_code"], summary["submissions"]["image"]) == (5, 1)
    assert folder.take("red")["file"]["parent"] == folder.sha256("kite", 2)
    assert "take 2 approved by Ada. Nothing is made of its take 1" in folder.rows()["blue"][1]
    with pytest.raises(DecisionError, match="an edit of it, is sent"):
        folder.decide("kite", 1)
    folder.decide("kite", 1, 2)
    summary = folder.run()
    assert (summary["submissions"]["image"], folder.rows()["blue"][0]) == (1, "done")
    assert folder.rows()["red"][0] == "done", "what was paid for has chosen, whatever is approved beside it"
    folder.write(*rows, row("new", edit_of="kite"))
    folder.run()
    assert "takes 1, 2 of kite are approved. Name the one that is meant" in folder.rows()["new"][1]


def test_a_rejected_still_is_not_edited(folder: Folder) -> None:
    folder.write(row("red", edit_of="kite"), row("kite", takes=2, select="approve"))
    folder.run()
    folder.decide("kite")
    summary = folder.run()
    assert (summary["submissions"]["image"], folder.rows()["red"][0]) == (0, "waiting")
    assert "kite was rejected by Ada" in folder.rows()["red"][1]


def test_a_lost_ledger_learns_parents_and_children_from_the_archive(folder: Folder) -> None:
    folder.write(
        row("pink", edit_of="red"), row("red", edit_of="kite:chosen"), row("kite", takes=3), row("b", edit_of="kite:2")
    )
    folder.run()
    before, keys = folder.accepted(), {shot: folder.take(shot)["job_key"] for shot in ("pink", "red", "b")}
    for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
        (folder.settings.home / name).unlink(missing_ok=True)
    summary = folder.run()
    assert (summary["exit_code"], summary["submissions"]) == (0, {"image": 0, "video": 0})
    assert folder.accepted() == before
    assert {shot: folder.take(shot)["job_key"] for shot in keys} == keys


def test_without_ledger_and_sidecar_of_the_parent_the_paid_child_has_chosen(folder: Folder) -> None:
    rows = (row("red", edit_of="kite:chosen"), row("kite", takes=3))
    folder.write(*rows)
    folder.run()
    parent = folder.take("red")["file"]["parent"]
    for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
        (folder.settings.home / name).unlink(missing_ok=True)
    told = folder.archive / "shots" / "kite" / "shot.json"
    sidecar = json.loads(told.read_text())
    others = [take["file"]["sha256"] for take in sidecar["takes"] if take["file"]["sha256"] != parent]
    told.write_text(json.dumps(sidecar | {"pins": []}))
    assert folder.run()["submissions"]["image"] == 0
    assert folder.take("red")["file"]["parent"] == parent not in others
    assert folder.sidecar("kite")["pins"][0]["sha256"] == parent


def test_a_still_that_was_edited_is_animated_from_the_same_take(folder: Folder) -> None:
    folder.write(row("red", edit_of="kite:chosen"), row("kite", takes=3))
    folder.run()
    folder.write(row("red", edit_of="kite:chosen"), row("kite", takes=3, motion="It flies"))
    assert folder.run()["submissions"] == {"image": 0, "video": 1}
    (clip,) = folder.sidecar("kite")["clips"]
    assert clip["file"]["parent"] == folder.take("red")["file"]["parent"]


def test_a_parent_that_is_made_again_has_its_children_made_again_and_says_so(folder: Folder) -> None:
    folder.write(row("red", edit_of="kite"), row("kite"))
    folder.run()
    first = folder.take("red")
    shutil.rmtree(folder.settings.home / "spool")
    (folder.archive / "shots" / "kite" / folder.take("kite")["file"]["file"]).unlink()
    assert folder.run()["submissions"]["image"] == 0, "what was paid for with it stays made"
    summary = folder.run(remake=True)
    assert (summary["exit_code"], summary["submissions"]["image"]) == (0, 2)
    assert folder.take("red")["file"]["parent"] == folder.sha256("kite")
    assert [take["file"]["sha256"] for take in folder.sidecar("red")["earlier_takes"]] == [first["file"]["sha256"]]


@pytest.mark.long
@pytest.mark.parametrize(
    "moment",
    [
        "after the head of a reply",
        "between a kept reply and its picture",
        "before the first file",
        "after a file, before it is on record",
        "after a file is on record",
        "after a choice of frame",
        "between files and sidecar",
        "between a sidecar and the shot's state",
        "between sidecars and catalogue",
    ],
)
@pytest.mark.quick_cases("after the head of a reply", "after a choice of frame", "between files and sidecar")
def test_a_kill_between_parent_and_child_pays_for_each_once(folder: Folder, bare_forge: Forge, moment: str) -> None:
    name = hashlib.sha256(moment.encode()).hexdigest()[:6]
    folder.write(
        row("pink", f"Pink {name}", edit_of="red"),
        row("red", f"Red {name}", edit_of="kite:chosen"),
        row("kite", f"Kite {name}", takes=2),
    )
    before = folder.accepted()["image"]
    given = json.dumps({"home": str(folder.settings.home), "gemini_base_url": folder.service.url, "tier": 3})
    args = [given, str(folder.place / "sheet.csv"), moment, "folder"]
    assert bare_forge.start(args, folder.place, dict(os.environ), "tests.support.whole_batch:main").wait(240) == -9
    assert folder.run()["exit_code"] == 0
    # What was on its way when the process died may have been accepted: a picture is sent once more then.
    attempts = folder.attempts()
    assert [job for job, _ in attempts if attempts.count((job, "finished")) != 1] == []
    assert 4 <= folder.accepted()["image"] - before <= len(attempts)
    assert len(attempts) == 4 or "unknown" in {outcome for _, outcome in attempts}
    assert folder.take("pink")["file"]["parent"] == folder.sha256("red")
    assert folder.take("red")["file"]["parent"] == folder.sidecar("kite")["pins"][0]["sha256"]


@pytest.mark.long
@pytest.mark.parametrize("homes", [1, 2])
def test_two_processes_at_once_pay_for_parents_and_children_once(folder: Folder, bare_forge: Forge, homes: int) -> None:
    """In one home, or in two with one ledger and archive, as on two machines: the spools are apart then."""
    rows = [row(f"c{n}", f"Child {homes} {n}", edit_of=f"p{n}:chosen") for n in range(3)]
    folder.write(*rows, *(row(f"p{n}", f"Parent {homes} {n}", takes=2) for n in range(3)))
    shared = {"ledger": f"sqlite:///{folder.place / 'ledger.db'}", "archive": str(folder.place / "archive")}
    folder.settings = load_settings(
        home=folder.place / "home", gemini_base_url=folder.service.url, tier=3, **(shared if homes > 1 else {})
    )
    before = folder.accepted()["image"]
    both = []
    for home in range(2):
        told = {
            "home": str(folder.place / f"home{home % homes or ''}"),
            "gemini_base_url": folder.service.url,
            "tier": 3,
        }
        args = [json.dumps(told | (shared if homes > 1 else {})), str(folder.place / "sheet.csv")]
        both.append(
            bare_forge.start(
                [*args, "after the marker", "folder"], folder.place, dict(os.environ), "tests.support.whole_batch:main"
            )
        )
    assert [process.wait(240) for process in both] == [-9, -9]
    assert folder.accepted()["image"] - before == 9
    assert folder.run()["submissions"]["image"] == 0
    assert {state for state, _ in folder.rows().values()} == {"done"}


def test_a_child_whose_shard_ended_first_is_made_by_the_run_that_split_the_batch(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parents, "SILENCE_S", 0.0)
    folder.write(row("pink", edit_of="late"), row("late", edit_of="far"), row("far"))

    async def run_it() -> None:
        async with open_run(folder.request, folder.settings) as (run, asked):
            plan = await open_batch(run, asked)
            going = await set_aside(run, plan)
            sent = await list_attempts(run)
            early = await _one_shard(folder, Shard(1, 2, asked.manifest.sha256))
            assert early["exit_code"] == 4
            assert [shot.id for shot in await find_freed(run, going)] == []
            await _one_shard(folder, Shard(3, 3, asked.manifest.sha256))
            await join_shards(run, going, sent)
            for name in ("late", "pink"):
                freed = await find_freed(run, going)
                assert [shot.id for shot in freed] == [name]
                await run_pipeline(run, freed)
            assert await find_freed(run, going) == []
            assert (await write_report(run, 0.0)).exit_code == 0

    asyncio.run(run_it())
    assert folder.take("pink")["file"]["parent"] == folder.sha256("late")


@pytest.mark.long
def test_hundreds_of_edits_of_one_picture_ask_the_ledger_once_for_all(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    real = parents.read_takes

    async def count(ledger: Ledger, batch: Batch, shots: Sequence[Shot]) -> Known:
        asked.append(len(shots))
        return await real(ledger, batch, shots)

    monkeypatch.setattr(parents, "read_takes", count)
    folder.write(*(row(f"e{n}", edit_of="hero") for n in range(60)), row("hero"))
    assert folder.run()["shots"]["done"] == 61
    assert len(asked) < 12


async def test_a_live_edit_sends_the_archived_bytes_first_then_references_then_the_instruction(tmp_path: Path) -> None:
    """At a server that is not ours: each picture it gives is another one, and the child has the very bytes of these."""
    given = {n: a_png(colour) for n, colour in enumerate(("red", "green"))}

    def answer(asked: Asked) -> Reply:
        parts = asked.json["contents"][0]["parts"]
        data = base64.b64encode(given[len(parts) > 1]).decode()
        part = {"inlineData": {"mimeType": "image/png", "data": data}}
        return Reply({"candidates": [{"content": {"parts": [part]}, "finishReason": "STOP"}]})

    (tmp_path / "logo.png").write_bytes(logo := a_png("blue"))
    sheet = "id,prompt,edit_of,reference_images\nred,Make it red,kite,logo.png\nkite,A kite,,\n"
    (tmp_path / "sheet.csv").write_text(sheet)
    async with odd_server() as server:
        server.rules = {":generateContent": answer}
        settings = load_settings(home=tmp_path / "home", gemini_base_url=server.url, gemini_api_key="AQ.key")
        summary = (await whole_batch(RunRequest(str(tmp_path / "sheet.csv"), live=True), settings)).summary
        sent = [one.json["contents"][0]["parts"] for one in server.asked("generateContent")]
    assert (summary["exit_code"], len(sent)) == (0, 2)
    pictures = [base64.b64decode(part["inlineData"]["data"]) for part in sent[1][:-1]]
    assert pictures == [given[0], logo]
    assert sent[1][-1] == {"text": "Make it red"}
