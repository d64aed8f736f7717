"""`callsheet run`: the whole story, rehearsed for nothing unless --live is given."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from callsheet.batch.open import open_run, read_as_begun, signer_of
from callsheet.batch.other_ledgers import home_warning
from callsheet.batch.report import write_report
from callsheet.batch.request import RunRequest
from callsheet.batch.start import open_batch
from callsheet.cli.options import (
    BudgetOption,
    CampaignOption,
    EditionOption,
    JsonOption,
    LiveOption,
    ManifestOrNone,
    PlanOption,
    VarOption,
)
from callsheet.cli.output import in_short, leave_at_once, out, print_json, say
from callsheet.cli.plan import plan_of, show_plan, warn, warn_of
from callsheet.cli.progress import ProgressView
from callsheet.cli.request import complete_request, request_of
from callsheet.context.context import watcher
from callsheet.errors import CallsheetError, SettingsError
from callsheet.exit_codes import ExitCode
from callsheet.models import load_catalogue
from callsheet.orchestration.own_packages import load_own_packages
from callsheet.orchestration.run_parameters import parameters_of
from callsheet.orchestration.server import ensure_server, is_gone, is_up
from callsheet.orchestration.server_files import PrefectServer
from callsheet.plan import Plan
from callsheet.providers import live_ready
from callsheet.settings import Settings, load_settings


async def summary_without_server(request: RunRequest, settings: Settings) -> dict[str, Any]:
    """Write the batch's report from ledger and archive. Sends nothing.

    Returns its summary, with exit code 1.
    """
    looking = replace(request, free=True, remake=False, wait=False, plan=None)
    async with open_run(looking, settings) as (run, manifest):
        await open_batch(run, manifest, request=replace(request, remake=False, plan=None))
        report = await write_report(run, 0.0)
    return {**report.summary, "exit_code": ExitCode.INTERNAL}


def run(
    manifest: ManifestOrNone = None,
    live: LiveOption = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --live: do not ask, the cost is fine.")] = False,
    edition: EditionOption = None,
    campaign: CampaignOption = None,
    var: VarOption = None,
    budget: BudgetOption = None,
    remake: Annotated[bool, typer.Option("--remake", help="Make failed and lost work again, and pay for it.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Sleep through full quota days instead of ending parked.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="Work on this shot only; repeatable."),
    ] = None,
    free: Annotated[
        bool, typer.Option("--free", help="Finish what was paid for, and send no new paid request.")
    ] = False,
    plan: PlanOption = None,
    json: JsonOption = False,
) -> None:
    """Make what the manifest asks for and is not there yet.

    Running it again continues it, and never pays twice.
    """
    settings = load_settings()
    asked = request_of(manifest or "", live, edition, campaign, var, budget, remake)
    given = replace(asked, wait=wait, only=tuple(only or ()), free=free, plan=plan)
    summary = carry_out(complete_request(given), settings, yes=yes)
    if json:
        print_json(summary)
    sys.exit(summary["exit_code"])


def carry_out(request: RunRequest, settings: Settings, *, yes: bool) -> dict[str, Any]:
    """Run a request, a live one when its cost is agreed to, and show how it ended.

    Returns what `run --json` prints.
    """
    started = time.monotonic()
    signer_of(settings)  # bad input is told before a server is started or anything is agreed to
    if request.live or request.plan:
        made = asyncio.run(plan_of(request, settings, paying=request.live))
        if request.live:
            _agree(request, settings, made, yes)
    else:
        warn_of(asyncio.run(read_as_begun(request, settings))[0])
        warn([home_warning(settings, Path.cwd())])
    summary = _run_flow(request, settings)
    summary["elapsed_s"] = round(time.monotonic() - started, 2)
    _show(summary)
    return summary


def _agree(request: RunRequest, settings: Settings, made: Plan, yes: bool) -> None:
    """Refuse without credentials; show the cost, and have it agreed to."""
    shots, catalogue = [item.shot for item in made.shots], load_catalogue(settings.catalogue)
    ids = {shot.image_model for shot in shots if shot.takes}
    ids |= {shot.video_model for shot in shots if shot.motion_prompt and shot.video_model}
    if missing := live_ready(settings, [catalogue.get(model) for model in sorted(ids)]):
        raise SettingsError("A live run needs credentials. Nothing was sent.\n  " + "\n  ".join(missing))
    if yes or made.usd == 0:
        return
    show_plan(made)
    if not sys.stdin.isatty():
        raise SettingsError(
            f"This would cost up to ${made.usd_high:.2f}. Without a terminal, agree with --yes. Nothing was sent."
        )
    if not typer.confirm(f"Spend up to ${made.usd_high:.2f}?", err=True):
        raise SettingsError("Not agreed to. Nothing was sent.")


def _run_flow(request: RunRequest, settings: Settings) -> dict[str, Any]:
    """Run the flow in this process against the Prefect server; the summary it returns."""
    server, view = join_server(settings), ProgressView()
    try:
        summary = asyncio.run(_follow(request, view, server, settings))
    except CallsheetError:
        raise
    except Exception as error:
        if is_up(server):
            raise
        say(
            f"The Prefect server at {server.api_url} is gone ({in_short(error)}). Nothing that was paid for is lost: "
            "the ledger has it. This is how the batch stands:"
        )
        summary = asyncio.run(summary_without_server(request, settings))
        return {**summary, **(view.run.state.tally.as_json() if view.run is not None else {})}
    finally:
        if is_gone(server, settings):
            leave_at_once()
    say(f"Prefect UI: {server.ui_url}")
    return summary


def join_server(settings: Settings) -> PrefectServer:
    """Find or start the Prefect server for flows of this process.

    Call it before Prefect is imported.
    """
    load_own_packages()
    say("Looking for the Prefect server; starting one takes some seconds.")
    server = ensure_server(settings)
    use_server(server)
    return server


def use_server(server: PrefectServer) -> None:
    """Have Prefect in this process use the server.

    Call it before Prefect is imported, which reads settings once.
    """
    os.environ["PREFECT_API_URL"] = server.api_url
    # The run's log goes to the UI; the terminal has the progress.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    # What its threads log when the server is gone: every event whole, hundreds of them.
    os.environ.setdefault("PREFECT_INTERNAL_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("DO_NOT_TRACK", "1")


async def _follow(request: RunRequest, view: ProgressView, server: PrefectServer, settings: Settings) -> dict[str, Any]:
    from callsheet.orchestration.lost_server import follow_server
    from flows.content_batch import content_batch

    summary: Any

    with view:
        token = watcher.set(view)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, _stop, view, loop)
        looking = loop.create_task(follow_server(server, settings))
        try:
            summary = await content_batch(**parameters_of(request))
        finally:
            looking.cancel()
            loop.remove_signal_handler(signal.SIGINT)
            watcher.reset(token)
    if view.is_stopped:
        summary["exit_code"] = int(ExitCode.INTERRUPTED)
    return dict(summary)


def _stop(view: ProgressView, loop: asyncio.AbstractEventLoop) -> None:
    say("Stopping: what was sent is let finish. Press Ctrl-C again to stop at once; nothing paid for is lost.")
    view.stop()
    loop.remove_signal_handler(signal.SIGINT)


def _show(summary: dict[str, Any]) -> None:
    shots, usd = summary["shots"], summary["usd"]
    rest = ", ".join(f"{count} {state}" for state, count in shots.items() if count and state not in ("total", "done"))
    out.print(
        f"{summary['batch']}: {shots['done']} of {shots['total']} shots done" + (f", {rest}" if rest else ""),
        markup=False,
    )
    charged = "at list price, $0 charged: a rehearsal" if summary["mode"] == "rehearsal" else "spent"
    out.print(f"USD {usd['spent']:.2f} {charged}{describe_held(summary)}", markup=False)
    out.print(f"Archive: {summary['archive']}\nGallery: {summary['gallery']}", markup=False)
    if summary["exit_code"] in (ExitCode.INTERRUPTED, ExitCode.INTERNAL, ExitCode.PARKED):
        until = summary["parked_until"]
        when = f" from {datetime.fromisoformat(until):%Y-%m-%d %H:%M} UTC on" if until else ""
        say(f"Run the same command again{when} to continue: nothing that was paid for is paid for again.")
    waiting = summary["waiting_for"]
    if waiting["approval"]:
        say(f"{waiting['approval']} to be approved: in the gallery, or with: callsheet approve {summary['batch']}")
    if waiting["resolve"]:
        say("Some requests may or may not have been accepted. `callsheet resolve` shows them and lets you decide.")


def describe_held(summary: Mapping[str, Any]) -> str:
    """Say what money is still held, and for which requests; "" when none is."""
    held, open_requests = summary["usd"]["held"], summary["open_requests"]
    if not held:
        return ""
    under_way = f"{open_requests['submitted']} under way" if open_requests["submitted"] else ""
    in_doubt = f"{open_requests['in_doubt']} in doubt" if open_requests["in_doubt"] else ""
    why = " and ".join(part for part in (under_way, in_doubt) if part)
    return f"; USD {held:.2f} more held" + (f" by requests: {why}" if why else "")
