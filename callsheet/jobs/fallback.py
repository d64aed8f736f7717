"""The next model of a sheet's list, for a job of which nothing was accepted.

Which one is asked is decided once, and is on record before it is paid for: any process goes on with it, under the key
that the first model gives. Never after a doubt, a block or an answer: those were the first model's.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from callsheet.context.context import RunContext
from callsheet.errors import (
    ModelNotFound,
    NotAccepted,
    Overloaded,
    Parked,
    QuotaParked,
    RateLimited,
    RouteClosed,
    SettingsError,
    Unauthorised,
    Unreachable,
)
from callsheet.jobs.missing import NEVER_ACCEPTED
from callsheet.jobs.submit import claim
from callsheet.ledger import AttemptRecord, Job, JobOrder, JobState
from callsheet.ledger.rows import DROPPED, RESERVED

log = logging.getLogger(__name__)

# After as many tries as the retry policy has, these say that the model is overloaded for long, or gone.
_GIVES_UP = frozenset(each.__name__ for each in (Overloaded, RateLimited, ModelNotFound))
# With these, nothing was accepted.
_REFUSALS = _GIVES_UP | {each.__name__ for each in (NotAccepted, RouteClosed, Unauthorised, Unreachable)}
_UNSENT = (JobState.PLANNED, JobState.RESERVED)


def is_unaccepted(attempts: Sequence[AttemptRecord]) -> bool:
    """Return whether it is certain that no attempt at a job was accepted."""
    return all(_is_refused(attempt) for attempt in attempts)


def _is_refused(attempt: AttemptRecord) -> bool:
    if attempt.outcome in (DROPPED, RESERVED):
        return True
    if attempt.usd or attempt.reserved_usd or attempt.operation:
        return False
    if attempt.outcome == JobState.UNKNOWN:
        return NEVER_ACCEPTED in attempt.detail
    return attempt.outcome == JobState.PLANNED and attempt.detail.partition(":")[0] in _REFUSALS


def is_given_up(order: JobOrder, job: Job, parked: Parked | None) -> bool:
    """Return whether a model is given up for the job that it did not take.

    `parked` is what keeps the job from being sent, None for one that was refused to the end.
    """
    if parked is None:
        return job.reason_kind in _GIVES_UP
    if not isinstance(parked, QuotaParked):
        return False
    return order.fallback_on_quota or isinstance(parked.__cause__, Overloaded)


async def fall_back(run: RunContext, order: JobOrder, parked: Parked | None = None) -> bool:
    """Put on record that the next model is asked for a job; False when none may be.

    `order` is the sheet's, of its first model. When the list is through, the next run begins with the first again.
    """
    if not order.fallbacks:
        return False
    job = (await run.resources.ledger.jobs([order.key])).get(order.key)
    if job is None or job.state not in _UNSENT or not is_given_up(order, job, parked):
        return False
    if not is_unaccepted(await run.resources.ledger.attempts_on(order.key)):
        return False
    found = _find_next(run, order, job.model)
    if found is None and job.model == order.model:
        return False
    job = await claim(run, order)  # what is parked is nobody's
    if job.state in _UNSENT:
        await run.resources.ledger.change_model(order.key, found or order.model)
    if found is not None:
        why = job.reason if parked is None else str(parked)
        log.warning("Shot %s: %s is asked for %s: %s", order.shot, found, order.slot, why)
    return found is not None


async def choose_model(run: RunContext, order: JobOrder, job: Job) -> Job:
    """Return our job with the model that it is to be sent to.

    That is the one on record while the sheet's list has it. One that is shut down by now is not asked.
    """
    if job.state not in _UNSENT or not (order.fallbacks or job.model != order.model):
        return job
    if not is_unaccepted(await run.resources.ledger.attempts_on(order.key)):
        return job
    model = job.model if job.model in (order.model, *order.fallbacks) else order.model
    if not _is_alive(run, model):
        model = _find_next(run, order, model) or model
    return job if model == job.model else await run.resources.ledger.change_model(order.key, model)


def _find_next(run: RunContext, order: JobOrder, model: str) -> str | None:
    """Return the next model of the list that still runs and that credentials lead to."""
    models = (order.model, *order.fallbacks)
    later = models[models.index(model) + 1 :] if model in models else ()
    return next((name for name in later if _is_alive(run, name) and _is_served(run, name)), None)


def _is_alive(run: RunContext, name: str) -> bool:
    """Return whether a model still runs; a rehearsal rehearses those of before too."""
    model = run.resources.catalogue.find(name)
    if model is None or run.batch.mode == "rehearsal":
        return model is not None
    return not model.is_retired(run.resources.clock.now().date())


def _is_served(run: RunContext, name: str) -> bool:
    try:
        run.resources.providers.scope(name)
    except SettingsError:
        return False
    return True
