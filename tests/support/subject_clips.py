"""Clips with a subject whose place is known in every frame: grounds that stand still or pan, made with numpy."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw

from tests.support.media_samples import picture

FPS = 12
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Scene:
    """`start` and `end` are the subject's centre, `part` its size, `pan` the camera's way, all in shares."""

    ground: str
    start: tuple[float, float]
    end: tuple[float, float]
    part: tuple[float, float] = (0.12, 0.4)
    look: str = "red"
    pan: float = 0.0
    size: tuple[int, int] = (320, 180)
    frames: int = 36
    seed: int = 1


def make_subject_clip(path: Path, scene: Scene) -> list[Box]:
    """Write the clip; the subject's box (left, top, right, bottom in pixels) in each of its frames."""
    width, height = scene.size
    reach = int(abs(scene.pan) * width)
    ground = _ground(scene.ground, (width + reach, height), scene.seed)
    truth, pictures = [], []
    for number in range(scene.frames):
        share = number / (scene.frames - 1)
        offset = round(reach * (share if scene.pan >= 0 else 1 - share))
        x, y = (a + (b - a) * share for a, b in zip(scene.start, scene.end, strict=True))
        half_w, half_h = scene.part[0] * width / 2, scene.part[1] * height / 2
        box = (x * width - half_w, y * height - half_h, x * width + half_w, y * height + half_h)
        truth.append((max(0.0, box[0]), max(0.0, box[1]), min(width, box[2]), min(height, box[3])))
        pictures.append(_with_subject(ground[:, offset : offset + width], box, scene.look))
    write_clip(path, pictures)
    return truth


def write_clip(path: Path, pictures: list[np.ndarray], fps: int = FPS) -> Path:
    """Write RGB pictures as an H.264 clip with one key frame."""
    with av.open(str(path), "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=fps)
        video.height, video.width = pictures[0].shape[:2]
        video.pix_fmt, video.options = "yuv420p", {"preset": "ultrafast", "g": "250", "crf": "24"}
        video.codec_context.thread_count = 1
        for number, rgb in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(video.encode(frame))
        container.mux(video.encode())
    return path


def _ground(kind: str, size: tuple[int, int], seed: int) -> np.ndarray:
    if kind == "busy":
        return np.asarray(picture(seed, size))
    width, height = size
    if kind == "sky":
        share = np.linspace(0, 1, height)[:, None, None] + np.zeros((1, width, 1))
        return (np.array([120, 150, 190]) * (1 - share) + np.array([60, 80, 70]) * share).astype(np.uint8)
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width), np.float32)
    for cells, weight in ((4, 50), (9, 40), (20, 30), (45, 20), (100, 12)):
        noise = rng.normal(0, weight, (cells, max(2, cells * width // height))).astype(np.float32)
        total += np.asarray(Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC))
    return np.clip(total[..., None] * np.array([1, 0.9, 0.7]) + [110, 120, 110], 0, 255).astype(np.uint8)


def _with_subject(ground: np.ndarray, box: Box, look: str) -> np.ndarray:
    image = Image.fromarray(np.ascontiguousarray(ground))
    draw = ImageDraw.Draw(image)
    left, top, right, bottom = (round(value) for value in box)
    wide, high = right - left, bottom - top
    if look == "red":
        draw.ellipse((left, top, right, bottom), fill=(220, 50, 40))
        draw.ellipse((left + wide // 3, top + high // 4, left + wide // 2, top + high // 2), fill=(250, 230, 220))
    elif look == "grey":  # a figure of low contrast
        draw.ellipse((left + wide * 0.3, top, left + wide * 0.7, top + high * 0.3), fill=(165, 145, 130))
        draw.rectangle((left, top + high * 0.3, right, bottom), fill=(85, 90, 100))
    else:  # dark and plain
        draw.rectangle((left, top, right, bottom), fill=(25, 25, 30))
        draw.rectangle(
            (left + wide * 0.2, top + high * 0.2, left + wide * 0.8, top + high * 0.35), fill=(120, 120, 130)
        )
    return np.asarray(image)
