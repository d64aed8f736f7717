"""From an accepted submission to a video on this disk: wait for its operation, fetch it, look whether it is whole.

Nothing here is paid for, so everything may be done again: by the next run, or by `callsheet recover`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from itertools import count

from callsheet.context.context import RunContext
from callsheet.context.poller import Watch, deadline_s
from callsheet.errors import (
    DownloadFailed,
    DownloadStalled,
    LedgerError,
    MediaError,
    NotAccepted,
    OperationExpired,
    OperationWithheld,
    Unauthorised,
)
from callsheet.jobs.spool_files import check_source, fetch_once, keep_others, video_job_result
from callsheet.ledger import Job, JobResult
from callsheet.providers.protocol import VideoReady

log = logging.getLogger(__name__)

DOWNLOADS = 4


def watch_of(run: RunContext, job: Job) -> Watch:
    """Return the watch on the operation of a submitted job.

    LedgerError when it has none.
    """
    if job.operation is None:
        raise LedgerError(f"Job {job.key[:12]} of shot {job.shot} is {job.state} without an operation's name.")
    return Watch(
        operation=job.operation,
        provider=run.resources.providers.videos_for(job.model),
        since=job.submitted_at or run.resources.clock.now(),
        deadline_s=deadline_s(run.resources.catalogue.get(job.model), run.resources.settings.video_deadline_s),
    )


async def fetch_video(run: RunContext, job: Job, price: Decimal) -> JobResult:
    """Return the video of a submitted job, whole and durable in the spool.

    Raises the operation's outcome when that is no video (see `poller.ENDS`). After OperationOverdue, OperationWithheld,
    Unauthorised, and DownloadFailed (four tries) the job is still submitted, and the next run goes on from there.
    """
    watch = watch_of(run, job)
    await check_source(run, job, watch.operation)
    async with naming_the_key(run, job):
        return await download(run, job, watch, await run.resources.poller.result(watch), price)


@asynccontextmanager
async def naming_the_key(run: RunContext, job: Job) -> AsyncIterator[None]:
    """Tell with what the provider does not show who submitted the job.

    Another key may be shown it.
    """
    try:
        yield
    except (OperationWithheld, Unauthorised) as error:
        whose = await _submitted_with(run, job)
        raise type(error)(f"{error} {whose}".strip(), reason=error.reason, status=error.status) from error


async def _submitted_with(run: RunContext, job: Job) -> str:
    """Return with which key or project the job was submitted, and whether this run has it, as a sentence."""
    attempts = await run.resources.ledger.attempts_on(job.key)
    then = (attempts[-1].credential or attempts[-1].scope) if attempts else ""
    now = run.resources.providers.credential(job.model)
    if not then:
        return ""
    if now.endswith(then):  # earlier attempts have a key's fingerprint alone
        return f"It was submitted with {now}, which this run has too."
    return f"It was submitted with {then}, and this run has {now}: set the one that submitted it."


async def download(run: RunContext, job: Job, watch: Watch, ready: VideoReady, price: Decimal) -> JobResult:
    """Return the video of a finished operation, verified.

    What came damaged is fetched again, from an address asked for anew.

    A file that is whole but not as long as ordered is taken when it comes the same twice: it is what was paid for.
    """
    odd: set[str] = set()
    for tried in count(1):
        try:
            fetched = await fetch_once(run, job, watch, ready)
            if not fetched.odd or fetched.file.sha256 in odd:
                others = await keep_others(run, job, watch, ready)
                await asyncio.to_thread(run.resources.spool.damaged(job.key).unlink, missing_ok=True)
                return video_job_result(fetched, ready, price, others)
            odd.add(fetched.file.sha256)
            raise DownloadFailed(fetched.odd)
        except OperationExpired as error:
            if tried == DOWNLOADS or run.resources.poller.is_over(watch):
                raise run.resources.poller.judged(watch, error) from None
        except (DownloadFailed, NotAccepted, MediaError) as error:
            if tried == DOWNLOADS or isinstance(error, DownloadStalled):
                tries = f"{tried} {'tries' if tried > 1 else 'try'}"
                raise DownloadFailed(
                    f"The video of {watch.operation} was made but could not be fetched whole in {tries}: "
                    f"{error} Run the same command again, or `callsheet recover`: it is fetched for free while the "
                    "provider keeps it (two days)."
                ) from error
            log.debug("Fetching the video of %s, try %d: %s", watch.operation, tried, error)
        await run.rest(2.0**tried)
        ready = _from_elsewhere(ready) or await run.resources.poller.result(watch)
    raise AssertionError


def _from_elsewhere(ready: VideoReady) -> VideoReady | None:
    """Fetch the same video from its address; None when it has none.

    For when the bytes that came in the answer were no good.
    """
    return replace(ready, data=None) if ready.data is not None and ready.uri else None
