"""What is laid over a cut's picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Layer:
    """A PNG with transparency, put with its upper left corner at (x, y) of the finished picture, in pixels.

    Seen from `start_s` to before `end_s` of the cut; None is until the end.
    """

    picture: Path
    x: int
    y: int
    start_s: float = 0.0
    end_s: float | None = None


def overlay_graph(layers: tuple[Layer, ...], picture: str, first_input: int) -> tuple[list[str], str, str]:
    """The ffmpeg pieces that lay `layers` over the stream labelled `picture` ("v0", say).

    Returns the arguments that open their inputs, of which the first is number `first_input`; the chains of the filter
    graph, to be joined to the others by ";" ("" when there are no layers); and the label of the outcome. Times count
    from the picture's time zero, so its time stamps must begin there.
    """
    raise NotImplementedError
