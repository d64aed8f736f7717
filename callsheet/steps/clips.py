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
    ParentAwaited,
    ProviderError,
    Unauthorised,
)
from callsheet.jobs.charges import doubt_of, failed_video_charge
from callsheet.jobs.fetch import close_route, fetch_video
from callsheet.jobs.persist import persist
from callsheet.jobs.replies import operation_of_another_ledger
from callsheet.jobs.runner import JobRunner, PaidJob
from callsheet.jobs.store import (
    Deposit,
    PaidFile,
    fetch,
    others_of,
    store_derived_file,
    store_paid_file,
)
from callsheet.jobs.submit import UNSENT
from callsheet.ledger import Attempt, Job, JobOrder, JobState
from callsheet.ledger.records import RECORD
from callsheet.media.provenance import Provenance, xmp_packet
from callsheet.media.stills import poster
from callsheet.plan.clip_choice import order_variants
from callsheet.plan.extensions import EXTEND, ClipSlot, count_steps, step_order
from callsheet.plan.parents import video_parents_of
from callsheet.plan.requests import clip_order, clip_slot, text_clip_order
from callsheet.providers.retry_policy import RetryDecision, decide_retry
from callsheet.shots import Asset, Shot, ShotOutcome
from callsheet.steps.archive import tell_sent
from callsheet.steps.clip_choice import choose_clip_of, find_clips_to_come
from callsheet.steps.clip_inputs import prepare_clip, prepare_step
from callsheet.steps.frames import still_approved
from callsheet.steps.parents import await_parents


async def make_clips(run: RunContext, work: ShotState) -> None:
    """Make the shot's clips, side by side, and each longer step by step.

    The shot ends here when one of them cannot be had, or when a take that it keeps to does not come in this run.
    """
    work.clips, work.beginnings = [], []
    try:
        work.shot = await await_parents(run, work.shot, video_parents_of)
    except ParentAwaited as error:
        work.fail(failure_of("clips", error), state_of(error))
        return
    takes = work.frames()
    states = await gather_all(_make_of_frame(run, work, take) for take in takes)
    work.clips.sort(key=lambda clip: takes.index(clip.take))
    work.ended = work.ended or most_open(states)


async def _make_of_frame(run: RunContext, work: ShotState, take: int | None) -> ShotOutcome | None:
    """Make the clips of a frame, have one of them chosen, and make that longer.

    Returns None when the last is there, else the state in which its absence leaves the shot.
    """
    orders = order_variants(run.batch, work.shot, _order(run, work, take))
    begun = [ClipState(take, order.key, variant=n) for n, order in enumerate(orders, 1)]
    (work.beginnings if count_steps(work.shot) or len(begun) > 1 else work.clips).extend(begun)
    pairs = zip(begun, orders, strict=True)
    left = await gather_all(_make_clip(run, work, clip, order) for clip, order in pairs)
    if len(begun) == 1:
        return await _make_longer(run, work, begun[0], left[0])
    to_come = await find_clips_to_come(run, orders, left)
    chosen = await choose_clip_of(run, work, begun, orders, to_come)
    if chosen is None:
        return most_open(to_come.values()) or most_open(left)
    if not count_steps(work.shot):
        work.beginnings.remove(chosen)
        work.clips.append(chosen)
    ended = await _make_longer(run, work, chosen, left[chosen.variant - 1])
    return most_open([ended, *to_come.values()])


async def _make_longer(
    run: RunContext, work: ShotState, clip: ClipState, left: ShotOutcome | None
) -> ShotOutcome | None:
    """Make each step of a clip, of the one before: edits, then longer ones.

    `left` is the state in which the absence of the clip leaves the shot; that of the last is returned.
    """
    for step in range(1, count_steps(work.shot) + 1):
        sha256 = clip.job.sha256 if clip.job else None
        if sha256 is None:
            return left
        place = ClipSlot(clip.take, variant=clip.variant).after(step, work.shot)
        order = step_order(run.batch, work.shot, place, sha256)
        if left is not None and not await _is_sent(run, order):
            return left  # what it would be made of is lost
        clip = ClipState(clip.take, order.key, step, clip.job, clip.variant, chosen=clip.chosen, why=clip.why)
        (work.beginnings if step < count_steps(work.shot) else work.clips).append(clip)
        left = await _make_clip(run, work, clip, order)
    return left


