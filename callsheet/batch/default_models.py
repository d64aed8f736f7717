"""What a batch was begun with: default models, and what these gave to shots that did not say.

It is on record in the ledger, and in the batch's `plan.json` for whoever has another ledger, because it is part of
keys: with a newer catalogue the same sheet would ask for other things, and all of it would be paid for anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from callsheet.archive import layout
from callsheet.archive.store import Store
from callsheet.errors import ArchiveError
from callsheet.models import Catalogue, Defaults
from callsheet.shots import Batch, Shot

# Under these names a batch's request in the ledger, and its plan in the archive, tell it.
MODELS = "models"
MODEL_DEFAULTS = "model_defaults"
_LARGEST_PLAN = 256 << 20
_MOST_RATIOS = 100

Begun = Mapping[str, Any]


def record_defaults(catalogue: Catalogue, shots: Iterable[Shot]) -> dict[str, Any]:
    """Return what goes on record of a batch of these shots: JSON."""
    used = {name for shot in shots for name in (shot.image_model, shot.video_model) if name}
    models = (model for name in sorted(used | catalogue.kept) if (model := catalogue.find(name)))
    return {MODELS: catalogue.defaults, MODEL_DEFAULTS: {model.id: asdict(model.kept_defaults) for model in models}}


def as_begun(catalogue: Catalogue, begun: Begun | None) -> Catalogue:
    """Return the catalogue with the defaults that are on record, as far as it knows the models."""
    told = begun or {}
    kept = told.get(MODEL_DEFAULTS)
    every = kept.items() if isinstance(kept, Mapping) else ()
    details = {str(name): _defaults(one) for name, one in every if isinstance(one, Mapping)}
    models = told.get(MODELS)
    return catalogue.with_defaults(models if isinstance(models, Mapping) else None).with_details(details)


async def read_recorded_defaults(store: Store, batch: Batch) -> Begun:
    """Return what the batch's plan in the archive tells.

    {} when there is none that tells anything.
    """
    name = layout.document(batch.prefix, layout.PLAN)
    try:
        if await store.stat(name) is None:
            return {}
        plan = json.loads(await store.read_bytes(name, _LARGEST_PLAN))
        return {key: plan[key] for key in (MODELS, MODEL_DEFAULTS) if key in plan}
    except (ArchiveError, ValueError, TypeError):
        return {}


def _defaults(given: Mapping[str, Any]) -> Defaults:
    texts = {name: _text(given.get(name)) for name in ("aspect_ratio", "size", "resolution")}
    seconds, ratios = given.get("duration_s"), given.get("ratios")
    return Defaults(
        **texts,
        duration_s=seconds if isinstance(seconds, int) and 0 < seconds < 10_000 else None,
        ratios=tuple(map(str, ratios[:_MOST_RATIOS])) if isinstance(ratios, Sequence) else (),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= 20 else None
