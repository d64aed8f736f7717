"""What tells that a batch may be known to another ledger than the one in use.

Sentences for plan and run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from callsheet.archive import layout
from callsheet.archive.claim import BatchClaim, describe, read_claim, take_over_batch
from callsheet.archive.marker import read_success
from callsheet.archive.sidecar_io import MAX_SIDECAR, read_sidecar
from callsheet.archive.store import Store, keep_aside
from callsheet.batch.witness import doubts_of, enter_catalogue, unexplained_files
from callsheet.errors import ArchiveConflict, ArchiveDenied, ArchiveError
from callsheet.ledger import JobState, Ledger
from callsheet.plan import Known, Plan
from callsheet.providers.routing import Scopes
from callsheet.reconcile.rebuild_ledger import Rebuilt, Records, rebuild
from callsheet.settings import Settings
from callsheet.shots import Asset, Batch, Mode


@dataclass(frozen=True, slots=True)
class TakenOver:
    """What a ledger learned of a batch from its archive.

    Whose claim it was (None: nobody's), and what nobody explains or can read. `in_doubt` are the shots and slots of
    which the other ledger may have sent a request that nobody knows of.
    """

    rebuilt: Rebuilt
    claim: BatchClaim | None
    unexplained: tuple[str, ...]
    set_aside: tuple[str, ...]
    in_doubt: tuple[tuple[str, str], ...] = ()


async def take_over(ledger: Ledger, store: Store, batch: Batch, scopes: Mapping[Mode, Scopes]) -> TakenOver:
    """Enter all that the archive proves of a batch, and let this ledger work on it.

    Sends nothing; can be repeated.
    """
    rebuilt = await rebuild(ledger, store, scopes, batch)
    names = await store.stats(f"{batch.prefix}/")
    await enter_catalogue(Records(ledger, store, scopes), batch, names, rebuilt)
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
    """Return a paid file without a known job, under the folder that it lies in."""
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
    """Keep a sidecar that cannot be read in `.damaged/`.

    One that says something readable stays where it is.
    """
    try:
        await read_sidecar(store, name)
        return False
    except (ArchiveConflict, ArchiveDenied):
        return False
    except ArchiveError:
        kept = await keep_aside(store, batch.prefix, name, MAX_SIDECAR)
    return await store.remove(name, kept)


_TOLD = 5


def home_warning(settings: Settings, folder: Path) -> str:
    """Warn of a home that depends on `folder` and hides one in a folder above.

    "" when it does not.
    """
    home = settings.home
    if home.is_absolute() or settings.ledger is not None or ".." in home.parts:
        return ""
    above = [parent / home for parent in folder.absolute().parents if (parent / home / "ledger.db").is_file()]
    if not above:
        return ""
    new = "a new ledger" if not (folder / home / "ledger.db").is_file() else "the ledger of this folder"
    return (
        f"This works with {new} ({folder.absolute() / home}), and {above[0]} has another one. What that one paid for "
        f"is not known here. Go to {above[0].parent}, or set CALLSHEET_HOME={above[0]}, to go on with it."
    )


async def ledger_warnings(store: Store, batch: Batch, ledger: str) -> list[str]:
    """Return who else works, or has worked, on the batch in this archive."""
    try:
        claim, marker = await read_claim(store, batch), await read_success(store, batch.prefix)
    except ArchiveError as error:
        return [str(error)]
    if claim is not None and claim.ledger != ledger:
        return [describe(store, batch, claim)]
    if marker is not None and marker.ledger not in (None, ledger):
        return [
            f"Batch {batch.name} in {store.uri} was last worked on with another ledger ({marker.ledger[:12]}). What "
            "the archive proves is taken from there; what only that ledger knows, such as its budget, is not."
        ]
    return []


def doubt_warnings(plan: Plan, known: Known) -> list[str]:
    """Return what the archive has unexplained, where the plan would pay for it."""
    doubts = doubts_of(plan, known)
    more = [f"... and {len(doubts) - _TOLD} more such files."] if len(doubts) > _TOLD else []
    return [f"{one.name} may be what is planned to be paid for. {one.why}" for one in doubts[:_TOLD]] + more
