"""Paint the landscapes of rehearsal pictures with numpy.

Layers of land under a sky with soft light. Everything is a function of the generator given, so the same seed gives the
same pixels.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from callsheet.rehearsal.palettes import Colour, Palette, mix

Canvas = NDArray[np.uint8]
Line = NDArray[np.float32]

# The sky is smooth, so it is computed on a grid this many times coarser and scaled up.
SKY_GRID = 8


def paint(rng: random.Random, palette: Palette, width: int, height: int) -> Canvas:
    """Paint a picture of `width` x `height` pixels in RGB.

    Sky, sun or moon, and one of the scenes.
    """
    sun = (rng.uniform(0.22, 0.78), rng.uniform(0.24, 0.5))
    canvas = _sky(rng, palette, sun, width, height)
    _disc(canvas, palette.light, sun[0] * width, sun[1] * height, rng.uniform(0.035, 0.075) * height)
    rng.choice(SCENES)(rng, palette, canvas, sun[0])
    return canvas


def _sky(rng: random.Random, palette: Palette, sun: tuple[float, float], width: int, height: int) -> Canvas:
    w, h = max(8, width // SKY_GRID), max(8, height // SKY_GRID)
    y = np.linspace(0, 1, h, dtype=np.float32)
    x = np.linspace(0, 1, w, dtype=np.float32)
    stops = np.array([palette.zenith, palette.sky, palette.horizon, palette.horizon], dtype=np.float32)
    grid = np.stack([np.interp(y, (0, 0.38, 0.66, 1), stops[:, c]) for c in range(3)], -1)[:, None, :].repeat(w, 1)
    dx, dy = (x[None, :] - sun[0]) * (width / height), y[:, None] - sun[1]
    glow = np.exp(-(dx**2 + dy**2) / 0.06) * 0.75 + np.exp(-(dx**2 + dy**2) / 0.6) * 0.28
    cloud = _clouds(rng, w, h) * np.exp(-(((y[:, None] - rng.uniform(0.2, 0.45)) / 0.22) ** 2)) * 0.5
    light = np.array(palette.light, dtype=np.float32)
    for mask in (cloud, glow):
        grid += (light - grid) * np.clip(mask, 0, 0.92)[..., None]
    small = Image.fromarray(np.clip(grid, 4, 250).astype(np.uint8))
    return np.array(small.resize((width, height), Image.Resampling.BICUBIC))


def _clouds(rng: random.Random, w: int, h: int) -> NDArray[np.float32]:
    total = np.zeros((h, w), np.float32)
    for cells, weight in ((3, 0.55), (7, 0.3), (15, 0.15)):
        noise = bytes(rng.randrange(256) for _ in range(cells * cells * 2))
        tile = Image.frombytes("L", (cells, cells * 2), noise).resize((w, h), Image.Resampling.BICUBIC)
        total += np.asarray(tile, np.float32) * (weight / 255)
    clouds: NDArray[np.float32] = np.clip((total - 0.42) * 3.2, 0, 1)
    return clouds


def _disc(canvas: Canvas, colour: Colour, cx: float, cy: float, radius: float) -> None:
    height, width, _ = canvas.shape
    top, bottom = max(0, int(cy - radius - 2)), min(height, int(cy + radius + 3))
    left, right = max(0, int(cx - radius - 2)), min(width, int(cx + radius + 3))
    y, x = np.ogrid[top:bottom, left:right]
    cover = np.clip(radius - np.sqrt((x - cx) ** 2 + (y - cy) ** 2) + 0.5, 0, 1).astype(np.float32)
    _blend(canvas[top:bottom, left:right], np.array(colour, np.float32), cover * 0.94)


def _blend(area: Canvas, colour: NDArray[np.float32], cover: NDArray[np.float32]) -> None:
    area[...] = (area + (colour - area) * cover[..., None]).astype(np.uint8)


def rough_line(rng: random.Random, width: int, *, points: int, octaves: int, decay: float = 0.5) -> Line:
    """Return a jagged line of `width` values around 0, about -1..1.

    Value noise, linear between its points.
    """
    x = np.linspace(0, 1, width, dtype=np.float32)
    total = np.zeros(width, np.float32)
    for octave in range(octaves):
        n = points * 2**octave
        knots = [rng.uniform(-1, 1) for _ in range(n + 1)]
        total += np.interp(x, np.linspace(0, 1, n + 1), knots).astype(np.float32) * decay**octave
    return total


def smooth_line(rng: random.Random, width: int, *, waves: int) -> Line:
    """Return a rolling line of `width` values around 0, about -1..1: a few sines."""
    x = np.linspace(0, 2 * np.pi, width, dtype=np.float32)
    total = np.zeros(width, np.float32)
    for _ in range(waves):
        total += np.sin(x * rng.uniform(0.4, 2.2) + rng.uniform(0, 6.28)) * rng.uniform(0.3, 1)
    return (total / waves).astype(np.float32)


def land(canvas: Canvas, ridge: Line, top: Colour, bottom: Colour, *, relief: float = 0.0) -> None:
    """Fill below `ridge`, from colour `top` to `bottom`, edges smoothed.

    `ridge` is a y in pixels for each x. `relief` lightens slopes that face left and darkens the others, strongest at
    the ridge.
    """
    height, width, _ = canvas.shape
    line = np.clip(ridge, 0, height)
    first, last = int(line.min()), min(height, int(line.max()) + 2)
    share = np.linspace(0, 1, max(1, height - first), dtype=np.float32)[:, None]
    rows = np.array(top, np.float32) * (1 - share) + np.array(bottom, np.float32) * share
    if first < last:
        y = np.arange(first, last, dtype=np.float32)[:, None]
        cover = np.clip(y + 1 - line[None, :], 0, 1)
        colour = rows[: last - first, None, :].repeat(width, 1) if relief else rows[: last - first, None, :]
        if relief:
            slope = np.clip(np.gradient(line) * relief, -0.35, 0.35)
            colour *= (1 - slope[None, :] * np.exp(-(y - line[None, :]).clip(0) / (0.16 * height)))[..., None]
            np.clip(colour, 4, 250, out=colour)
        _blend(canvas[first:last], colour, cover)
    canvas[last:] = rows[last - first :, None, :].astype(np.uint8)


def _mountains(rng: random.Random, palette: Palette, canvas: Canvas, sun_x: float) -> None:
    height, width, _ = canvas.shape
    layers = rng.randint(4, 6)
    for layer in range(layers):
        depth = layer / (layers - 1)
        points = rng.randint(3, 6)
        line = rough_line(rng, width, points=points, octaves=6 if depth < 0.7 else 7)
        ridge = height * (0.52 + 0.36 * depth + line * (0.17 - 0.1 * depth))
        colour = mix(palette.far, palette.near, depth)
        mist = mix(colour, palette.horizon, 0.5 * (1 - depth))
        land(canvas, ridge, mix(colour, palette.horizon, 0.22 * (1 - depth)), mist, relief=0.16 * (1 - 0.6 * depth))


def _dunes(rng: random.Random, palette: Palette, canvas: Canvas, sun_x: float) -> None:
    height, width, _ = canvas.shape
    for layer in range(4):
        depth = layer / 3
        ridge = height * (0.56 + 0.34 * depth + smooth_line(rng, width, waves=3) * (0.07 + 0.05 * depth))
        lit = mix(mix(palette.horizon, palette.far, 0.35 + 0.3 * depth), palette.accent, 0.12)
        land(canvas, ridge, lit, mix(palette.far, palette.near, 0.25 + 0.6 * depth), relief=0.9)


def _sea(rng: random.Random, palette: Palette, canvas: Canvas, sun_x: float) -> None:
    height, width, _ = canvas.shape
    horizon = int(height * rng.uniform(0.56, 0.64))
    for depth in (0.25, 0.55):
        island = rough_line(rng, width, points=3, octaves=6) * 0.12 - 0.03 + depth * 0.05
        land(
            canvas,
            horizon - height * np.clip(island, -0.001, 1) + 1,
            mix(palette.far, palette.near, depth),
            palette.far,
        )
    water = canvas[horizon:]
    mirrored = canvas[max(0, 2 * horizon - height) : horizon][::-1].astype(np.float32)
    deep = np.linspace(0.3, 0.72, len(water), dtype=np.float32)[:, None, None]
    base = np.array(mix(palette.sky, palette.near, 0.55), np.float32)
    water[: len(mirrored)] = (mirrored + (base - mirrored) * deep[: len(mirrored)]).astype(np.uint8)
    water[len(mirrored) :] = base.astype(np.uint8)
    _glitter(rng, canvas, palette.light, horizon, sun_x)


def _glitter(rng: random.Random, canvas: Canvas, colour: Colour, horizon: int, sun_x: float) -> None:
    height, width, _ = canvas.shape
    light = np.array(colour, np.float32)
    y = horizon + 2.0
    while y < height:
        far = (y - horizon) / (height - horizon)
        thick = max(1, int(1 + 3 * far * height / 768))
        for _ in range(3):
            half = rng.uniform(0.01, 0.03 + 0.09 * far) * width
            cx = (sun_x + rng.gauss(0, 0.012 + 0.05 * far)) * width
            area = canvas[int(y) : int(y) + thick, max(0, int(cx - half)) : max(0, int(cx + half))]
            _blend(area, light, np.full(area.shape[:2], 0.5 - 0.28 * far, np.float32))
        y += thick + rng.uniform(2, 5 + 16 * far) * height / 768


def _forest(rng: random.Random, palette: Palette, canvas: Canvas, sun_x: float) -> None:
    height, width, _ = canvas.shape
    for layer in range(4):
        depth = layer / 3
        ground = height * (0.6 + 0.3 * depth + smooth_line(rng, width, waves=2) * 0.05)
        ridge = ground - _trees(rng, width, height * (0.05 + 0.13 * depth))
        colour = mix(palette.far, palette.near, 0.1 + 0.9 * depth)
        land(canvas, ridge, colour, mix(colour, palette.horizon, 0.42 * (1 - depth)))


def _trees(rng: random.Random, width: int, tall: float) -> Line:
    """Return the heights of a row of conifers: triangles with stepped sides.

    The triangles overlap.
    """
    line = np.zeros(width, np.float32)
    x = -tall
    while x < width + tall:
        size = tall * rng.uniform(0.45, 1.0)
        half = size * 0.24
        left, right = max(0, int(x - half)), min(width, int(x + half) + 1)
        if left < right:
            away = np.abs(np.arange(left, right, dtype=np.float32) - x) / half
            shape = (1 - away) * size + np.abs(np.sin(away * 14)) * size * 0.05 * (away < 0.95)
            np.maximum(line[left:right], shape, out=line[left:right])
        x += half * rng.uniform(0.5, 1.7)
    return line


def _city(rng: random.Random, palette: Palette, canvas: Canvas, sun_x: float) -> None:
    height, width, _ = canvas.shape
    for layer in range(3):
        depth = layer / 2
        roofs = np.empty(width, np.float32)
        x = 0
        while x < width:
            block = int(width * rng.uniform(0.018, 0.06))
            roofs[x : x + block] = height * (0.36 + 0.3 * depth + rng.uniform(0, 0.3 - 0.08 * depth))
            x += block
        colour = mix(palette.far, palette.near, 0.25 + 0.75 * depth)
        land(canvas, roofs, colour, mix(colour, palette.horizon, 0.4 * (1 - depth)))
        if depth:
            _windows(rng, canvas, roofs, palette.light, palette.accent)


def _windows(rng: random.Random, canvas: Canvas, roofs: Line, light: Colour, accent: Colour) -> None:
    height, width, _ = canvas.shape
    step, size = max(6, height // 64), max(2, height // 220)
    for x in range(step, width - step, step):
        if roofs[x] != roofs[x - size] or roofs[x] != roofs[x + size]:
            continue
        for y in range(int(roofs[x]) + step, height - step, int(step * 1.5)):
            if rng.random() < 0.16:
                canvas[y : y + size + 1, x : x + size] = mix(light, accent, rng.random() * 0.6)


Scene = Callable[[random.Random, Palette, Canvas, float], None]
SCENES: tuple[Scene, ...] = (_mountains, _mountains, _dunes, _sea, _forest, _city)
