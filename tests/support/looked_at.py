"""What a finished MP4 is, found without callsheet: by its raw boxes, by PyAV's frames, and by ffmpeg's own words."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg


@dataclass(frozen=True)
class Seen:
    boxes: tuple[str, ...]  # outermost ones, in order
    has_elst: bool
    stream: str  # ffmpeg's line on the video
    width: int
    height: int
    sar: Fraction
    times: tuple[float, ...]  # when every decoded picture is shown
    keyframes: tuple[float, ...]
    open_gop: bool
    audio: tuple[str, int, int] | None
    audio_from_s: float | None
    audio_to_s: float | None
    lufs: float | None
    peak_dbtp: float | None
    size: int
    video_kbps: float

    @property
    def fps(self) -> float:
        return (len(self.times) - 1) / (self.times[-1] - self.times[0])

    @property
    def duration_s(self) -> float:
        return self.times[-1] - self.times[0] + 1 / self.fps

    @property
    def longest_gop_s(self) -> float:
        ends = [*self.keyframes[1:], self.times[-1] + 1 / self.fps]
        return max(end - start for start, end in zip(self.keyframes, ends, strict=True))


def look_at(path: Path) -> Seen:
    data = path.read_bytes()
    said = _ffmpeg("-i", str(path))
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        frames = list(container.decode(video))
        first = frames[0]
        sar = Fraction(video.sample_aspect_ratio or 1)
    audio, from_s, to_s = _audio(path)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    keyframes = [float(packet.pts * packet.time_base) for packet in packets if packet.is_keyframe]
    heard = _ffmpeg("-i", str(path), "-map", "0:a", "-af", "ebur128=peak=true", "-f", "null", "-") if audio else ""
    times = tuple(float(frame.time) for frame in frames)
    return Seen(
        boxes=tuple(_kinds(data)),
        has_elst=b"elst" in _box(data, b"moov"),
        stream=re.search(r"Stream #.*Video: .*", said)[0],
        width=first.width,
        height=first.height,
        sar=sar,
        times=times,
        keyframes=tuple(sorted(keyframes)),
        open_gop=_is_open(packets),
        audio=audio,
        audio_from_s=from_s,
        audio_to_s=to_s,
        lufs=_last(r"I:\s+(-?[\d.]+|-inf) LUFS", heard),
        peak_dbtp=_last(r"Peak:\s+(-?[\d.]+|-inf) dBFS", heard),
        size=len(data),
        video_kbps=sum(packet.size for packet in packets) * 8 / 1000 / (times[-1] + times[1] - 2 * times[0]),
    )


def _ffmpeg(*arguments: str) -> str:
    argv = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-hide_banner", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stderr


def _last(pattern: str, text: str) -> float | None:
    found = re.findall(pattern, text)
    return float(found[-1]) if found else None


def _kinds(data: bytes):
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8].decode("latin-1")
        at += int.from_bytes(data[at + 8 : at + 16], "big") if size == 1 else size or len(data)


def _box(data: bytes, kind: bytes) -> bytes:
    at = data.index(kind) - 4
    return data[at : at + int.from_bytes(data[at : at + 4], "big")]


def _is_open(packets) -> bool:
    shown = -1
    for packet in packets:
        if packet.is_keyframe:
            shown = packet.pts
        elif packet.pts < shown:
            return True
    return False


def _audio(path: Path):
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None, None, None
        stream = container.streams.audio[0]
        frames = list(container.decode(stream))
        told = (stream.codec_context.name, stream.sample_rate, stream.channels)
    last = frames[-1]
    return told, float(frames[0].time), float(last.time) + last.samples / last.sample_rate
