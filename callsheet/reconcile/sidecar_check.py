"""Check a sidecar before it is believed.

What comes from an archive is a stranger's.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

from callsheet.archive import layout
from callsheet.archive.lineage import Part, list_files
from callsheet.archive.sidecar import (
    DecisionRecord,
    FileRecord,
    Sidecar,
    TakeRecord,
)
from callsheet.archive.sidecar_io import list_paid_parts
from callsheet.archive.sidecar_parts import InputRecord
from callsheet.errors import ArchiveError
from callsheet.keys import job_key
from callsheet.ledger import JobState
from callsheet.ledger.records import ASKED_MODEL, EDIT_OF
from callsheet.plan.extensions import key_params_of
from callsheet.plan.requests import KEPT_TO, TEXT_ALONE
from callsheet.providers.operations import adoptable
from callsheet.shots import Batch
from callsheet.sources import is_of_the_web

_SLOT = re.compile(r"take(-[1-9]\d{0,5})?|clip(-[1-9]\d{0,5})?(-v[2-9])?(-(extend|edit)-[1-9]\d?)?")


_LARGEST = 2**62


# Above what any column takes: music has 100 MiB.
_LARGEST_INPUT = 256 * 1024 * 1024


# The fields of a job's request that are not parameters.
_NOT_PARAMETERS = frozenset({"prompt", "take", "inputs", TEXT_ALONE, KEPT_TO, EDIT_OF, ASKED_MODEL})


def batch_of(sidecar: Sidecar) -> Batch:
    """Return the batch that the sidecar says it belongs to."""
    return Batch(sidecar.campaign, sidecar.edition, sidecar.mode)


def check(name: str, sidecar: Sidecar) -> None:
    """Raise ArchiveError unless the sidecar can be believed.

    It has to lie where it says it belongs, name only its own files, and add up.
    """
    batch = batch_of(sidecar)
    if sidecar.batch != batch.name or name != layout.sidecar_name(batch.prefix, sidecar.shot):
        raise _refuse(f"it is of shot {sidecar.shot!r} in batch {sidecar.batch!r}, which is another place")
    for one in list_files(sidecar):
        _check_file(one.file)
    for take in (*sidecar.takes, *sidecar.earlier_takes):
        if take.file and take.file.thumbnail is not None:
            _check_name(take.file.thumbnail)
    for clip in sidecar.earlier_clips:
        if clip.poster:
            _check_file(clip.poster)
    for part in list_paid_parts(sidecar):
        _check_part(sidecar, part)
    for n, decision in enumerate(sidecar.decisions, 1):
        _check_decision(n, decision)
    for n, pin in enumerate(sidecar.pins, 1):
        if pin.n != n or not all(re.fullmatch(r"[0-9a-f]{64}", one) for one in (pin.wish, pin.sha256)):
            raise _refuse(f"choice {n} of its frame is not whole")
    for file in sidecar.finish.files() if sidecar.finish else ():
        _check_input(file)


def _check_input(file: InputRecord) -> None:
    """Check that a finishing file lies in the batch's `inputs/`.

    It may be fetched from where its manifest was.
    """
    named = not file.file or (
        file.file == f"{file.sha256[:12]}{Path(file.file).suffix}" and layout.is_file_name(file.file)
    )
    if not named or not re.fullmatch(r"[0-9a-f]{64}", file.sha256):
        raise _refuse(f"{file.file[:80]!r} is not the name of a file that finishes cuts")
    if not 0 <= file.size <= _LARGEST_INPUT or is_of_the_web(file.uri):
        raise _refuse(f"{file.uri[:200]!r} is not a file that a manifest can name")


def _check_file(file: FileRecord) -> None:
    _check_name(file.file)
    if not re.fullmatch(r"[0-9a-f]{64}", file.sha256) or not re.fullmatch(r"[0-9a-f]{32}", file.md5):
        raise _refuse(f"the hashes of {file.file!r} are none")
    if file.sha256[:12] not in file.file:
        raise _refuse(f"the name {file.file!r} does not carry the hash {file.sha256[:12]}")
    if not 0 <= file.size < _LARGEST:
        raise _refuse(f"{file.file!r} cannot be {file.size} bytes long")


def _check_name(name: str) -> None:
    if not layout.is_file_name(name):
        raise _refuse(f"{name!r} is not the name of a file in its folder")


def _check_part(sidecar: Sidecar, part: Part) -> None:
    if not re.fullmatch(r"[0-9a-f]{64}", part.job_key):
        raise _refuse(f"{part.job_key[:80]!r} is not a job's key")
    usd = (part.usd, part.job.estimated_usd if part.job else 0.0)
    if not all(math.isfinite(amount) and 0 <= amount < 1e9 for amount in usd) or not 0 <= part.attempts < 1e6:
        raise _refuse(f"job {part.job_key[:12]} cannot have cost {part.usd} USD in {part.attempts} attempts")
    operation = (part.job.operation if part.job else None) or getattr(part, "operation", None)
    if operation is not None:
        try:
            adoptable(operation)
        except ValueError as error:
            raise _refuse(f"job {part.job_key[:12]}: {error}") from None
    if part.job is None:
        return
    if part.job.state not in set(JobState) or not _SLOT.fullmatch(part.job.slot):
        raise _refuse(f"job {part.job_key[:12]} is {part.job.state!r} for slot {part.job.slot!r}")
    if key_of(sidecar, part) != part.job_key:
        raise _refuse(f"its key {part.job_key[:12]} is not that of what it says was asked for")


def _check_decision(n: int, decision: DecisionRecord) -> None:
    hashes = [*decision.takes.values(), *decision.shown.values()]
    if decision.n != n or not all(re.fullmatch(r"[0-9a-f]{64}", sha256) for sha256 in hashes):
        raise _refuse(f"decision {n} about its takes is not whole")
    if not decision.takes.items() <= decision.shown.items():
        raise _refuse(f"decision {n} approves a take that was not shown")


def key_of(sidecar: Sidecar, part: Part) -> str:
    """Return the key that the request of a part leads to."""
    request = part.job.request if part.job else {}
    image = isinstance(part, TakeRecord)
    inputs = request.get("inputs")
    return job_key(
        kind="image" if image else "video",
        mode=sidecar.mode,
        model=str(request.get(ASKED_MODEL) or (part.job.model if part.job else "")),
        prompt=str(request.get("prompt", "")),
        params=key_params_of({name: value for name, value in request.items() if name not in _NOT_PARAMETERS}),
        inputs=[str(one) for one in inputs] if isinstance(inputs, list) else [],
        take=part.take if image and part.take else 1,
        edition=sidecar.edition,
    )


def _refuse(why: str) -> ArchiveError:
    return ArchiveError(f"{why[0].upper()}{why[1:]}. It was not believed; restore the sidecar, or run its batch again.")
