"""Content keys: a result is named by everything that determines it.

So equal requests are the same job in every run and process.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from callsheet.shots import Mode

# Raised when the meaning of a key changes; old results are then made anew rather than mistaken for new ones.
KEY_VERSION = 1
# Every request carries both where labels are taken, so that a lost one can be found again.
JOB_LABEL = "callsheet_job"
ATTEMPT_LABEL = "callsheet_attempt"


def job_key(
    *,
    kind: str,
    mode: Mode,
    model: str,
    prompt: str,
    params: Mapping[str, object],
    inputs: Sequence[str] = (),
    take: int = 1,
    edition: str | None = None,
) -> str:
    """Return the key of a paid request: a sha256 of all that determines its result.

    The key has 64 hex digits. `inputs` are sha256 digests of input files in the order they are sent. Parameters that
    are None are left out, so adding an optional parameter to the product does not change the keys of jobs that do not
    use it.
    """
    return _hash_value(
        {
            "version": KEY_VERSION,
            "kind": kind,
            "mode": mode,
            "model": model,
            "prompt": prompt,
            "params": {name: value for name, value in params.items() if value is not None},
            "inputs": list(inputs),
            "take": take,
            "edition": edition,
        }
    )


def label_of(key: str) -> str:
    """Return the value of JOB_LABEL on a job's request.

    A label value may hold 63 characters of [a-z0-9_-] (2026-11).
    """
    return key[:40]


def labels_of(key: str, n: int) -> tuple[tuple[str, str], ...]:
    """Return the labels of attempt `n` at a job; no other request ever has the same."""
    return ((JOB_LABEL, label_of(key)), (ATTEMPT_LABEL, str(n)))


def _hash_value(value: object) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
