"""The life of a paid job, from claim to stored. The intent is durable before each request, the result at once after.

claim -> begin (budget, quota, intent) -> request -> submitted (videos) -> finished -> stored
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from decimal import Decimal

from callsheet.context.context import RunContext
from callsheet.context.gates import ALL
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
)
from callsheet.jobs.charges import charge_of, spend_limits
from callsheet.jobs.gate_news import gate_of, tell_gate
from callsheet.jobs.persist import persist
from callsheet.jobs.replies import asked_again, name_kept
from callsheet.jobs.unknown import decide
from callsheet.ledger import Attempt, Job, JobOrder, JobState
from callsheet.providers.retry_policy import Verdict, backoff_s, rule_for, verdict
from callsheet.providers.sent_tracking import listening

log = logging.getLogger(__name__)

# How often to look at a job that another process works on, in seconds.
WATCH_EVERY_S = 1.0

# How often a request in doubt is sent again in one run when evidence shows that it was not accepted.
DOUBTS = 8

# Sends one request and makes its result durable; returns the job as the ledger then has it.
Send = Callable[[Attempt], Awaitable[Job]]
# Makes ready all that sending takes (clients, files, the request); after it only the attempt's place is missing.
Ready = Callable[[], Awaitable[Send]]
# A request that began to be sent later than this after its place was taken counts from then, in clock seconds.
SENT_AT_ONCE = timedelta(seconds=0.1)
# States in which the request has not been sent, or may not have been.
UNSENT = frozenset({JobState.PLANNED, JobState.RESERVED, JobState.UNKNOWN})
ENDED = frozenset({JobState.STORED, JobState.BLOCKED, JobState.FAILED, JobState.EXPIRED})


async def claim(run: RunContext, order: JobOrder) -> Job:
    """The job, ours to work on, or as it ended elsewhere; waits while another process works on it.

    A job whose process died while sending comes back `unknown`: nobody can know whether it was accepted.
    """
    while True:
        claimed = await run.resources.ledger.claim(order)
        if claimed.mine or claimed.job.state in ENDED:
            return claimed.job
        await run.state.rest_really(WATCH_EVERY_S)


async def patiently(run: RunContext, order: JobOrder, work: Callable[[], Awaitable[Job]]) -> Job:
    """The job that `work()` gives. With `wait`, a day that is full is slept through and the work begun again."""
    while True:
        try:
            return await work()
        except Parked as parked:
            if not run.policy.wait or parked.until is None or not isinstance(parked, QuotaParked):
                await _put_on_record(run, order, parked)
                raise
            until = parked.until
            if run.state.note_full(order.model, until):
                log.warning("%s Waiting for it.", parked)
        await run.rest((until - run.resources.clock.now()).total_seconds())


async def _put_on_record(run: RunContext, order: JobOrder, parked: Parked) -> None:
    """Tell the ledger that the job waits: what parks it may be known to this process alone."""
    try:
        await run.resources.ledger.park(order.key, parked)
    except LedgerError as error:  # a full disk, say: nothing is lost, and the reason is told all the same
        log.warning("That job %s is parked could not be put on record: %s", order.key[:12], error)


async def submit(
    run: RunContext, order: JobOrder, job: Job, price: Decimal, ready: Ready, slots: asyncio.Semaphore
) -> Job:
    """Send the job's request until it is accepted or a verdict ends it; never two requests at once.

    `slots` bounds what is in flight. Returns the job as accepted (submitted or finished) or as it ended; still
    `unknown` when a person has to decide. Raises QuotaParked or BudgetParked when it may not be sent now, and the
    error that halted the batch.
    """
    earlier: Counter[type[ProviderError]] = Counter()
    if job.state is JobState.UNKNOWN:
        job = await decide(run, order, job)
    while job.state in (JobState.PLANNED, JobState.RESERVED):
        if run.state.halted is not None:
            raise run.state.halted
        gate = await gate_of(run, order)
        async with gate.turn(order.model):
            attempt, outcome = await _attempt(run, order, price, ready, slots)
            await tell_gate(gate, run, order, outcome)
        if isinstance(outcome, Job):
            return outcome
        applied = rule_for(outcome).error
        pause_s = backoff_s(outcome, earlier[applied], random.random())  # noqa: S311  spreads load, no secret
        if isinstance(outcome, Unknown):
            await _doubt(run, attempt, outcome)
            # A job in doubt is nobody's, and only whoever has it may send it again.
            job = await claim(run, order)
            job = await decide(run, order, job) if job.state is JobState.UNKNOWN else job
            going = job.state is JobState.PLANNED and earlier[applied] < DOUBTS
        else:
            known = await _tries(run, order, outcome, earlier[applied])
            given = verdict(order.kind, outcome, known)
            job = await _record(run, order, attempt, outcome, given, pause_s)
            going = given in (Verdict.RETRY, Verdict.AGAIN)
        if not going:
            return job
        await run.rest(pause_s)
        earlier[applied] += 1
    return job


async def _tries(run: RunContext, order: JobOrder, error: ProviderError, earlier: int) -> int:
    """How often the error's rule was applied: for what may be paid twice, in all runs and by any such rule."""
    if not isinstance(error, NoImage):
        return earlier
    return max(earlier, asked_again(await run.resources.ledger.attempts_on(order.key)))


