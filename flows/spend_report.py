"""The spend_report flow: what a day and its month have cost, each morning."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.schedules import Cron
from prefect.states import Completed

from callsheet.batch.account import spend_until
from callsheet.orchestration.artifacts import publish_spend
from callsheet.orchestration.end_states import tell_mistakes
from callsheet.orchestration.forms import LiveBatches, ReportDay
from callsheet.orchestration.local_server import local_server
from callsheet.settings import load_settings


@flow(
    name="spend-report",
    flow_run_name="spend report",
    description="What a day and its month so far have cost, by campaign, model and day, from the ledger.",
    persist_result=False,
    validate_parameters=True,
)
@tell_mistakes
async def spend_report(live: LiveBatches = True, day: ReportDay = None) -> Any:
    """Publish what was spent on a day, and in its month up to it.

    By default it is the day before the run was due.

    Days are Pacific, as the provider bills. Returns the sums; asks the ledger only.
    """
    due = flow_run.scheduled_start_time or datetime.now(UTC)
    report = await spend_until(load_settings(), "live" if live else "rehearsal", day=day, now=due)
    await publish_spend(report, live=live)
    return _final_state(report.sentence(), report.usd_day, report.usd_month, report.day.isoformat())


def _final_state(sentence: str, day: Any, month: Any, on: str) -> State[dict[str, Any]]:
    data = {"exit_code": 0, "day": on, "usd": {"day": float(day), "month": float(month)}}
    return Completed(message=sentence, data=data)


if __name__ == "__main__":
    with local_server():
        spend_report.serve(
            name="spend-report",
            parameters={"live": False},
            schedule=Cron("30 7 * * *", timezone="Europe/Berlin", slug="morning"),
        )
