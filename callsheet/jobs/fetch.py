"""From an accepted submission to a video on this disk.

Wait for its operation, fetch it, look whether it is whole. Nothing here is paid for, so everything may be done again:
by the next run, or by `callsheet recover`.
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
    RouteMissing,
    Unauthorised,
)
from callsheet.jobs.charges import video_charge
from callsheet.jobs.spool_files import check_source, fetch_once, keep_others, video_job_result
from callsheet.ledger import Job, JobResult
from callsheet.providers.protocol import VideoReady

log = logging.getLogger(__name__)

DOWNLOADS = 4
# The reason code of a video whose route this process has no credentials for.
ROUTE_MISSING = "NO_CREDENTIALS"


async def watch_of(run: RunContext, job: Job) -> Watch:
    """Return the watch on a submitted job's operation, on the route of its attempt.

    LedgerError when it has none; OperationWithheld when this process has no credentials for that route.
    """
    if job.operation is None:
        raise LedgerError(f"Job {job.key[:12]} of shot {job.shot} is {job.state} without an operation's name.")
    attempts = await run.resources.ledger.attempts_on(job.key)
    last = attempts[-1] if attempts else None
    try:
        provider = run.resources.providers.of_attempt(last, job.operation).videos_for(job.model)
    except RouteMissing as error:
        whose = f" with {last.credential}" if last and last.credential else ""
        raise OperationWithheld(
            f"{job.operation} was submitted{whose}, and this run cannot look there. {error} It was paid for and is not "
            "submitted again: run the same command with that key or project, or `callsheet recover`.",
            reason=ROUTE_MISSING,
        ) from error
    return Watch(
        operation=job.operation,
        provider=provider,
        since=job.submitted_at or run.resources.clock.now(),
        deadline_s=deadline_s(run.resources.catalogue.get(job.model), run.resources.settings.video_deadline_s),
    )


async def fetch_video(run: RunContext, job: Job, price: Decimal) -> JobResult:
    """Return the video of a submitted job, whole and durable in the spool.

    Raises the operation's outcome when that is no video (see `poller.ENDS`). After OperationOverdue, OperationWithheld,
    Unauthorised, and DownloadFailed (four tries) the job is still submitted, and the next run goes on from there.
    """
    watch = await watch_of(run, job)
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


async def close_route(run: RunContext, job: Job, error: Unauthorised) -> None:
    """Have nothing new sent with credentials that are refused at a look."""
    attempts = await run.resources.ledger.attempts_on(job.key)
    asked = run.resources.providers.of_attempt(attempts[-1] if attempts else None, job.operation or "")
    run.state.gate(asked.scope(job.model)).close_after(job.model, error)


async def _submitted_with(run: RunContext, job: Job) -> str:
    """Say with which key or project the job was submitted, and if this run has it."""
    attempts = await run.resources.ledger.attempts_on(job.key)
    then = (attempts[-1].credential or attempts[-1].scope) if attempts else ""
    if not then:
        return ""
    now = run.resources.providers.of_attempt(attempts[-1], job.operation or "").credential(job.model)
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
                usd = video_charge(ready.tokens, job.request, run.resources.price_model(job.model), price)
                return video_job_result(fetched, ready, usd, others)
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
