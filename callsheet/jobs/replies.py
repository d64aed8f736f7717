"""The replies to paid requests.

Kept before they are read, read again after a kill, named when nothing came of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal

from callsheet.context.context import RunContext
from callsheet.errors import (
    BadImage,
    CallsheetError,
    NotAccepted,
    PictureElsewhere,
    ProviderError,
    Rejected,
    SettingsError,
    Unknown,
    Unreachable,
)
from callsheet.jobs.charges import charge_of, picture_charge
from callsheet.jobs.persist import persist
from callsheet.jobs.spool_files import keep_picture
from callsheet.ledger import Attempt, AttemptRecord, Job, JobOrder, JobState
from callsheet.providers.outcomes import BY_ADDRESS, read_picture
from callsheet.providers.protocol import ImageResult
from callsheet.providers.reply_spool import Reply
from callsheet.providers.retry_policy import RetryDecision, decide_retry, rule_for
from callsheet.providers.video_replies import submitted_name

log = logging.getLogger(__name__)


class SpoolKeeper:
    """A writer of the reply to attempt `n` at a job into the spool, while it comes.

    When the disk does not take it, all of it is written once more at the end, patiently.
    """

    def __init__(self, run: RunContext, key: str, n: int) -> None:
        #: The provider's id of the exchange, "" until it has replied with one.
        self.request_id = ""
        self._run, self._key, self._n = run, key, n
        self._file = run.resources.spool.replies.open(key, n)
        self._is_failed = False

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Note status and headers; a disk that does not take them is tried again."""
        self.request_id = Reply(status, headers).request_id
        try:
            self._file.begin(status, headers)
        except OSError:
            self._is_failed = True

    def add(self, data: bytes) -> None:
        """Note the next piece of the body."""
        try:
            if not self._is_failed:
                self._file.add(data)
        except OSError:
            self._is_failed = True

    async def end(self, reply: Reply) -> None:
        """Return when the reply is durable."""
        try:
            if not self._is_failed:
                await asyncio.to_thread(self._file.end)
                return
        except OSError as error:
            log.debug("The reply to attempt %d at %s is written again: %s", self._n, self._key[:12], error)
        self._file.close()
        kept = self._run.resources.spool.replies
        await persist(
            self._run,
            lambda: asyncio.to_thread(kept.write, self._key, self._n, reply),
            f"the reply to attempt {self._n} at job {self._key[:12]}",
        )


def name_kept(run: RunContext, key: str, n: int, error: ProviderError) -> ProviderError:
    """Return the error, with the file in which the reply lies as it came.

    What was certainly not paid for is not kept.
    """
    path = run.resources.spool.replies.path(key, n)
    if not path.is_file():
        return error
    if not rule_for(error).keeps and not error.tokens.get("output_image"):
        path.unlink(missing_ok=True)
        return error
    error.kept = str(path)
    error.message = f"{error.message} The reply is kept as it came: {path}."
    error.args = (error.message,)
    return error


async def judge_kept(run: RunContext, order: JobOrder, job: Job, last: AttemptRecord) -> Job:
    """Decide a job in doubt by the reply that was kept before a kill.

    For pictures and videos. Without such a reply the job is as it was.

    Whole: it is finished, or submitted under the operation that it names. Part of a picture: it failed. Another answer
    is what it would have been in time. Raises Unreachable when the picture is at an address from which it does not
    come now.
    """
    if order.kind == "look":
        return job
    reply = await asyncio.to_thread(run.resources.spool.replies.read, job.key, last.n)
    if reply is None:
        return job
    try:
        if order.kind == "video":
            name = await asyncio.to_thread(submitted_name, reply, f"a video by {order.model}")
            return await run.resources.ledger.resolve(
                job.key, "adopt", name, by="its kept reply", request_id=reply.request_id
            )
        result = await _read_kept(run, order, reply, last)
    except PictureElsewhere as error:
        raise Unreachable(str(error)) from error
    except Unknown:
        return replace(
            job, reason=f"{job.reason} Its reply is kept: {run.resources.spool.replies.path(job.key, last.n)}."
        )
    except ProviderError as error:
        return await _settle_kept(run, order, last, name_kept(run, job.key, last.n, error))
    log.info("Job %s of shot %s: its kept reply holds the picture; nothing is sent again.", job.key[:12], order.shot)
    usd = picture_charge(
        result.tokens, order, run.resources.price_model(order.model), max(last.estimated_usd, Decimal(0))
    )
    kept = await keep_picture(run, result, usd)
    return await persist(run, lambda: run.resources.ledger.record_result(job.key, kept), f"picture {kept.sha256[:12]}")


