"""generateContent by a model that answers questions about pictures.

It returns boxes around what stands out in the pictures sent.
"""

from __future__ import annotations

import asyncio
import json

import numpy as np
from starlette.responses import JSONResponse, Response

from callsheet.models import Model
from callsheet.rehearsal import errors, model_rules, render_image, replies
from callsheet.rehearsal.faults import image_outcome
from callsheet.rehearsal.image_routes import check_references, without_picture
from callsheet.rehearsal.requests import ImageAsk
from callsheet.rehearsal.service import Service, first_digest, new_id
from callsheet.rehearsal.state import Submission

_SIDE = 128
# Tokens of a picture at the default resolution of Gemini 3, from memory; see callsheet/plan/subject_query.py.
_PICTURE_TOKENS = 1120


async def generate(service: Service, ask: ImageAsk, missing: errors.RefusedError) -> Response:
    """Answer a question about pictures.

    `missing` is the 404 of a model that is not there.
    """
    model = model_rules.look_model(service.catalogue, ask, retired_before=service.retirement_day())
    if model is None:
        raise missing
    check_references(ask)
    service.check_quota("look", ask.model)
    rule = service.fault("look", ask.model, ask.prompt)
    if (dropped := await service.before(rule, "look", ask.model)) is not None:
        return dropped
    outcome = image_outcome(ask.prompt, rule)
    answer = await asyncio.to_thread(_build_answer, ask) if outcome.name == "made" else ""
    tokens = replies.prompt_tokens(ask.prompt, 0) + _PICTURE_TOKENS * len(ask.references), max(1, len(answer) // 4)
    number = _accept(service, model, ask, outcome.name, float(model.token_price(*tokens)))
    await service.clock.sleep(service.latency_s(model, number))
    if (dropped := await service.after(rule, "look", ask.model)) is not None:
        return dropped
    if outcome.name != "made":
        return JSONResponse(without_picture(ask, outcome))
    return JSONResponse(replies.answer(answer, model=ask.model, response_id=new_id(), tokens=tokens))


def _accept(service: Service, model: Model, ask: ImageAsk, outcome: str, usd: float) -> int:
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
