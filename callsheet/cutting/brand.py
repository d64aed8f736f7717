"""What is laid over a cut: captions, logo, disclosure label and end card, drawn for one size and one safe zone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from callsheet.cutting.captions import Cue
from callsheet.cutting.layers import Layer
from callsheet.platforms.spec import PlatformSpec
from callsheet.shots import Finish


@dataclass(frozen=True, slots=True)
class Materials:
    """What a shot's Finish names, read from its files and checked. Pictures are the bytes of PNG, JPEG or WebP.

    `text` are captions without times, spread over the clip. `card_s` is 0.0 when there is no end card. `font` is the
    user's own font file.
    """

    cues: tuple[Cue, ...] = ()
    text: str | None = None
    logo: bytes | None = None
    card: bytes | None = None
    card_s: float = 0.0
    label: str | None = None
    music: Path | None = None
    font: Path | None = None


def read_materials(finish: Finish, folder: Path, font: Path | None = None) -> Materials:
    """The materials of `finish`; music is copied to `folder`. Blocks while it reads.

    MediaError when a file is gone, is not the one whose hash the manifest's reading took down, or cannot be used.
    """
    raise NotImplementedError


def layers_for(
    materials: Materials, spec: PlatformSpec, width: int, height: int, clip_s: float, folder: Path
) -> tuple[Layer, ...]:
    """Draw what is laid over a cut of `width` x `height` pixels into `folder`, in the order it is laid on.

    Captions, logo and label are inside the safe zone of `spec` and are seen while the clip is, `clip_s` seconds. The
    end card is a last layer over everything from `clip_s` on, so the cut is to be `clip_s + materials.card_s` long.
    The same arguments give the same bytes. MediaError for characters that no font has, and for text that does not fit.
    """
    raise NotImplementedError
