"""generateContent, from the parsed body to the reply: a picture, or an answer.

A model that answers questions about pictures returns boxes around what stands out in those sent.
"""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import numpy as np
from starlette.responses import JSONResponse, Response

from callsheet.models import Model
from callsheet.models.model import MICRO_USD
from callsheet.models.prices import PictureTokens, picture_cost
from callsheet.rehearsal import errors, model_rules, render_image, replies
from callsheet.rehearsal.connections import CutShort
from callsheet.rehearsal.faults import FaultRule, Outcome, image_outcome
from callsheet.rehearsal.requests import ImageAsk
from callsheet.rehearsal.service import Service, first_digest, new_id
from callsheet.rehearsal.state import Submission

_SIDE = 128
# Tokens of a picture at the default resolution of Gemini 3, from memory; see callsheet/plan/subject_query.py.
_PICTURE_TOKENS = 1120


async def answer_with_picture(service: Service, ask: ImageAsk, missing: errors.RefusedError) -> Response:
    """Answer a request for a picture.

    `missing` is the 404 of a model that is not there.
    """
    model = model_rules.image_model(service.catalogue, ask, retired_before=service.retirement_day())
    if model is None:
        raise missing
    ask = model_rules.complete_image(model, ask)
    check_references(model, ask)
    service.check_quota("image", ask.model)
    rule = service.fault("image", ask.model, ask.prompt)
    if (dropped := await service.before(rule, "image", ask.model)) is not None:
        return dropped
    outcome = image_outcome(ask.prompt, rule)
    accepted = _accept(service, model, ask, outcome, is_told=rule is None or rule.fault != "truncate")
    await service.clock.sleep(service.latency_s(model, accepted[1]))
    if (dropped := await service.after(rule, "image", ask.model)) is not None:
        return dropped
    if outcome.name != "made":
        return JSONResponse(without_picture(ask, outcome))
    return await _reply_with_picture(service, model, ask, accepted, rule)


def check_references(model: Model, ask: ImageAsk) -> None:
    """Raise the live service's 400 for a picture that the model does not take."""
    for data in ask.references:
        try:
            render_image.check_input(data, model.mime_types)
        except ValueError:
            raise errors.invalid("Unable to process input image. Please retry or report.") from None


def _accept(service: Service, model: Model, ask: ImageAsk, outcome: Outcome, *, is_told: bool) -> tuple[int, int]:
    """Record the submission; return which take it is, and its number.

    `is_told`: the reply will state its tokens.
    """
    service.check_open(ask.labels)
    fingerprint = ask.fingerprint()
    take, now = service.state.next_take(fingerprint), service.now_s()
    submission = Submission(
        kind="image",
        model=ask.model,
        at=now,
        fingerprint=fingerprint,
        prompt_sha256=first_digest(ask),
        labels=ask.labels,
        outcome=outcome.name,
        usd=_compute_usd(model, ask, outcome, is_told=is_told),
        usd_at=now,
    )
    return take, service.state.accept(submission, take)


def _compute_usd(model: Model, ask: ImageAsk, outcome: Outcome, *, is_told: bool) -> float:
    """Return what is charged, in US dollars.

    By the tokens that the reply states, as far as the model has a price for them. Where the reply breaks off before it
    states them, the price of the size: a caller knows no more.
    """
    if outcome.charged:
        told = PictureTokens(
            replies.prompt_tokens(ask.words, len(ask.references)),
            replies.thoughts_at(ask.guidance.thinking),
            _count_image_tokens(model, ask),
        )
        return float(picture_cost(model, ask.size or "", told if is_told else PictureTokens()))
    usage: Any = without_picture(ask, outcome)["usageMetadata"]
    words = usage.get("candidatesTokenCount", 0)
    if not words or not model.per_mtok_usd:
        return 0.0
    return float(model.token_price(usage["promptTokenCount"], words).quantize(MICRO_USD))


def _count_image_tokens(model: Model, ask: ImageAsk) -> int:
    return model.image_tokens.get(ask.size or "", 1120)


