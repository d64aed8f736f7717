"""A shard's own opening and end. The batch was opened by the run that split it, and is ended by that one.

What is looked up and written here is of the shard's shots alone, however large the batch is.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from callsheet.archive import layout
from callsheet.archive.claim import check_claim
from callsheet.errors import SettingsError
from callsheet.exit_codes import code_of_shots, first_of
from callsheet.manifest import Manifest
from callsheet.plan import Plan, ShotPlan, plan_batch
from callsheet.plan.shards import Shard
from callsheet.providers.scopes import scope_of
from callsheet.shots import ShotState
from callsheet.steps.open_requests import find_open_requests
from callsheet.steps.survey import is_finished, survey
from callsheet.studio import Studio


async def open_shard(studio: Studio, manifest: Manifest, shard: Shard) -> Plan:
    """The plan of the shard's shots. Nothing is entered: the run that split the batch has done that.

    SettingsError, before anything is sent, when this machine does not work with the manifest, the ledger and the
    archive that the batch was opened with: it would pay for everything once more.
    """
    await _check_same(studio, manifest, shard)
    await studio.ledger.enter_run(studio.batch.name)
    scope = scope_of(studio.settings, studio.batch.mode)
    known = await survey(studio.ledger, studio.store, studio.batch, manifest.shots, scope, part=True)
    plan = await asyncio.to_thread(plan_batch, studio.batch, manifest.shots, known, studio.catalogue)
    studio.remember(known)
    studio.plan = plan
    return plan


async def _check_same(studio: Studio, manifest: Manifest, shard: Shard) -> None:
    batch, settings = studio.batch, studio.settings
    told = "Nothing was sent. "
    if manifest.sha256 != shard.revision:
        raise SettingsError(
            f"{manifest.uri} is another one now than when batch {batch.name} was split. {told}"
            "The next run of the batch goes by the manifest as it is then."
        )
    rows = {row.batch.name: row.batch for row in await studio.ledger.batches()}
    if batch.name not in rows or rows[batch.name].manifest_sha256 != shard.revision:
        where = "SQLite in its own home" if settings.ledger is None else "the one that CALLSHEET_LEDGER names"
        raise SettingsError(
            f"The ledger of this machine ({where}) does not know batch {batch.name} as it was split. {told}"
            "All workers need the same ledger: set CALLSHEET_LEDGER to one PostgreSQL, or CALLSHEET_HOME to one folder "
            "of one machine."
        )
    await check_claim(studio.store, batch, studio.ledger.identity)
    if await studio.store.stat(layout.document(batch.prefix, layout.PLAN)) is None:
        raise SettingsError(
            f"{studio.store.uri} has no plan of batch {batch.name}, so it is not the archive that the batch was opened "
            f"in. {told}All workers need the same CALLSHEET_ARCHIVE."
        )


async def end_shard(studio: Studio, plan: Plan) -> dict[str, object]:
    """Let go of what the archive has, and tell how the shard's shots stand: `shots` by state, and `exit_code`."""
    archived = await studio.ledger.archived_among(studio.batch.name, await asyncio.to_thread(studio.spool.hashes))
    await asyncio.to_thread(studio.spool.empty, archived)
    shots = Counter(_state(studio, item) for item in plan.shots)
    counted = {state.value: count for state, count in shots.items()}
    requests = await find_open_requests(studio, (item.shot for item in plan.shots), strangers=False)
    code = first_of((code_of_shots(shots, free=studio.free), requests.exit_code))
    return {"exit_code": int(code), "shots": {"total": len(plan.shots), "done": 0, **counted}}


def _state(studio: Studio, item: ShotPlan) -> ShotState:
    """How a shot stands; one that was not worked on was whole, or waits for a person."""
    shot = item.shot.id
    if shot not in studio.work:
        return ShotState.DONE if is_finished(item, studio.files) else ShotState.WAITING
    return ShotState(studio.sidecars[shot][0].state) if shot in studio.sidecars else ShotState.PENDING
