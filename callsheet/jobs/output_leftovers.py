"""First copies of archived videos that a killed process left in the output bucket."""

from __future__ import annotations

import asyncio
import logging

from callsheet.archive.open import open_archive
from callsheet.context.context import RunContext
from callsheet.errors import ArchiveError
from callsheet.jobs.output_bucket import output_of, own_folder, remove_output
from callsheet.jobs.store import archived
from callsheet.jobs.submit import ENDED
from callsheet.ledger import Job, JobState
from callsheet.shots import ShotOutcome

log = logging.getLogger(__name__)


async def forget_stored_replies(run: RunContext) -> None:
    """Remove kept replies of this batch that nobody needs any more.

    A killed process left them, or a look failed.
    """
    kept = await asyncio.to_thread(run.resources.spool.replies.keys)
    jobs = await run.resources.ledger.jobs(kept) if kept else {}
    for key, job in jobs.items():
        if job.batch == run.batch.name and _is_over(run, job):
            await asyncio.to_thread(run.resources.spool.replies.remove, key)


def _is_over(run: RunContext, job: Job) -> bool:
    """Return whether what a job was sent for is archived.

    A look that gave nothing is over with its shot: it had its cuts.
    """
    if job.kind != "look" or job.state not in ENDED:
        return job.state is JobState.STORED
    sidecar, _ = run.state.sidecars.get(job.shot, (None, None))
    return sidecar is not None and sidecar.state == ShotOutcome.DONE.value


async def remove_leftovers(run: RunContext) -> None:
    """Remove them, of this batch, where the archive has the video.

    What cannot be looked at is left for a later run.
    """
    if not run.resources.store.uri.startswith("gs://"):
        return
    outputs = {
        uri: job
        for job in await run.resources.ledger.jobs_of(run.batch.name)
        if job.state is JobState.STORED and (uri := output_of(job))
    }
    try:
        for uri in await _there(run, outputs):
            job = outputs[uri]
            if await archived(run, job.sha256 or "") and not await remove_output(run, job):
                return
    except ArchiveError as error:
        log.warning("It could not be seen whether videos were left where they were first written: %s", error)


async def _there(run: RunContext, outputs: dict[str, Job]) -> list[str]:
    """Return the objects that exist, by one listing of every folder of videos."""
    found: list[str] = []
    for folder in sorted({uri.partition(own_folder(job))[0] for uri, job in outputs.items()}):
        store = open_archive(run.resources.settings, uri=folder)
        try:
            found += [uri for name in await store.list("") if (uri := f"{folder}/{name}") in outputs]
        finally:
            await store.aclose()
    return found
