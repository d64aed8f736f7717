"""Keys and plans: what determines a result names it, and what is known decides what is done."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet.keys import job_key
from callsheet.ledger import JobState
from callsheet.plan import Known, plan_batch, plan_shot
from callsheet.plan.grouping import groups
from callsheet.plan.requests import clip_order, take_estimate, take_order
from callsheet.shots import Reference
from tests.support.plans import BATCH, CATALOGUE, SHOT, asset, job

TEXT = st.text(max_size=40)


@given(TEXT, TEXT, st.integers(1, 9), st.sampled_from(["image", "video"]), st.lists(TEXT, max_size=3))
def test_a_key_is_64_hex_digits_and_the_same_for_the_same_wish(
    model: str, prompt: str, take: int, kind: str, inputs: list[str]
) -> None:
    wish: dict[str, Any] = {
        "kind": kind,
        "model": model,
        "prompt": prompt,
        "take": take,
        "inputs": inputs,
        "params": {},
    }
    key = job_key(mode="live", **wish)
    assert len(bytes.fromhex(key)) == 32
    assert key == job_key(mode="live", **{**wish, "params": {"seed": None}}), "an unused parameter changes nothing"
    others = [
        job_key(mode="rehearsal", **wish),
        job_key(mode="live", **{**wish, "prompt": prompt + "."}),
        job_key(mode="live", **{**wish, "take": take + 1}),
        job_key(mode="live", **{**wish, "params": {"seed": 1}}),
        job_key(mode="live", **{**wish, "inputs": [*inputs, "x"]}),
        job_key(mode="live", edition="2026-11-21", **wish),
    ]
    assert len({key, *others}) == len(others) + 1


def test_a_new_shot_is_created_at_list_price() -> None:
    plan = plan_shot(BATCH, SHOT, Known(), CATALOGUE)
    assert [(action.slot, action.what) for action in plan.actions] == [
        ("take-1", "create"),
        ("take-2", "create"),
        ("clip", "create"),
        ("cut-9x16", "create"),
    ]
    picture = take_estimate(CATALOGUE.get(SHOT.image_model), SHOT)
    video = CATALOGUE.get(SHOT.video_model or "").video_price("720p", 8)
    assert plan.usd == 2 * picture + video


@pytest.mark.parametrize(
    ("prompt", "negative", "told"),
    [
        ("It sails", None, ["continuous"]),
        ("It sails, one continuous shot", None, []),
        ("Shot 1: it sails. Cut to: a harbour", "rain, fog", ["Avoid: rain, fog"]),
        ("It sails", "rain", ["Avoid: rain", "continuous"]),
    ],
)
def test_the_plan_says_what_omni_makes_of_a_prompt(prompt: str, negative: str | None, told: list[str]) -> None:
    wish = {"video_model": "gemini-omni-1.2-flash", "motion_prompt": prompt, "negative_prompt": negative, "cuts": ()}
    advice = plan_shot(BATCH, dataclasses.replace(SHOT, **wish), Known(), CATALOGUE).advice
    assert [part in advice for part in told] == [True] * len(told)
    assert bool(advice) == bool(told)
    veo = dataclasses.replace(SHOT, **wish | {"video_model": "veo-3.1-fast-generate-001"})
    assert plan_shot(BATCH, veo, Known(), CATALOGUE).advice == ""


def test_what_is_stored_is_reused_and_what_was_submitted_is_resumed_for_nothing() -> None:
    takes = [take_order(BATCH, SHOT, number) for number in (1, 2)]
    clip = clip_order(BATCH, SHOT, 2, "sha-2")
    jobs = {order.key: job(order, JobState.STORED, f"sha-{n}") for n, order in enumerate(takes, start=1)}
    assets = [asset("take", f"take-{n}", order, f"sha-{n}") for n, order in enumerate(takes, start=1)]
    files = frozenset({"shots/a/take-1", "shots/a/take-2"})
    known = Known({**jobs, clip.key: job(clip, JobState.SUBMITTED)}, {"a": tuple(assets)}, files)
    plan = plan_shot(BATCH, SHOT, known, CATALOGUE)
    assert [action.what for action in plan.actions] == ["reuse", "reuse", "resume", "create"]
    assert plan.usd == 0
    lost = plan_shot(BATCH, SHOT, dataclasses.replace(known, files=files - {"shots/a/take-1"}), CATALOGUE)
    assert lost.actions[0].what == "resume", "a file that is gone is not reused"


def test_a_shot_is_complete_only_with_its_cuts() -> None:
    shot = dataclasses.replace(SHOT, takes=1)
    take, clip = take_order(BATCH, shot, 1), clip_order(BATCH, shot, 1, "sha-1")
    jobs = {take.key: job(take, JobState.STORED, "sha-1"), clip.key: job(clip, JobState.STORED, "sha-c")}
    made = (asset("take", "t", take, "sha-1"), asset("clip", "c", clip, "sha-c"))
    cut = asset("cut", "cut-9x16-1", None, "sha-x", "sha-c")
    files = frozenset({"shots/a/t", "shots/a/c", "shots/a/cut-9x16-1"})
    assert not plan_shot(BATCH, shot, Known(jobs, {"a": made}, files), CATALOGUE).complete
    assert plan_shot(BATCH, shot, Known(jobs, {"a": (*made, cut)}, files), CATALOGUE).complete


def test_what_two_shots_ask_for_is_paid_for_once() -> None:
    plan = plan_batch(BATCH, [SHOT, dataclasses.replace(SHOT, id="b", motion_prompt=None)], Known(), CATALOGUE)
    assert [action.what for action in plan.shots[1].actions] == ["resume", "resume"]
    assert plan.shots[1].usd == plan.shots[1].usd_high == 0
    assert "asked for by a too" in plan.shots[1].actions[0].why


def test_what_changed_is_told() -> None:
    was = {("a", f"take-{n}"): job(take_order(BATCH, SHOT, n), JobState.STORED, f"sha-{n}") for n in (1, 2)}
    was |= {("a", "clip-1"): job(clip_order(BATCH, SHOT, 1, "sha-1"), JobState.STORED, "sha-c")}
    known = Known(earlier=was, shots=("a", "gone"))
    told = {
        "prompt changed": {"prompt": "A ship"},
        "seed changed from none to 4": {"seed": 4},
        "aspect ratio changed from 16:9 to 1:1": {"aspect_ratio": "1:1"},
        f"model changed from {SHOT.image_model} to gemini-3-pro-image": {"image_model": "gemini-3-pro-image"},
        "reference images changed": {"reference_images": (Reference("r", "sha-r", "image/png", 1),)},
    }
    for why, changes in told.items():
        plan = plan_batch(BATCH, [dataclasses.replace(SHOT, **changes)], known, CATALOGUE)
        assert why in plan.shots[0].actions[0].why
        assert plan.dropped == ("gone",)
    clip = dataclasses.replace(SHOT, duration_s=4, last_frame=Reference("l", "sha-l", "image/png", 1))
    clip = dataclasses.replace(clip, negative_prompt="birds")
    why = plan_shot(BATCH, clip, known, CATALOGUE).actions[2].why
    assert (
        why == "negative prompt changed, duration changed from 8 to 4, last frame changed; its frame is not chosen yet"
    )
    assert plan_shot(BATCH, dataclasses.replace(SHOT, id="b"), known, CATALOGUE).actions[0].why == "new shot"


def test_another_frame_is_told_once_it_is_known() -> None:
    shot, take = dataclasses.replace(SHOT, takes=1), take_order(BATCH, SHOT, 1)
    known = Known(
        {take.key: job(take, JobState.STORED, "new")},
        earlier={("a", "clip-1"): job(clip_order(BATCH, shot, 1, "old"), JobState.STORED, "sha-c")},
    )
    assert plan_shot(BATCH, shot, known, CATALOGUE).actions[1].why == "frame changed"


def test_what_cannot_be_had_is_told_with_its_reason_and_costs_nothing() -> None:
    shot, order = dataclasses.replace(SHOT, takes=1), take_order(BATCH, SHOT, 1)
    for state, what, why in (
        (JobState.BLOCKED, "blocked", "refused [IMAGE_SAFETY]"),
        (JobState.FAILED, "failed", "refused [IMAGE_SAFETY] (--remake makes it again)"),
    ):
        ended = dataclasses.replace(job(order, state), reason="refused", reason_code="IMAGE_SAFETY")
        plan = plan_shot(BATCH, shot, Known({order.key: ended}), CATALOGUE)
        assert [action.what for action in plan.actions] == [what, what, what], "clip and cut need the picture"
        assert plan.actions[0].why == why
        assert plan.usd == plan.usd_high == 0


def test_a_picture_in_doubt_is_sent_once_more_and_a_video_waits() -> None:
    shot = dataclasses.replace(SHOT, takes=0)
    clip, take = clip_order(BATCH, shot, None, None), take_order(BATCH, SHOT, 1)
    price = CATALOGUE.get(SHOT.video_model or "").video_price("720p", 8)
    waiting = plan_shot(BATCH, shot, Known({clip.key: job(clip, JobState.UNKNOWN)}), CATALOGUE)
    assert [action.what for action in waiting.actions] == ["waiting", "waiting"]
    assert (waiting.usd, waiting.usd_high) == (0, price)
    for known in (
        Known({take.key: job(take, JobState.UNKNOWN)}),
        Known({take.key: job(take, JobState.SUBMITTING)}, abandoned=frozenset({take.key})),
    ):
        action = plan_shot(BATCH, dataclasses.replace(SHOT, motion_prompt=None), known, CATALOGUE).actions[0]
        assert (action.what, action.extra_usd) == ("create", 0)
        assert "sent once more" in action.why


@given(st.integers(0, 3000))
def test_small_batches_have_groups_of_one_and_large_ones_few(count: int) -> None:
    shots = [dataclasses.replace(SHOT, id=str(number)) for number in range(count)]
    made = groups(shots, 50)
    assert [shot for group in made for shot in group] == shots
    assert len(made) == count if count <= 50 else len(made) <= 25
