"""What a clip is made of, as the provider takes it.

Frames and references, or the clip that it makes longer.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from callsheet.context.context import RunContext
from callsheet.context.shot_state import ShotState
from callsheet.errors import LedgerError, MediaError, OperationExpired
from callsheet.jobs.fetch import watch_of
from callsheet.jobs.runner import Sending
from callsheet.jobs.store import archived, fetch, read_frame, read_reference
from callsheet.ledger import Attempt, Job, JobOrder
from callsheet.plan.extensions import EXTEND, EXTEND_S
from callsheet.plan.models_used import with_video_model
from callsheet.plan.requests import VARIANT, seed_variant, step_request, video_request
from callsheet.providers.output_bucket import prefix_of
from callsheet.providers.protocol import InputImage, InputVideo, VideoRequest
from callsheet.shots import Asset, Reference, VideoReference
from callsheet.steps.archive import tell_intent


async def prepare_clip(run: RunContext, work: ShotState, order: JobOrder, frame: Asset | None) -> Sending[str]:
    """Read the frames and references, and record that the clip is about to be sent.

    The sidecar tells that it may be sent any moment.
    """
    shot = with_video_model(work.shot, run.resources.catalogue.get(order.model))
    first = await read_frame(run, frame) if frame else None
    last = await read_reference(run, shot.last_frame, order.model) if shot.last_frame else None
    kept_to = shot.kept_references if order.request.get("references") else ()  # one of an earlier version names none
    references = tuple([await _read_kept(run, one, order.model) for one in kept_to])
    provider = run.resources.providers.videos_for(order.model)
    seeded = seed_variant(shot, int(str(order.request.get(VARIANT, 1))))
    await tell_intent(run, work, order.key)

    def request(attempt: Attempt) -> VideoRequest:
        output_uri = prefix_of(attempt.output, order.key, attempt.n) if attempt.output else None
        return video_request(seeded, first, last, order.key, attempt.n, output_uri, references)

    return Sending(provider.submit, request)


async def _read_kept(run: RunContext, one: VideoReference, model: str) -> InputImage:
    """Return a picture that a video keeps to, as it is sent to the model."""
    if isinstance(one.source, Reference):
        return await read_reference(run, one.source, model)
    if one.source.picture is None:
        raise LedgerError(f"It is not known yet which picture {one.source} is. Nothing was sent; run it again.")
    return await read_frame(run, one.source.picture)


async def prepare_step(run: RunContext, work: ShotState, order: JobOrder, source: Job) -> Sending[str]:
    """Read the clip that a step is made of, and record that it is about to be sent.

    The sidecar tells that it may be sent any moment.
    """
    video, provider = await _read_source(run, order, source), run.resources.providers.videos_for(order.model)
    # Veo knows by how much it makes a video longer, Omni is told.
    is_told = run.resources.catalogue.get(order.model).surface == "interactions"
    is_longer, prompt = EXTEND in order.request, str(order.request["prompt"])
    seconds = int(str(order.request[EXTEND_S])) if is_told and is_longer else None
    await tell_intent(run, work, order.key)

    def request(attempt: Attempt) -> VideoRequest:
        output_uri = prefix_of(attempt.output, order.key, attempt.n) if attempt.output else None
        asked = step_request(work.shot, video, prompt, order.key, attempt.n)
        return replace(asked, extend=is_longer, duration_s=seconds, output_uri=output_uri)

    return Sending(provider.submit, request)


async def _read_source(run: RunContext, order: JobOrder, source: Job) -> InputVideo:
    """Return the clip by its bytes.

    Where these are not taken: by where the platform has it.
    """
    if not (source.sha256 and source.size and source.mime_type):
        raise LedgerError(f"Job {source.key[:12]} is {source.state} without a result. Nothing was sent.")
    provider = run.resources.providers.videos_for(order.model)
    if source.size <= provider.max_source_bytes:
        path = await fetch(run, source.sha256, source.size)
        return InputVideo(source.mime_type, data=await asyncio.to_thread(path.read_bytes))
    of_bucket = provider.reads_buckets
    uri = await (_find_object(run, source.sha256, source.size) if of_bucket else _find_own(run, source))
    return InputVideo(source.mime_type, uri=uri)


async def _find_own(run: RunContext, source: Job) -> str:
    """Return the address at which the Gemini API still has a video that it made."""
    try:
        ready = await run.resources.poller.result(await watch_of(run, source))
    except OperationExpired as error:
        raise OperationExpired(
            f"The Gemini API makes longer only what it has, and it has the clip no more (two days): {error} Nothing "
            "was sent. What was made is kept; leave `extend` out, or make it by another model.",
            reason=error.reason,
        ) from error
    if ready.uri is None:
        raise MediaError(
            f"The provider gives {source.operation} no address, so it cannot be made longer. Nothing sent."
        )
    return ready.uri


async def _find_object(run: RunContext, sha256: str, size: int) -> str:
    """Return the object of a bucket that holds a clip which is too large to be sent."""
    name, root = await archived(run, sha256), run.resources.store.uri
    if name is None or not root.startswith("gs://"):
        raise MediaError(
            f"The clip has {size / 1_000_000:.0f} MB, which is too much to be sent, and the archive "
            "is no bucket that the model could read. Nothing was sent. Leave `extend` out, or use a smaller resolution."
        )
    return f"{root}/{name}"
