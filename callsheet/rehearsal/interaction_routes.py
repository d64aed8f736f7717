"""Interactions: a request for a video by Omni, its state, and its end."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from typing import Any

from starlette.responses import JSONResponse, Response

from callsheet.models import Model
from callsheet.models.model import MICRO_USD
from callsheet.models.prices import VideoTokens, video_cost, words_cost
from callsheet.rehearsal import bucket_delivery, errors, model_rules, replies
from callsheet.rehearsal.clip_files import INTERACTION, clip, file_ids, read_ask
from callsheet.rehearsal.config import DAY_S
from callsheet.rehearsal.errors import JsonObject
from callsheet.rehearsal.faults import RAI_AUDIO, Outcome, rai_message, video_outcome
from callsheet.rehearsal.interaction_asks import InteractionAsk
from callsheet.rehearsal.requests import Surface
from callsheet.rehearsal.service import Service
from callsheet.rehearsal.state import Operation
from callsheet.rehearsal.video_routes import LONGEST_ANSWER_S, Acceptance, accept, complete

# Interactions of paid keys are kept for 55 days, their files for two (ai.google.dev/gemini-api/docs/omni, 2026-07).
RETENTION_S = 55 * DAY_S
# A video in the answer itself may have so many bytes.
MAX_INLINE_BYTES = 4 * 1024 * 1024
# The reasons of a failed one that are statuses; every other reason is the code of its error.
_STATUSES = ("incomplete", "budget_exceeded", "cancelled", "requires_action", "requires_continuation")
_REFUSED = ("rai", "rai-audio")


async def create(service: Service, ask: InteractionAsk) -> Response:
    """Accept a request for a video.

    Without `background` the answer comes when it is made.
    """
    video = ask.video
    model = model_rules.interactions_model(service.catalogue, video, retired_before=service.retirement_day())
    if model is None:
        raise errors.no_model(video.model, "v1", "interactions")
    video = await complete(service, model, video)
    service.check_quota("video", video.model)
    rule = service.fault("video", video.model, video.prompt)
    if (dropped := await service.before(rule, "video", video.model)) is not None:
        return dropped
    acceptance = _settle(model, replace(ask, video=video), video_outcome(video.prompt, rule))
    operation = accept(service, model, video, acceptance)
    if operation.storage_uri:
        bucket_delivery.schedule(service, operation)
    if (dropped := await service.after(rule, "video", video.model)) is not None:
        return dropped
    if ask.is_waited_for:
        await service.clock.sleep(operation.due - service.now_s() + 0.01)
        return JSONResponse(await _show(service, operation))
    return JSONResponse(_describe(operation, "in_progress"))


async def get(service: Service, interaction_id: str) -> Response:
    """Return the interaction's state; 400 when there is none, or none any more."""
    operation = _find(service, interaction_id)
    rule = service.fault("poll", operation.model, read_ask(operation)["prompt"])
    for play in (service.before, service.after):
        if (dropped := await play(rule, "video", operation.model)) is not None:
            return dropped
    if rule is not None and rule.fault == "expired":
        raise errors.no_interaction()
    return JSONResponse(await _show(service, operation))


async def cancel(service: Service, interaction_id: str) -> Response:
    """End an interaction that runs, and return it."""
    operation = _find(service, interaction_id)
    if service.now_s() < operation.due:
        service.state.cancel(operation.name, service.now_s())
    return JSONResponse(await _show(service, _find(service, interaction_id)))


def _find(service: Service, interaction_id: str) -> Operation:
    operation = service.state.operation(f"interactions/{interaction_id}")
    if operation is None or service.now_s() > operation.due + RETENTION_S:
        raise errors.no_interaction()
    return operation


