"""The clips step: every chosen frame is animated.

Submit and wait are two steps: a restart polls by the operation's name, it never submits again.
"""

from __future__ import annotations

import asyncio
import logging
import random
from decimal import Decimal
from itertools import count

from callsheet.archive.layout import clip_name, poster_name
from callsheet.errors import (
    CallsheetError,
    DownloadFailed,
    MediaError,
    NotAccepted,
    OperationExpired,
    OperationOverdue,
    ProviderError,
)
from callsheet.ledger import Attempt, Job, JobOrder, JobResult, JobState
from callsheet.media.probe import probe_video
from callsheet.media.provenance import Provenance, xmp_packet
from callsheet.media.stills import poster
from callsheet.orders import clip_order, clip_slot, video_request
from callsheet.providers.protocol import VideoProvider, VideoReady
from callsheet.shots import Asset, Shot, ShotState
from callsheet.steps import all_of
from callsheet.steps.deposit import Deposit, deposit_derived, deposit_paid, fetch, read_frame, read_reference
from callsheet.steps.paid import UNSENT, Send, claim, submit
from callsheet.steps.verdicts import Verdict, verdict
from callsheet.steps.work import ClipWork, Work, failure_of, failure_of_job, is_transient, state_after, state_of
from callsheet.studio import Studio
from callsheet.tally import How

log = logging.getLogger(__name__)

# Seconds between two looks at an operation: often at first, then ever less. Veo 3.1 takes 11 s to 6 min (2026-10).
POLL_FIRST_S, POLL_GROWTH, POLL_MOST_S = 3.0, 1.4, 20.0
DOWNLOADS = 4


async def make_clips(studio: Studio, work: Work) -> None:
    """Make the shot's clips, side by side; the shot ends here when one of them cannot be had."""
    work.clips = []
    for take in work.frames():
        frame = work.takes[take].asset if take is not None else None
        order = clip_order(studio.batch, work.shot, take, frame.sha256 if frame else None)
        work.clips.append(ClipWork(take, order.key))
    states = await all_of(_make_clip(studio, work, clip) for clip in work.clips)
    work.ended = work.ended or next((state for state in states if state is not None), None)


async def _make_clip(studio: Studio, work: Work, clip: ClipWork) -> ShotState | None:
    """Make one clip; None when it is there, else the state in which its absence leaves the shot."""
    shot, frame = work.shot, work.takes[clip.take].asset if clip.take is not None else None
    order = clip_order(studio.batch, shot, clip.take, frame.sha256 if frame else None)
    try:
        async with studio.flight(order.key), studio.video_slots:
            clip.job = job = await _paid_video(studio, shot, order, frame)
            if job.sha256 and job.mime_type:
                several = clip.take if len(work.clips) > 1 else None
                name = clip_name(job.sha256, job.mime_type, take=several)
                clip.asset = await deposit_paid(studio, shot, "clip", job, name, frame.sha256 if frame else None)
                clip.poster = await make_poster(studio, shot, clip.asset)
                return None
        clip.failure = failure_of_job("clips", job, order.slot)
        return state_after(job)
    except CallsheetError as error:
        if is_transient(error):
            raise
        clip.failure = failure_of("clips", error, clip_slot(clip.take))
        return state_of(error)
    finally:
        studio.progress.advance("clips", failed=clip.asset is None)


async def make_poster(studio: Studio, shot: Shot, asset: Asset) -> Asset:
    """The archived still that stands for a clip or a cut."""
    known = next((a for a in studio.assets_of(shot) if a.kind == "poster" and a.parent == asset.sha256), None)
    if known is not None:
        return known
    xmp = xmp_packet(Provenance(asset.sha256, shot.video_model or ""))
    path, target = await fetch(studio, asset.sha256, asset.size), studio.spool.scratch(".jpg")
    async with studio.encoder_slots:
        width, height = await asyncio.to_thread(poster, path, target, xmp=xmp)
    new = Deposit("poster", "image/jpeg", width, height, parent=asset.sha256)
    return await deposit_derived(studio, shot, new, target, lambda sha256: poster_name(sha256, "image/jpeg"))


async def _paid_video(studio: Studio, shot: Shot, order: JobOrder, frame: Asset | None) -> Job:
    """The job with its result, or as it ended."""
    job = await claim(studio, order)
    how: How = "created" if job.state in UNSENT else "reused" if job.state is JobState.STORED else "resumed"
    price = studio.catalogue.get(order.model).video_price(shot.resolution or "", shot.duration_s or 0)
    if job.state is JobState.UNKNOWN:
        job = await _look_for_evidence(studio, order, job)
    for filtered in count():
        if job.state in UNSENT:
            job = await submit(studio, order, job, price, _sender(studio, shot, order, frame), studio.submit_slots)
        if job.state is not JobState.SUBMITTED:
            break
        job = await _result_of(studio, order, job, price, filtered)
        if job.state is not JobState.PLANNED:
            break
    studio.tally.count("video", how, job)
    return job


