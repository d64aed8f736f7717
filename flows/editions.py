"""The edition of a scheduled run: filled in once, from the time it was scheduled for, and kept with the run."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.runtime import flow_run

from callsheet.editions import edition_at, has_placeholder


async def settled_edition(edition: str | None) -> str | None:
    """The edition of this flow run, with `{date}` and the like filled in; SettingsError when that cannot be done.

    The time is the run's expected start, which the server sets once: a run that starts late, is tried again or goes on
    after a crash has the edition it was scheduled for. The time zone is that of the schedule that made the run, else
    that of its deployment's first schedule, else UTC. What was filled in replaces the parameter of the run, where
    people read it and where a restart finds it, whatever has become of the schedule meanwhile.
    """
    if not edition or not has_placeholder(edition):
        return edition or None  # a form sends an empty text where nothing was written
    async with get_client() as client:
        run = await client.read_flow_run(flow_run.id)
        settled = edition_at(edition, await _scheduled(client, run))
        # Prefect replaces all parameters; those that it stored are kept as they are.
        await client.update_flow_run(run.id, parameters={**run.parameters, "edition": settled})
    return settled


async def _scheduled(client: PrefectClient, run: FlowRun) -> datetime:
    """When the run was to start, in the time zone of its schedule."""
    expected: datetime = run.expected_start_time or datetime.now(ZoneInfo("UTC"))
    return expected.astimezone(ZoneInfo(await _time_zone(client, run)))


async def _time_zone(client: PrefectClient, run: FlowRun) -> str:
    if run.deployment_id is None:
        return "UTC"
    schedules = await client.read_deployment_schedules(run.deployment_id)
    made_by = run.created_by.id if run.created_by else None
    ordered = sorted(schedules, key=lambda one: (one.id != made_by, one.created))
    zones = (getattr(one.schedule, "timezone", None) for one in ordered)
    return next((zone for zone in zones if zone), "UTC")