async def _reply_with_picture(
    service: Service, model: Model, ask: ImageAsk, accepted: tuple[int, int], rule: FaultRule | None
) -> Response:
    take, number = accepted
    size, mime_type = ask.size or "", ask.mime_type or ""
    width, height = model.image_pixels(ask.aspect_ratio or "", size)
    style = ask.guidance.system_instruction or ""
    wish = render_image.PictureSpec(ask.prompt, width, height, mime_type, ask.seed, take, ask.references, style)
    encoded = await service.media.picture(wish, number)
    if rule is not None and rule.fault == "flip":
        encoded = base64.b64encode(flipped(base64.b64decode(encoded))).decode()
    body = replies.picture(
        encoded,
        mime_type=mime_type,
        model=ask.model,
        response_id=new_id(),
        usage=replies.picture_usage(
            ask.words,
            len(ask.references),
            _count_image_tokens(model, ask),
            replies.thoughts_at(ask.guidance.thinking),
        ),
    )
    whole = Response(body, media_type="application/json; charset=UTF-8")
    if rule is not None and rule.fault == "truncate":
        return CutShort(whole, service.connections)
    return whole


def without_picture(ask: ImageAsk, outcome: Outcome) -> errors.JsonObject:
    """Return the reply of an outcome that gives no asset."""
    response_id = new_id()
    if outcome.name == "block":
        return replies.blocked(outcome.reason, model=ask.model, response_id=response_id, prompt=ask.prompt)
    if outcome.name in ("finish", "no-image"):
        return replies.end_candidate(outcome.reason, model=ask.model, response_id=response_id, prompt=ask.prompt)
    if outcome.name == "text-only":
        text = "I can describe that picture for you, but I have not made one."
        return replies.text_only(text, model=ask.model, response_id=response_id, prompt=ask.prompt)
    return replies.empty(model=ask.model, response_id=response_id, prompt=ask.prompt)


def flipped(data: bytes) -> bytes:
    """Return the bytes with one bit of the middle one turned."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x10]) + data[middle + 1 :]


async def answer_question(service: Service, ask: ImageAsk, missing: errors.RefusedError) -> Response:
    """Answer a question about pictures.

    `missing` is the 404 of a model that is not there.
    """
    model = model_rules.look_model(service.catalogue, ask, retired_before=service.retirement_day())
    if model is None:
        raise missing
    check_references(model, ask)
    service.check_quota("look", ask.model)
    rule = service.fault("look", ask.model, ask.prompt)
    if (dropped := await service.before(rule, "look", ask.model)) is not None:
        return dropped
    outcome = image_outcome(ask.prompt, rule)
    answer = await asyncio.to_thread(_build_answer, ask) if outcome.name == "made" else ""
    tokens = replies.prompt_tokens(ask.prompt, 0) + _PICTURE_TOKENS * len(ask.references), max(1, len(answer) // 4)
    number = _accept_question(service, model, ask, outcome.name, float(model.token_price(*tokens)))
    await service.clock.sleep(service.latency_s(model, number))
    if (dropped := await service.after(rule, "look", ask.model)) is not None:
        return dropped
    if outcome.name != "made":
        return JSONResponse(without_picture(ask, outcome))
    return JSONResponse(replies.answer(answer, model=ask.model, response_id=new_id(), tokens=tokens))


def _accept_question(service: Service, model: Model, ask: ImageAsk, outcome: str, usd: float) -> int:
    """Record the submission and return its number."""
    service.check_open(ask.labels)
    fingerprint, now = ask.fingerprint(), service.now_s()
    submission = Submission(
        kind="look",
        model=ask.model,
        at=now,
        fingerprint=fingerprint,
        prompt_sha256=first_digest(ask),
        labels=ask.labels,
        outcome=outcome,
        usd=usd if outcome == "made" else 0.0,
        usd_at=now,
    )
    return service.state.accept(submission, service.state.next_take(fingerprint))


def _build_answer(ask: ImageAsk) -> str:
    """Return a box for each picture, in thousandths with y first.

    Around what stands out, else the middle.
    """
    # Imported on the thread: only a rehearsal of looks needs it.
    from callsheet.cuts.framing.saliency import subject_of
    from callsheet.cuts.framing.sampling import Glances

    found = []
    for number, data in enumerate(ask.references):
        image = render_image.open_picture(data).convert("YCbCr")
        image.thumbnail((_SIDE, _SIDE))
        planes = np.asarray(image, dtype=np.float32)
        subject = subject_of(Glances((0.0,), *(planes[None, :, :, plane] for plane in range(3))))
        box = (0.25, 0.3, 0.75, 0.7)
        if subject.boxes:
            one = subject.boxes[0]
            box = (one.top, one.left, one.bottom, one.right)
        found.append({"picture": number, "label": "what stands out", "box_2d": [round(1000 * value) for value in box]})
    return json.dumps(found)
