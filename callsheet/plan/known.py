"""What a plan is made from: what ledger and archive know of a batch, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from callsheet.decisions import FrameDecision, FramePin
from callsheet.ledger import Job
from callsheet.shots import Asset


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something in the archive that may be what is about to be paid for, and that nothing explains.

    `slot` is the take or the kind of file that it may be, "" for anything of the shot.
    """

    shot: str
    name: str
    why: str
    slot: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger and the archive know: jobs by key, assets by shot, and the file names that are there.

    `files` holds names relative to the batch's folder; a stored asset that is not among them is not reused. `earlier`
    has the job that filled a slot of a shot when the batch ran last, by shot and slot. `abandoned` are the keys of jobs
    whose process was gone while their request was under way. `shots` are all that the batch ever had. `decisions` are
    those of people about frames, by shot and in order of time; `pins` are the choices of frames, likewise. `doubts` are
    what the archive has and nothing explains.
    """

    jobs: Mapping[str, Job] = field(default_factory=dict)
    assets: Mapping[str, tuple[Asset, ...]] = field(default_factory=dict)
    files: frozenset[str] = frozenset()
    earlier: Mapping[tuple[str, str], Job] = field(default_factory=dict)
    abandoned: frozenset[str] = frozenset()
    shots: tuple[str, ...] = ()
    decisions: Mapping[str, tuple[FrameDecision, ...]] = field(default_factory=dict)
    pins: Mapping[str, tuple[FramePin, ...]] = field(default_factory=dict)
    doubts: tuple[Doubt, ...] = ()
