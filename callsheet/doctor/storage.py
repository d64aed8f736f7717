"""The archive and the ledger: opened, tried, and left as they were.

A small file is written to the archive and removed again.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import Connection, text

from callsheet.archive.open import open_archive
from callsheet.archive.store import Stat, Store
from callsheet.archive.store_local import LocalStore
from callsheet.doctor.diagnosis import BOTH, LEDGER, Diagnosis, Health
from callsheet.doctor.machine import why_not_writable
from callsheet.errors import ArchiveKept, CallsheetError
from callsheet.files import md5_of_bytes
from callsheet.gcs.access import RetryLimits
from callsheet.ledger import dialect
from callsheet.ledger.database import HEAD, VERSION_TABLE, read_revision
from callsheet.settings import Settings

ARCHIVE = "archive"
#: How the names of the files begin that are written and removed again.
PROBE = "callsheet-doctor-"


async def examine_archive(settings: Settings, within_s: float) -> Sequence[Diagnosis]:
    """Write a small file into the archive and remove it.

    A folder that is not there yet is not made. Raises ArchiveDenied, ArchiveError or SettingsError.
    """
    patience = RetryLimits(stall_s=within_s, attempts=2, give_up_s=within_s / 2, pause_s=0.1)
    async with _close_at_end(open_archive(settings, patience=patience)) as store:
        if isinstance(store, LocalStore) and (found := _judge_folder(Path(store.uri))):
            return [found]
        data, name = secrets.token_bytes(16), f"{PROBE}{secrets.token_hex(6)}.tmp"
        await store.put_bytes(name, data, "application/octet-stream")
        try:
            await store.remove(name, Stat(len(data), md5_of_bytes(data)))
        except ArchiveKept as error:
            told = f"{store.uri} takes files and keeps each for a while, the one of this check as well: {error}"
            return [Diagnosis(ARCHIVE, Health.NOTE, told)]
        await _remove_left(store)
        return [Diagnosis(ARCHIVE, Health.OK, f"{store.uri} takes files.")]


@asynccontextmanager
async def _close_at_end(store: Store) -> AsyncIterator[Store]:
    try:
        yield store
    finally:
        await store.aclose()


def _judge_folder(folder: Path) -> Diagnosis | None:
    """Judge a folder that cannot be written into as it is; None when it can be tried."""
    if why := why_not_writable(folder):
        return Diagnosis(ARCHIVE, Health.MEND, why, "Set CALLSHEET_ARCHIVE to a place where you may write.", BOTH)
    if not folder.exists():
        return Diagnosis(ARCHIVE, Health.OK, f"{folder} is made by the first run.")
    return None


async def _remove_left(store: Store) -> None:
    """Remove what checks left behind that were killed in the middle."""
    # All of a folder would be walked for its list.
    names = _find_left(Path(store.uri)) if isinstance(store, LocalStore) else await store.list(PROBE)
    for name in names:
        if (found := await store.stat(name)) is not None:
            await store.remove(name, found)


def _find_left(folder: Path) -> Sequence[str]:
    return [path.name for path in folder.glob(f"{PROBE}*")]


async def examine_ledger(settings: Settings) -> Sequence[Diagnosis]:
    """Open the ledger, read its schema and begin to write, without changing anything.

    One that is not there yet is not made. Raises LedgerError.
    """
    place = dialect.find_file(settings.ledger_url)
    if place is not None and not place.exists():
        if why := why_not_writable(place.parent):
            advice = "Set CALLSHEET_HOME or CALLSHEET_LEDGER to a place where you may write."
            return [Diagnosis(LEDGER, Health.MEND, why, advice, BOTH)]
        return [Diagnosis(LEDGER, Health.OK, f"{place} is made by the first run.")]
    engine = dialect.open_engine(settings.ledger_url)
    try:
        with engine.connect() as connection:
            return [_judge_schema(dialect.name_place(engine), _try_to_write(connection))]
    except CallsheetError:
        raise
    except Exception as error:
        raise dialect.as_ledger_error(error, engine) from error
    finally:
        engine.dispose()


def _try_to_write(connection: Connection) -> str | None:
    """Return the ledger's schema.

    Raises what the database does when it cannot be written.
    """
    dialect.begin_write(connection)
    try:
        found = read_revision(connection)
        if found is not None:
            connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = version_num WHERE 1 = 0"))  # noqa: S608
        return found
    finally:
        connection.exec_driver_sql("ROLLBACK")


def _judge_schema(place: str, found: str | None) -> Diagnosis:
    if found == HEAD:
        return Diagnosis(LEDGER, Health.OK, f"{place} opens and can be written; schema {HEAD}.")
    if found is None:
        return Diagnosis(LEDGER, Health.OK, f"{place} opens and can be written; the first run makes its tables.")
    if found < HEAD:
        return Diagnosis(LEDGER, Health.OK, f"{place} opens; the next run brings it from schema {found} to {HEAD}.")
    advice = "A newer callsheet wrote it: upgrade this one, or set CALLSHEET_LEDGER."
    return Diagnosis(LEDGER, Health.MEND, f"{place} has schema {found[:40]}, unknown here ({HEAD}).", advice, BOTH)
