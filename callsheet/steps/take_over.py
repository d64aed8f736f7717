"""Taking a batch over from another ledger: what the archive proves is entered, then the other one's claim is removed.

What nothing explains is put on record as a file that no job gave: a person has said that it is not what is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from callsheet.archive import layout
from callsheet.archive.claim import BatchClaim, take_over_batch
from callsheet.archive.sidecar_io import MAX_SIDECAR, read_sidecar
from callsheet.archive.store import Store, keep_aside
from callsheet.errors import ArchiveConflict, ArchiveDenied, ArchiveError
from callsheet.ledger import JobState, Ledger
from callsheet.providers.scopes import Scopes
from callsheet.shots import Asset, Batch, Mode
from callsheet.steps.rebuild import Rebuilt, rebuild
from callsheet.steps.witness import enter_catalogue, unexplained_files


@dataclass(frozen=True, slots=True)
class TakenOver:
    """What a ledger learned of a batch, whose claim it was (None: nobody's), and what nobody explains or can read.

    `in_doubt` are the shots and slots of which the other ledger may have sent a request that nobody knows of.
    """

    rebuilt: Rebuilt
    claim: BatchClaim | None
    unexplained: tuple[str, ...]
    set_aside: tuple[str, ...]
    in_doubt: tuple[tuple[str, str], ...] = ()


async def take_over(ledger: Ledger, store: Store, batch: Batch, scopes: Mapping[Mode, Scopes]) -> TakenOver:
    """Enter all that the archive proves of a batch, and let this ledger work on it. Sends nothing; can be repeated."""
    rebuilt = await rebuild(ledger, store, scopes, batch)
    names = await store.stats(f"{batch.prefix}/")
    await enter_catalogue(ledger, store, batch, names, scopes[batch.mode], rebuilt)
    await ledger.enter_batch(batch)
    left = await unexplained_files(ledger, batch, names)
    await ledger.add_assets([await _foundling(store, batch, name) for name in left])
    aside = [one.name for one in rebuilt.refused if await _set_aside(store, batch, one.name)]
    doubts = await _doubts(ledger, batch)
    return TakenOver(rebuilt, await take_over_batch(store, batch, ledger.identity), tuple(left), tuple(aside), doubts)


async def _doubts(ledger: Ledger, batch: Batch) -> tuple[tuple[str, str], ...]:
    wants = await ledger.wants_of(batch.name)
    jobs = await ledger.jobs(want.job_key for want in wants)
    return tuple(
        (want.shot, want.slot) for want in wants if (job := jobs.get(want.job_key)) and job.state is JobState.UNKNOWN
    )


async def _foundling(store: Store, batch: Batch, name: str) -> Asset:
    """A paid file that no job is known of, on record under the folder that it lies in."""
    folder, _, file = name.removeprefix(f"{batch.prefix}/shots/").partition("/")
    found = await store.digests(name)
    return Asset(
        kind="take" if file.startswith("take-") else "clip",
        batch=batch.name,
        shot=folder,
        name=file,
        sha256=found.sha256,
        md5=found.md5,
        size=found.size,
        mime_type=layout.content_type(file),
        uri=f"{store.uri}/{name}",
        created=datetime.now(UTC),
    )


async def _set_aside(store: Store, batch: Batch, name: str) -> bool:
    """Keep a sidecar that cannot be read in `.damaged/`; one that says something readable stays where it is."""
    try:
        await read_sidecar(store, name)
        return False
    except (ArchiveConflict, ArchiveDenied):
        return False
    except ArchiveError:
        kept = await keep_aside(store, batch.prefix, name, MAX_SIDECAR)
    return await store.remove(name, kept)
