"""Pages of the data that is shipped: models and platforms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from callsheet.models import Model, load_catalogue
from callsheet.platforms import PlatformSpec, load_platforms
from docs.generator.markdown import NOTE, code, table

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "callsheet"


def models_page() -> str:
    """Return the page of the model catalogue: those in use, and the retired ones."""
    listed = load_catalogue(None).models()
    used = [model for model in listed if model.driven and model.status != "retired"]
    heads = ("model", "makes", "status", "served by", "aspects", "sizes, resolutions", "seconds", "USD", "read on")
    other = [model for model in listed if model not in used]
    rows = ((code(one.id), one.kind, one.status, one.retired_on or "", code(one.replacement)) for one in other)
    rest = table(("model", "kind", "status", "ended", "instead"), rows)
    return "# Models\n" + NOTE + _MODELS + table(heads, map(_model, used)) + _RETIRED + rest


_MODELS = """`callsheet models` prints this table, with `--all` the retired ones too. Prices are list prices.
`CALLSHEET_CATALOGUE` names a YAML file that adds models or changes their limits and prices. A model of kind `look` says
where the subject of a clip is (`focus: ask`).

"""

_RETIRED = """
## Listed, and not used

Retired, or on an interface that callsheet does not drive. A manifest that names one is refused, with the model that
takes its place.

"""


def _model(model: Model) -> Sequence[object]:
    prices = [f"{size} {usd}" for size, usd in model.per_image_usd.items()]
    prices += [f"{resolution} {usd}/s" for resolution, usd in model.per_second_usd.items()]
    prices += [f"{side} {usd}/M tokens" for side, usd in model.per_mtok_usd.items()]
    replaced = f" (instead: {model.replacement})" if model.replacement else ""
    return (
        code(model.id), model.kind, model.status + replaced, ", ".join(model.platforms), " ".join(model.aspect_ratios),
        " ".join(model.sizes or model.resolutions), " ".join(map(str, model.durations_s)),
        ", ".join(prices), model.checked_on,
    )  # fmt: skip


def platforms_page() -> str:
    """Return the page of the platforms: their numbers, and where each was read."""
    known = load_platforms(None)
    specs = [known.get(name) for name in known.names]
    heads = ("cut", "for", "pixels", "frames/s", "seconds", "most MB", "LUFS, dBTP", "safe zone: left top right bottom")
    sources = table(
        ("cut", "number", "source", "checked on"),
        (
            (code(spec.name), fact.about, fact.source, fact.checked_on or "**not verified**")
            for spec in specs
            for fact in spec.facts
        ),
    )
    return "# Platforms\n" + NOTE + _PLATFORMS + table(heads, map(_platform, specs)) + "\n## Sources\n\n" + sources


_PLATFORMS = """Names for the column `cuts` and for `callsheet cuts --for`. `callsheet platforms` prints this table.
A file of your own adds platforms or changes numbers: [Social cuts](../howto/social-cuts.md#platforms-of-your-own).

"""


def _platform(spec: PlatformSpec) -> Sequence[object]:
    safe = [getattr(spec.safe, field.name) for field in fields(spec.safe)]
    keeps = [f"or {aspect.numerator}:{aspect.denominator}" for aspect in spec.keeps]
    seconds = f"{spec.min_s:g} to {spec.max_s:g}" if spec.max_s else f"from {spec.min_s:g}" if spec.min_s else ""
    return (
        code(spec.name), spec.title, " ".join([f"{spec.width}x{spec.height}", *keeps]),
        f"{spec.min_fps:g} to {spec.max_fps:g}",
        seconds, f"{spec.max_bytes / 1e6:g}" if spec.max_bytes else "", f"{spec.lufs:g}, {spec.peak_dbtp:g}",
        " ".join(f"{margin:.0%}" for margin in safe) if any(safe) else "",
    )  # fmt: skip