async def _attempt(
    run: RunContext, order: JobOrder, price: Decimal, ready: Ready, slots: asyncio.Semaphore
) -> tuple[Attempt, Job | ProviderError]:
    """One attempt: be ready, reserve money and a place in the quota, wait for it, make the intent durable, send.

    The place in the minute is taken when nothing is left to do but to send. The intent is written only when there is a
    free slot, so that a killed process leaves few requests in doubt.
    """
    limits = run.resources.catalogue.get(order.model).limits(run.resources.settings.tier)
    async with slots:
        await _may_send(run, order)
        send, taken = await ready(), run.resources.clock.now()
        attempt = await run.resources.ledger.begin(
            order.key,
            estimate=price,
            scope=run.gate(order).scope,
            limits=limits,
            spend=spend_limits(run.resources.settings, run.resources.catalogue, run.gate(order).scope),
            budget=run.policy.budget_usd,
            output=run.resources.providers.output_root(order.model) or "",
            credential=run.resources.providers.credential(order.model),
        )
        if attempt.not_before is None:
            return attempt, await _outcome(run, send, attempt, taken)
    await run.rest((attempt.not_before - run.resources.clock.now()).total_seconds())
    async with slots:
        await _may_send(run, order)
        send = await ready()
        taken = max(run.resources.clock.now(), attempt.not_before)
        await run.resources.ledger.submitting(attempt)
        return attempt, await _outcome(run, send, attempt, taken)


async def _may_send(run: RunContext, order: JobOrder) -> None:
    """Return when nothing is in the way of sending; raises what halted batch or route, NoRoom, or a full day."""
    while run.state.troubled:
        await run.state.rest_really(WATCH_EVERY_S)
    if run.state.halted is not None:
        raise run.state.halted
    (await gate_of(run, order)).check(order.model)
    run.resources.spool.check_room(run.resources.settings.min_free_mb)
    full = run.state.full_until.get(order.model)
    if full is not None and full > run.resources.clock.now():
        raise QuotaParked(f"Today's requests for {order.model} are used up. Nothing was sent.", until=full)


async def _outcome(run: RunContext, send: Send, attempt: Attempt, taken: datetime) -> Job | ProviderError:
    """What became of the request. When we fail or are cancelled in the middle of it, it is in doubt.

    `taken` is when its place was taken, at the latest.
    """
    try:
        async with _counted_when_sent(run, attempt, taken):
            return await send(attempt)
    except ProviderError as error:
        return name_kept(run, attempt.key, attempt.n, error)
    except BaseException as error:
        reason = f"{type(error).__name__} while the request was under way: {error}"
        await asyncio.shield(
            run.resources.ledger.settle(attempt, JobState.UNKNOWN, kind=Unknown.__name__, reason=reason[:2000])
        )
        raise


@asynccontextmanager
async def _counted_when_sent(run: RunContext, attempt: Attempt, taken: datetime) -> AsyncIterator[None]:
    """Let the attempt count from when it was really sent: connecting may take long, and the others wait by it."""
    notes: list[asyncio.Task[None]] = []

    def note() -> None:
        moment = run.resources.clock.now()
        if moment - taken > SENT_AT_ONCE:
            notes.append(asyncio.create_task(run.resources.ledger.sent(attempt, moment)))

    try:
        with listening(note):
            yield
    finally:
        for lost in await asyncio.gather(*notes, return_exceptions=True):
            if isinstance(lost, Exception):
                log.warning("When a request was sent could not be noted: %s", lost)


_STATE_AFTER: dict[Verdict, JobState] = {
    Verdict.RETRY: JobState.PLANNED,
    Verdict.AGAIN: JobState.PLANNED,
    Verdict.PARK: JobState.PLANNED,
    Verdict.BLOCK: JobState.BLOCKED,
    Verdict.FAIL: JobState.FAILED,
}


async def _doubt(run: RunContext, attempt: Attempt, error: Unknown) -> Job:
    """Record that the request may have been accepted: its money stays held until that is decided."""
    return await persist(
        run,
        lambda: run.resources.ledger.settle(
            attempt, JobState.UNKNOWN, kind=error.kind, reason=str(error), code=error.reason, status=error.status
        ),
        f"a request in doubt for job {attempt.key[:12]}",
    )


async def _record(
    run: RunContext, order: JobOrder, attempt: Attempt, error: ProviderError, given: Verdict, pause_s: float
) -> Job:
    """Close the attempt in the ledger, and learn the quota that a 429 states."""
    # What was not accepted for a reason outside the request leaves the job planned: the next run tries it again.
    mendable = isinstance(error, NotAccepted | Unauthorised | ModelNotFound)
    state = JobState.PLANNED if given is Verdict.FAIL and mendable else _STATE_AFTER[given]
    usd = charge_of(error, order, run.resources.priced(attempt.model), attempt.estimate)
    job = await persist(
        run,
        lambda: run.resources.ledger.settle(
            attempt, state, kind=error.kind, reason=str(error), code=error.reason, status=error.status, usd=usd
        ),
        f"the end of an attempt at job {attempt.key[:12]}",
    )
    if isinstance(error, RouteClosed):
        raise RouteParked(str(error))
    if isinstance(error, RateLimited) or given is Verdict.PARK:
        until = await _learn(run, attempt, error, pause_s)
        if given is Verdict.PARK:
            raise QuotaParked(f"{error} Nothing was sent; it goes on at {until:%Y-%m-%d %H:%M} UTC.", until=until)
    return job


async def _learn(run: RunContext, attempt: Attempt, error: ProviderError, pause_s: float) -> datetime:
    """Let every process know of the quota or the pause that a reply states; returns when requests may go on.

    A 429 without details pauses the model for as long as this job waits: all others would get the same answer.
    """
    per, limit = (error.per, error.limit) if isinstance(error, RateLimited) else ("", None)
    model = ALL if per == SPEND else attempt.model  # money is counted over all models
    hint_s = error.retry_after_s if isinstance(error, NotAccepted) else None
    wait_s = hint_s if per or hint_s is not None else pause_s
    return await run.resources.ledger.lower_limit(attempt.scope, model, per or "minute", limit, wait_s)
