"""What a shot has paid for and does not use any more: carried from sidecar to sidecar, so that none forgets it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TypeVar

from callsheet.archive.sidecar import ClipRecord, CutRecord, JobRecord, Sidecar, TakeRecord

Part = TypeVar("Part", TakeRecord, ClipRecord)
# A job in one of these states was sent, or may have been.
_SENT = frozenset({"submitting", "submitted", "finished", "stored", "unknown"})


def with_earlier(new: Sidecar, before: Sidecar, gone: Collection[str] = ()) -> Sidecar:
    """The new sidecar of a shot, which remembers what the one `before` had paid for and the new one does not list.

    Their cuts are remembered too: they lie beside them. `gone` are names of files that are not there any more.
    """
    return new.model_copy(
        update={
            "earlier_takes": _earlier(new.takes, (*new.earlier_takes, *before.earlier_takes, *before.takes)),
            "earlier_clips": _earlier(new.clips, (*new.earlier_clips, *before.earlier_clips, *before.clips)),
            "earlier_cuts": _earlier_cuts(new.cuts, (*new.earlier_cuts, *before.earlier_cuts, *before.cuts), gone),
        }
    )


def paid_parts(sidecar: Sidecar) -> list[TakeRecord | ClipRecord]:
    """Every take and clip of the shot, those in use first."""
    return [*sidecar.takes, *sidecar.clips, *sidecar.earlier_takes, *sidecar.earlier_clips]


def _earlier(now: Sequence[Part], before: Iterable[Part]) -> tuple[Part, ...]:
    """The paid parts of before that are not among those of now, each once, oldest first."""
    in_use = {_what(part) for part in now}
    known = {part.job_key for part in now}
    kept: dict[tuple[str, str], Part] = {}
    for part in before:
        # Without a file there is only the job to tell of, and the part in use tells of it.
        told = _what(part) in in_use or (part.file is None and part.job_key in known)
        if not told and _is_paid(part):
            kept[_what(part)] = part.model_copy(update={"chosen": False}) if isinstance(part, TakeRecord) else part
    with_file = {key for key, file in kept if file}
    return tuple(part for part in kept.values() if part.file or part.job_key not in with_file)


def _earlier_cuts(
    now: Sequence[CutRecord], before: Iterable[CutRecord], gone: Collection[str]
) -> tuple[CutRecord, ...]:
    """The cuts of before whose files are there and are not those of now, each once, oldest first."""
    others = {cut.file.file for cut in now if cut.file} | set(gone)
    kept = {cut.file.file: cut for cut in before if cut.file and cut.file.file not in others}
    return tuple(kept.values())


def _what(part: TakeRecord | ClipRecord) -> tuple[str, str]:
    """What makes two parts the same: one job may have given several files, when it was made again."""
    return part.job_key, part.file.sha256 if part.file else ""


def _is_paid(part: TakeRecord | ClipRecord) -> bool:
    """Whether something was paid for it, or may have been."""
    job: JobRecord | None = part.job
    operation = part.operation if isinstance(part, ClipRecord) else None
    sent = job is not None and (job.state in _SENT or job.operation is not None)
    return part.file is not None or part.usd > 0 or operation is not None or sent
