"""What an edit is made of, and what it waits for: the same for plan and run, from what the ledger tells."""

from __future__ import annotations

import dataclasses
import hashlib
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.decisions import FrameDecision, FramePin
from callsheet.ledger import Job, JobState
from callsheet.ledger.model_usage import Use
from callsheet.ledger.quota import QuotaLimits
from callsheet.ledger.spend_window import Position
from callsheet.models import Latency
from callsheet.plan import Conditions, Known, Money, plan_batch
from callsheet.plan.frames import child_wish_of
from callsheet.plan.inputs import ModelConditions, WorkSeconds
from callsheet.plan.parents import (
    AwaitedTake,
    after_end,
    by_depth,
    describe_lineage,
    find_awaited,
    find_parent,
    parents_of,
    with_parents,
)
from callsheet.plan.plan_file import PlanFile
from callsheet.plan.requests import take_order
from callsheet.shots import ParentPicture, ParentTake, Shot, ShotOutcome
from tests.support.plans import BATCH, CATALOGUE, NOW, SHOT, job

STILL = dataclasses.replace(SHOT, id="kite", takes=1, motion_prompt=None, video_model=None, cuts=())
PARENT = dataclasses.replace(STILL, is_parent=True)
NO_WORK = WorkSeconds(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def edit(parent: Shot, take: int | None = None, name: str = "red", **more: object) -> Shot:
    values = {"id": name, "prompt": f"Make it {name}", "edit_of": ParentTake(parent, take)}
    return dataclasses.replace(STILL, **{**values, **more})  # type: ignore[arg-type]


def digest(shot: Shot, take: int) -> str:
    return hashlib.sha256(f"{shot.id} {take}".encode()).hexdigest()


def made(shot: Shot, take: int = 1, state: JobState = JobState.STORED, **more: object) -> dict[str, Job]:
    """The job of a take, with bytes when it has any."""
    order = take_order(BATCH, shot, take)
    done = state in (JobState.STORED, JobState.FINISHED)
    found = job(order, state, digest(shot, take) if done else None)
    return {order.key: dataclasses.replace(found, size=9, mime_type="image/png", **more)}  # type: ignore[arg-type]


def pin(shot: Shot, take: int) -> dict[str, tuple[FramePin, ...]]:
    one = FramePin(BATCH.name, shot.id, child_wish_of(shot), take, digest(shot, take), "", 1, NOW)
    return {shot.id: (one,)}


def decided(shot: Shot, *takes: int) -> dict[str, tuple[FrameDecision, ...]]:
    shown = {take: digest(shot, take) for take in range(1, shot.takes + 1)}
    one = FrameDecision(BATCH.name, shot.id, {take: shown[take] for take in takes}, shown, "Ada", "", 1, NOW)
    return {shot.id: (one,)}


SEVERAL = dataclasses.replace(PARENT, takes=2, select="best")
ASKED = dataclasses.replace(PARENT, takes=2, select="approve")
BOTH = {**made(SEVERAL, 1), **made(SEVERAL, 2)}


@pytest.mark.parametrize(
    ("parent", "known", "expected"),
    [
        (ParentTake(PARENT), Known(jobs=made(PARENT)), 1),
        (ParentTake(SEVERAL, 2), Known(jobs=BOTH), 2),
        (ParentTake(SEVERAL, 2), Known(jobs=made(SEVERAL, 2)), 2),
        (ParentTake(SEVERAL), Known(jobs=BOTH, pins=pin(SEVERAL, 2)), 2),
        (ParentTake(SEVERAL), Known(jobs=BOTH), "pending"),
        (ParentTake(SEVERAL), Known(jobs=made(SEVERAL, 1)), "pending"),
        (ParentTake(SEVERAL), Known(jobs=made(SEVERAL, 1), pins=pin(SEVERAL, 2)), "pending"),
        (ParentTake(dataclasses.replace(SEVERAL, select=(2,))), Known(jobs=made(SEVERAL, 2)), 2),
        (ParentTake(ASKED), Known(jobs=BOTH), "waiting"),
        (ParentTake(ASKED), Known(jobs=made(ASKED, 1)), "pending"),
        (ParentTake(ASKED), Known(jobs=BOTH, decisions=decided(ASKED, 2)), 2),
        (ParentTake(ASKED, 2), Known(jobs=BOTH, decisions=decided(ASKED, 2)), 2),
        (ParentTake(ASKED, 1), Known(jobs=BOTH, decisions=decided(ASKED, 2)), "waiting"),
        (ParentTake(ASKED), Known(jobs=BOTH, decisions=decided(ASKED, 1, 2)), "waiting"),
        (ParentTake(ASKED, 1), Known(jobs=BOTH, decisions=decided(ASKED, 1, 2)), 1),
        (ParentTake(ASKED), Known(jobs=BOTH, decisions=decided(ASKED)), "waiting"),
        (ParentTake(PARENT), Known(), "pending"),
        (ParentTake(PARENT), Known(jobs=made(PARENT, 1, JobState.SUBMITTING)), "pending"),
        (ParentTake(PARENT), Known(jobs=made(PARENT, 1, JobState.BLOCKED)), "waiting"),
        (ParentTake(PARENT), Known(jobs=made(PARENT, 1, JobState.FAILED)), "waiting"),
        (ParentTake(PARENT), Known(jobs=made(PARENT, 1, JobState.UNKNOWN)), "waiting"),
        (ParentTake(PARENT), Known(jobs=made(PARENT, 1, JobState.PLANNED, parked_until=NOW)), "parked"),
        (ParentTake(PARENT), Known(jobs=made(PARENT, 1, JobState.FINISHED)), 1),
    ],
)
def test_the_take_that_is_meant_is_found_or_said_to_be_awaited(
    parent: ParentTake, known: Known, expected: int | str
) -> None:
    found = find_parent(BATCH, parent, known)
    if isinstance(expected, int):
        assert isinstance(found, ParentPicture)
        assert (found.take, found.sha256) == (expected, digest(parent.shot, expected))
    else:
        assert isinstance(found, AwaitedTake)
        assert (found.state.value, found.shot) == (expected, "kite")
        assert "kite" in found.why


def test_only_what_the_archive_has_can_be_read_by_every_process() -> None:
    for state in (JobState.FINISHED, JobState.STORED):
        found = find_parent(BATCH, ParentTake(PARENT), Known(jobs=made(PARENT, 1, state)))
        assert isinstance(found, ParentPicture)
        assert found.is_stored is (state is JobState.STORED)


@pytest.mark.parametrize(
    ("state", "expected"),
    [("parked", "parked"), ("pending", "parked"), ("failed", "waiting"), ("blocked", "waiting"), ("done", "waiting")],
)
def test_a_parent_that_ended_without_the_take_never_fails_its_child(state: str, expected: str) -> None:
    left = after_end(AwaitedTake("kite", ShotOutcome.PENDING, "take 1 of kite is not made yet."), ShotOutcome(state))
    assert left.state.value == expected
    assert "kite" in left.why


def test_the_first_that_is_missing_of_a_chain_is_told_with_the_way_to_it() -> None:
    red = dataclasses.replace(edit(PARENT), is_parent=True)
    pink = edit(red, name="pink")
    awaited = find_awaited(BATCH, pink, Known(jobs=made(PARENT, 1, JobState.BLOCKED)))
    assert awaited is not None
    assert awaited.shot == "kite"
    assert describe_lineage(parents_of(pink)) == "It is made of red:1, which is made of kite:1"


def test_the_parents_bytes_are_in_the_key_and_nothing_has_the_key_of_an_open_edit() -> None:
    child, known = edit(PARENT), Known(jobs=made(PARENT))
    (filled,) = with_parents(BATCH, [child], known)
    plain = dataclasses.replace(child, edit_of=None)
    keys = {take_order(BATCH, one, 1).key for one in (child, filled, plain)}
    assert len(keys) == 3
    assert take_order(BATCH, filled, 1).request["inputs"] == [digest(PARENT, 1)]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_random_chains_are_filled_exactly_as_far_as_their_pictures_are_made(data: st.DataObject) -> None:
    count = data.draw(st.integers(2, 9))
    parents = {n: data.draw(st.one_of(st.none(), st.integers(0, n - 1))) for n in range(1, count)}
    stored = {n for n in range(count) if data.draw(st.booleans())}
    shots: dict[int, Shot] = {}
    for n in range(count):
        above = parents.get(n)
        base = dataclasses.replace(STILL, id=f"s{n}", prompt=f"Picture {n}", is_parent=True)
        link = None if above is None else ParentTake(shots[above])
        shots[n] = dataclasses.replace(base, edit_of=link)
    known = Known()
    for level in by_depth(shots.values()):
        for shot in with_parents(BATCH, level, known):
            n = int(shot.id[1:])
            if n in stored and (shot.edit_of is None or shot.edit_of.picture):
                known = dataclasses.replace(known, jobs={**known.jobs, **made(shot)})

    def is_whole(n: int | None) -> bool:
        return n is None or (n in stored and is_whole(parents.get(n)))

    order = data.draw(st.permutations(range(count)))
    for shot in with_parents(BATCH, [shots[n] for n in order], known):
        above = parents.get(int(shot.id[1:]))
        if above is not None:
            assert shot.edit_of is not None
            assert (shot.edit_of.picture is not None) is is_whole(above)
            assert (find_awaited(BATCH, shot, known) is None) is is_whole(above)
    plan = plan_batch(BATCH, [shots[n] for n in order], known, CATALOGUE)
    for item in plan.shots:
        above = parents.get(int(item.shot.id[1:]))
        assert (item.actions[0].job_key is None) is not is_whole(above)


def conditions(latency: Latency, limits: QuotaLimits | None = None, budget: str | None = None) -> Conditions:
    model = ModelConditions(limits or QuotaLimits(), latency, Use())
    money = Money(None if budget is None else Decimal(budget), Position(Decimal(0), Decimal(0)))
    return Conditions(NOW, 1, {STILL.image_model: model}, money, effort=NO_WORK, look_s=0.0)


CHAIN = [edit(dataclasses.replace(edit(PARENT), is_parent=True), name="pink"), edit(PARENT, is_parent=True), PARENT]


def test_the_forecast_makes_children_after_their_parents() -> None:
    plan = plan_batch(BATCH, CHAIN, Known(), CATALOGUE, conditions(Latency(10.0, 10.0, 10.0)))
    assert plan.forecast is not None
    assert plan.forecast.seconds == pytest.approx(30, rel=0.1)
    many = [edit(PARENT, name=f"e{n}") for n in range(100)]
    wide = plan_batch(BATCH, [*many, PARENT], Known(), CATALOGUE, conditions(Latency(10.0, 10.0, 10.0)))
    assert wide.forecast is not None
    assert wide.forecast.seconds == pytest.approx(10 + 10 * (100 / 16), rel=0.15)


def test_the_plan_says_what_waits_for_what_and_what_all_of_it_costs() -> None:
    plan = plan_batch(BATCH, CHAIN, Known(), CATALOGUE)
    assert [item.actions[0].what for item in plan.shots] == ["create"] * 3
    assert [item.actions[0].why for item in plan.shots][:2] == ["after red:1", "after kite:1"]
    assert plan.usd == sum(item.usd for item in plan.shots) > 0
    assert all(item.usd for item in plan.shots)
    blocked = plan_batch(BATCH, CHAIN, Known(jobs=made(PARENT, 1, JobState.BLOCKED)), CATALOGUE)
    assert [item.actions[0].what for item in blocked.shots] == ["waiting", "waiting", "blocked"]
    assert blocked.usd == 0


def test_what_a_person_is_asked_about_first_is_not_told_to_be_made_by_the_next_run() -> None:
    red = dataclasses.replace(edit(ASKED), is_parent=True)
    plan = plan_batch(BATCH, [ASKED, red, edit(red, name="pink")], Known(), CATALOGUE)
    assert [item.actions[0].what for item in plan.shots] == ["create", "waiting", "waiting"]
    assert plan.usd == plan.shots[0].usd
    assert plan.usd_high > plan.shots[0].usd_high, "what it may cost after the decision is told"
    known = Known(jobs=BOTH, decisions=decided(ASKED, 2))
    later = plan_batch(BATCH, [ASKED, red, edit(red, name="pink")], known, CATALOGUE)
    assert [item.actions[0].what for item in later.shots] == ["resume", "create", "create"]


def test_what_the_budget_or_the_day_parks_parks_its_children() -> None:
    poor = plan_batch(BATCH, CHAIN, Known(), CATALOGUE, conditions(Latency(0.0, 0.0, 0.0), budget="0.05"))
    assert [item.actions[0].what for item in poor.shots] == ["parked", "parked", "create"]
    assert poor.usd == poor.shots[2].usd
    full = conditions(Latency(0.0, 0.0, 0.0), QuotaLimits(rpm=None, rpd=1))
    day = plan_batch(BATCH, [*CHAIN, dataclasses.replace(STILL, id="other", prompt="x")], Known(), CATALOGUE, full)
    assert [item.actions[0].what for item in day.shots].count("create") == 1
    assert day.shots[0].actions[0].what == "parked"


def test_a_parent_that_is_chosen_later_is_not_complete_and_then_is() -> None:
    assert plan_choice(SEVERAL, Known(jobs=BOTH)) == "scores"
    assert plan_choice(SEVERAL, Known(jobs=BOTH, pins=pin(SEVERAL, 1))) == ""
    assert plan_choice(ASKED, Known(jobs=BOTH)) == "approval"
    assert plan_choice(ASKED, Known(jobs=BOTH, decisions=decided(ASKED, 1))) == ""
    assert plan_choice(dataclasses.replace(SEVERAL, is_parent=False), Known(jobs=BOTH)) == ""


def plan_choice(shot: Shot, known: Known) -> str:
    return plan_batch(BATCH, [shot], known, CATALOGUE).shots[0].choice


def test_a_plan_that_was_begun_goes_on_although_parents_are_known_since() -> None:
    batch = dataclasses.replace(BATCH, manifest_sha256="0" * 64)
    before = PlanFile.of(plan_batch(batch, CHAIN, Known(), CATALOGUE), NOW, {}, 1)
    known = Known(jobs=made(PARENT))
    after = PlanFile.of(plan_batch(batch, CHAIN, known, CATALOGUE), NOW + timedelta(hours=1), {}, 1)
    assert before.differences(after, begun=True) == []
    assert before.differences(before) == []
    assert before.differences(after) != []