async def _look_for_evidence(studio: Studio, order: JobOrder, job: Job) -> Job:
    """A job in doubt, decided when it is certain what became of its submission; else as it is, for a person."""
    evidence = await studio.providers.evidence_of(order.key)
    if evidence is None:
        return job
    if evidence.operation is None:
        return await studio.ledger.resolve(order.key, "resubmit", by="evidence: never accepted", usd=Decimal(0))
    return await studio.ledger.resolve(order.key, "adopt", evidence.operation, by="evidence: found by its label")


def _sender(studio: Studio, shot: Shot, order: JobOrder, frame: Asset | None) -> Send:
    async def send(attempt: Attempt) -> Job:
        first = await read_frame(studio, frame) if frame else None
        last = await read_reference(studio, shot.last_frame) if shot.last_frame else None
        operation = await studio.providers.videos_for(order.model).submit(video_request(shot, first, last, order.key))
        job = await studio.ledger.submitted(attempt, operation)
        studio.tally.accepted("video")
        return job

    return send


async def _result_of(studio: Studio, order: JobOrder, job: Job, price: Decimal, filtered: int) -> Job:
    """Await the operation and fetch its video: the job as finished, as ended, or planned for one more free try.

    OperationOverdue and DownloadFailed are raised: the job stays submitted, and the next run goes on from there.
    """
    provider = studio.providers.videos_for(order.model)
    assert job.operation  # noqa: S101  a submitted job has one
    try:
        result = await _fetch_video(studio, provider, job.operation, price)
    except (OperationOverdue, DownloadFailed):
        raise
    except ProviderError as error:
        given = verdict("video", error, filtered)
        state = JobState.EXPIRED if isinstance(error, OperationExpired) else _ENDS.get(given, JobState.FAILED)
        usd = price if error.charged else Decimal(0)
        return await studio.ledger.fail(
            order.key, state, kind=error.kind, reason=str(error), code=error.reason, usd=usd
        )
    return await studio.ledger.finished(order.key, result)


_ENDS: dict[Verdict, JobState] = {Verdict.RETRY: JobState.PLANNED, Verdict.BLOCK: JobState.BLOCKED}


async def _fetch_video(studio: Studio, provider: VideoProvider, operation: str, price: Decimal) -> JobResult:
    """The video of an operation, whole and durable in the spool. A failed download is tried again: it is free."""
    for tried in count(1):
        ready = await wait(studio, provider, operation)
        target = studio.spool.scratch(".mp4")
        try:
            await provider.download(ready, target)
            probe = await asyncio.to_thread(probe_video, target)
            break
        except (DownloadFailed, NotAccepted, MediaError) as error:
            target.unlink(missing_ok=True)
            if tried == DOWNLOADS:
                raise DownloadFailed(
                    f"The video of {operation} was made but could not be fetched whole in {DOWNLOADS} tries: {error} "
                    "Run the same command again: it fetches it for free while the provider keeps it (two days)."
                ) from error
            await studio.rest(2.0**tried)
    file = await asyncio.to_thread(studio.spool.adopt, target)
    return JobResult(
        sha256=file.sha256,
        md5=file.md5,
        size=file.size,
        mime_type=ready.mime_type,
        width=probe.width,
        height=probe.height,
        duration_s=probe.duration_s,
        details={"fps": probe.fps, "video_codec": probe.video_codec, "audio_codec": probe.audio_codec},
        usd=price,
    )


async def wait(studio: Studio, provider: VideoProvider, operation: str) -> VideoReady:
    """Look at an operation until it is done, ever less often; raises its outcome when that is no video.

    A look that fails changes nothing: the operation goes on. OperationOverdue after the deadline of the settings,
    which counts real seconds from this call.
    """
    every, give_up = POLL_FIRST_S, asyncio.get_running_loop().time() + studio.settings.video_deadline_s
    while True:
        try:
            ready = await provider.poll(operation)
        except NotAccepted as error:
            log.warning("Looking at %s failed, it is looked at again: %s", operation, error)
            ready = None
        if ready is not None:
            return ready
        if asyncio.get_running_loop().time() > give_up:
            raise OperationOverdue(
                f"{operation} was not done within {studio.settings.video_deadline_s:.0f} s. It was paid for and may "
                "still finish: run the same command again to go on waiting; it is not submitted again."
            )
        await studio.rest(every * (0.8 + 0.4 * random.random()))  # noqa: S311
        every = min(POLL_MOST_S, every * POLL_GROWTH)
