"""What a plan says of a slot: why it is made again, and what its prompt becomes.

The order as it is now is compared with the job that filled the slot before. Prompts are sent as they are written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from callsheet.ledger import Job, JobOrder
from callsheet.ledger.records import EDIT_OF, find_asked_model
from callsheet.models import Catalogue
from callsheet.plan.inputs import Known
from callsheet.plan.requests import VARIANT
from callsheet.providers.protocol import fold_negative
from callsheet.shots import Shot

# Texts are too long to be shown twice.
_TEXTS = {"prompt": "prompt", "negative_prompt": "negative prompt", "system_instruction": "style"}
_WORDS = {
    "aspect_ratio": "aspect ratio",
    "image_size": "size",
    "seed": "seed",
    "person_generation": "person generation",
    "safety": "safety",
    "thinking": "thinking",
    "resolution": "resolution",
    "duration_s": "duration",
    "audio": "sound",
    "enhance_prompt": "prompt enhancement",
}
# A prompt with one of these has decided how many shots the clip has.
_DECIDED = re.compile(
    r"\b(continuous|uninterrupted|(one|single|two|three|four|several|multiple)[ -]?(shots?|takes?|cuts?)"
    r"|montage|shot \d|cuts? to|no cuts?|scenes?)\b",
    re.IGNORECASE,
)


def changed(old: Job, new: JobOrder, *, frame_known: bool = True) -> str:
    """Return what differs between the two, in words.

    Such as "prompt changed, seed changed from 3 to 4". `frame_known` False leaves the frame out: it is not chosen yet.
    """
    before, now = old.request, new.request
    asked = find_asked_model(old)
    found = [f"model changed from {asked} to {new.model}"] if asked != new.model else []
    found += [f"{word} changed" for name, word in _TEXTS.items() if before.get(name) != now.get(name)]
    found += [
        f"{word} changed from {_show(before.get(name))} to {_show(now.get(name))}"
        for name, word in _WORDS.items()
        if before.get(name) != now.get(name)
    ]
    found += _compare_inputs(new.kind, before, now, frame_known=frame_known)
    return ", ".join(found)


def explain_new(order: JobOrder, known: Known) -> str:
    """Return why a request that no job stands for is to be sent."""
    old = find_earlier(known, order.shot, order.slot)
    if old is None and order.kind == "video" and not {"extend", "edit", VARIANT} & order.request.keys():
        old = find_earlier(known, order.shot, "clip")
    if old is not None:
        return changed(old, order) or "asked for in another way"
    return "new" if order.shot in known.shots else "new shot"


def find_earlier(known: Known, shot: str, slot: str) -> Job | None:
    """Return the job that filled the slot before.

    For a clip whose frame is not known, that of any clip of the shot.
    """
    found = known.earlier.get((shot, slot))
    if found is None and slot == "clip":
        takes = (known.earlier.get((shot, f"clip-{take}")) for take in range(1, 10))
        found = next((job for job in takes if job), None)
    return found


def _compare_inputs(kind: str, before: Mapping[str, Any], now: Mapping[str, Any], *, frame_known: bool) -> list[str]:
    if kind == "image":
        (old_parent, old_rest), (new_parent, new_rest) = _divide_inputs(before), _divide_inputs(now)
        found = ["reference images changed"] if old_rest != new_rest else []
        return [*found, "what it is made of changed"] if old_parent != new_parent else found
    if before.get("references") or now.get("references"):
        return ["reference images changed"] if before.get("inputs", []) != now.get("inputs", []) else []
    if now.get("extend") or now.get("edit"):
        return ["the clip that it is made of changed"] if before.get("inputs") != now.get("inputs") else []
    (old_frame, old_last), (new_frame, new_last) = _split_frames(before), _split_frames(now)
    found = ["last frame changed"] if old_last != new_last else []
    return [*found, "frame changed"] if frame_known and old_frame != new_frame else found


def _divide_inputs(request: Mapping[str, Any]) -> tuple[object, object]:
    """Return the picture that a picture's request is made of, and its other pictures."""
    inputs = list(request.get("inputs") or [])
    return (inputs[0], inputs[1:]) if request.get(EDIT_OF) and inputs else (None, inputs)


def _split_frames(request: Mapping[str, Any]) -> tuple[object, object]:
    """Return the first and last frame of a video's request.

    The last one is the last input, when there is one.
    """
    inputs = list(request.get("inputs") or [])
    last = inputs.pop() if request.get("last_frame") and inputs else None
    return (inputs[0] if inputs else None), last


def _show(value: object) -> str:
    return "none" if value is None else str(value)[:40]


def advise_prompt(shot: Shot, catalogue: Catalogue) -> tuple[str, ...]:
    """Return what to know of the shot's motion prompt, in words.

    Omni has no field for what must not be seen, and tells a story of several shots unless one is asked for
    (ai.google.dev/gemini-api/docs/omni, 2026-07).
    """
    model = catalogue.find(shot.video_model or "")
    if model is None or model.surface != "interactions" or not shot.motion_prompt:
        return ()
    advice = []
    if shot.negative_prompt:
        tail = fold_negative("", shot.negative_prompt).strip()
        advice.append(f'{model.id} has no negative prompt: its prompt ends with "{tail}"')
    if not _DECIDED.search(shot.motion_prompt):
        advice.append(f'{model.id} may cut to other views: "one continuous shot" in motion_prompt asks it not to')
    return tuple(advice)