async def _make_clip(run: RunContext, work: ShotState, clip: ClipState, order: JobOrder) -> ShotOutcome | None:
    """Make one clip, or one step that makes it longer.

    Returns None when it is there, else the state in which its absence leaves the shot.
    """
    shot, frame = work.shot, work.takes[clip.take].asset if clip.take is not None else None
    try:
        async with run.state.flight(order.key):
            if clip.take is not None and frame is None and not clip.step:
                await _check_sent(run, order)
            clip.job = job = await JobRunner(run).run(
                order, lambda sent: _build_paid_clip(run, work, clip, sent, frame)
            )
            if job.sha256 and job.mime_type:
                several = clip.take if len(work.frames()) > 1 else None
                name = clip_name(job.sha256, job.mime_type, take=several, variant=clip.variant)
                parent = order.request["inputs"][0] if clip.step else frame.sha256 if frame else None
                clip.asset = await _deposit(run, shot, PaidFile("clip", job, name, parent))
                clip.others = others_of(run, shot, clip.asset)
                is_shown = clip.step == count_steps(shot) or shot.clips > 1
                clip.poster = await make_poster(run, shot, clip.asset) if is_shown else None
                return None
        clip.failure = failure_of_job("clips", job, order.slot)
        return state_after(job)
    except CallsheetError as error:
        if is_transient(error):
            raise
        clip.failure = failure_of("clips", error, order.slot)
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
    if not await _is_sent(run, order):
        raise ArchiveLost(
            f"The picture of {order.slot} was made and paid for, its file is lost, and its clip was not sent yet. "
            "Nothing was sent. Restore the file, or run again with --remake to pay for the picture anew."
        )


async def _is_sent(run: RunContext, order: JobOrder) -> bool:
    job = (await run.resources.ledger.jobs([order.key])).get(order.key)
    return job is not None and job.state not in UNSENT


async def make_poster(run: RunContext, shot: Shot, asset: Asset) -> Asset:
    """Return the archived still that stands for a clip or a cut."""
    known = next((a for a in run.state.assets_of(shot) if a.kind == "poster" and a.parent == asset.sha256), None)
    if known is not None:
        return known
    xmp = xmp_packet(Provenance(asset.sha256, asset.model or shot.video_model or ""))
    path, target = await fetch(run, asset.sha256, asset.size), run.resources.spool.scratch(".jpg")
    async with run.resources.encoder_slots.take():
        width, height = await asyncio.to_thread(poster, path, target, xmp=xmp)
    new = Deposit("poster", "image/jpeg", width, height, parent=asset.sha256)
    return await store_derived_file(run, shot, new, target, lambda sha256: poster_name(sha256, "image/jpeg"))


async def _deposit(run: RunContext, shot: Shot, file: PaidFile) -> Asset:
    """Return the archived clip.

    One whose bytes are lost is fetched again from the provider, for free, while it has them.
    """
    try:
        return await store_paid_file(run, shot, file)
    except ArchiveLost:
        if file.job.operation is None:
            raise
        try:
            again = await fetch_video(run, file.job, file.job.spent_usd)
        except ENDS as error:
            raise ArchiveLost(
                f"The clip {file.name} was made and paid for, its file is neither in the spool nor in the archive, and "
                f"the provider does not give it again: {error} Restore it, or run again with --remake to pay for it "
                "anew."
            ) from error
        if again.sha256 != file.job.sha256:
            raise
        return await store_paid_file(run, shot, file)


def _build_paid_clip(
    run: RunContext, work: ShotState, clip: ClipState, order: JobOrder, frame: Asset | None
) -> PaidJob[str]:
    """Return what a clip hands to the runner, at the prices of the day."""
    shot = work.shot
    source, seconds = clip.source, shot.extend_s if EXTEND in order.request else shot.duration_s or 0
    price = run.resources.price_model(order.model).video_price(shot.resolution or "", seconds)

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
        prepare=lambda: prepare_step(run, work, order, source) if source else prepare_clip(run, work, order, frame),
        keep=keep,
        recall=lambda attempt: operation_of_another_ledger(run, order, attempt),
        check=check,
        follow=follow,
        operations=run.resources.video_slots,
    )


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
        await close_route(run, job, error)
        raise OperationWithheld(str(error), reason=error.reason, status=error.status) from error
    what = f"the video of {job.operation}, {result.sha256}"
    return await persist(run, lambda: run.resources.ledger.record_result(order.key, result), what)


_ENDS: dict[RetryDecision, JobState] = {RetryDecision.RETRY: JobState.PLANNED, RetryDecision.BLOCK: JobState.BLOCKED}


async def end_operation(run: RunContext, job: Job, error: ProviderError, price: Decimal) -> Job:
    """Record an operation that ended without a video.

    Its job is planned again when another try is free and likely.
    """
    earlier = Counter(attempt.detail.partition(":")[0] for attempt in await run.resources.ledger.attempts_on(job.key))
    given = decide_retry("video", error, earlier[error.kind])
    state = JobState.EXPIRED if isinstance(error, OperationExpired) else _ENDS.get(given, JobState.FAILED)
    doubt = doubt_of(error, price)
    usd = doubt or failed_video_charge(error, job.request, run.resources.price_model(job.model), price)
    details = {RECORD: dict(error.record)} if error.record else None
    return await persist(
        run,
        lambda: run.resources.ledger.fail(
            job.key, state, kind=error.kind, reason=str(error), code=error.reason, usd=usd, doubt=doubt, details=details
        ),
        f"the end of {job.operation}",
    )
