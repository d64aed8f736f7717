"""Rows of the files that are in the archive (assets)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import datetime

from sqlalchemy import Connection, bindparam, insert, select, update

from callsheet.errors import LedgerError
from callsheet.ledger.job_state import JobState
from callsheet.ledger.prepared import change, fetch
from callsheet.ledger.records import Job
from callsheet.ledger.rows import at_once, move_job, read_job
from callsheet.ledger.tables import assets
from callsheet.shots import Asset

_FIELDS = tuple(field.name for field in fields(Asset))
_COLUMNS = [assets.c[name] for name in _FIELDS]
_PLACE = (
    assets.c.batch == bindparam("of_batch"),
    assets.c.shot == bindparam("of_shot"),
    assets.c.name == bindparam("of_name"),
)
_THERE = select(assets.c.sha256, assets.c.recipe).where(*_PLACE)
_MADE = (
    update(assets)
    .where(*_PLACE)
    .values(recipe=bindparam("made_by"), details=bindparam("made_so", type_=assets.c.details.type))
)
_NEW = insert(assets)


def store_files(connection: Connection, now: datetime, key: str, files: Sequence[Asset]) -> Job:
    """Record that the job is stored and that these are its files, both or neither.

    Storing it again (in another batch) adds files.
    """
    job = read_job(connection, key)
    add(connection, files)
    return move_job(connection, job, JobState.STORED, now)


def add(connection: Connection, files: Sequence[Asset]) -> None:
    """Add rows of files; a file that is already on record is left alone.

    Raises LedgerError when its name stands for other bytes. Where another recipe led to the same bytes, the file has
    the new recipe from then on.
    """
    for asset in files:
        place = {"of_batch": asset.batch, "of_shot": asset.shot, "of_name": asset.name}
        there = fetch(connection, _THERE, place)
        if there is None:
            change(connection, _NEW, {name: getattr(asset, name) for name in _FIELDS})
        elif there[0] != asset.sha256:
            raise LedgerError(
                f"{asset.batch}/{asset.shot}/{asset.name} is on record with sha256 {there[0][:12]}, "
                f"not {asset.sha256[:12]}. Nothing was recorded. "
                "File names carry the hash, so one of the two files is not what it says."
            )
        elif asset.recipe not in (None, there[1]):
            change(connection, _MADE, {**place, "made_by": asset.recipe, "made_so": asset.details})


def assets_of(connection: Connection, batch: str, shot: str | None) -> list[Asset]:
    """Return the files of a batch, or of one shot of it, oldest first."""
    statement = (
        select(*_COLUMNS).where(assets.c.batch == batch).order_by(assets.c.created, assets.c.shot, assets.c.name)
    )
    if shot is not None:
        statement = statement.where(assets.c.shot == shot)
    return [Asset(*row) for row in connection.execute(statement)]


def assets_among(connection: Connection, batch: str, shots: Sequence[str]) -> list[Asset]:
    """Return the files of some of a batch's shots, reading only their rows."""
    statement = select(*_COLUMNS).where(assets.c.batch == batch).order_by(assets.c.shot, assets.c.created)
    asked = (statement.where(assets.c.shot.in_(some)) for some in at_once(shots))
    return [Asset(*row) for each in asked for row in connection.execute(each)]


def archived_among(connection: Connection, batch: str, hashes: Iterable[str]) -> set[str]:
    """Return those of the hashes that archived files of the batch have."""
    statement = select(assets.c.sha256).where(assets.c.batch == batch)
    asked = (statement.where(assets.c.sha256.in_(some)) for some in at_once(list(hashes)))
    return {sha256 for each in asked for sha256 in connection.execute(each).scalars()}


def copies_of(connection: Connection, sha256: str) -> list[Asset]:
    """Return the files with these bytes, of every batch, oldest first."""
    statement = select(*_COLUMNS).where(assets.c.sha256 == sha256).order_by(assets.c.created, assets.c.batch)
    return [Asset(*row) for row in connection.execute(statement)]


def select_paid_files(connection: Connection) -> list[Asset]:
    """Return the files that paid jobs gave, of every batch, ordered by batch."""
    statement = select(*_COLUMNS).where(assets.c.job_key.is_not(None)).order_by(assets.c.batch, assets.c.created)
    return [Asset(*row) for row in connection.execute(statement)]
