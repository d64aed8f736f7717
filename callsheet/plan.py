"""What a batch will do before it does it: per shot what is created, reused or resumed, why, and what it costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from callsheet.archive.layout import folder_name
from callsheet.ledger import Job, JobState
from callsheet.models import Catalogue
from callsheet.orders import clip_order, clip_slot, take_order, take_slot
from callsheet.shots import Asset, Batch, Shot

What = Literal["create", "reuse", "resume", "parked", "held", "blocked", "failed"]
Kind = Literal["image", "video", "cut"]
NOUNS: dict[Kind, str] = {"image": "pictures", "video": "clips", "cut": "cuts"}


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger and the archive know: jobs by key, assets by shot, and the file names that are there.

    `files` holds names relative to the batch's folder; a stored asset that is not among them is not reused.
    """

    jobs: Mapping[str, Job] = field(default_factory=dict)
    assets: Mapping[str, tuple[Asset, ...]] = field(default_factory=dict)
    files: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Action:
    """One thing a shot needs: what will be done about it, why, and the most it can cost now (USD)."""

    kind: Kind
    slot: str
    what: What
    why: str = ""
    usd: Decimal = Decimal(0)
    job_key: str | None = None


@dataclass(frozen=True, slots=True)
class ShotPlan:
    """The actions of one shot; `complete` when every one of them is a reuse."""

    shot: Shot
    actions: tuple[Action, ...]

    @property
    def complete(self) -> bool:
        """Nothing is left to do: everything wanted is in the archive."""
        return all(action.what == "reuse" for action in self.actions)

    @property
    def usd(self) -> Decimal:
        """The most this shot can cost now."""
        return sum((action.usd for action in self.actions), Decimal(0))


@dataclass(frozen=True, slots=True)
class Plan:
    """The actions of a whole batch."""

    batch: Batch
    shots: tuple[ShotPlan, ...]

    @property
    def usd(self) -> Decimal:
        """The most that running the batch now can cost."""
        return sum((plan.usd for plan in self.shots), Decimal(0))

    def counts(self, kind: Kind) -> Counter[str]:
        """How many actions of a kind there are, by what is done."""
        return Counter(action.what for plan in self.shots for action in plan.actions if action.kind == kind)

    def as_json(self) -> dict[str, object]:
        """The plan as written to `plan.json` and printed by `callsheet plan --json`."""
        return {
            "batch": self.batch.name,
            "mode": self.batch.mode,
            "usd_estimated": float(self.usd),
            "images": dict(self.counts("image")),
            "videos": dict(self.counts("video")),
            "cuts": dict(self.counts("cut")),
            "shots": [
                {
                    "shot": plan.shot.id,
                    "line": plan.shot.line,
                    "usd": float(plan.usd),
                    "actions": [
                        {"kind": a.kind, "slot": a.slot, "what": a.what, "why": a.why, "usd": float(a.usd)}
                        for a in plan.actions
                    ],
                }
                for plan in self.shots
            ],
        }


def plan_batch(batch: Batch, shots: Iterable[Shot], known: Known, catalogue: Catalogue) -> Plan:
    """The plan of a batch from values alone; the same values give the same plan."""
    return Plan(batch, tuple(plan_shot(batch, shot, known, catalogue) for shot in shots))


def plan_shot(batch: Batch, shot: Shot, known: Known, catalogue: Catalogue) -> ShotPlan:
    """The plan of one shot."""
    takes = [_take_action(batch, shot, take, known, catalogue) for take in range(1, shot.takes + 1)]
    clips = _clip_actions(batch, shot, known, catalogue) if shot.motion_prompt else []
    cuts = [cut for clip in clips for cut in _cut_actions(shot, clip, known)]
    return ShotPlan(shot, (*takes, *clips, *cuts))