async def picture_of_another_ledger(run: RunContext, order: JobOrder, attempt: Attempt) -> ImageResult | None:
    """Return the picture in a reply that a lost ledger had kept on this disk.

    It is paid for. Only the first attempt looks for it: who asks once more wants something else. Raises Unreachable
    when the reply names the picture by an address from which it does not come now: nothing is sent then.
    """
    if attempt.n != 1:
        return None
    for reply in await asyncio.to_thread(run.resources.spool.replies.of_other_ledgers, order.key):
        try:
            found = await _read_kept(run, order, reply)
        except PictureElsewhere as error:
            raise Unreachable(str(error)) from error
        except CallsheetError:
            continue
        log.info(
            "Job %s of shot %s: a kept reply of a lost ledger holds it; nothing is sent.", order.key[:12], order.shot
        )
        return found
    return None


async def _read_kept(run: RunContext, order: JobOrder, reply: Reply, sent: AttemptRecord | None = None) -> ImageResult:
    """Return the picture of a kept reply, fetched for free where it only names one.

    Raises PictureElsewhere when it did not come, and what else is wrong with the reply.
    """
    what = f"a picture by {order.model}"
    try:
        return await asyncio.to_thread(read_picture, reply, what)
    except BadImage as error:
        if error.reason != BY_ADDRESS:
            raise
        named = error
    about_people = order.request.get("person_generation") is not None
    try:
        provider = run.resources.providers.of_attempt(sent).images_for(order.model, about_people=about_people)
    except SettingsError as error:
        raise PictureElsewhere(f"{named} It was not fetched: {error}", reason=BY_ADDRESS) from error
    return await provider.read(reply, what)


async def operation_of_another_ledger(run: RunContext, order: JobOrder, attempt: Attempt) -> str | None:
    """Return the operation named in a reply that a lost ledger had kept.

    It is as for pictures.
    """

    def read() -> str | None:
        for reply in run.resources.spool.replies.of_other_ledgers(order.key) if attempt.n == 1 else ():
            with suppress(CallsheetError):
                return submitted_name(reply, f"a video by {order.model}")
        return None

    found = await asyncio.to_thread(read)
    if found is not None:
        log.info(
            "Job %s of shot %s: a lost ledger had submitted %s; nothing is sent.", order.key[:12], order.shot, found
        )
    return found


async def _settle_kept(run: RunContext, order: JobOrder, last: AttemptRecord, error: ProviderError) -> Job:
    """Return the job after an answer without a picture that was kept before a kill."""
    attempt = Attempt(last.job_key, last.n, last.scope, last.model, last.estimated_usd)
    again = count_paid_tries(await run.resources.ledger.attempts_on(order.key)) - 1
    state = _STATE_AFTER.get(decide_retry(order.kind, error, again), JobState.PLANNED)
    if isinstance(error, NotAccepted | Rejected):
        state = JobState.PLANNED  # the next request meets it again, or does not
    usd = charge_of(error, order, run.resources.price_model(order.model), max(last.estimated_usd, Decimal(0)))
    return await run.resources.ledger.settle(
        attempt, state, kind=error.kind, reason=str(error), code=error.reason, status=error.status, usd=usd
    )


_STATE_AFTER = {RetryDecision.BLOCK: JobState.BLOCKED, RetryDecision.FAIL: JobState.FAILED}


def count_paid_tries(attempts: list[AttemptRecord]) -> int:
    """Return how many of a job's attempts may have been paid for and gave nothing.

    The next one is a second payment.
    """
    return sum(1 for attempt in attempts if _is_lost(attempt))


def _is_lost(attempt: AttemptRecord) -> bool:
    in_doubt = attempt.outcome == JobState.UNKNOWN and bool(attempt.usd or attempt.reserved_usd)
    return in_doubt or attempt.detail.startswith("NoImage:")
