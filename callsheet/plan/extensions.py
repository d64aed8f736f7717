"""The steps that edit a clip or make it longer: their orders, and their plan.

Each step is a paid job of its own, made of the bytes of the clip before it. Plan and run ask these functions. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import NamedTuple

from callsheet.keys import job_key
from callsheet.ledger import JobOrder
from callsheet.plan.actions import LEFT_OVER, ZERO, Action
from callsheet.plan.inputs import Known
from callsheet.plan.requests import clip_slot, list_step_params
from callsheet.shots import Batch, Shot

# What a request says of itself that makes a clip longer: which step it is, and by how many seconds.
EXTEND, EXTEND_S = "extend", "extend_s"
# Of one that edits a clip: which of its instructions it is.
EDIT = "edit"
_SLOT = re.compile(r"clip(?:-([1-9][0-9]?))?(?:-v([2-9]))?(?:-(extend|edit)-([1-9][0-9]?))?")


class ClipSlot(NamedTuple):
    """The place of a clip: its take, after which step, which of several."""

    take: int | None = None
    step: int = 0
    variant: int = 1
    is_edit: bool = False

    def __str__(self) -> str:
        """Return its name; step 0 is the clip itself."""
        begun = clip_slot(self.take, self.variant)
        return f"{begun}-{EDIT if self.is_edit else EXTEND}-{self.step}" if self.step else begun

    def after(self, step: int, shot: Shot) -> ClipSlot:
        """Return the place of the clip after a step: edits come first."""
        return self._replace(step=step, is_edit=0 < step <= len(shot.clip_edits))


def read_clip_slot(slot: str) -> ClipSlot:
    """Return the place that a clip's slot names; for any other slot the plain one."""
    found = _SLOT.fullmatch(slot)
    take, variant, kind, step = found.groups() if found else (None, None, None, None)
    return ClipSlot(int(take) if take else None, int(step or 0), int(variant or 1), kind == EDIT)


def count_steps(shot: Shot) -> int:
    """Return how many steps a shot's clip goes through, each made of the one before."""
    return len(shot.clip_edits) + shot.extend


def length_after(shot: Shot, step: int) -> int:
    """Return how long a shot's clip is after a step, in seconds."""
    return (shot.duration_s or 0) + max(0, step - len(shot.clip_edits)) * shot.extend_s


def step_order(batch: Batch, shot: Shot, place: ClipSlot, sha256: str) -> JobOrder:
    """Return the order for the step at a place, made of the clip with these bytes.

    As long as these are not known ("") no job has its key.
    """
    edits, step = len(shot.clip_edits), place.step
    model, prompt = shot.video_model or "", shot.clip_edits[step - 1] if place.is_edit else shot.motion_prompt or ""
    asked = {name: value for name, value in list_step_params(shot).items() if value is not None}
    kind = {EDIT: step} if place.is_edit else {EXTEND: step - edits, EXTEND_S: shot.extend_s}
    length = {"duration_s": length_after(shot, step), **kind}
    key = job_key(
        kind="video",
        mode=batch.mode,
        model=model,
        prompt=prompt,
        params=key_params_of(asked | length),
        inputs=[sha256],
        edition=batch.edition,
    )
    return JobOrder(
        key=key,
        kind="video",
        mode=batch.mode,
        model=model,
        campaign=batch.campaign,
        batch=batch.name,
        shot=shot.id,
        slot=str(place),
        request={"prompt": prompt, "take": place.take, "inputs": [sha256], **asked, **length},
    )


def key_params_of(request: Mapping[str, object]) -> dict[str, object]:
    """Return the parameters of a video's request that are in its key.

    Which step it is and how long the clip becomes follow from the clip that it is made of, which is in the key.
    """
    kind = next((name for name in (EXTEND, EDIT) if name in request), None)
    if kind is None:
        return dict(request)
    return {name: request[name] for name in request if name not in (EXTEND_S, "duration_s")} | {kind: True}


def follow_steps(batch: Batch, shot: Shot, begun: JobOrder, known: Known) -> Iterator[JobOrder]:
    """Yield the orders of the steps whose clip before them is there, the first first."""
    clip, place = known.jobs.get(begun.key), read_clip_slot(begun.slot)
    for step in range(1, count_steps(shot) + 1):
        if clip is None or not clip.sha256:
            return
        order = step_order(batch, shot, place.after(step, shot), clip.sha256)
        yield order
        clip = known.jobs.get(order.key)


def step_of(action: Action) -> int:
    """Return which step of a longer clip an action is; 0 for the clip itself."""
    return read_clip_slot(action.slot).step if action.kind == "video" else 0


def await_step(order: JobOrder, above: Action, price: Decimal, before: str) -> Action:
    """Return the action for a step whose clip before it is not there, or not chosen.

    `before` names it.
    """
    new = Action("video", order.slot, "create", "", price, model=order.model, wish=order.key, list_usd=price)
    after = f"after {above.slot}, which is {above.what}"
    if above.what == "parked":
        return replace(new, what="parked", why=after, until=above.until, usd=price if above.usd else ZERO)
    if above.what == "waiting":
        return replace(new, what="waiting", why=after, usd=ZERO, extra_usd=price)
    if above.what in LEFT_OVER:
        return replace(new, what=above.what, why=after, usd=ZERO)
    longer = f"makes {before} longer, to {order.request['duration_s']} s"
    return replace(new, why=f"edits {before}" if EDIT in order.request else longer)
