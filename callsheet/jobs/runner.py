"""The life of a paid job, from claim to stored.

The intent is durable before each request, the result at once after.

claim -> begin (budget, quota, intent) -> request -> submitted (videos) -> finished -> stored

Take, clip and look differ only in the values that they hand over: a `PaidJob`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Generic, TypeVar

from callsheet.context.context import RunContext
from callsheet.context.progress import How
from callsheet.errors import Parked, ProviderError, Unknown
from callsheet.jobs.charges import spend_limits
from callsheet.jobs.fallback import choose_model, fall_back
from callsheet.jobs.missing import settle_unknown
from callsheet.jobs.replies import SpoolKeeper, name_kept
from callsheet.jobs.request_log import count_retry, count_sent, count_spent, count_wait, log_answer, log_end
from callsheet.jobs.submit import (
    DOUBTS,
    UNSENT,
    FailedAttempt,
    check_sendable_now,
    claim,
    count_tries,
    count_when_sent,
    gate_of,
    record_doubt,
    record_end,
    settle_interrupted,
    tell_gate,
    wait_or_park,
)
from callsheet.ledger import Attempt, Job, JobOrder, JobState
from callsheet.ledger.records import is_worth_a_look
from callsheet.providers.reply_spool import Keeper
from callsheet.providers.retry_policy import RetryDecision, backoff_s, decide_retry, rule_for

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Sending(Generic[Result]):
    """A request that is ready to be sent, but for the number of its attempt."""

    #: Sends the request, and makes its reply durable with the keeper before it is read.
    post: Callable[[Any, Keeper], Awaitable[Result]]
    #: Builds the request for an attempt.
    request: Callable[[Attempt], Any]


async def nothing_kept(_: Attempt) -> None:
    """Return None: no ledger lost since has kept a result of this kind."""


async def always_sendable() -> None:
    """Return: nothing but the run itself keeps the request from being sent."""


async def no_operation(job: Job) -> Job:
    """Return the job as it is: its reply holds its result."""
    return job


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidJob(Generic[Result]):
    """What a take, a clip or a look hands to the runner."""

    #: The job: its key, model and request.
    order: JobOrder
    #: What a request costs at most, in USD at the prices of the day.
    price: Decimal
    #: Bounds the requests in flight.
    slots: asyncio.Semaphore
    #: Makes ready all that sending takes: clients, files, the request. May be called again before another attempt.
    prepare: Callable[[], Awaitable[Sending[Result]]]
    #: Makes the result durable, and returns the job as the ledger then has it.
    keep: Callable[[Result, Attempt], Awaitable[Job]]
    #: Returns the result that a ledger lost since had kept on this disk: it is paid for.
    recall: Callable[[Attempt], Awaitable[Result | None]] = nothing_kept
    #: Raises what keeps an unsent job from being sent: its picture is not approved any more, say.
    check: Callable[[], Awaitable[None]] = always_sendable
    #: Follows the operation of a submitted job to its end; the job is planned again when one more try is free.
    follow: Callable[[Job], Awaitable[Job]] = no_operation
    #: Bounds the operations that the provider works on at once, where there are operations.
    operations: asyncio.Semaphore | None = None
    #: Without it the run neither waits for a full day nor puts on record that the job is parked.
    is_patient: bool = True


@dataclass(frozen=True, slots=True)
class JobRunner:
    """Brings paid jobs to their end, and never pays twice.

    Sends what is not sent, and follows what is under way.
    """

    #: The run that it works for.
    context: RunContext

    async def run(self, order: JobOrder, describe: Callable[[JobOrder], PaidJob[Result]]) -> Job:
        """Return the job with its result, or as it ended.

        Still `unknown` when a person has to decide.

        `describe` takes the order with the model that is asked: another one of the sheet's list where nothing was
        accepted. It is called again after a day was waited for: prices are those of the day. Raises QuotaParked or
        BudgetParked when the job may not be sent now, and the error that halted the batch. What is no news of an
        operation itself (OperationOverdue, OperationWithheld, DownloadFailed) is raised: the job stays submitted.
        """
        while True:
            paid = describe(order)
            try:
                job = await choose_model(self.context, order, await self._claim(order))
                if job.model != order.model:
                    paid = describe(replace(order, model=job.model))
                how: How = "created" if job.state in UNSENT else "reused" if job.state is JobState.STORED else "resumed"
                if job.state in UNSENT:
                    await paid.check()
                while job.state in UNSENT:
                    async with paid.operations or nullcontext():
                        job = await self._submit(paid, job)
                        if job.state is not JobState.SUBMITTED:
                            break
                        job = count_spent(order, job, await paid.follow(job))
                if job.state is JobState.SUBMITTED:
                    # What is under way already waits beside what is new: it may expire, and it holds nobody up.
                    job = count_spent(order, job, await paid.follow(job))
                    if job.state is JobState.PLANNED:
                        continue
            except Parked as parked:
                if await fall_back(self.context, order, parked):
                    continue
                if not paid.is_patient:
                    raise
                await wait_or_park(self.context, paid.order, parked)
                continue
            if job.state is JobState.PLANNED and await fall_back(self.context, order):
                continue
            if job.operation and how != "reused" and job.state is not JobState.SUBMITTED:
                log_end(paid.order, job)
            self.context.state.tally.count(paid.order.kind, how, job)
            return job

    async def _claim(self, order: JobOrder) -> Job:
        job = await claim(self.context, order)
        if is_worth_a_look(job):
            await self.context.resources.ledger.look_again(order.key)
            job = await claim(self.context, order)
        return job

    async def _submit(self, paid: PaidJob[Result], job: Job) -> Job:
        """Send the job's request until it is accepted or a verdict ends it.

        Never two requests at once.
        """
        run, order = self.context, paid.order
        earlier: Counter[type[ProviderError]] = Counter()
        if job.state is JobState.UNKNOWN:
            job = count_spent(order, job, await settle_unknown(run, order, job))
        while job.state in (JobState.PLANNED, JobState.RESERVED):
            if run.state.halted is not None:
                raise run.state.halted
            gate = await gate_of(run, order)
            async with gate.turn(order.model):
                attempt, outcome = await self._attempt(paid, job)
                await tell_gate(gate, run, order, outcome)
            if isinstance(outcome, Job):
                return count_spent(order, job, outcome)
            applied = rule_for(outcome).error
            pause_s = backoff_s(outcome, earlier[applied], random.random())  # noqa: S311  spreads load, no secret
            if isinstance(outcome, Unknown):
                await record_doubt(run, attempt, outcome)
                # A job in doubt is nobody's, and only whoever has it may send it again.
                held = await claim(run, order)
                held = await settle_unknown(run, order, held) if held.state is JobState.UNKNOWN else held
                job = count_spent(order, job, held)
                is_tried_again = job.state is JobState.PLANNED and earlier[applied] < DOUBTS
            else:
                tries = await count_tries(run, order, outcome, earlier[applied])
                given = decide_retry(order.kind, outcome, tries)
                ended = await record_end(run, order, attempt, FailedAttempt(outcome, given, pause_s))
                job = count_spent(order, job, ended)
                is_tried_again = given in (RetryDecision.RETRY, RetryDecision.AGAIN)
            if not is_tried_again:
                return job
            count_retry(order, outcome)
            await run.rest(pause_s)
            earlier[applied] += 1
        return job

    async def _attempt(self, paid: PaidJob[Result], job: Job) -> tuple[Attempt, Job | ProviderError]:
        """Make one attempt.

        Be ready, reserve money and a place in the quota, wait for it, write the intent, send.

        The place in the minute is taken when nothing is left to do but to send. The intent is written only when there
        is a free slot, so that a killed process leaves few requests in doubt. When we fail or are cancelled in the
        middle of a request, it is in doubt.
        """
        run, order, attempt = self.context, paid.order, None
        while True:
            async with paid.slots:
                await check_sendable_now(run, order)
                sending, taken = await paid.prepare(), run.resources.clock.now()
                is_first = attempt is None
                attempt = attempt or await self._begin(paid)
                place = attempt.not_before
                if not is_first and place is not None:
                    taken, place = max(run.resources.clock.now(), place), None
                    await run.resources.ledger.submitting(attempt)
                if place is None:
                    sent, keeper = time.monotonic(), SpoolKeeper(run, order.key, attempt.n)
                    try:
                        count_sent(order, attempt, (run.resources.clock.now() - job.created).total_seconds())
                        async with count_when_sent(run, attempt, taken):
                            result = await paid.recall(attempt)
                            is_new = result is None
                            if result is None:
                                result = await sending.post(sending.request(attempt), keeper)
                                attempt = replace(attempt, request_id=keeper.request_id)
                                run.state.tally.accepted(order.kind)
                            kept = await paid.keep(result, attempt)
                            if is_new:
                                log_answer(order, attempt, kept, time.monotonic() - sent, job.spent_usd)
                            return attempt, kept
                    except ProviderError as error:
                        attempt = replace(attempt, request_id=keeper.request_id)
                        log_answer(order, attempt, error, time.monotonic() - sent)
                        return attempt, name_kept(run, order.key, attempt.n, error)
                    except BaseException as error:
                        await settle_interrupted(run, attempt, error)
                        raise
            wait_s = (place - run.resources.clock.now()).total_seconds()
            count_wait(order, wait_s)
            await run.rest(wait_s)

    async def _begin(self, paid: PaidJob[Result]) -> Attempt:
        """Reserve money and a place in the quota.

        Without a place to wait for, the intent is written as well.
        """
        resources, order = self.context.resources, paid.order
        scope = self.context.gate(order).scope
        return await resources.ledger.begin(
            order.key,
            estimate=paid.price,
            scope=scope,
            limits=resources.catalogue.get(order.model).limits(resources.settings.tier),
            spend=spend_limits(resources.settings, resources.catalogue, scope),
            budget=self.context.policy.budget_usd,
            output=resources.providers.output_root(order.model) or "",
            credential=resources.providers.credential(order.model),
        )
