"""What surrounds a request.

Claiming its job, leave to send it now, and the record of what became of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from callsheet.context.context import RunContext
from callsheet.context.gates import ALL, RouteGate, place_of
from callsheet.errors import (
    SPEND,
    LedgerError,
    ModelNotFound,
    NoImage,
    NotAccepted,
    Parked,
    ProviderError,
    QuotaParked,
    RateLimited,
    RouteClosed,
    RouteParked,
    Unauthorised,
    Unknown,
    WebPage,
)
from callsheet.jobs.charges import charge_of
from callsheet.jobs.persist import persist
from callsheet.jobs.replies import count_paid_tries
from callsheet.jobs.request_log import count_parked, count_wait
from callsheet.ledger import Attempt, Job, JobOrder, JobState
from callsheet.providers.retry_policy import RetryDecision
from callsheet.providers.sent_tracking import listening
from callsheet.providers.video_replies import WEB_PAGE


async def gate_of(run: RunContext, order: JobOrder) -> RouteGate:
    """Return the gate of the order's route.

    It knows what any process has found closed until now.
    """
    gate = run.gate(order)
    gate.hear(await run.resources.ledger.find_closed_models(gate.scope))
    return gate


async def tell_gate(gate: RouteGate, run: RunContext, order: JobOrder, outcome: Job | ProviderError) -> None:
    """Close the route after a refusal that holds for every request.

    A cut does without the look, whatever its key.

    The ledger remembers what is closed for billing: the next run tries with one request, and opens it when that is
    taken.
    """
    if isinstance(outcome, Unknown) and outcome.reason == WEB_PAGE:
        gate.close_after(order.model, WebPage(str(outcome), reason=WEB_PAGE, status=outcome.status))
    if isinstance(outcome, RouteClosed):
        gate.close_after(order.model, outcome)
        await run.resources.ledger.close_route(gate.scope, place_of(order.model, outcome))
    elif isinstance(outcome, Unauthorised) and order.kind != "look":
        gate.close_after(order.model, outcome)
    elif gate.is_opened_by(order.model, outcome):
        await run.resources.ledger.open_route(gate.scope, [ALL, order.model])


log = logging.getLogger(__name__)

# How often to look at a job that another process works on, in seconds.
WATCH_EVERY_S = 1.0

# How often a request in doubt is sent again in one run when evidence shows that it was not accepted.
DOUBTS = 8

# A request that began to be sent later than this after its place was taken counts from then, in clock seconds.
SENT_AT_ONCE = timedelta(seconds=0.1)
# States in which the request has not been sent, or may not have been.
UNSENT = frozenset({JobState.PLANNED, JobState.RESERVED, JobState.UNKNOWN})
ENDED = frozenset({JobState.STORED, JobState.BLOCKED, JobState.FAILED, JobState.EXPIRED})


async def claim(run: RunContext, order: JobOrder) -> Job:
    """Return the job, ours to work on, or as it ended elsewhere.

    Waits while another process works on it.

    A job whose process died while sending comes back `unknown`: nobody can know whether it was accepted.
    """
    while True:
        claimed = await run.resources.ledger.claim(order)
        if claimed.mine or claimed.job.state in ENDED:
            return claimed.job
        await run.state.rest_really(WATCH_EVERY_S)


async def wait_or_park(run: RunContext, order: JobOrder, parked: Parked) -> None:
    """Wait until a model's full day is over, if the run waits.

    Else put on record that the job is parked, and raise.
    """
    if not run.policy.wait or parked.until is None or not isinstance(parked, QuotaParked):
        count_parked(order, parked)
        await _put_on_record(run, order, parked)
        raise parked
    if run.state.note_full(order.model, parked.until):
        log.warning("%s Waiting for it.", parked)
    wait_s = (parked.until - run.resources.clock.now()).total_seconds()
    count_wait(order, wait_s)
    await run.rest(wait_s)


async def _put_on_record(run: RunContext, order: JobOrder, parked: Parked) -> None:
    """Tell the ledger that the job waits.

    What parks it may be known to this process alone.
    """
    try:
        await run.resources.ledger.park(order.key, parked)
    except LedgerError as error:  # a full disk, say: nothing is lost, and the reason is told all the same
        log.warning("That job %s is parked could not be put on record: %s", order.key[:12], error)


async def count_tries(run: RunContext, order: JobOrder, error: ProviderError, earlier: int) -> int:
    """Return how often the error's rule was applied.

    For what may be paid twice, in all runs and by any such rule.
    """
    if not isinstance(error, NoImage):
        return earlier
    return max(earlier, count_paid_tries(await run.resources.ledger.attempts_on(order.key)))


async def check_sendable_now(run: RunContext, order: JobOrder) -> None:
    """Return when nothing is in the way of sending.

    Raises what halted batch or route, NoRoom, or a full day.
    """
    while run.state.troubled:
        await run.state.rest_really(WATCH_EVERY_S)
    if run.state.halted is not None:
        raise run.state.halted
    (await gate_of(run, order)).check(order.model)
    run.resources.spool.check_room(run.resources.settings.min_free_mb)
    full = run.state.full_until.get(order.model)
    if full is not None and full > run.resources.clock.now():
        raise QuotaParked(f"Today's requests for {order.model} are used up. Nothing was sent.", until=full)


async def settle_interrupted(run: RunContext, attempt: Attempt, error: BaseException) -> None:
    """Record that a request is in doubt because we ended in the middle of it."""
    reason = f"{type(error).__name__} while the request was under way: {error}"
    await asyncio.shield(
        run.resources.ledger.settle(attempt, JobState.UNKNOWN, kind=Unknown.__name__, reason=reason[:2000])
    )


@asynccontextmanager
async def count_when_sent(run: RunContext, attempt: Attempt, taken: datetime) -> AsyncIterator[None]:
    """Let the attempt count from when it was really sent.

    Connecting may take long, and the others wait by it.
    """
    notes: list[asyncio.Task[None]] = []

    def note() -> None:
        moment = run.resources.clock.now()
        if moment - taken > SENT_AT_ONCE:
            notes.append(asyncio.create_task(run.resources.ledger.mark_sent(attempt, moment)))

    try:
        with listening(note):
            yield
    finally:
        for lost in await asyncio.gather(*notes, return_exceptions=True):
            if isinstance(lost, Exception):
                log.warning("When a request was sent could not be noted: %s", lost)


_STATE_AFTER: dict[RetryDecision, JobState] = {
    RetryDecision.RETRY: JobState.PLANNED,
    RetryDecision.AGAIN: JobState.PLANNED,
    RetryDecision.PARK: JobState.PLANNED,
    RetryDecision.BLOCK: JobState.BLOCKED,
    RetryDecision.FAIL: JobState.FAILED,
}


async def record_doubt(run: RunContext, attempt: Attempt, error: Unknown) -> Job:
    """Record that the request may have been accepted.

    Its money stays held until that is decided.
    """
    return await persist(
        run,
        lambda: run.resources.ledger.settle(
            attempt, JobState.UNKNOWN, kind=error.kind, reason=str(error), code=error.reason, status=error.status
        ),
        f"a request in doubt for job {attempt.key[:12]}",
    )


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """How an attempt ended without a result, and what follows from it.

    `pause_s` is the pause before another try.
    """

    error: ProviderError
    decision: RetryDecision
    pause_s: float


async def record_end(run: RunContext, order: JobOrder, attempt: Attempt, failed: FailedAttempt) -> Job:
    """Close the attempt in the ledger, and learn the quota that a 429 states."""
    error, given = failed.error, failed.decision
    # What was not accepted for a reason outside the request leaves the job planned: the next run tries it again.
    mendable = isinstance(error, NotAccepted | Unauthorised | ModelNotFound)
    state = JobState.PLANNED if given is RetryDecision.FAIL and mendable else _STATE_AFTER[given]
    usd = charge_of(error, order, run.resources.price_model(attempt.model), attempt.estimate)
    job = await persist(
        run,
        lambda: run.resources.ledger.settle(
            attempt, state, kind=error.kind, reason=str(error), code=error.reason, status=error.status, usd=usd
        ),
        f"the end of an attempt at job {attempt.key[:12]}",
    )
    if isinstance(error, RouteClosed):
        raise RouteParked(str(error))
    if isinstance(error, RateLimited) or given is RetryDecision.PARK:
        until = await _learn(run, attempt, error, failed.pause_s)
        if given is RetryDecision.PARK:
            parked = QuotaParked(f"{error} Nothing was sent; it goes on at {until:%Y-%m-%d %H:%M} UTC.", until=until)
            raise parked from error
    return job


async def _learn(run: RunContext, attempt: Attempt, error: ProviderError, pause_s: float) -> datetime:
    """Let every process know of the quota or the pause that a reply states.

    Returns when requests may go on.

    A 429 without details pauses the model for as long as this job waits: all others would get the same answer.
    """
    per, limit = (error.per, error.limit) if isinstance(error, RateLimited) else ("", None)
    model = ALL if per == SPEND else attempt.model  # money is counted over all models
    hint_s = error.retry_after_s if isinstance(error, NotAccepted) else None
    wait_s = hint_s if per or hint_s is not None else pause_s
    return await run.resources.ledger.lower_limit(attempt.scope, model, per or "minute", limit, wait_s)
