"""Care of an archive.

Its batches verified and repaired, with the stores and runs that takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

from callsheet.archive import layout
from callsheet.archive.claim import check_claim
from callsheet.archive.marker import Success
from callsheet.archive.open import open_archive
from callsheet.archive.spool import Spool
from callsheet.archive.store import Store
from callsheet.archive.verify import ArchiveContents, Finding, findings, is_whole
from callsheet.batch.open import open_for, to_recover, to_repair
from callsheet.clock import Clock
from callsheet.context.context import RunContext
from callsheet.errors import CallsheetError, SettingsError
from callsheet.jobs.fetch import fetch_video
from callsheet.ledger import Job, Ledger
from callsheet.maintenance.copy import Copied, copy_batch
from callsheet.maintenance.repair import only_at_provider, repair
from callsheet.providers.routing import scope_of
from callsheet.reconcile.inspect import ByteReading, Tell, holdings, inspect
from callsheet.reconcile.rebuild_ledger import rebuild
from callsheet.settings import Settings
from callsheet.shots import Batch, Mode

MODES: tuple[Mode, ...] = ("live", "rehearsal")


@dataclass(frozen=True, slots=True)
class Checked:
    """A batch that was verified.

    How many files its folder has, their bytes, and what was found. `status` is that of its marker: finished,
    continuing, or "" when there is none that can be read.
    """

    batch: str
    status: str
    objects: int
    bytes: int
    findings: tuple[Finding, ...]

    @property
    def whole(self) -> bool:
        """Return whether nothing that is listed is missing or other than told, now."""
        return is_whole(self.findings)

    def as_json(self) -> dict[str, Any]:
        """As `callsheet archive verify --json` prints it."""
        return {
            "batch": self.batch,
            "whole": self.whole,
            "status": self.status,
            "objects": self.objects,
            "bytes": self.bytes,
            "findings": [asdict(one) for one in self.findings],
        }


async def verify_archive(
    settings: Settings, names: Sequence[str], *, deep: bool, mend: bool, tell: Tell
) -> list[Checked]:
    """Verify these batches of the archive, or all of them.

    `mend` repairs what is wrong, without paying.

    SettingsError for a batch that is not there. Without `mend` nothing is changed anywhere.
    """
    store, checked = open_archive(settings), []
    try:
        every = await holdings(store, names)
        known = await _read_ledger_files(settings, [held.batch for held in every])
        for held in every:
            evidence = await inspect(
                store, held, known=known[held.batch.name], reading=ByteReading(tell=tell) if deep else None
            )
            found = findings(evidence)
            if mend and not is_whole(found):
                evidence, found = await _repaired(settings, store, evidence, found)
            checked.append(_checked(evidence, found))
    finally:
        await store.aclose()
    return checked


async def copy_to(settings: Settings, name: str, target_uri: str, tell: Tell) -> tuple[Copied, str]:
    """Copy a batch of the archive into another one, and return where it is there.

    SettingsError when there is no such batch, or the target is no archive or the same one; ArchiveConflict when the
    target has a newer version of the batch.
    """
    source, target = open_archive(settings), open_archive(settings, uri=_place(target_uri))
    spool = Spool(settings.home / "spool")
    try:
        if _place(source.uri) == target.uri:
            raise SettingsError(f"{target.uri} is the archive that the batch is in. Nothing was copied.")
        [held] = await holdings(source, [name])
        evidence = await inspect(source, held)
        copied = await copy_batch(source, target, evidence, spool.scratch, tell)
        return copied, f"{target.uri}/{held.batch.prefix}"
    finally:
        spool.close()
        await target.aclose()
        await source.aclose()


def _place(uri: str) -> str:
    """Return an archive's URI in one way of writing it."""
    return uri.rstrip("/") if "://" in uri else str(Path(uri).resolve())


def _checked(evidence: ArchiveContents, found: tuple[Finding, ...]) -> Checked:
    status = evidence.marker.status if isinstance(evidence.marker, Success) else ""
    size = sum(stat.size for stat in evidence.files.values())
    return Checked(evidence.batch.name, status, len(evidence.files), size, found)


async def _read_ledger_files(settings: Settings, batches: Sequence[Batch]) -> dict[str, frozenset[str]]:
    """Return the files of each batch that the ledger has on record.

    None without a ledger, which is not made for this.
    """
    if not _has_ledger(settings):
        return {batch.name: frozenset() for batch in batches}
    async with await Ledger.open(settings.ledger_url, clock=Clock()) as ledger:
        return {batch.name: await _names(ledger, batch) for batch in batches}


async def _names(ledger: Ledger, batch: Batch) -> frozenset[str]:
    assets = await ledger.assets_of(batch.name)
    return frozenset(f"{layout.shot_folder(batch.prefix, one.shot)}/{one.name}" for one in assets)


def _has_ledger(settings: Settings) -> bool:
    url = make_url(settings.ledger_url)
    return url.get_backend_name() != "sqlite" or Path(url.database or "").is_file()


async def _repaired(
    settings: Settings, store: Store, evidence: ArchiveContents, found: tuple[Finding, ...]
) -> tuple[ArchiveContents, tuple[Finding, ...]]:
    """Return the batch after a repair.

    What only the provider still has is fetched first, for free, while it keeps it.

    A batch that another ledger works on is left alone: what that one has in its hands is not known here.
    """
    async with open_for(to_repair(evidence.batch, settings), settings) as run:
        try:
            await check_claim(store, evidence.batch, run.resources.ledger.identity)
        except SettingsError as error:
            return evidence, tuple(replace(one, done=f"Left alone. {error}") for one in found)
        if all(row.batch.name != evidence.batch.name for row in await run.resources.ledger.batches()):
            scopes = {mode: scope_of(settings, mode) for mode in MODES}
            await rebuild(run.resources.ledger, store, scopes, evidence.batch)
        jobs = await only_at_provider(run, evidence, found)
    refused = await _fetch_again(settings, evidence.batch, jobs)
    async with open_for(to_repair(evidence.batch, settings), settings) as run:
        return await repair(run, evidence, found, refused)


async def _fetch_again(settings: Settings, batch: Batch, jobs: Sequence[Job]) -> dict[str, str]:
    """Fetch the files of these jobs into the spool; by job, why one could not be had."""
    refused: dict[str, str] = {}
    if not jobs:
        return refused
    try:
        async with open_for(to_recover(batch, settings), settings) as run:
            for job in jobs:
                refused |= await _fetch_one(run, job)
    except CallsheetError as error:
        refused |= {job.key: f"The provider cannot be asked now: {error}" for job in jobs if job.key not in refused}
    return refused


async def _fetch_one(run: RunContext, job: Job) -> dict[str, str]:
    try:
        again = await fetch_video(run, job, job.spent_usd)
    except CallsheetError as error:
        return {job.key: f"The provider does not give it again: {error}"}
    return {} if again.sha256 == job.sha256 else {job.key: f"The provider has another file under {job.operation}."}
