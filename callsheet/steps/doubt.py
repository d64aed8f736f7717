"""A request in doubt: it may or may not have been accepted. Evidence first, then the rule, then a person."""

from __future__ import annotations

import logging

from callsheet.context.context import Studio
from callsheet.errors import NotAccepted, Unknown
from callsheet.ledger import Job, JobOrder, JobState
from callsheet.steps.evidence import look_for_evidence
from callsheet.steps.replies import asked_again
from callsheet.steps.verdicts import Verdict, verdict

log = logging.getLogger(__name__)


async def decide(studio: Studio, order: JobOrder, job: Job) -> Job:
    """The job after what can be decided without a person: planned again, submitted (adopted), or still unknown.

    Certain knowledge decides first, the kept reply before all. Without it a picture is sent once
    more, counted twice, and a video is held. A free run sends nothing, and so leaves both as they are.
    """
    try:
        job = await look_for_evidence(studio, order, job)
    except NotAccepted as error:
        log.warning("Job %s of shot %s stays in doubt for now: %s", job.key[:12], order.shot, error)
        return job
    if job.state is not JobState.UNKNOWN or studio.free:
        return job
    lost = asked_again(await studio.ledger.attempts_on(order.key))
    if verdict(order.kind, Unknown(job.reason), lost - 1) is not Verdict.AGAIN:
        return job
    return await studio.ledger.resolve(order.key, "resubmit", by="the rule of one more try for a picture")
