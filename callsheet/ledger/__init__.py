"""The durable record of each job, attempt, cost and stored file."""

from callsheet.ledger.frame_decisions import Recorded
from callsheet.ledger.import_records import Entered, ShotRecords
from callsheet.ledger.job_state import TERMINAL, TRANSITIONS, JobState
from callsheet.ledger.ledger import Ledger
from callsheet.ledger.quota import QuotaLimits, RequestLimits
from callsheet.ledger.records import (
    Attempt,
    AttemptRecord,
    BatchRow,
    Claim,
    Job,
    JobOrder,
    JobResult,
    ShotRow,
    SpendRow,
    Want,
)

__all__ = [
    "TERMINAL",
    "TRANSITIONS",
    "Attempt",
    "AttemptRecord",
    "BatchRow",
    "Claim",
    "Entered",
    "Job",
    "JobOrder",
    "JobResult",
    "JobState",
    "Ledger",
    "QuotaLimits",
    "Recorded",
    "RequestLimits",
    "ShotRecords",
    "ShotRow",
    "SpendRow",
    "Want",
]
