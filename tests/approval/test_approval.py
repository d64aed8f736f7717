"""`select: approve`: nothing is animated before a person says so, what they say is kept, and it is paid for once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from callsheet.approval.decision_input import TakeSelection, wishes_in
from callsheet.archive.open import open_archive
from callsheet.batch.approve import Decided, decide, questions
from callsheet.batch.report import Report
from callsheet.batch.request import RunRequest
from callsheet.batch.resume import resumable
from callsheet.clock import Clock
from callsheet.errors import DecisionError
from callsheet.ledger import JobOrder, JobState, Ledger
from callsheet.providers.routing import scope_of
from callsheet.reconcile.rebuild_ledger import rebuild
from callsheet.settings import Settings, load_settings
from tests.support.service import Service, start_service
from tests.support.whole_batch import whole_batch

BATCH = "sheet.rehearsal"
HEAD = "id,prompt,takes,seed,select,motion_prompt,duration_s\n"
KITE = "kite,A kite over dunes,2,5,approve,It climbs,4\n"
CUP = "cup,A hand-thrown cup,1,8,,,\n"


@pytest.fixture(scope="module")
def made_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = start_service(tmp_path_factory.mktemp("service") / "state", factor=600, latency={"image": 0, "video": 20})
    yield service
    service.process.terminate()
    service.process.wait(timeout=20)


@dataclass
class Team:
    """A folder with a manifest and a home, at the service that all tests share."""

    folder: Path
    service: Service

    @property
    def settings(self) -> Settings:
        return load_settings(home=self.folder / "home", gemini_base_url=self.service.url)

    async def run(self, rows: str = KITE) -> Report:
        (self.folder / "sheet.csv").write_text(HEAD + rows)
        return await whole_batch(RunRequest(str(self.folder / "sheet.csv")), self.settings)

    async def say(self, *words: str, by: str = "Ada") -> Decided:
        return await decide(self.settings, BATCH, wishes_in(words), by)

    def sidecar(self, shot: str = "kite") -> dict[str, Any]:
        path = self.folder / f"home/archive/sheet/{BATCH}/shots/{shot}/shot.json"
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def hashes(self) -> dict[int, str]:
        return {take["take"]: take["file"]["sha256"] for take in self.sidecar()["takes"]}

    async def clips(self) -> list[tuple[str, str]]:
        """The slot and first frame of every video that was sent."""
        async with await Ledger.open(self.settings.ledger_url, clock=Clock()) as ledger:
            jobs = await ledger.jobs_of(BATCH)
        return [(job.slot, job.request["inputs"][0]) for job in jobs if job.kind == "video" and job.attempts]


@pytest.fixture
def team(tmp_path: Path, made_service: Service) -> Team:
    return Team(tmp_path, made_service)


async def test_a_shot_waits_with_its_takes_and_the_others_go_on(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = await team.run(KITE + CUP)
    assert ended.exit_code == 5
    assert ended.summary["shots"] == {"total": 2, "done": 1, "blocked": 0, "failed": 0, "parked": 0, "waiting": 1}
    assert ended.summary["waiting_for"] == {"approval": 1, "resolve": 0}
    assert ended.summary["submissions"] == {"image": 3, "video": 0}
    [asked] = (await questions(team.settings, BATCH)).waiting
    assert (asked.shot, [one.take for one in asked.candidates]) == ("kite", [1, 2])
    files = {path.name for path in team.folder.rglob("take-*")}
    assert all(Path(one.uri).name in files and one.rank is not None for one in asked.candidates)
    with monkeypatch.context() as nothing_is_measured:
        nothing_is_measured.setattr("callsheet.steps.frames._measure", None)
        again = await team.run(KITE + CUP)
    assert (again.exit_code, again.summary["submissions"]) == (5, {"image": 0, "video": 0})
    async with await Ledger.open(team.settings.ledger_url, clock=Clock()) as ledger:
        assert await resumable(ledger, "rehearsal") == [], "no free run helps, so `collect` starts none"
    await team.run(KITE.replace("dunes,2", "dunes,1") + CUP)
    [asked] = (await questions(team.settings, BATCH)).waiting
    assert [one.take for one in asked.candidates] == [1], "it is told as the manifest asks for it now"


async def test_the_take_that_a_person_approves_is_animated_once_and_the_decision_is_kept(team: Team) -> None:
    await team.run()
    hashes = team.hashes()
    first = await team.say("kite=2", by="Ada")
    assert [(one.how, one.decision.n) for one in first.recorded] == [("new", 1)]
    assert (first.waiting, first.going) == ((), ("kite",))
    again = await team.say("kite=2", by="Bob")
    assert [(one.how, one.decision.by) for one in again.recorded] == [("same", "Ada")]
    ended = await team.run()
    assert (ended.exit_code, ended.summary["submissions"]) == (0, {"image": 0, "video": 1})
    assert await team.clips() == [("clip-2", hashes[2])]
    sidecar = team.sidecar()
    [kept] = sidecar["decisions"]
    assert (kept["takes"], kept["by"], kept["n"]) == ({"2": hashes[2]}, "Ada", 1)
    assert kept["shown"] == {str(take): sha256 for take, sha256 in hashes.items()}
    assert [(take["chosen"], take["why"]) for take in sidecar["takes"]] == [(False, ""), (True, "approved by Ada")]
    assert not (await team.say("kite=2")).goes_on
    assert (await team.run()).summary["submissions"] == {"image": 0, "video": 0}


async def test_the_gallery_shows_a_decision_as_soon_as_it_is_made_and_asks_no_more(team: Team) -> None:
    await team.run(KITE + CUP)
    page = team.folder / f"home/archive/sheet/{BATCH}/gallery.html"
    assert "Which takes of" in page.read_text()
    await team.say("kite=2")
    told = page.read_text()
    assert '<b>Decided</b> <span dir="auto">Take 2 approved by Ada</span>. The next run goes on with it.' in told
    assert "Which takes of" not in told
    assert 'data-state="pending"' in told
    assert "cup" in told
    await team.run(KITE + CUP)
    assert "<b>Decided</b>" not in page.read_text()


@pytest.mark.long
async def test_a_rejected_shot_ends_blocked_with_who_rejected_it_and_why(team: Team) -> None:
    await team.run(KITE + CUP)
    await decide(team.settings, BATCH, [TakeSelection("kite", (), "too dark")], "Ada")
    ended = await team.run(KITE + CUP)
    assert ended.exit_code == 3
    assert (ended.summary["shots"]["blocked"], ended.summary["submissions"]["video"]) == (1, 0)
    [failure] = team.sidecar()["failures"]
    assert (failure["kind"], failure["message"]) == ("rejected", "Rejected by Ada: too dark.")
    assert (await questions(team.settings, BATCH)).waiting == ()
    more = await team.run(KITE.replace("dunes,2", "dunes,3") + CUP)
    assert more.exit_code == 5, "a take that nobody has seen asks anew"


@pytest.mark.long
async def test_other_decisions_are_taken_until_the_clip_is_sent_and_then_only_further_takes(team: Team) -> None:
    await team.run()
    await team.say("kite=reject")
    [changed] = (await team.say("kite=1")).recorded
    assert changed.how == "changed"
    assert changed.before is not None
    assert changed.before.rejects
    assert (await team.run()).exit_code == 0
    for late in ("kite=2", "kite=reject"):
        with pytest.raises(DecisionError, match="paid for"):
            await team.say(late)
    assert len(team.sidecar()["decisions"]) == 2
    assert (await team.say("kite=1,2")).going == ("kite",)
    ended = await team.run()
    assert (ended.exit_code, ended.summary["submissions"]) == (0, {"image": 0, "video": 1})
    assert sorted(slot for slot, _ in await team.clips()) == ["clip-1", "clip-2"]


@pytest.mark.long
async def test_an_approval_outlives_an_edited_manifest_only_where_the_takes_are_the_same(team: Team) -> None:
    boat = "boat,A paper boat on a canal,1,9,approve,It drifts,4\n"
    await team.run(KITE + boat)
    await team.say("kite=1", "boat=1")
    edited = await team.run(KITE.replace("It climbs", "It dives") + boat.replace("paper", "tin"))
    assert edited.summary["submissions"] == {"image": 1, "video": 1}
    assert (edited.exit_code, edited.summary["shots"]["done"], edited.summary["shots"]["waiting"]) == (5, 1, 1)
    assert [one.shot for one in (await questions(team.settings, BATCH)).waiting] == ["boat"]
    back = await team.run(KITE + boat)
    assert (back.exit_code, back.summary["submissions"]) == (0, {"image": 0, "video": 2}), "what was decided then holds"


async def test_an_approval_that_is_taken_back_while_the_batch_runs_is_not_paid_for(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    await team.run()
    await team.say("kite=1")
    real = Ledger.claim

    async def meanwhile(ledger: Ledger, order: Any) -> Any:
        if order.kind == "video":
            monkeypatch.setattr(Ledger, "claim", real)
            await team.say("kite=reject", by="Bob")
        return await real(ledger, order)

    monkeypatch.setattr(Ledger, "claim", meanwhile)
    ended = await team.run()
    assert (ended.exit_code, ended.summary["submissions"]["video"]) == (5, 0)
    assert (await team.run()).exit_code == 3


async def test_a_decision_is_refused_while_a_run_holds_the_clip(team: Team) -> None:
    await team.run()
    await team.say("kite=1")
    async with await Ledger.open(team.settings.ledger_url, clock=Clock()) as ledger:
        jobs = {job.slot: job for job in await ledger.jobs_of(BATCH)}
        wish = JobOrder("c" * 64, "video", "rehearsal", "m", "sheet", BATCH, "kite", "clip-1",
                        {"inputs": [jobs["take-1"].sha256]})  # fmt: skip
        assert (await ledger.claim(wish)).job.state is JobState.PLANNED
        with pytest.raises(DecisionError, match="being sent"):
            await team.say("kite=reject")
    assert [one.how for one in (await team.say("kite=reject")).recorded] == ["changed"], "its holder is gone"


async def test_decisions_come_back_from_the_sidecars_when_the_ledger_is_lost(team: Team) -> None:
    await team.run()
    await team.say("kite=reject", by="Bob")
    await team.say("kite=2")
    async with await Ledger.open(team.settings.ledger_url, clock=Clock()) as ledger:
        before = await ledger.frame_decisions(BATCH, ["kite"])
    for path in team.settings.home.glob("ledger.db*"):
        path.unlink()
    scope, store = scope_of(team.settings, "rehearsal"), open_archive(team.settings)
    async with await Ledger.open(team.settings.ledger_url, clock=Clock()) as ledger:
        for _ in range(2):
            assert (await rebuild(ledger, store, {"live": scope, "rehearsal": scope})).refused == []
        after = await ledger.frame_decisions(BATCH, ["kite"])
    assert after == before
    assert [one.describe() for one in after["kite"]] == ["rejected by Bob", "take 2 approved by Ada"]
    ended = await team.run()
    assert (ended.exit_code, ended.summary["submissions"]) == (0, {"image": 0, "video": 1})


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["kit=1"], "did you mean kite"),
        (["kite=3"], "take 3 cannot be chosen; choose among takes 1, 2"),
        (["cup=1"], "`select` is best"),
        (["kite=1@000000000000"], "another picture"),
        (["kite=1", "kit=2"], "did you mean kite"),
        (["kite=1", "kite=2"], "more than once"),
    ],
)
async def test_what_is_not_there_is_refused_and_nothing_is_recorded(
    waiting_team: Team, words: list[str], told: str
) -> None:
    with pytest.raises(DecisionError, match=told) as refused:
        await waiting_team.say(*words)
    assert "Nothing was recorded" in str(refused.value)
    assert waiting_team.sidecar()["decisions"] == []
    async with await Ledger.open(waiting_team.settings.ledger_url, clock=Clock()) as ledger:
        assert await ledger.frame_decisions(BATCH, ["kite"]) == {}


@pytest.fixture(scope="module")
def waiting_team(tmp_path_factory: pytest.TempPathFactory, made_service: Service) -> Team:
    """A batch that waits, for tests that change nothing."""
    team = Team(tmp_path_factory.mktemp("waiting"), made_service)
    asyncio.run(team.run(KITE + CUP))
    return team


async def test_an_unknown_batch_is_told_with_the_nearest_name(waiting_team: Team) -> None:
    with pytest.raises(DecisionError, match=r"Did you mean sheet\.rehearsal"):
        await questions(waiting_team.settings, "shet.rehearsal")


async def test_the_plan_and_status_say_what_waits(waiting_team: Team) -> None:
    plan = json.loads((waiting_team.folder / f"home/archive/sheet/{BATCH}/plan.json").read_text())
    [clip] = [one for shot in plan["shots"] for one in shot["actions"] if one["kind"] == "video"]
    assert (clip["what"], clip["why"], clip["usd"]) == ("waiting", "waiting: approval", 0)
    async with await Ledger.open(waiting_team.settings.ledger_url, clock=Clock()) as ledger:
        [row] = [row for row in await ledger.shots_of(BATCH) if row.shot == "kite"]
    assert (row.state, row.reason_kind) == ("waiting", "approval")
    assert f"callsheet approve {BATCH}" in row.reason
