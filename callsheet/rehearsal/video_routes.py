"""predictLongRunning: a request for a video, its operation, and its clips."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.responses import JSONResponse, Response

from callsheet.models import Model
from callsheet.rehearsal import bucket_delivery, errors, model_rules, render_image, replies
from callsheet.rehearsal.clip_files import clip, expired, file_ids, probe_source, read_ask, read_source
from callsheet.rehearsal.errors import JsonObject
from callsheet.rehearsal.faults import RAI_AUDIO, Outcome, rai_message, video_outcome
from callsheet.rehearsal.requests import VideoAsk
from callsheet.rehearsal.service import Service, first_digest, new_id
from callsheet.rehearsal.state import Operation, Submission

INTERNAL = 13
LONGEST_ANSWER_S = 3.0


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What becomes of an accepted request.

    Its outcome, and the USD that it costs when it is due. `prefix` is what stands before the operation's id in its
    name; `told` goes on record with the request.
    """

    prefix: str
    outcome: Outcome
    usd: float
    told: Mapping[str, object] = field(default_factory=dict)


async def submit(service: Service, ask: VideoAsk, resource: str, missing: errors.RefusedError) -> Response:
    """Accept a request for a video and name its operation under `resource`.

    It is durable before the reply is sent.
    """
    model = model_rules.video_model(service.catalogue, ask, retired_before=service.retirement_day())
    if model is None:
        raise missing
    ask = await complete(service, model, ask)
    service.check_quota("video", ask.model)
    rule = service.fault("video", ask.model, ask.prompt)
    if (dropped := await service.before(rule, "video", ask.model)) is not None:
        return dropped
    outcome = video_outcome(ask.prompt, rule)
    usd = float(model.video_price(ask.resolution, ask.duration_s)) * ask.samples if outcome.charged else 0.0
    operation = accept(service, model, ask, Acceptance(f"{resource}/operations/", outcome, usd))
    if operation.storage_uri:
        bucket_delivery.schedule(service, operation)
    if (dropped := await service.after(rule, "video", ask.model)) is not None:
        return dropped
    return JSONResponse({"name": operation.name})


async def complete(service: Service, model: Model, ask: VideoAsk) -> VideoAsk:
    """Return the request with all that it does not say.

    Raises the 400 of the live service.
    """
    if ask.task not in ("extend", "edit"):
        ask = model_rules.complete_video(model, ask)
        check_frames(model, ask)
        return ask
    ask = await read_source(service, ask)
    source = await asyncio.to_thread(probe_source, ask.source_data or b"")
    if source is None:
        raise errors.invalid("Unable to process input video. Please retry or report.")
    complete_step = model_rules.complete_edit if ask.task == "edit" else model_rules.complete_extension
    return complete_step(model, ask, source)


def check_frames(model: Model, ask: VideoAsk) -> None:
    """Raise the refusal of frames that are no pictures."""
    for data in (ask.first_frame, ask.last_frame):
        try:
            if data is not None:
                render_image.check_input(data, model.mime_types)
        except ValueError:
            raise errors.invalid("Unable to process input image. Please retry or report.") from None


def accept(service: Service, model: Model, ask: VideoAsk, acceptance: Acceptance) -> Operation:
    """Record a request for a video as accepted, durable, and return its operation."""
    service.check_open(ask.labels)
    fingerprint, now, operation_id = ask.fingerprint(), service.now_s(), new_id()
    take, outcome = service.state.next_take(fingerprint), acceptance.outcome
    due = now + service.latency_s(model, int(operation_id[:8], 16))
    first, last = service.media.keep_input(ask.first_frame), service.media.keep_input(ask.last_frame)
    source = service.media.keep_input(ask.source_data) if ask.task == "extend" else None
    made_longer = {"source": source, "fingerprint": fingerprint} if source else {}
    operation = Operation(
        name=f"{acceptance.prefix}{operation_id}",
        id=operation_id,
        model=ask.model,
        take=take,
        due=due,
        ask=json.dumps(_describe_ask(model, ask, first, last) | made_longer | dict(acceptance.told)),
        outcome=outcome.name,
        reason=outcome.reason,
        storage_uri=ask.storage_uri,
    )
    submission = Submission(
        kind="video",
        model=ask.model,
        at=now,
        fingerprint=fingerprint,
        prompt_sha256=first_digest(ask),
        labels=ask.labels,
        outcome=outcome.name,
        usd=acceptance.usd,
        usd_at=due,
        first_frame_sha256=first,
        operation=operation.name,
    )
    service.state.accept(submission, take, operation)
    return operation


def _describe_ask(model: Model, ask: VideoAsk, first: str | None, last: str | None) -> JsonObject:
    width, height = model.video_pixels(ask.aspect_ratio or "", ask.resolution or "")
    return {
        "surface": ask.surface,
        "prompt": ask.prompt,
        "width": width,
        "height": height,
        "duration_s": ask.duration_s,
        "seed": ask.seed,
        "samples": ask.samples,
        "audio": ask.audio is not False and not ask.model.startswith("veo-2"),
        "first": first,
        "last": last,
    }


async def poll(service: Service, name: str) -> Response:
    """Return the operation's state; 404 when there is none, or none any more."""
    operation = service.state.operation(name)
    if operation is None or expired(service, operation):
        raise errors.not_found()
    rule = service.fault("poll", operation.model, read_ask(operation)["prompt"])
    for play in (service.before, service.after):
        if (dropped := await play(rule, "video", operation.model)) is not None:
            return dropped
    if rule is not None and rule.fault == "expired":
        raise errors.not_found()
    if service.now_s() < operation.due:
        return JSONResponse(replies.pending(name))
    return JSONResponse(await _build_result(service, operation))


async def _build_result(service: Service, operation: Operation) -> JsonObject:
    surface = read_ask(operation)["surface"]
    match operation.outcome:
        case "rai":
            return replies.filtered(operation.name, surface, rai_message(operation.reason))
        case "rai-audio":
            return replies.filtered(operation.name, surface, RAI_AUDIO)
        case "empty":
            return replies.nothing(operation.name)
        case "op-error":
            return replies.failed(operation.name, INTERNAL, "Video generation failed. Please try again later.")
    try:
        # A poll is answered soon even when many clips are due at once; the making goes on meanwhile.
        async with asyncio.timeout(LONGEST_ANSWER_S):
            return await _with_video(service, operation, surface)
    except TimeoutError:
        return replies.pending(operation.name)


async def _with_video(service: Service, operation: Operation, surface: str) -> JsonObject:
    if operation.storage_uri:
        return await bucket_delivery.result(service, operation)
    clips = [await clip(service, operation, file_id) for file_id in file_ids(operation)]
    if surface == "gemini_api":
        return replies.by_uri(operation.name, file_ids(operation))
    return replies.inline(operation.name, clips)
