"""The recipe of a cut: everything that determines it, as one hash.

A cut is made again only when its recipe changes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache

from callsheet.platforms import PlatformSpec
from callsheet.shots import Asset, Finish, Reference

# Raised when cuts of the same recipe come out otherwise than before; those that are there are then made anew.
CUT_VERSION = 1
# Cuts of before there were recipes: of these aspects, framed and finished in the one way there was.
PLAIN = ("9x16", "4x5", "1x1", "16x9")


def recipe(clip_sha256: str, spec: PlatformSpec, finish: Finish) -> str:
    """Return the sha256 (64 hex digits) of what determines the cut of a clip.

    Its bytes, the platform's numbers, the finish. Titles and sources of a platform do not count, nor its safe zone
    while nothing is laid over the picture. What a finish does not have is left out, so that a further kind of finish
    does not change the recipes of cuts without it.
    """
    return _digest([CUT_VERSION, clip_sha256, _digest_spec(spec, is_lettered(finish)), _digest_finish(finish)])


def is_lettered(finish: Finish) -> bool:
    """Return whether something is laid over the picture that keeps to the safe zone."""
    return any((finish.captions, finish.captions_file, finish.logo, finish.label))


def find_cut(cuts: Sequence[Asset], clip_sha256: str, spec: PlatformSpec, finish: Finish) -> Asset | None:
    """Find the cut among these that is the one wanted, None when it has to be made."""
    of_clip = [one for one in cuts if one.kind == "cut" and one.parent == clip_sha256]
    wanted = recipe(clip_sha256, spec, finish) if of_clip else None
    made = next((one for one in of_clip if one.recipe and one.recipe == wanted), None)
    if made is None and spec.name in PLAIN and finish == Finish():
        made = next((one for one in of_clip if one.recipe is None and one.name.startswith(f"cut-{spec.name}-")), None)
    return made


# A batch has few platforms and finishes, and many cuts.
@lru_cache(maxsize=1024)
def _digest_spec(spec: PlatformSpec, lettered: bool) -> str:
    numbers = spec.numbers()
    return _digest(numbers if lettered else {name: value for name, value in numbers.items() if name != "safe"})


@lru_cache(maxsize=1024)
def _digest_finish(finish: Finish) -> str:
    given = {
        "focus": finish.focus,
        "captions": finish.captions,
        "captions_file": _read_hash(finish.captions_file),
        "logo": _read_hash(finish.logo),
        "end_card": _read_hash(finish.end_card),
        "end_card_s": finish.end_card_s if finish.end_card else None,
        "music": _read_hash(finish.music),
        "label": finish.label,
        "font": _read_hash(finish.font),
    }
    return _digest({name: value for name, value in given.items() if value is not None})


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _read_hash(file: Reference | None) -> str | None:
    return file.sha256 if file else None
