"""The life of a job: its states, and the only moves between them.

    planned ──► reserved ──► submitting ──► submitted ──► finished ──► stored
       ▲ │          │            │  │           │             │
       │ └──────────┼────────────┘  ├───────────┴──► blocked, failed, expired
       │            │               ▼
       └────────────┴────────── unknown ──► submitted (adopted), finished (found), blocked, failed

    expired ──► submitted (looked for once more, for free)

planned     wanted; nothing was sent. A parked or reopened job is planned as well.
reserved    budget and a quota slot in the future are held; nothing was sent.
submitting  the intent is durable and the paid POST may be on its way.
submitted   the provider gave an operation name.
finished    the bytes are here and their hash is known.
stored      the files are in the archive.
blocked     refused for safety or policy.
failed      ended without an asset.
expired     the operation or its file is gone.
unknown     the POST may or may not have been accepted: never sent again unasked.
"""

from __future__ import annotations

from enum import StrEnum

from callsheet.errors import LedgerError


class JobState(StrEnum):
    """The state of a job; see the drawing above."""

    PLANNED = "planned"
    RESERVED = "reserved"
    SUBMITTING = "submitting"
    SUBMITTED = "submitted"
    FINISHED = "finished"
    STORED = "stored"
    BLOCKED = "blocked"
    FAILED = "failed"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


_S = JobState

TERMINAL = frozenset({_S.STORED, _S.BLOCKED, _S.FAILED, _S.EXPIRED})

# Legal moves. A late answer (to an attempt that was given up) may finish a job that has gone back: it was paid for.
TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    _S.PLANNED: frozenset({_S.PLANNED, _S.RESERVED, _S.SUBMITTING, _S.FINISHED, _S.BLOCKED, _S.FAILED}),
    _S.RESERVED: frozenset({_S.PLANNED, _S.SUBMITTING, _S.FINISHED}),
    _S.SUBMITTING: frozenset({_S.PLANNED, _S.SUBMITTED, _S.FINISHED, _S.BLOCKED, _S.FAILED, _S.UNKNOWN}),
    _S.SUBMITTED: frozenset({_S.PLANNED, _S.FINISHED, _S.BLOCKED, _S.FAILED, _S.EXPIRED, _S.UNKNOWN}),
    _S.FINISHED: frozenset({_S.STORED, _S.PLANNED, _S.FAILED, _S.EXPIRED}),
    _S.STORED: frozenset({_S.STORED, _S.PLANNED}),
    _S.BLOCKED: frozenset({_S.PLANNED}),
    _S.FAILED: frozenset({_S.PLANNED}),
    _S.EXPIRED: frozenset({_S.PLANNED, _S.SUBMITTED}),
    _S.UNKNOWN: frozenset({_S.PLANNED, _S.SUBMITTED, _S.FINISHED, _S.BLOCKED, _S.FAILED}),
}


def is_legal(old: JobState, new: JobState) -> bool:
    """Return whether a job may move from `old` to `new`."""
    return new in TRANSITIONS[old]


def check(key: str, old: JobState, new: JobState) -> None:
    """Raise LedgerError unless a job may move from `old` to `new`."""
    if not is_legal(old, new):
        allowed = ", ".join(sorted(TRANSITIONS[old]))
        raise LedgerError(
            f"Job {key[:12]} is {old} and cannot become {new} (it can become: {allowed}). Nothing was changed. "
            "Another run may have moved it on: look at it with `callsheet status` and start the batch again."
        )
