"""Looking at a finished cut: is it what was planned, and what the platform takes?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from callsheet.cutting.analysis import Analysis
from callsheet.cutting.plan import CutPlan
from callsheet.cutting.sound import Sound
from callsheet.media.packets import VideoPackets
from callsheet.media.probe import VideoProbe


@dataclass(frozen=True, slots=True)
class Quality:
    """What was seen of a cut that passed."""

    probe: VideoProbe
    packets: VideoPackets


def check_cut(plan: CutPlan, clip: Analysis, sound: Sound | None, source: Path, cut: Path) -> Quality:
    """Look at the file `cut`; MediaError, with every reason, unless it is what `plan` makes of the clip `source`."""
    raise NotImplementedError
