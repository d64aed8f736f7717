"""Entering what sidecars tell into a ledger that lost it. What is on record already is never changed."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import datetime

from sqlalchemy import Connection, bindparam, insert, select

from callsheet.decisions import FrameDecision, FramePin
from callsheet.ledger import frame_decisions, frame_pins
from callsheet.ledger.batches import put_batch
from callsheet.ledger.prepared import change, fetch
from callsheet.ledger.records import AttemptRecord, Job, ShotRow, Want
from callsheet.ledger.rows import find_job, post
from callsheet.ledger.tables import assets, attempts, batches, jobs, shots, wants
from callsheet.shots import Asset, Batch

_BATCH = select(batches.c.name).where(batches.c.name == bindparam("of_batch"))
_SHOT = select(shots.c.shot).where(shots.c.batch == bindparam("of_batch"), shots.c.shot == bindparam("of_shot"))
_WANT = select(wants.c.job_key).where(
    wants.c.batch == bindparam("of_batch"), wants.c.shot == bindparam("of_shot"), wants.c.slot == bindparam("of_slot")
)
_ASSET = select(assets.c.sha256).where(
    assets.c.batch == bindparam("of_batch"),
    assets.c.shot == bindparam("of_shot"),
    assets.c.name == bindparam("of_name"),
)
_NEW_SHOT, _NEW_WANT, _NEW_ASSET = insert(shots), insert(wants), insert(assets)
_NEW_JOB, _NEW_ATTEMPT = insert(jobs), insert(attempts)


@dataclass(frozen=True, slots=True)
class ShotRecords:
    """The rows of one shot as its sidecar tells them; each job comes with the attempt that stands for all of its own.

    `dropped`: the shot is no longer in the manifest.
    """

    row: ShotRow
    dropped: bool
    jobs: tuple[tuple[Job, AttemptRecord], ...] = ()
    wants: tuple[Want, ...] = ()
    assets: tuple[Asset, ...] = ()
    decisions: tuple[FrameDecision, ...] = ()
    pins: tuple[FramePin, ...] = ()


@dataclass(frozen=True, slots=True)
class Entered:
    """How many rows of each kind were new."""

    shots: int = 0
    jobs: int = 0
    assets: int = 0


def enter_batch(connection: Connection, now: datetime, batch: Batch) -> bool:
    """Enter a batch without money; False when the ledger has it already, which is left as it is."""
    if fetch(connection, _BATCH, {"of_batch": batch.name}) is not None:
        return False
    put_batch(connection, batch, now, None)
    return True


def enter_shot(connection: Connection, records: ShotRecords) -> Entered:
    """Enter a shot with its jobs, their money and its files; each row that is there already wins over the sidecar's."""
    row = records.row
    place = {"of_batch": row.batch, "of_shot": row.shot}
    new_shot = fetch(connection, _SHOT, place) is None
    if new_shot:
        values = {field.name: getattr(row, field.name) for field in fields(row)}
        change(connection, _NEW_SHOT, {**values, "dropped": records.dropped})
    new_jobs = sum(_enter_job(connection, job, attempt, row.batch) for job, attempt in records.jobs)
    for want in records.wants:
        if fetch(connection, _WANT, {**place, "of_slot": want.slot}) is None:
            values = {field.name: getattr(want, field.name) for field in fields(want)}
            change(connection, _NEW_WANT, values)
    new_assets = sum(_enter_asset(connection, asset) for asset in records.assets)
    if records.decisions and not frame_decisions.decisions_of(connection, row.batch, [row.shot]):
        for decision in records.decisions:
            frame_decisions.enter(connection, decision)
    if records.pins and not frame_pins.pins_of(connection, row.batch, [row.shot]):
        for pin in records.pins:
            frame_pins.enter(connection, pin)
    return Entered(int(new_shot), new_jobs, new_assets)


def _enter_job(connection: Connection, job: Job, attempt: AttemptRecord, batch: str) -> bool:
    """Enter a job and its money. It is paid by the batch that wanted it first, by this one when that is unknown."""
    if find_job(connection, job.key) is not None:
        return False
    if fetch(connection, _BATCH, {"of_batch": job.batch}) is None:
        job = replace(job, batch=batch)
    attempt = replace(attempt, batch=job.batch)
    change(connection, _NEW_JOB, {name: getattr(job, name) for name in Job.__slots__})
    change(connection, _NEW_ATTEMPT, {name: getattr(attempt, name) for name in AttemptRecord.__slots__})
    post(connection, attempt.batch, held=attempt.reserved_usd, paid=attempt.usd)
    return True


def _enter_asset(connection: Connection, asset: Asset) -> bool:
    if fetch(connection, _ASSET, {"of_batch": asset.batch, "of_shot": asset.shot, "of_name": asset.name}) is not None:
        return False
    change(connection, _NEW_ASSET, {field.name: getattr(asset, field.name) for field in fields(asset)})
    return True
