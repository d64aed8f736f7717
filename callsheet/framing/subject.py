"""Where the subject of a clip is, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

How = Literal["given", "asked", "saliency", "centre"]


@dataclass(frozen=True, slots=True)
class SubjectBox:
    """The subject at one moment (seconds into the clip), in shares 0..1 of the upright picture."""

    at_s: float
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Subject:
    """The subject's boxes in the order of time (none: unknown), how they were found, and why so in one sentence."""

    boxes: tuple[SubjectBox, ...]
    how: How
    reason: str
