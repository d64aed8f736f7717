"""The refusals of what a model is told beside its prompt, as pure functions."""

from __future__ import annotations

from typing import Protocol

from callsheet.models.model import Model
from callsheet.models.rules import Refusal
from callsheet.models.schema import Platform
from callsheet.shots import Guidance


class Switches(Protocol):
    """What may be on or off of a video; None: not said."""

    @property
    def audio(self) -> bool | None:
        """Whether it has sound."""
        ...

    @property
    def enhance_prompt(self) -> bool | None:
        """Whether its prompt may be rewritten."""
        ...


def guidance_findings(model: Model, guidance: Guidance, platform: Platform | None = None) -> list[Refusal]:
    """Return everything that a model refuses of what it is told beside its prompt.

    `platform` None means that any platform may serve it.
    """
    controls, where = model.controls, f" on {platform}" if platform else ""
    found = []
    if guidance.system_instruction and not controls.system_instruction:
        found.append(_refuse("system_instruction", f"{model.id} takes no system instruction{where}", ()))
    if guidance.thinking and guidance.thinking not in controls.thinking:
        what = f"{model.id} does not take {guidance.thinking!r} for its thinking{where}"
        found.append(_refuse("thinking", what, controls.thinking))
    served = (platform,) if platform else model.platforms
    taken = {category for each in served for category in controls.safety.get(each, ())}
    if unknown := [category for category, _ in guidance.safety if category not in taken]:
        word = unknown[0].removeprefix("HARM_CATEGORY_").lower()
        found.append(_refuse("safety", f"{model.id} takes no threshold for {word}{where}", tuple(sorted(taken))))
    return found


def switch_findings(model: Model, shot: Switches, platform: Platform | None = None) -> list[Refusal]:
    """Return what a model refuses to be told of its sound and of prompts.

    `platform` None means that any platform may serve it.
    """
    found, where = [], f" on {platform}" if platform else ""
    served = (platform,) if platform else model.platforms
    for column, value, taken in (
        ("audio", shot.audio, model.controls.audio),
        ("enhance_prompt", shot.enhance_prompt, model.controls.enhance_prompt),
    ):
        allowed = tuple(dict.fromkeys(word for each in served for word in taken.get(each, ())))
        word = "on" if value else "off"
        if value is not None and word not in allowed:
            found.append(_refuse(column, f"{model.id} does not take {column} {word}{where}", allowed))
    return found


def _refuse(column: str, what: str, allowed: tuple[str, ...]) -> Refusal:
    words = ", ".join(each.removeprefix("HARM_CATEGORY_").lower() for each in allowed)
    return Refusal(column, what, f"allowed: default{', ' if words else ''}{words}", "leave it empty")
