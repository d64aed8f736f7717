"""The clips step: every chosen frame is animated.

Submit and wait are two steps: a restart polls by the operation's name, it never submits again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from decimal import Decimal

from callsheet.archive.layout import clip_name, poster_name
from callsheet.concurrency import gather_all
from callsheet.context.context import RunContext
from callsheet.context.poller import ENDS
from callsheet.context.shot_state import (
    ClipState,
    ShotState,
    failure_of,
    failure_of_job,
    is_transient,
    most_open,
    state_after,
    state_of,
)
from callsheet.errors import (
    ArchiveLost,
    CallsheetError,
    OperationExpired,
    OperationWithheld,
    ProviderError,
    Unauthorised,
)
from callsheet.jobs.fetch import fetch_video
from callsheet.jobs.persist import persist
from callsheet.jobs.replies import operation_of_another_ledger
from callsheet.jobs.runner import JobRunner, PaidJob, Sending
from callsheet.jobs.store import (
    Deposit,
    fetch,
    others_of,
    read_frame,
    read_reference,
    store_derived_file,
    store_paid_file,
)
from callsheet.jobs.submit import UNSENT
from callsheet.ledger import Attempt, Job, JobOrder, JobState
from callsheet.ledger.records import RECORD
from callsheet.media.provenance import Provenance, xmp_packet
from callsheet.media.stills import poster
from callsheet.plan.requests import clip_order, clip_slot, text_clip_order, video_references, video_request
from callsheet.providers.output_bucket import prefix_of
from callsheet.providers.protocol import VideoRequest
from callsheet.providers.retry_policy import RetryDecision, decide_retry
from callsheet.shots import Asset, Reference, Shot, ShotOutcome
from callsheet.steps.archive import tell_intent, tell_sent
from callsheet.steps.frames import still_approved


async def make_clips(run: RunContext, work: ShotState) -> None:
    """Make the shot's clips, side by side.

    The shot ends here when one of them cannot be had.
    """
    work.clips = []
    for take in work.frames():
        work.clips.append(ClipState(take, _order(run, work, take).key))
    states = await gather_all(_make_clip(run, work, clip) for clip in work.clips)
    work.ended = work.ended or most_open(states)


async def _make_clip(run: RunContext, work: ShotState, clip: ClipState) -> ShotOutcome | None:
    """Make one clip; None when it is there, else the state in which its absence leaves the shot."""
    shot, frame = work.shot, work.takes[clip.take].asset if clip.take is not None else None
    order = _order(run, work, clip.take)
    try:
        async with run.state.flight(order.key):
            if clip.take is not None and frame is None:
                await _check_sent(run, order)
            clip.job = job = await JobRunner(run).run(lambda: _paid_clip(run, work, order, frame))
            if job.sha256 and job.mime_type:
                several = clip.take if len(work.clips) > 1 else None
                name = clip_name(job.sha256, job.mime_type, take=several)
                clip.asset = await _deposit(run, shot, job, name, frame)
                clip.others = others_of(run, shot, clip.asset)
                clip.poster = await make_poster(run, shot, clip.asset)
                return None
        clip.failure = failure_of_job("clips", job, order.slot)
        return state_after(job)
    except CallsheetError as error:
        if is_transient(error):
            raise
        clip.failure = failure_of("clips", error, clip_slot(clip.take))
        return state_of(error)
    finally:
        run.state.progress.advance("clips", failed=clip.asset is None)


def _order(run: RunContext, work: ShotState, take: int | None) -> JobOrder:
    """Return the order for the clip of a take, or of the shot's text."""
    if take is None:
        return text_clip_order(run.batch, work.shot, run.state.earlier.get((work.shot.id, clip_slot(None))))
    return clip_order(run.batch, work.shot, take, work.frame_sha256(take))


async def _check_sent(run: RunContext, order: JobOrder) -> None:
    """Return when a clip whose frame is lost was sent before.

    ArchiveLost when it could only be sent now.
    """
    job = (await run.resources.ledger.jobs([order.key])).get(order.key)
    if job is None or job.state in UNSENT:
        raise ArchiveLost(
            f"The picture of {order.slot} was made and paid for, its file is lost, and its clip was not sent yet. "
            "Nothing was sent. Restore the file, or run again with --remake to pay for the picture anew."
        )


def _kept_to(shot: Shot, order: JobOrder) -> tuple[Reference, ...]:
    """Return the references that the order names.

    One of an earlier version names none.
    """
    return video_references(shot) if order.request.get("references") else ()


async def make_poster(run: RunContext, shot: Shot, asset: Asset) -> Asset:
    """Return the archived still that stands for a clip or a cut."""
    known = next((a for a in run.state.assets_of(shot) if a.kind == "poster" and a.parent == asset.sha256), None)
    if known is not None:
        return known
    xmp = xmp_packet(Provenance(asset.sha256, shot.video_model or ""))
    path, target = await fetch(run, asset.sha256, asset.size), run.resources.spool.scratch(".jpg")
    async with run.resources.encoder_slots.take():
        width, height = await asyncio.to_thread(poster, path, target, xmp=xmp)
    new = Deposit("poster", "image/jpeg", width, height, parent=asset.sha256)
    return await store_derived_file(run, shot, new, target, lambda sha256: poster_name(sha256, "image/jpeg"))


