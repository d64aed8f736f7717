"""What is known of a clip before it is cut: found once, shared by all its cuts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from callsheet.errors import MediaError
from callsheet.framing.subject import Subject
from callsheet.media.packets import VideoPackets, read_packets
from callsheet.media.probe import VideoProbe, probe_video

MIN_SIDE = 64
UNKNOWN = Subject((), "centre", "the subject was not looked for")


@dataclass(frozen=True, slots=True)
class Analysis:
    """What a clip is, how its video is packed, and where its subject is."""

    probe: VideoProbe
    packets: VideoPackets
    subject: Subject = UNKNOWN


@dataclass(frozen=True, slots=True)
class Upright:
    """A clip's picture as it is shown: stored pixels after turning, `sar` is the shape of a pixel."""

    width: int
    height: int
    sar: Fraction

    @property
    def shown(self) -> tuple[Fraction, Fraction]:
        """Width and height in square pixels, the shorter stored side kept."""
        return self.width * max(self.sar, Fraction(1)), self.height / min(self.sar, Fraction(1))


async def analyse(source: Path, *, subject: Subject = UNKNOWN) -> Analysis:
    """Look at an MP4 without decoding it; MediaError when it cannot be read."""
    probe = await asyncio.to_thread(probe_video, source)
    packets = await asyncio.to_thread(read_packets, source)
    return Analysis(probe, packets, subject)


def upright(probe: VideoProbe) -> Upright:
    """The clip as it is shown; MediaError for one that cannot be cut: mirrored, tiny, or of strange pixels."""
    if probe.rotation is None:
        raise MediaError("The clip is mirrored or slanted by its metadata. Re-encode it upright, then cut it.")
    width, height, sar = probe.width, probe.height, probe.sar
    if probe.rotation in (90, 270):
        width, height, sar = height, width, 1 / sar
    if min(width, height) < MIN_SIDE or not Fraction(1, 4) <= sar <= 4:
        raise MediaError(
            f"The clip has {width}x{height} pixels of shape {sar}; at least {MIN_SIDE} px a side are needed."
        )
    return Upright(width, height, sar)
