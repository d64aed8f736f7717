"""The collect flow: what was paid for and left behind, for nothing.

It is fetched, and its shots are carried on.

For a schedule, beside the batches: what a killed, disconnected or switched-off machine has left is finished here.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from prefect import flow, get_run_logger
from prefect.schedules import Cron
from prefect.states import Completed, Failed

from callsheet.batch.open import open_for, to_recover
from callsheet.batch.recover import check_mode, find_missing
from callsheet.batch.resume import Resumable, resumable
from callsheet.clock import Clock
from callsheet.errors import CallsheetError
from callsheet.exit_codes import ExitCode, first_of
from callsheet.jobs.missing import Recovered, exit_code
from callsheet.ledger import Ledger
from callsheet.orchestration.end_states import carry_out, tell_mistakes
from callsheet.orchestration.forms import LiveBatches, OneBatch
from callsheet.orchestration.local_server import local_server
from callsheet.orchestration.run_parameters import parameters_of
from callsheet.settings import Settings, load_settings
from callsheet.shots import Mode
from flows.content_batch import flow_of
from tasks.on_demand import recover_batch


@flow(
    name="collect",
    flow_run_name="collect",
    description="Fetch what is paid for and not archived, and carry its shots on. Never spends.",
    persist_result=False,
    validate_parameters=True,
)
@tell_mistakes
async def collect(live: LiveBatches = False, batch: OneBatch = None) -> Any:
    """Recover the batches of one mode, or one batch, and finish their shots.

    It is what `callsheet recover` does, and free.

    Operations whose owner is gone are adopted; those of a living process are left to it. Returns `jobs` (what became
    of each), `carried_on` (the summaries of the batches that were run), `left` (batches that could not be, and why)
    and an exit code as `callsheet recover` has it.
    """
    settings, mode = load_settings(), _mode(live)
    jobs = await _recover(settings, mode, batch)
    async with await Ledger.open(settings.ledger_url, clock=Clock()) as ledger:
        found = await resumable(ledger, mode, batch)
    carried, left = await _carry_on(found, settings)
    code = first_of([exit_code(jobs), *(summary["exit_code"] for summary in carried)])
    counts = dict(Counter(job.how for job in jobs))
    jobs_of = [job.as_json() for job in jobs]
    told = {"exit_code": int(code), "counts": counts, "jobs": jobs_of, "carried_on": carried, "left": left}
    how = ", ".join(f"{count} {what}" for what, count in counts.items()) or "nothing to fetch"
    message = f"{how}; {len(carried)} batches carried on, {len(left)} left"
    return Failed(message=message, data=told) if code is ExitCode.INTERNAL else Completed(message=message, data=told)


def _mode(live: bool) -> Mode:
    return "live" if live else "rehearsal"


async def _recover(settings: Settings, mode: Mode, batch: str | None) -> list[Recovered]:
    """Fetch what is missing, batches side by side.

    What expires first has the first turn in all of them.
    """
    found = await find_missing(settings, batch)
    check_mode(found, mode, batch)
    missing = found.of(mode)
    if not missing:
        return []
    names = list(dict.fromkeys(one.batch for one in missing))
    async with open_for(to_recover(found.batches[names[0]], settings), settings):
        ended = await asyncio.gather(*(recover_batch(name) for name in names))
    jobs = [Recovered(**job) for of_batch in ended for job in of_batch]
    for job in jobs:
        get_run_logger().info("%s: %s / %s / %s: %s", job.how, job.batch, job.shot, job.slot, job.reason)
    return jobs


async def _carry_on(found: list[Resumable], settings: Settings) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Carry the batches on; return their summaries, and which were left.

    With the reason for each that was left.
    """
    carried, left = [], []
    for one in found:
        try:
            asked = await one.prepare(settings)
            carried.append(await carry_out(flow_of(asked), parameters_of(asked.request)))
        except CallsheetError as error:
            get_run_logger().warning("%s is not carried on: %s", one.batch, error)
            left.append({"batch": one.batch, "shots": list(one.shots), "why": str(error)})
    return carried, left


if __name__ == "__main__":
    with local_server():
        collect.serve(
            name="collect",
            parameters={"live": False},
            schedule=Cron("17 * * * *", timezone="Europe/Berlin", slug="hourly"),
            global_limit=1,
        )
