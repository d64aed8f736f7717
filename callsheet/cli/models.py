"""`callsheet models`: the model catalogue."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from callsheet.cli.options import JsonOption
from callsheet.cli.output import out, print_json
from callsheet.models import Model, load_catalogue
from callsheet.settings import load_settings


def models(
    kind: Annotated[str | None, typer.Option(help="image, video, look or other.")] = None,
    retired: Annotated[bool, typer.Option("--all", help="Also the retired ones.")] = False,
    json: JsonOption = False,
) -> None:
    """List the models: what they take, what they cost, whether they are still served."""
    settings = load_settings()
    listed = [
        model
        for model in load_catalogue(settings.catalogue).models()
        if kind in (None, model.kind) and (retired or model.status != "retired")
    ]
    table = Table()
    for column in (
        "model",
        "kind",
        "status",
        "platforms",
        "aspects",
        "sizes / resolutions",
        "seconds",
        "also takes",
        "USD",
        "source",
    ):
        table.add_column(column, no_wrap=column == "model", overflow="fold")
    for model in listed:
        table.add_row(*(Text(cell) for cell in _cells(model)))
    out.print(table)
    if json:
        print_json({"exit_code": 0, "models": [_record(model, settings.tier) for model in listed]})


def _cells(model: Model) -> tuple[str, ...]:
    status: str = model.status
    if model.retired_on:
        status += f" {model.retired_on}"
    if model.replacement:
        status += f" -> {model.replacement}"
    if not model.driven:
        status += ", not driven"
    return (
        model.id,
        model.kind,
        status,
        ", ".join(model.platforms),
        " ".join(model.aspect_ratios),
        " ".join(model.sizes or model.resolutions),
        " ".join(str(seconds) for seconds in model.durations_s),
        ", ".join(_list_tasks(model)),
        _prices(model),
        f"{', '.join(model.source)} ({model.checked_on}, {model.confidence})",
    )


def _list_tasks(model: Model) -> list[str]:
    """List what a request may have beside its text."""
    taken = [
        "first frame" if model.first_frame else "",
        "last frame" if model.last_frame else "",
        f"{model.reference_images} references" if model.reference_images else "",
        "clips to edit" if model.edit_video else "",
        f"{model.extension.step_s} s more, {model.extension.most_steps} times" if model.extension else "",
    ]
    return [task for task in taken if task]


def _prices(model: Model) -> str:
    prices = [f"{size} {usd}" for size, usd in model.per_image_usd.items()]
    prices += [f"{resolution} {usd}/s" for resolution, usd in model.per_second_usd.items()]
    return ", ".join(prices + [f"{side} {usd}/M tokens" for side, usd in model.per_mtok_usd.items()])


def _record(model: Model, tier: int) -> dict[str, Any]:
    limits = model.limits(tier)
    return {
        "id": model.id,
        "name": model.name,
        "kind": model.kind,
        "surface": model.surface,
        "driven": model.driven,
        "status": model.status,
        "platforms": list(model.platforms),
        "released": str(model.released) if model.released else None,
        "retired_on": str(model.retired_on) if model.retired_on else None,
        "replacement": model.replacement,
        "aspect_ratios": list(model.aspect_ratios),
        "sizes": list(model.sizes),
        "resolutions": list(model.resolutions),
        "durations_s": list(model.durations_s),
        "extension": asdict(model.extension) if model.extension else None,
        "edits_videos": model.edit_video,
        "reference_images": model.reference_images,
        "style_references": model.style_references,
        "input_types": list(model.mime_types),
        "controls": {
            "system_instruction": model.controls.system_instruction,
            "safety": {place: list(taken) for place, taken in model.controls.safety.items()},
            "thinking": list(model.controls.thinking),
            "audio": {place: list(taken) for place, taken in model.controls.audio.items()},
            "enhance_prompt": {place: list(taken) for place, taken in model.controls.enhance_prompt.items()},
        },
        "person_generation": {
            place: {task: list(v) for task, v in rules.items()} for place, rules in model.person_generation.items()
        },
        "usd_per_image": {size: float(usd) for size, usd in model.per_image_usd.items()},
        "usd_per_second": {resolution: float(usd) for resolution, usd in model.per_second_usd.items()},
        "usd_per_mtok": {side: float(usd) for side, usd in model.per_mtok_usd.items()},
        "limits": {"tier": tier, "rpm": limits.rpm, "rpd": limits.rpd},
        "source": list(model.source),
        "checked_on": str(model.checked_on),
        "confidence": model.confidence,
    }
