"""Routes that cost nothing: the models, and the size of a prompt."""

from __future__ import annotations

from callsheet.models import Catalogue, Model
from callsheet.rehearsal import errors, replies
from callsheet.rehearsal.errors import JsonObject
from callsheet.rehearsal.requests import ImageAsk

_METHODS = {"generate_content": ["generateContent", "countTokens"], "predict_long_running": ["predictLongRunning"]}


def models(catalogue: Catalogue) -> JsonObject:
    """Return the models this service serves."""
    return {"models": [_build_resource(each) for each in catalogue.models() if each.surface in _METHODS]}


def model(catalogue: Catalogue, model_id: str, version: str) -> JsonObject:
    """Return one model, or raise the 404 of the live service."""
    found = catalogue.find(model_id)
    if found is None or found.surface not in _METHODS:
        raise errors.no_model(model_id, version, "GetModel")
    return _build_resource(found)


def tokens(ask: ImageAsk) -> JsonObject:
    """Return a plausible count of the prompt's tokens."""
    count = replies.prompt_tokens(ask.prompt, len(ask.references))
    return {"totalTokens": count, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": count}]}


def _build_resource(each: Model) -> JsonObject:
    return {
        "name": f"models/{each.id}",
        "displayName": each.name,
        "inputTokenLimit": each.prompt_tokens or 0,
        "supportedGenerationMethods": _METHODS[each.surface],
    }
