"""Asking Gemini where a clip's subject is.

A paid request, sent once for a clip, whatever cuts are made of it. A cut never fails for it: whatever goes wrong is
told, and the subject is looked for without a model.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
from decimal import Decimal
from pathlib import Path

from callsheet.context.context import RunContext
from callsheet.cuts.framing.geometry import Subject
from callsheet.errors import CallsheetError, MediaError, Stopped
from callsheet.jobs.persist import persist
from callsheet.jobs.runner import JobRunner, PaidJob, Sending
from callsheet.keys import labels_of
from callsheet.ledger import Attempt, Job, JobOrder, JobResult, JobState
from callsheet.ledger.records import REQUEST_ID
from callsheet.media.facts import VideoProbe
from callsheet.media.stills import video_frame
from callsheet.models import Model
from callsheet.plan.subject_query import (
    JPEG_QUALITY,
    MAX_OUTPUT_TOKENS,
    MOMENTS,
    PROMPT,
    SCHEMA,
    SIDE,
    look_order,
    look_price,
    subject_in,
)
from callsheet.providers.protocol import InputImage, LookRequest, LookResult
from callsheet.shots import Asset


async def look_at_subject(run: RunContext, clip: Asset, source: Path, probe: VideoProbe) -> Subject:
    """Return where Gemini sees the clip's subject, how="asked".

    Without boxes, and why, when it cannot be had.

    A stored answer is used again; a free run asks nothing. Only being stopped (Stopped) is raised.
    """
    order = look_order(run.batch, clip, run.resources.catalogue.default_look)
    times = [share * probe.duration_s for share in MOMENTS]
    try:
        async with run.state.flight(order.key):
            known = (await run.resources.ledger.jobs([order.key])).get(order.key)
            if run.policy.free and (known is None or known.state is not JobState.STORED):
                return _nobody("Gemini was not asked: this run pays for nothing")
            job = await JobRunner(run).run(order, lambda sent: _build_paid_look(run, sent, source, times))
            if job.state is JobState.UNKNOWN:
                # It was asked twice by now. Nobody needs to decide about cents: what may have been charged counts.
                job = await run.resources.ledger.resolve(order.key, "drop", by="the rule of one more try for a look")
        if job.state is not JobState.STORED:
            return _nobody(f"Gemini did not tell: {job.reason or job.state.value}")
        return subject_in(str((job.details or {}).get("answer", "")), times)
    except Stopped:
        raise
    except MediaError as error:
        return _nobody(f"Gemini's answer is of no use: {error}")
    except CallsheetError as error:
        return _nobody(f"Gemini was not asked: {error}")


def _nobody(reason: str) -> Subject:
    return Subject((), "centre", " ".join(reason.split())[:300].rstrip("."))


def _build_paid_look(run: RunContext, order: JobOrder, source: Path, times: list[float]) -> PaidJob[LookResult]:
    """Return what a look hands to the runner, at the prices of the day.

    Nobody waits a day for it.
    """
    model = run.resources.price_model(order.model)
    price = look_price(model)

    async def prepare() -> Sending[LookResult]:
        provider = run.resources.providers.looks_for(model.id)  # without credentials nothing is reserved
        pictures = await asyncio.to_thread(_pictures, source, times)

        def request(attempt: Attempt) -> LookRequest:
            return LookRequest(model.id, PROMPT, pictures, SCHEMA, MAX_OUTPUT_TOKENS, labels_of(order.key, attempt.n))

        return Sending(provider.look, request)

    async def keep(result: LookResult, attempt: Attempt) -> Job:
        kept = _keep_answer(result, model, price)
        job = await persist(
            run, lambda: run.resources.ledger.answered(order.key, kept, attempt), f"look {order.key[:12]}"
        )
        await asyncio.to_thread(run.resources.spool.replies.remove, order.key)  # its answer is in the ledger
        return job

    slots = run.resources.image_slots
    return PaidJob(order=order, price=price, slots=slots, prepare=prepare, keep=keep, is_patient=False)


def _pictures(source: Path, times: list[float]) -> tuple[InputImage, ...]:
    pictures = []
    for at_s in times:
        frame, out = video_frame(source, at_s), io.BytesIO()
        frame.thumbnail((SIDE, SIDE))
        frame.save(out, "JPEG", quality=JPEG_QUALITY)
        pictures.append(InputImage(out.getvalue(), "image/jpeg"))
    return tuple(pictures)


def _keep_answer(result: LookResult, model: Model, price: Decimal) -> JobResult:
    """Return the answer for the ledger.

    It costs what its tokens cost, or the estimate when they were not told.
    """
    data, usd = result.text.encode(), price
    if result.input_tokens is not None and result.output_tokens is not None:
        usd = model.token_price(result.input_tokens, result.output_tokens)
    return JobResult(
        sha256=hashlib.sha256(data).hexdigest(),
        md5=hashlib.md5(data, usedforsecurity=False).hexdigest(),
        size=len(data),
        mime_type="application/json",
        usd=usd,
        details={
            "answer": result.text,
            "model_version": result.model_version,
            "response_id": result.response_id,
            "tokens": {"input": result.input_tokens, "output": result.output_tokens},
            **({REQUEST_ID: result.request_id} if result.request_id else {}),
        },
    )
