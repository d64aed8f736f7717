"""The task of the assemble flow: one spot, made and archived."""

from __future__ import annotations

from typing import Any

from prefect import task

from callsheet.batch.spot import SpotRequest, make_spot_of
from callsheet.settings import load_settings
from tasks.policy import POLICY


@task(name="assemble", task_run_name="spot: {asked.name}", tags=["spots"], **POLICY)
async def join_spot(asked: SpotRequest) -> dict[str, Any]:
    """Make the spot, archive it and show it in the batch's gallery.

    One that is there already is not remade.
    """
    return await make_spot_of(load_settings(), asked)
