"""How long the provider keeps an operation and its video, and whether a job that was given up is looked for again."""

from __future__ import annotations

from datetime import timedelta

from callsheet.ledger.life import JobState
from callsheet.ledger.records import Job

# Two days (ai.google.dev/gemini-api/docs/video, read 2026-10).
RETENTION = timedelta(days=2)


def is_worth_a_look(job: Job) -> bool:
    """Whether an expired job was given up before its retention was over: looking for it again is free."""
    if job.state is not JobState.EXPIRED or not job.operation or job.submitted_at is None:
        return False
    return job.updated <= job.submitted_at + RETENTION
