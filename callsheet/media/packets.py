"""The packing of a file's video: keyframes, order, bitrate.

It is read from the packets; nothing is decoded.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import av
import av.error

from callsheet.errors import MediaError
from callsheet.media.facts import VideoPackets
from callsheet.media.probe import SAFE_OPTIONS

# Coarse time bases make pictures of 33 and 34 ms out of 30 a second, which is even.
_UNEVEN = 0.2
# profile_idc of H.264 (ITU-T H.264, Annex A).
_PROFILES = {66: "baseline", 77: "main", 88: "extended", 100: "high", 110: "high 10", 122: "high 4:2:2"}


def read_packets(path: Path) -> VideoPackets:
    """Read how the first video stream of an MP4 is packed.

    Raises MediaError when it cannot be read or has no packets.
    """
    try:
        with av.open(str(path.absolute()), format="mp4", options=SAFE_OPTIONS) as container:
            video = container.streams.video[0]
            profile, level = _read_profile_level(video.codec_context.extradata or b"", video.codec_context.name)
            tick_s = float(video.time_base or 0)
            packets = [
                _Packet((p.pts or 0) * tick_s, (p.duration or 0) * tick_s, p.size, p.is_keyframe)
                for p in container.demux(video)
                if p.size and not p.is_discard
            ]
    except (av.error.FFmpegError, IndexError, ValueError) as error:
        raise MediaError(f"{path.name} cannot be read as a video ({error}). It has to be fetched again.") from error
    if not packets:
        raise MediaError(f"{path.name} holds no pictures. It has to be fetched again.")
    start_s, end_s = min(p.at_s for p in packets), max(p.at_s + p.lasts_s for p in packets)
    keys = sorted(p.at_s for p in packets if p.is_key)
    return VideoPackets(
        profile=profile,
        level=level,
        frames=len(packets),
        kbps=sum(p.size for p in packets) * 8 / 1000 / max(end_s - start_s, 1e-3),
        max_gop_s=max(b - a for a, b in pairwise([*keys, end_s])) if keys else end_s - start_s,
        closed=_is_closed(packets),
        b_frames=_count_b_frames(packets),
        even=_is_even(sorted(p.at_s for p in packets)),
    )


@dataclass(frozen=True, slots=True)
class _Packet:
    at_s: float
    lasts_s: float
    size: int
    is_key: bool


def _read_profile_level(extradata: bytes, codec: str) -> tuple[str, int]:
    # The avcC box: version, profile_idc, compatibility, level_idc (ISO/IEC 14496-15, 5.3.3.1).
    if codec != "h264" or len(extradata) < 4 or extradata[0] != 1:
        return "", 0
    return _PROFILES.get(extradata[1], f"profile {extradata[1]}"), extradata[3]


def _is_closed(packets: list[_Packet]) -> bool:
    """Return whether every picture decoded after a keyframe is also shown after it."""
    key_s = packets[0].at_s
    for packet in packets:
        if packet.is_key:
            key_s = packet.at_s
        elif packet.at_s < key_s:
            return False
    return packets[0].is_key


def _is_even(times: list[float]) -> bool:
    steps = [after - before for before, after in pairwise(times)]
    usual = sorted(steps)[len(steps) // 2] if steps else 0.0
    return all(abs(step - usual) <= usual * _UNEVEN for step in steps)


def _count_b_frames(packets: list[_Packet]) -> int:
    """Return the most pictures in a row shown before one that was decoded earlier."""
    shown_s, most, row = -1e9, 0, 0
    for packet in packets:
        row = row + 1 if packet.at_s < shown_s else 0
        shown_s, most = max(shown_s, packet.at_s), max(most, row)
    return most


@dataclass(frozen=True, slots=True)
class Track:
    """The packets of one stream.

    Their sha256, and when the first begins and the last ends, in seconds.
    """

    sha256: str
    start_s: float
    end_s: float


def read_track(path: Path, kind: Literal["video", "audio"]) -> Track | None:
    """Read the first video or audio stream of an MP4 as it is stored.

    None when it has none; raises MediaError when it is unreadable.
    """
    digest, start_s, end_s = hashlib.sha256(), math.inf, 0.0
    try:
        with av.open(str(path.absolute()), format="mp4", options=SAFE_OPTIONS) as container:
            stream = next((stream for stream in container.streams if stream.type == kind), None)
            if stream is None:
                return None
            for packet in container.demux(stream):
                if packet.size and packet.pts is not None:
                    digest.update(packet)
                    begins_s = float(packet.pts * (packet.time_base or 0))
                    start_s = min(start_s, begins_s)
                    end_s = max(end_s, begins_s + float((packet.duration or 0) * (packet.time_base or 0)))
    except (av.error.FFmpegError, ValueError) as error:
        raise MediaError(f"{path.name} cannot be read as a video ({error}). It has to be fetched again.") from error
    return Track(digest.hexdigest(), start_s, end_s)
