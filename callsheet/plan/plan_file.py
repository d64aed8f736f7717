"""The plan as a file: looked at, agreed to, and executed exactly, or not at all.

A plan file is untrusted input: it only ever says what was expected. What a run does comes from the manifest, the ledger
and the archive, and must agree with the file.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from callsheet.decisions import APPROVAL
from callsheet.errors import SettingsError
from callsheet.manifest.left_out import OnBadRow
from callsheet.plan.actions import Action, Plan
from callsheet.plan.extensions import read_clip_slot
from callsheet.shots import Mode

# A batch of 100,000 actions has about 20 MB.
MAX_BYTES = 64 * 1024 * 1024
TOLD = 10

# One line without control characters: what a file says is shown on terminals.
Line = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f-\x9f]*$", max_length=2000)]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Usd = Annotated[Decimal, Field(ge=0, le=1_000_000)]


class _PlanRecord(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PlannedAction(_PlanRecord):
    """The plan for a slot.

    `key` names everything that is asked; of a clip without a frame, all but that. `awaits`: of an edit whose parent is
    made before it, all but the parent.
    """

    shot: Line
    slot: Line
    what: Line
    key: Digest | None = None
    usd: Usd = Decimal(0)
    list_usd: Usd | None = None
    why: Line = ""
    awaits: bool = False

    def is_as(self, planned: PlannedAction) -> bool:
        """Return whether it is what was planned, apart from quota.

        Quota comes back with time.
        """
        return (self.what, self.key, self._convert_usd(planned)) == (planned.what, planned.key, planned.usd)

    def _convert_usd(self, planned: PlannedAction) -> Decimal:
        """Return what it costs, said as the plan says it.

        Before 2026-12 a picture was planned at its list price.
        """
        if planned.list_usd is None and self.list_usd is not None and self.usd:
            return self.list_usd
        return self.usd


class PlanFile(_PlanRecord):
    """A plan, and what it was made from.

    `state` is the digest of all that has to be the same.
    """

    format: Literal[1] = 1
    made: datetime
    manifest: Annotated[str, StringConstraints(max_length=4096)]
    manifest_sha256: Digest
    batch: Line
    campaign: Line
    edition: Line | None = None
    mode: Mode
    variables: dict[Line, Annotated[str, StringConstraints(max_length=100_000)]] = {}
    tier: Annotated[int, Field(ge=0, le=3)]
    budget_usd: Usd | None = None
    on_bad_row: OnBadRow = "stop"
    usd_low: Usd
    usd_high: Usd
    actions: Annotated[tuple[PlannedAction, ...], Field(max_length=500_000)]
    state: Digest

    @classmethod
    def of(cls, plan: Plan, made: datetime, variables: dict[str, str], tier: int) -> Self:
        """Return the file of a plan."""
        batch = plan.batch
        actions = tuple(_to_planned(item.shot.id, action) for item in plan.shots for action in item.actions)
        return cls(
            made=made,
            manifest=batch.manifest_uri,
            manifest_sha256=batch.manifest_sha256,
            batch=batch.name,
            campaign=batch.campaign,
            edition=batch.edition,
            mode=batch.mode,
            variables=variables,
            tier=tier,
            budget_usd=plan.money.budget if plan.money else None,
            usd_low=plan.usd,
            usd_high=plan.usd_high,
            actions=actions,
            state=_hash_state(batch.manifest_sha256, batch.name, actions),
        )

    def differences(self, now: PlanFile, *, begun: bool = False) -> list[str]:
        """Return what is not as it was when this plan was made, in words.

        The manifest's order comes first. Of a plan that was `begun` and interrupted, what it made meanwhile is no
        difference.
        """
        heads = (("the batch", self.batch, now.batch), ("the tier", self.tier, now.tier))
        found = [f"{what} was {old}, and is {new}" for what, old, new in heads if old != new]
        if self.manifest_sha256 != now.manifest_sha256:
            found.append("the manifest has other bytes")
        old, new = _index_by_slot(self.actions, begun), _index_by_slot(now.actions, begun)
        places = [place for place in {**old, **new} if not (begun and _is_progress(old.get(place), new.get(place)))]
        decided = _describe_decisions(self.actions, now.actions)
        found += [f"{shot} waited for a person's approval, and by now {told}" for shot, told in decided.items()]
        clips = {place for place in places if place[0] in decided and place[1].partition("-")[0] == "clip"}
        found += [_describe_difference(place, old.get(place), new.get(place)) for place in places if place not in clips]
        return [each for each in found if each]


def write_plan(path: Path, file: PlanFile) -> None:
    """Write the plan file; SettingsError when it cannot be written."""
    try:
        # A file of a plan that leaves nothing out is read by versions of before.
        usual = {"on_bad_row"} if file.on_bad_row == "stop" else None
        path.write_text(file.model_dump_json(indent=1, exclude=usual) + "\n", encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"The plan cannot be written to {path}: {error.strerror}. Nothing was sent.") from error


def read_plan(path: Path) -> PlanFile:
    """Read the plan of a file.

    Raises SettingsError when it is none, or was changed after it was made.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"The plan {path} cannot be read: {error.strerror}. Nothing was sent.") from error
    if len(data) > MAX_BYTES:
        raise SettingsError(f"The plan {path} is larger than {MAX_BYTES:,} bytes. Nothing was sent.")
    try:
        file = PlanFile.model_validate_json(data)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False)[:TOLD]]
        raise SettingsError(
            f"{path} is no plan that `callsheet plan --out` wrote. Nothing was sent.\n  " + "\n  ".join(lines)
        ) from None
    if file.state != _hash_state(file.manifest_sha256, file.batch, file.actions):
        raise SettingsError(f"{path} was changed after it was made, so it is not followed. Nothing was sent.")
    return file


