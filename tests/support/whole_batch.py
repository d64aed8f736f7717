"""A batch from manifest to success marker in one process without Prefect, which may kill itself at a named moment.

`tests.forked.Forge` runs `main`, `copy_and_die`, `mortal_command` and `command_without_prefect` in forked processes.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from callsheet.batch.open import open_prepared
from callsheet.batch.pipeline import run_pipeline
from callsheet.batch.prepare import PreparedRun, prepare_again, prepare_run
from callsheet.batch.report import Report, write_report
from callsheet.batch.request import RunRequest
from callsheet.batch.start import open_batch, set_aside
from callsheet.cli import run
from callsheet.cli.main import main as command
from callsheet.context import poller
from callsheet.context.context import RunContext
from callsheet.errors import BegunElsewhere
from callsheet.exit_codes import ExitCode
from callsheet.plan.grouping import MOST_GROUPS, groups
from callsheet.settings import Settings, load_settings
from tests.support.environment import FIRST_LOOK_S
from tests.support.forked_services import fork_services

# Where the process ends: before or after the n-th call of a function.
MOMENTS: dict[str, tuple[str, str, int]] = {
    "after the head of a reply": ("after", "callsheet.providers.reply_spool:ReplyFile.begin", 1),
    "between a kept reply and its picture": ("before", "callsheet.steps.images:keep_picture", 1),
    "before the first file": ("before", "{store}.put_file", 1),
    "after a file, before it is on record": ("after", "{store}.put_file", 1),
    "after a file is on record": ("after", "callsheet.ledger.ledger:Ledger.record_files", 1),
    "after some derived file": ("after", "callsheet.ledger.ledger:Ledger.add_assets", 1),
    "between files and sidecar": ("before", "callsheet.steps.archive:write_sidecar", 1),
    "between two sidecars": ("after", "callsheet.steps.archive:write_sidecar", 1),
    "between a sidecar and the shot's state": ("before", "callsheet.ledger.ledger:Ledger.set_shot", 2),
    "between sidecars and catalogue": ("before", "callsheet.batch.report:write_part", 1),
    "between catalogue and marker": ("before", "callsheet.batch.report:write_success", 1),
    "after a choice of frame": ("after", "callsheet.ledger.ledger:Ledger.pin_frame", 1),
    "before a clip is claimed": ("before", "callsheet.jobs.runner:claim", 2),
    "between a clip's record and its sidecar": ("before", "callsheet.steps.clips:tell_sent", 1),
    "before a clip is sent": ("before", "callsheet.steps.clips:operation_of_another_ledger", 1),
    "between a clip's sidecar and its record": ("after", "callsheet.steps.clip_inputs:tell_intent", 1),
    "after a clip is sent and told": ("after", "callsheet.steps.clips:tell_sent", 1),
    "after all clips are sent and told": ("after", "callsheet.steps.clips:tell_sent", 2),
    "after the marker": ("after", "callsheet.batch.report:write_success", 1),
}
STORES = {"folder": "callsheet.archive.store_local:LocalStore", "bucket": "callsheet.archive.store_gcs:GcsStore"}


async def whole_batch(
    request: RunRequest,
    settings: Settings,
    most: int = MOST_GROUPS,
    opened: Callable[[RunContext], None] = lambda _: None,
) -> Report:
    """What the flow `content_batch` does, step by step; `most` groups are of one shot each, more are of several."""
    return await whole_prepared(await prepare_run(request, settings), most, opened)


async def whole_prepared(
    asked: PreparedRun, most: int = MOST_GROUPS, opened: Callable[[RunContext], None] = lambda _: None
) -> Report:
    """The same, of a manifest that was read already."""
    try:
        return await _whole_prepared(asked, most, opened)
    except BegunElsewhere:
        return await _whole_prepared(await prepare_again(asked), most, opened)


async def _whole_prepared(asked: PreparedRun, most: int, opened: Callable[[RunContext], None]) -> Report:
    async with open_prepared(asked) as run:
        opened(run)
        plan = await open_batch(run, asked)
        going = await set_aside(run, plan)
        await asyncio.gather(*(run_pipeline(run, group) for group in groups(going, most)))
        return await write_report(run, 0.0)


def command_without_prefect() -> None:
    """The command `callsheet`, its batches run step by step in this process."""
    fork_services()
    poller.FIRST_LOOK_S = FIRST_LOOK_S
    run.run_flow = lambda asked: asyncio.run(_until_stopped(asked))
    command()


async def _until_stopped(asked: PreparedRun) -> dict[str, Any]:
    """The summary of a batch that Ctrl-C ends as it ends the command's own: what was sent is let finish."""
    stopped: list[RunContext] = []

    def opened(run: RunContext) -> None:
        def stop() -> None:
            stopped.append(run)
            run.state.stop()

        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop)

    summary = dict((await whole_prepared(asked, opened=opened)).summary)
    return summary | ({"exit_code": int(ExitCode.INTERRUPTED)} if stopped else {})


def mortal_command() -> None:
    """The same, killed at the MOMENT that the environment names, with its archive in the PLACE."""
    end_at(os.environ["MOMENT"], os.environ.get("PLACE", "folder"))
    command_without_prefect()


def end_at(moment: str, place: str) -> None:
    """Have this process killed at the moment; `place` is "folder" or "bucket"."""
    when, where, times = MOMENTS[moment]
    module, _, path = where.format(store=STORES[place]).partition(":")
    *owners, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for each in owners:
        owner = getattr(owner, each)
    real, calls = getattr(owner, name), 0

    def is_fatal() -> bool:
        nonlocal calls
        calls += 1
        return calls == times

    async def deadly(*args: Any, **kwargs: Any) -> Any:
        fatal = is_fatal()
        if when == "before" and fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        result = await real(*args, **kwargs)
        if when == "after" and fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    def deadly_at_once(*args: Any, **kwargs: Any) -> Any:
        result, fatal = real(*args, **kwargs), is_fatal()
        if fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, deadly if inspect.iscoroutinefunction(real) else deadly_at_once)


def copy_and_die() -> None:
    """`callsheet archive copy` with these arguments, killed when the sixth file has been sent."""
    MOMENTS["copied"] = ("after", "{store}.put_file", 6)
    end_at("copied", "folder")
    sys.argv[1:1] = ["archive", "copy"]
    command()


def main() -> None:
    """Run the batch that the arguments tell of: settings as JSON, manifest, moment, place."""
    given, manifest, moment, place, *live = sys.argv[1:]
    fork_services()
    poller.FIRST_LOOK_S = FIRST_LOOK_S
    end_at(moment, place)
    values = json.loads(given)
    settings = load_settings(**{**values, "home": Path(values["home"])})
    asyncio.run(whole_batch(RunRequest(manifest, live=bool(live)), settings))
