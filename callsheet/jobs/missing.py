"""What is paid for and not in the archive: found from the ledger and the archive's listing, and how it ended."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Literal

from callsheet.archive import layout
from callsheet.archive.store import Store
from callsheet.errors import ArchiveError
from callsheet.exit_codes import ExitCode, first_of
from callsheet.ledger import Job, JobState, Ledger
from callsheet.ledger.records import RETENTION, is_worth_a_look
from callsheet.shots import Asset, Batch

log = logging.getLogger(__name__)

# fetched: in the archive now. running: not done yet. held: another process works on it. withheld: made, and not given
# now; it is still submitted. ended: over, without a video. doubt: nobody knows whether it was accepted. failed: could
# not be fetched now. lost: cannot be had any more.
How = Literal["fetched", "running", "held", "withheld", "ended", "doubt", "failed", "lost"]
_CODE_OF: dict[How, ExitCode] = {
    "fetched": ExitCode.DONE,
    "running": ExitCode.PARKED,
    "held": ExitCode.PARKED,
    "withheld": ExitCode.PARKED,
    "doubt": ExitCode.WAITING,
    "ended": ExitCode.UNFINISHED,
    "failed": ExitCode.UNFINISHED,
    "lost": ExitCode.UNFINISHED,
}


@dataclass(frozen=True, slots=True)
class Recovered:
    """What became of one job, and why."""

    key: str
    batch: str
    shot: str
    slot: str
    how: How
    reason: str

    def as_json(self) -> dict[str, str]:
        """As `callsheet recover --json` prints it, and as a task gives it back."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True)
class Missing:
    """A paid job whose file is not in the archive as it should be; `file` is on record but gone from its place."""

    job: Job
    file: Asset | None = None

    @property
    def batch(self) -> str:
        """Return the name of the batch in whose folder it is missing."""
        return (self.file or self.job).batch

    @property
    def expires(self) -> datetime:
        """Return when the provider may forget it.

        What is not known to be there at all comes with the youngest.
        """
        return (self.job.submitted_at or self.job.updated) + RETENTION

    def unreached(self, state: JobState | None = None) -> How:
        """Return what it means that it could not be looked for now.

        What is still submitted stays with the provider.
        """
        return "withheld" if (state or self.job.state) is JobState.SUBMITTED else "failed"

    def told(self, how: How, reason: str) -> Recovered:
        """Return what became of it."""
        place = self.file or self.job
        return Recovered(self.job.key, place.batch, place.shot, self.job.slot, how, reason)


def exit_code(found: Iterable[Recovered]) -> int:
    """Return 0 when nothing is left behind, 4 while some run, 5 for a person, 3 when something is lost or over."""
    return int(first_of(_CODE_OF[one.how] for one in found))


async def missing_in(ledger: Ledger, store: Store, batches: Mapping[str, Batch]) -> list[Missing]:
    """Return what of these batches (by name) is paid for and not in the archive, most urgent first.

    A batch whose folder cannot be listed now counts as whole: what is under way at the provider must not wait for that.
    """
    files = {name: await _listed(store, batch) for name, batch in batches.items()}
    stored = {job.key: job for job in await ledger.stored_jobs()}
    on_record = [file for file in await ledger.paid_files() if file.job_key in stored]
    nowhere = stored.keys() - {file.job_key for file in on_record}
    found = [
        *(Missing(job) for job in await ledger.under_way()),
        *(Missing(job) for job in await ledger.expired() if is_worth_a_look(job)),
        *(
            Missing(stored[file.job_key or ""], file)
            for file in on_record
            if not _is_there(file, files.get(file.batch))
        ),
        *(Missing(stored[key]) for key in nowhere),
    ]
    return sorted((one for one in found if one.batch in batches), key=lambda one: (one.expires, one.job.key))


async def _listed(store: Store, batch: Batch) -> frozenset[str] | None:
    try:
        names = await store.list(f"{batch.prefix}/")
    except ArchiveError as error:
        log.warning("The files of %s cannot be listed, so none of them is looked for: %s", batch.name, error)
        return None
    return frozenset(name.removeprefix(f"{batch.prefix}/") for name in names)


def _is_there(file: Asset, files: frozenset[str] | None) -> bool:
    return files is None or f"shots/{layout.folder_name(file.shot)}/{file.name}" in files
