"""Reasons why a slot of a shot is made again.

The order as it is now is compared with the job that filled the slot before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from callsheet.ledger import Job, JobOrder

# Texts are too long to be shown twice.
_TEXTS = {"prompt": "prompt", "negative_prompt": "negative prompt"}
_WORDS = {
    "aspect_ratio": "aspect ratio",
    "image_size": "size",
    "seed": "seed",
    "person_generation": "person generation",
    "resolution": "resolution",
    "duration_s": "duration",
}


def changed(old: Job, new: JobOrder, *, frame_known: bool = True) -> str:
    """Return what differs between the two, in words.

    Such as "prompt changed, seed changed from 3 to 4". `frame_known` False leaves the frame out: it is not chosen yet.
    """
    before, now = old.request, new.request
    found = [f"model changed from {old.model} to {new.model}"] if old.model != new.model else []
    found += [f"{word} changed" for name, word in _TEXTS.items() if before.get(name) != now.get(name)]
    found += [
        f"{word} changed from {_show(before.get(name))} to {_show(now.get(name))}"
        for name, word in _WORDS.items()
        if before.get(name) != now.get(name)
    ]
    found += _compare_inputs(new.kind, before, now, frame_known=frame_known)
    return ", ".join(found)


def _compare_inputs(kind: str, before: Mapping[str, Any], now: Mapping[str, Any], *, frame_known: bool) -> list[str]:
    if kind == "image":
        return ["reference images changed"] if before.get("inputs", []) != now.get("inputs", []) else []
    if before.get("references") or now.get("references"):
        return ["reference images changed"] if before.get("inputs", []) != now.get("inputs", []) else []
    (old_frame, old_last), (new_frame, new_last) = _split_frames(before), _split_frames(now)
    found = ["last frame changed"] if old_last != new_last else []
    return [*found, "frame changed"] if frame_known and old_frame != new_frame else found


def _split_frames(request: Mapping[str, Any]) -> tuple[object, object]:
    """Return the first and last frame of a video's request.

    The last one is the last input, when there is one.
    """
    inputs = list(request.get("inputs") or [])
    last = inputs.pop() if request.get("last_frame") and inputs else None
    return (inputs[0] if inputs else None), last


def _show(value: object) -> str:
    return "none" if value is None else str(value)[:40]