async def _deposit(run: RunContext, shot: Shot, job: Job, name: str, frame: Asset | None) -> Asset:
    """Return the archived clip.

    One whose bytes are lost is fetched again from the provider, for free, while it has them.
    """
    parent = frame.sha256 if frame else None
    try:
        return await store_paid_file(run, shot, "clip", job, name, parent)
    except ArchiveLost:
        if job.operation is None:
            raise
        try:
            again = await fetch_video(run, job, job.spent_usd)
        except ENDS as error:
            raise ArchiveLost(
                f"The clip {name} was made and paid for, its file is neither in the spool nor in the archive, and the "
                f"provider does not give it again: {error} Restore it, or run again with --remake to pay for it anew."
            ) from error
        if again.sha256 != job.sha256:
            raise
        return await store_paid_file(run, shot, "clip", job, name, parent)


def _paid_clip(run: RunContext, work: ShotState, order: JobOrder, frame: Asset | None) -> PaidJob[str]:
    """Return what a clip hands to the runner, at the prices of the day."""
    shot = work.shot
    price = run.resources.priced(order.model).video_price(shot.resolution or "", shot.duration_s or 0)

    async def check() -> None:
        if frame is not None:
            await still_approved(run, shot, frame.sha256)

    async def keep(operation: str, attempt: Attempt) -> Job:
        what = f"operation {operation} of shot {shot.id}, job {order.key[:12]}"
        return await persist(run, lambda: run.resources.ledger.submitted(attempt, operation), what)

    async def follow(job: Job) -> Job:
        await tell_sent(run, work)
        return await _result_of(run, order, job, price)

    return PaidJob(
        order=order,
        price=price,
        slots=run.resources.submit_slots,
        prepare=lambda: _prepare(run, work, order, frame),
        keep=keep,
        recall=lambda attempt: operation_of_another_ledger(run, order, attempt),
        check=check,
        follow=follow,
        operations=run.resources.video_slots,
    )


async def _prepare(run: RunContext, work: ShotState, order: JobOrder, frame: Asset | None) -> Sending[str]:
    """Read the frames and references, and have the sidecar tell that the clip may be sent any moment."""
    shot = work.shot
    first = await read_frame(run, frame) if frame else None
    last = await read_reference(run, shot.last_frame) if shot.last_frame else None
    references = tuple([await read_reference(run, reference) for reference in _kept_to(shot, order)])
    provider = run.resources.providers.videos_for(order.model)
    await tell_intent(run, work, order.key)

    def request(attempt: Attempt) -> VideoRequest:
        output_uri = prefix_of(attempt.output, order.key, attempt.n) if attempt.output else None
        return video_request(shot, first, last, order.key, attempt.n, output_uri, references)

    return Sending(provider.submit, request)


async def _result_of(run: RunContext, order: JobOrder, job: Job, price: Decimal) -> Job:
    """Await the operation and fetch its video.

    The job as finished, as ended, or planned for one more free try.

    What is no news of the operation itself (OperationOverdue, OperationWithheld, DownloadFailed) is raised: the job
    stays submitted, and the next run goes on from there. With a key that is no good any more, nothing new is sent.
    """
    try:
        result = await fetch_video(run, job, price)
    except ENDS as error:
        return await end_operation(run, job, error, price)
    except Unauthorised as error:
        run.gate(order).refused(order.model, error)
        raise OperationWithheld(str(error), reason=error.reason, status=error.status) from error
    what = f"the video of {job.operation}, {result.sha256}"
    return await persist(run, lambda: run.resources.ledger.finished(order.key, result), what)


_ENDS: dict[RetryDecision, JobState] = {RetryDecision.RETRY: JobState.PLANNED, RetryDecision.BLOCK: JobState.BLOCKED}


async def end_operation(run: RunContext, job: Job, error: ProviderError, price: Decimal) -> Job:
    """Record an operation that ended without a video.

    Its job is planned again when another try is free and likely.
    """
    earlier = Counter(attempt.detail.partition(":")[0] for attempt in await run.resources.ledger.attempts_on(job.key))
    given = decide_retry("video", error, earlier[error.kind])
    state = JobState.EXPIRED if isinstance(error, OperationExpired) else _ENDS.get(given, JobState.FAILED)
    usd = price if error.charged else Decimal(0)
    details = {RECORD: dict(error.record)} if error.record else None
    return await persist(
        run,
        lambda: run.resources.ledger.fail(
            job.key, state, kind=error.kind, reason=str(error), code=error.reason, usd=usd, details=details
        ),
        f"the end of {job.operation}",
    )
