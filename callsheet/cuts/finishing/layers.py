"""Layers over a cut's picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

_REEL = ".ffconcat"
_LAST_FRAME_S = 0.1


@dataclass(frozen=True, slots=True)
class Layer:
    """A PNG with transparency over the finished picture.

    Its upper left corner is at (x, y), in pixels. Seen from `start_s` to before `end_s` of the cut; None is until the
    end. A picture that ends in ".ffconcat" is a reel: PNGs of one size that follow each other.
    """

    picture: Path
    x: int
    y: int
    start_s: float = 0.0
    end_s: float | None = None


def write_reel(shown: Sequence[tuple[float, float, Image.Image]], until_s: float, folder: Path) -> Path:
    """Write a reel of pictures of one size.

    Each with its start and end in seconds, in order and never two at once. `until_s` is the end of what they are laid
    over. However many they are, ffmpeg opens one input and has one of them in memory: 120 captions took 92 MB, as
    inputs of their own 571 MB (measured with FFmpeg 9.0.2, 2026-11-21).
    """
    blank = folder / "blank.png"
    Image.new("RGBA", shown[0][2].size).save(blank, compress_level=1)
    lines, now = ["ffconcat version 1.0"], 0.0
    for number, (start, end, picture) in enumerate(shown):
        if start > now:
            lines += _build_entry(blank.name, start - now)
        name = f"caption-{number:03d}.png"
        picture.save(folder / name, compress_level=1)
        lines += _build_entry(name, end - max(start, now))
        now = end
    # A picture that comes after the film's last frame would add a frame to it.
    if now < until_s - _LAST_FRAME_S:
        lines += _build_entry(blank.name, until_s - now)
    reel = folder / f"captions{_REEL}"
    reel.write_text("\n".join([*lines, ""]))
    return reel


def _build_entry(name: str, duration_s: float) -> list[str]:
    # At its own rate of 25 the demuxer of pictures would round the times to 40 ms.
    return [f"file {name}", "option framerate 1000", f"duration {duration_s:.6f}"]


def overlay_graph(layers: tuple[Layer, ...], picture: str, first_input: int) -> tuple[list[str], str, str]:
    """Build the ffmpeg pieces that lay `layers` over the stream `picture`.

    `picture` is a label ("v0", say). Returns the arguments that open their inputs, of which the first is number
    `first_input`; the chains of the filter graph, to be joined to the others by ";" ("" when there are no layers); and
    the label of the outcome. Times count from the picture's time zero, so its time stamps must begin there.
    """
    inputs: list[str] = []
    chains: list[str] = []
    for number, layer in enumerate(layers):
        # "Unsafe" are options in a list; this one was written here.
        form = ["concat", "-safe", "0"] if layer.picture.suffix == _REEL else ["png_pipe"]
        inputs += [
            "-threads",
            "1",
            "-protocol_whitelist",
            "file",
            "-f",
            *form,
            "-i",
            f"file:{layer.picture.absolute()}",
        ]
        # FFmpeg 9 finds the matrix by itself; older ones would take that of BT.601.
        chains.append(
            f"[{first_input + number}:v]scale=out_color_matrix=bt709:out_range=tv,format=yuva420p[layer{number}]"
        )
        chains.append(
            f"[{picture}][layer{number}]overlay=x={layer.x}:y={layer.y}:format=yuv420{_build_condition(layer)}[over{number}]"
        )
        picture = f"over{number}"
    return inputs, ";".join(chains), picture


def _build_condition(layer: Layer) -> str:
    after = f"gte(t,{layer.start_s:.6f})" if layer.start_s else ""
    before = f"lt(t,{layer.end_s:.6f})" if layer.end_s is not None else ""
    condition = "*".join(part for part in (after, before) if part)
    return f":enable='{condition}'" if condition else ""
