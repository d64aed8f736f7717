"""What a batch has open when its run ends, whatever became of its shots: requests parked, under way, or in doubt."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from callsheet.exit_codes import ExitCode, first_of
from callsheet.ledger import Job, JobState
from callsheet.orders import take_order
from callsheet.shots import Batch, Shot
from callsheet.studio import Studio


@dataclass(frozen=True, slots=True)
class OpenRequests:
    """The shots of open requests, a shot for each request."""

    parked: tuple[str, ...] = ()
    submitted: tuple[str, ...] = ()
    in_doubt: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """What a run with these ends with, if nothing else counts more."""
        found = [ExitCode.PARKED] if self.parked or self.submitted else []
        return first_of([*found, *([ExitCode.WAITING] if self.in_doubt else [])])

    def as_json(self) -> dict[str, int]:
        """How many there are of each, as `run --json` prints them."""
        return {"parked": len(self.parked), "submitted": len(self.submitted), "in_doubt": len(self.in_doubt)}


async def find_open_requests(studio: Studio, shots: Iterable[Shot], strangers: bool = True) -> OpenRequests:
    """Find what these shots of the studio's batch have open. Read from the ledger alone.

    With `strangers` the open requests of shots and slots that the manifest has no more count as well, once they were
    sent: they hold money.
    """
    wanted = {shot.id: shot for shot in shots if studio.wants(shot.id)}
    jobs = await studio.ledger.open_jobs(studio.batch.name)
    mine = [job for job in jobs if job.shot in wanted or (strangers and not studio.only)]
    takes = {job.key for job in mine if job.shot in wanted and is_wanted_take(studio.batch, wanted[job.shot], job)}
    return sort_open(mine, takes)


def is_wanted_take(batch: Batch, shot: Shot, job: Job) -> bool:
    """Tell whether the job is one of the shot's takes as the manifest asks for them now."""
    return job.kind == "image" and job.key in {take_order(batch, shot, n).key for n in range(1, shot.takes + 1)}


def sort_open(jobs: Iterable[Job], takes: Collection[str]) -> OpenRequests:
    """Sort open jobs by what has to happen. Of parked ones only `takes` (keys) count: a shot without its clip is parked
    itself, and what is not wanted any more is never sent."""
    found: dict[str, list[str]] = {"parked": [], "submitted": [], "in_doubt": []}
    for job in jobs:
        if job.state is JobState.UNKNOWN:
            found["in_doubt"].append(job.shot)
        elif job.state in (JobState.SUBMITTING, JobState.SUBMITTED):
            found["submitted"].append(job.shot)
        elif job.key in takes:
            found["parked"].append(job.shot)
    return OpenRequests(**{name: tuple(shots) for name, shots in found.items()})