def _settle(model: Model, ask: InteractionAsk, outcome: Outcome) -> Acceptance:
    """Return the outcome with the tokens that it tells, and what they cost."""
    video, tokens = ask.video, VideoTokens()
    pictures = video.references + sum(frame is not None for frame in (video.first_frame, video.last_frame))
    sent = replies.prompt_tokens(video.prompt, pictures)
    if outcome.charged:
        tokens = VideoTokens(sent, 0, model.video_tokens.get(video.resolution or "", 0) * (video.duration_s or 0))
        usd = video_cost(model, video.resolution or "", tokens) or model.video_price(video.resolution, video.duration_s)
    else:
        tokens = VideoTokens(sent, len(_refusal(outcome)) // 4) if outcome.name in _REFUSED else VideoTokens()
        usd = words_cost(model, tokens).quantize(MICRO_USD)
    told = {"delivery": ask.delivery, "tokens": [tokens.input, tokens.words, tokens.video], "task": video.task}
    return Acceptance(INTERACTION, outcome, float(usd), told)


def _refusal(outcome: Outcome) -> str:
    return RAI_AUDIO if outcome.name == "rai-audio" else rai_message(outcome.reason)


async def _show(service: Service, operation: Operation) -> JsonObject:
    """Return the interaction as it is now."""
    if service.now_s() < operation.due:
        return _describe(operation, "in_progress")
    outcome = Outcome(operation.outcome, operation.reason)
    if outcome.name in _REFUSED:
        return _describe(operation, "completed", {"type": "text", "text": _refusal(outcome)})
    if outcome.name == "empty":
        return _describe(operation, "completed")
    if outcome.name in ("op-error", "cancelled"):
        return _fail(operation, "cancelled" if outcome.name == "cancelled" else outcome.reason)
    try:
        # A poll is answered soon even when many clips are due at once; the making goes on meanwhile.
        async with asyncio.timeout(LONGEST_ANSWER_S):
            return await _show_video(service, operation)
    except TimeoutError:
        return _describe(operation, "in_progress")


def _fail(operation: Operation, reason: str) -> JsonObject:
    if reason in _STATUSES:
        return _describe(operation, reason)
    error = {"code": reason or "internal_error", "message": "Video generation failed. Please try again later."}
    return _describe(operation, "failed") | {"errors": [error]}


async def _show_video(service: Service, operation: Operation) -> JsonObject:
    (file_id,) = file_ids(operation)
    video: dict[str, Any] = {"type": "video", "mime_type": "video/mp4"}
    if operation.storage_uri:
        if (failure := await bucket_delivery.write(service, operation)) is not None:
            error = {"code": failure[0], "message": failure[1]}
            return _describe(operation, "failed") | {"errors": [error]}
        return _describe(operation, "completed", video | {"uri": bucket_delivery.object_uris(operation)[0]})
    data = await clip(service, operation, file_id)
    if read_ask(operation)["delivery"] == "uri" or len(data) > MAX_INLINE_BYTES:
        return _describe(operation, "completed", video | {"uri": replies.file_uri(file_id)})
    return _describe(operation, "completed", video | {"data": base64.b64encode(data).decode()})


def _describe(operation: Operation, status: str, *content: JsonObject) -> JsonObject:
    steps = [{"type": "model_output", "content": list(content)}] if content else []
    shown: JsonObject = {
        "id": operation.name.removeprefix("interactions/"),
        "object": "interaction",
        "model": operation.model,
        "status": status,
        "steps": steps,
    }
    return shown | ({"usage": _describe_usage(read_ask(operation)["tokens"])} if content else {})


def _describe_usage(tokens: list[int]) -> JsonObject:
    sent, words, video = tokens
    made = [{"modality": name, "tokens": n} for name, n in (("text", words), ("video", video)) if n]
    return {
        "total_tokens": sum(tokens),
        "total_input_tokens": sent,
        "input_tokens_by_modality": [{"modality": "text", "tokens": sent}],
        "total_output_tokens": words + video,
        "output_tokens_by_modality": made,
    }


def choose_surface(version: str, path: str) -> Surface:
    """Return whose path it is.

    Agent Platform's has a project, or the version of an express key.
    """
    return "agent_platform" if path.startswith("projects/") or version == "v1beta1" else "gemini_api"
