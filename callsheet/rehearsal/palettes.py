"""Colours for the rehearsal pictures.

Sky from top to horizon, light, far land, near land, accent.
"""

from __future__ import annotations

import colorsys
import random
from dataclasses import dataclass

Colour = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours of one picture, each channel 0..255."""

    zenith: Colour
    sky: Colour
    horizon: Colour
    light: Colour
    far: Colour
    near: Colour
    accent: Colour


def _parse_colour(text: str) -> Colour:
    return (float(int(text[0:2], 16)), float(int(text[2:4], 16)), float(int(text[4:6], 16)))


def _parse_palette(line: str) -> Palette:
    return Palette(*(_parse_colour(part) for part in line.split()))


# zenith sky horizon light far near accent
PALETTES = tuple(
    _parse_palette(line)
    for line in (
        "2b2d6e 7a5c9e ffb48a fff0c9 8a6a9c 1f1b3a ff6f61",  # dusk
        "1d3f72 4f8fc0 f6d9b8 fff6dc 7fa3bb 17324a f2a541",  # clear morning
        "0d1b2a 1b3a57 49769a e8f1ff 2f5573 07121c 8fd3ff",  # moonlight
        "5b2a59 c7576b ffc27a ffe9b0 b06a72 35193a ffd166",  # ember
        "184e52 3f9a8f f2e3b3 fffbe0 6fb0a0 103235 ff8c61",  # lagoon
        "6a8caf b9d0de fbeee0 ffffff a8bccb 3c5468 d9725c",  # haze
        "2a1f3d 8f3f6f ff7f7f ffe3c2 7a4470 170f26 f7b267",  # magenta evening
        "30475e 7f9aa8 e6d7b9 fff4d6 98a493 2a3a33 c8553d",  # autumn
        "0b132b 1c2541 3a506b 9ff5d0 24405a 050a17 5bc0be",  # aurora
        "8a5a44 d9a066 f9e0ae fff7df c98b5a 4a2c22 2a7f8e",  # desert
        "3a6ea5 84bde0 ffe8d6 ffffff 86b39b 1f4d3a ffb703",  # spring
        "43304f 9a6f8f f4cfc0 fff1e6 a88aa0 2c2036 e5989b",  # rose
    )
)


def choose(rng: random.Random) -> Palette:
    """Return one of the palettes, its hues shifted a little together."""
    palette = rng.choice(PALETTES)
    return _shift(palette, rng.uniform(-0.035, 0.035), rng.uniform(0.92, 1.06))


def tinted(palette: Palette, zenith: Colour, horizon: Colour, near: Colour) -> Palette:
    """Return the palette drawn towards three colours of a reference picture."""
    return Palette(
        zenith=mix(palette.zenith, zenith, 0.75),
        sky=mix(mix(zenith, horizon, 0.5), palette.sky, 0.2),
        horizon=mix(palette.horizon, horizon, 0.75),
        light=palette.light,
        far=mix(mix(near, horizon, 0.5), palette.far, 0.2),
        near=mix(mix(palette.near, near, 0.7), (0.0, 0.0, 0.0), 0.35),
        accent=palette.accent,
    )


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """Mix `a` with `share` (0..1) of `b`."""
    return (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share)


def _shift(palette: Palette, hue: float, strength: float) -> Palette:
    def shift(colour: Colour) -> Colour:
        h, s, v = colorsys.rgb_to_hsv(*(channel / 255 for channel in colour))
        r, g, b = colorsys.hsv_to_rgb((h + hue) % 1.0, min(1.0, s * strength), v)
        return (r * 255, g * 255, b * 255)

    return Palette(
        zenith=shift(palette.zenith),
        sky=shift(palette.sky),
        horizon=shift(palette.horizon),
        light=shift(palette.light),
        far=shift(palette.far),
        near=shift(palette.near),
        accent=shift(palette.accent),
    )