def clip_keys(batch: Batch, shot: Shot, known: Known) -> list[tuple[int | None, str]]:
    """The keys that the shot's clips could have: one for each take that is made, or the one of text alone."""
    if shot.takes == 0:
        return [(None, clip_order(batch, shot, None, None).key)]
    made = ((take, known.jobs.get(take_order(batch, shot, take).key)) for take in range(1, shot.takes + 1))
    return [(take, clip_order(batch, shot, take, job.sha256).key) for take, job in made if job and job.sha256]


def frames_wanted(shot: Shot) -> int:
    """How many takes will be animated."""
    if shot.takes == 0:
        return 1
    if isinstance(shot.select, tuple):
        return len(shot.select)
    return shot.takes if shot.select == "all" else 1


def _take_action(batch: Batch, shot: Shot, take: int, known: Known, catalogue: Catalogue) -> Action:
    order = take_order(batch, shot, take)
    price = catalogue.get(shot.image_model).image_price(shot.image_size)
    return _paid_action("image", take_slot(take), shot, order.key, price, known)


def _clip_actions(batch: Batch, shot: Shot, known: Known, catalogue: Catalogue) -> list[Action]:
    price = catalogue.get(shot.video_model or "").video_price(shot.resolution, shot.duration_s)
    started = [(take, key) for take, key in clip_keys(batch, shot, known) if key in known.jobs]
    actions = [_paid_action("video", clip_slot(take), shot, key, price, known) for take, key in started]
    missing = frames_wanted(shot) - len(actions)
    why = "made of text alone" if shot.takes == 0 else "its frame is not chosen yet"
    return actions + [Action("video", "clip", "create", why, price) for _ in range(missing)]


def _cut_actions(shot: Shot, clip: Action, known: Known) -> list[Action]:
    job = known.jobs.get(clip.job_key or "")
    cuts = [a for a in known.assets.get(shot.id, ()) if a.kind == "cut" and job and a.parent == job.sha256]
    return [
        Action("cut", f"cut-{spec}", "reuse")
        if any(_is_there(shot, cut, known) for cut in cuts if cut.name.startswith(f"cut-{spec}-"))
        else Action("cut", f"cut-{spec}", "create")
        for spec in shot.cuts
    ]


_BY_STATE: dict[JobState, tuple[What, str]] = {
    JobState.PLANNED: ("create", ""),
    JobState.RESERVED: ("create", "reserved, not sent yet"),
    JobState.SUBMITTING: ("resume", "was being sent when it was last seen"),
    JobState.SUBMITTED: ("resume", "already submitted: its operation is awaited"),
    JobState.FINISHED: ("resume", "made, not archived yet"),
    JobState.UNKNOWN: ("held", "may have been accepted: see `callsheet resolve`"),
    JobState.BLOCKED: ("blocked", ""),
    JobState.FAILED: ("failed", ""),
    JobState.EXPIRED: ("failed", ""),
}


def _paid_action(kind: Kind, slot: str, shot: Shot, key: str, price: Decimal, known: Known) -> Action:
    job = known.jobs.get(key)
    if job is None:
        return Action(kind, slot, "create", "", price, key)
    if job.state is JobState.STORED:
        mine = (a for a in known.assets.get(shot.id, ()) if a.job_key == key and a.kind in ("take", "clip"))
        if any(_is_there(shot, asset, known) for asset in mine):
            return Action(kind, slot, "reuse", "", Decimal(0), key)
        return Action(kind, slot, "resume", "paid for; to be copied to this batch", Decimal(0), key)
    what, why = _BY_STATE[job.state]
    if what == "create" and job.parked_until is not None:
        what, why = "parked", f"goes on at {job.parked_until:%Y-%m-%d %H:%M} UTC"
    return Action(kind, slot, what, why or job.reason or "", price if what in ("create", "parked") else Decimal(0), key)


def _is_there(shot: Shot, asset: Asset, known: Known) -> bool:
    return f"shots/{folder_name(shot.id)}/{asset.name}" in known.files
