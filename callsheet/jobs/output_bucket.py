"""What Agent Platform wrote to a bucket.

Copied into the archive by the service, and removed once that is certain. Only the copy in the job's own folder is ever
removed, exactly as it was found, after ledger and archive have the file.
"""

from __future__ import annotations

import logging

from callsheet.archive.open import open_archive
from callsheet.archive.store import Stat
from callsheet.context.context import RunContext
from callsheet.errors import ArchiveDenied, ArchiveError
from callsheet.keys import label_of
from callsheet.ledger import Job

log = logging.getLogger(__name__)

# Where in a job's details the gs:// object is that its video came from.
OUTPUT = "output"


def output_of(job: Job) -> str | None:
    """Return the object that a job's video was fetched from.

    None unless it lies in a folder that callsheet made for the job.
    """
    uri = (job.details or {}).get(OUTPUT)
    return uri if isinstance(uri, str) and uri.startswith("gs://") and own_folder(job) in uri else None


def own_folder(job: Job) -> str:
    """Return the common prefix of all objects that attempts at the job wrote.

    See `callsheet.providers.output_bucket.prefix_of`.
    """
    return f"/{label_of(job.key)}-"


async def remove_output(run: RunContext, job: Job) -> bool:
    """Remove the object that a stored job's video was copied from.

    False when that is not allowed.

    To be called when ledger and archive have the file. What cannot be removed now is removed by a later run.
    """
    uri = output_of(job)
    if uri is None or not run.resources.store.uri.startswith("gs://"):
        return True
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    store = open_archive(run.resources.settings, uri=f"gs://{bucket}")
    try:
        await store.remove(name, Stat(job.size or 0, job.md5 or ""))
    except ArchiveError as error:
        log.warning("The video of %s is archived; its first copy %s could not be removed: %s", job.shot, uri, error)
        return not isinstance(error, ArchiveDenied)
    finally:
        await store.aclose()
    return True
