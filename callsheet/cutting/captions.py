"""Captions: what is to be read, and when. The files come from others, so everything in them is bounded and checked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cue:
    """Text shown from `start_s` to before `end_s`; lines are separated by newlines, without markup."""

    start_s: float
    end_s: float
    text: str


def read_captions(data: bytes, name: str = "the captions") -> tuple[Cue, ...]:
    """The cues of an SRT or WebVTT file in order of time, never two at once: what overlaps is shown together.

    Tags, settings and comments are left out. MediaError names the file, the line, what is wrong and what to do.
    """
    raise NotImplementedError


def spread_text(text: str, duration_s: float) -> tuple[Cue, ...]:
    """Plain text as cues over the whole length, each as long as its share of the reading.

    MediaError when there is more text than can be read in that time.
    """
    raise NotImplementedError
