"""Real pictures and clips, made with Pillow and PyAV, for the media tests."""

from __future__ import annotations

import io
import random
import shutil
import struct
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from PIL import Image, ImageDraw

from tests.support.shared_media import once_a_session


def picture(seed: int = 1, size: tuple[int, int] = (1024, 576)) -> Image.Image:
    """A colourful picture with edges, different for each seed."""
    rng = random.Random(seed)
    grid = Image.new("RGB", (8, 5))
    grid.putdata([tuple(rng.randrange(256) for _ in range(3)) for _ in range(40)])
    image = grid.resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(60):
        x, y = rng.randrange(size[0]), rng.randrange(size[1])
        draw.ellipse((x, y, x + 40, y + 30), fill=tuple(rng.randrange(256) for _ in range(3)))
    return image


def encoded(image: Image.Image, format_: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, quality=90)
    return buffer.getvalue()


class Sample(NamedTuple):
    """What `make_clip` is asked for."""

    size: tuple[int, int]
    frames: int
    fps: int
    audio: bool
    codec: str
    pix_fmt: str
    bframes: int
    times: list[int] | None
    audio_from_s: float
    volume: float
    options: dict[str, str] | None
    colours: int


def make_clip(
    path: Path,
    size: tuple[int, int] = (1280, 720),
    *,
    frames: int = 24,
    fps: int = 24,
    audio: bool = True,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    bframes: int = 2,
    times: list[int] | None = None,
    audio_from_s: float = 0.0,
    volume: float = 0.1,
    options: dict[str, str] | None = None,
    colours: int = 2,
) -> Path:
    """A clip of a bar that moves right, with a tone; its colours are BT.601's, tagged so (5) or not tagged (2).

    `times` gives each frame's time in frame durations. Of the same wish a session makes one clip and copies it.
    """
    sample = Sample(size, frames, fps, audio, codec, pix_fmt, bframes, times, audio_from_s, volume, options, colours)
    made = once_a_session(repr(sample), lambda part: _encode_sample(part, sample))
    return shutil.copyfile(made, path)


def _encode_sample(path: Path, sample: Sample) -> None:
    size, frames, fps, audio, codec, pix_fmt, bframes, times, audio_from_s, volume, options, colours = sample
    width, height = size
    with av.open(str(path), "w", format="mp4", options=options or {}) as container:
        video = container.add_stream(codec, rate=fps)
        video.width, video.height, video.pix_fmt = width, height, pix_fmt
        video.options = {"preset": "ultrafast", "bf": str(bframes), "b_strategy": "0"}
        video.codec_context.thread_count = 1
        video.codec_context.colorspace = colours
        sound = container.add_stream("aac", rate=48000, layout="stereo") if audio else None
        ground = np.asarray(picture(3, size)).copy()
        for number in range(frames):
            image = ground.copy()
            x = number * width // frames // 2
            image[:, x : x + width // 8] = (250, 20, 20)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = (times[number] if times else number), Fraction(1, fps)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if sound:
            _tone(container, sound, (times[-1] + 1 if times else frames) / fps, audio_from_s, volume)


def _tone(container, stream, until_s: float, from_s: float, volume: float) -> None:
    first, count = int(from_s * 48000), int((until_s - from_s) * 48000)
    wave = (volume * np.sin(np.arange(count) * 2 * np.pi * 440 / 48000)).astype(np.float32)
    for start in range(0, count, 1024):
        piece = np.stack([wave[start : start + 1024]] * 2)
        frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, first + start, Fraction(1, 48000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def turn(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Rewrite the matrix (a, b, c, d) of the first track header, which turns the picture when shown."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (value * 65536 for value in matrix)
    struct.pack_into(">5i", data, at, a, b, 0, c, d)
    path.write_bytes(data)
    return path


def video_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def first_times(path: Path) -> dict[str, float]:
    """The time of the first decoded video frame and audio sample, in seconds."""
    found: dict[str, float] = {}
    for kind in ("video", "audio"):
        with av.open(str(path)) as container:
            for frame in container.decode(**{kind: 0}):
                found[kind] = float(frame.pts * frame.time_base)
                break
    return found


def frame_at(path: Path, number: int) -> np.ndarray:
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index == number:
                return frame.to_ndarray(format="rgb24")
    raise AssertionError(f"no frame {number}")


def onset_s(path: Path, level: float = 0.03) -> float:
    """When the tone begins, in seconds of the file."""
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            loud = np.abs(frame.to_ndarray()[0]) > level
            if loud.any():
                return float(frame.pts * frame.time_base) + int(np.argmax(loud)) / frame.sample_rate
    raise AssertionError("no tone")