def check_same(path: str, planned: PlanFile, now: PlanFile, *, begun: bool = False) -> None:
    """Raise SettingsError unless what would be done now is what was planned.

    The error has the first differences. `begun` says that the batch was last run by this very plan: what is left of it
    then goes on.
    """
    found = planned.differences(now, begun=begun)
    if not found:
        return
    rest = [f"... and {len(found) - TOLD:,} more"] if len(found) > TOLD else []
    raise SettingsError(
        f"The world has changed since {path} was made ({planned.made:%Y-%m-%d %H:%M} UTC). Nothing was created or "
        "sent.\n  " + "\n  ".join([*found[:TOLD], *rest]) + "\nLook at it and plan again: callsheet plan --out."
    )


def _to_planned(shot: str, action: Action) -> PlannedAction:
    quota = action.what == "parked" and action.until is not None
    return PlannedAction(
        shot=shot,
        slot=action.slot,
        # What waits for its quota is made all the same, later: it counts as what it will be.
        what="create" if quota else action.what,
        key=action.job_key or action.wish,
        usd=action.usd,
        list_usd=action.list_usd,
        why=" ".join(action.why.split())[:2000],
        awaits=action.kind == "image" and action.job_key is None,
    )


def _index_by_slot(actions: tuple[PlannedAction, ...], begun: bool) -> dict[tuple[str, str, int], PlannedAction]:
    """Return the actions by shot, slot and number.

    A shot may have several clips whose frame is not known yet. Of a plan that was begun the frames are known since, so
    its clips are distinguished by their number only.
    """
    found: dict[tuple[str, str, int], PlannedAction] = {}
    seen: dict[tuple[str, str], int] = {}
    for action in actions:
        place = (action.shot, "clip" if begun and _is_clip(action) else action.slot)
        seen[place] = seen.get(place, 0) + 1
        found[(*place, seen[place])] = action
    return found


def _describe_decisions(before: tuple[PlannedAction, ...], now: tuple[PlannedAction, ...]) -> dict[str, str]:
    """Return in words what people have decided since about shots that waited for it."""
    asked = {action.shot for action in before if _is_question(action)} - {
        action.shot for action in now if _is_question(action)
    }
    clips: dict[str, list[PlannedAction]] = {action.shot: [] for action in before if action.shot in asked}
    for action in now:
        if action.shot in clips and _is_clip(action):
            clips[action.shot].append(action)
    return {shot: _describe_approved(found) for shot, found in clips.items() if found}


def _is_question(action: PlannedAction) -> bool:
    return _is_clip(action) and action.what == "waiting" and action.why.endswith(APPROVAL)


def _describe_approved(clips: list[PlannedAction]) -> str:
    stopped = [clip.why for clip in clips if clip.what == "blocked"]
    if stopped:
        return f"it is {stopped[0]}"
    usd, takes = sum(clip.usd for clip in clips), [one for one in clips if _begins(one)]
    return f"{len(takes)} {'take is' if len(takes) == 1 else 'takes are'} approved, ${usd:.2f}"


def _begins(clip: PlannedAction) -> bool:
    """Return whether a clip is the first of its frame."""
    place = read_clip_slot(clip.slot)
    return place.step == 0 and place.variant == 1


def _is_clip(action: PlannedAction) -> bool:
    return action.slot.partition("-")[0] == "clip"


def _is_progress(old: PlannedAction | None, new: PlannedAction | None) -> bool:
    """Return whether the plan itself brought the slot from the one to the other.

    And it costs no more than was planned.
    """
    if old is None or new is None:
        return False
    same = old.key == new.key or (_is_clip(old) and _is_clip(new)) or (old.awaits and old.slot == new.slot)
    return same and old.what in ("create", "resume") and new.usd <= old.usd


def _describe_difference(place: tuple[str, str, int], old: PlannedAction | None, new: PlannedAction | None) -> str:
    name = f"{place[0]}: {place[1]}"
    if old is None or new is None:
        return f"{name} was not planned" if old is None else f"{name} was planned, and is not wanted any more"
    if new.is_as(old):
        return ""
    if old.what != new.what:
        return f"{name} was {old.what}, and is {new.what} now" + (f": {new.why}" if new.why else "")
    if old.key != new.key:
        return f"{name} is asked for in another way" + (f": {new.why}" if new.why else "")
    return f"{name} was to cost ${old.usd:.4f}, and costs ${new.usd:.4f} now"


def _hash_state(manifest_sha256: str, batch: str, actions: tuple[PlannedAction, ...]) -> str:
    """Return the sha256 of everything that has to be the same for a plan to hold."""
    digest = hashlib.sha256(f"{manifest_sha256}\n{batch}\n".encode())
    for action in actions:
        digest.update(repr((action.shot, action.slot, action.what, action.key, f"{action.usd:f}")).encode())
    return digest.hexdigest()
