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
from typing import TYPE_CHECKING, Annotated, Any

import typer

from callsheet.cli.config import find_servers_in_files
from callsheet.cli.options import (
    BudgetOption,
    CampaignOption,
    EditionOption,
    JsonOption,
    LiveOption,
    ManifestArgument,
    OnBadRowOption,
    PlanOption,
    StrictOption,
    VarOption,
    complete_request,
    read_on_bad_row,
    request_of,
)
from callsheet.cli.output import in_short, leave_at_once, out, print_json, say
from callsheet.cli.plan import plan_of, show_plan, warn, warn_of
from callsheet.errors import CallsheetError, SettingsError
from callsheet.exit_codes import ExitCode
from callsheet.imports import pause_collection
from callsheet.orchestration.own_packages import load_own_packages
from callsheet.settings import Settings, load_settings

if TYPE_CHECKING:  # the help and wrong usage are told at once
    from callsheet.batch.prepare import PreparedRun
    from callsheet.cli.progress import ProgressView
    from callsheet.orchestration.server_files import PrefectServer
    from callsheet.plan import Plan


async def summary_without_server(asked: PreparedRun) -> dict[str, Any]:
    """Write the batch's report from ledger and archive. Sends nothing.

    Returns its summary, with exit code 1.
    """

    from callsheet.batch.open import open_prepared
    from callsheet.batch.report import write_report
    from callsheet.batch.start import open_batch

    looking = replace(asked.request, free=True, remake=False, wait=False, plan=None)
    begun = replace(asked.request, remake=False, plan=None)
    async with open_prepared(asked.with_request(looking)) as run:
        await open_batch(run, asked.with_request(begun))
        report = await write_report(run, 0.0)
    return {**report.summary, "exit_code": ExitCode.INTERNAL}


def run(
    manifest: ManifestArgument = None,
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
    strict: StrictOption = False,
    on_bad_row: OnBadRowOption = "stop",
    write_back: Annotated[
        bool, typer.Option("--write-back", help="Write state, link and cost of each row into a copy of the sheet.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Make what the manifest asks for and is not there yet.

    Running it again continues it, and never pays twice.
    """

    from callsheet.batch.prepare import check_strictly, prepare_run
    from callsheet.batch.write_back import check_can_be_written_back, write_status

    settings = load_settings()
    asked = request_of(manifest or "", live, edition, campaign, var, budget, remake)
    given = replace(asked, wait=wait, only=tuple(only or ()), free=free, plan=plan)
    given = replace(given, on_bad_row=read_on_bad_row(on_bad_row))
    whole = complete_request(given, settings)
    if write_back:
        check_can_be_written_back(whole.manifest)
    prepared = asyncio.run(prepare_run(whole, settings))
    summary = carry_out(check_strictly(prepared) if strict else prepared, yes=yes)
    if write_back:
        left_out = [one["line"] for one in summary.get("left_out", ())]
        summary["status_sheet"] = asyncio.run(write_status(prepared, left_out))
        say(f"Status of each row: {summary['status_sheet']}")
    if json:
        print_json(summary)
    sys.exit(summary["exit_code"])


def carry_out(asked: PreparedRun, *, yes: bool) -> dict[str, Any]:
    """Run what is prepared and show how it ended.

    A live batch is run when its cost is agreed to. Returns what `run --json` prints.
    """

    from callsheet.batch.open import signer_of
    from callsheet.batch.other_ledgers import home_warning
    from callsheet.batch.sent_rows import archive_google_sheet

    started = time.monotonic()
    signer_of(asked.settings)  # bad input is told before a server is started or anything is agreed to
    if asked.request.live or asked.request.plan:
        made = asyncio.run(plan_of(asked, paying=asked.request.live))
        if asked.request.live:
            asked = _agree(asked, made, yes)
    else:
        warn_of(asked.manifest)
        warn([home_warning(asked.settings, Path.cwd())])
    summary = run_flow(asyncio.run(archive_google_sheet(asked)))
    summary["elapsed_s"] = round(time.monotonic() - started, 2)
    _show(summary)
    return summary


def _agree(asked: PreparedRun, made: Plan, yes: bool) -> PreparedRun:
    """Show the cost, and which shots cannot be finished, and have it agreed to.

    Returns the run with what was agreed to: it may not cost more when it begins.
    """

    from callsheet.batch.prepare import count_cut_off, describe_cut_off

    servers = [f"{url} (from {file})" for url, file in find_servers_in_files(asked.settings).items()]
    if servers and yes:
        raise SettingsError(
            f"This run would send your key and pay at {', '.join(servers)}: a file says so, and --yes agrees to no "
            "such server. Set the variable in the environment if it is right, or take the line out. Nothing was sent."
        )
    if yes or made.usd == 0:
        warn(describe_cut_off(made))
        return asked
    show_plan(made)
    cost, short = f"${made.usd_high:.2f}", f" ({told})" if (told := count_cut_off(made)) else ""
    if not sys.stdin.isatty():
        raise SettingsError(
            f"This would cost up to {cost}{short}. Without a terminal, agree with --yes. Nothing was sent."
        )
    where = f" Everything is sent to {', '.join(servers)}, not to Google." if servers else ""
    if not typer.confirm(f"Spend up to {cost}?{short}{where}", err=True):
        raise SettingsError("Not agreed to. Nothing was sent.")
    return replace(asked, agreed_usd=made.usd_high)


def run_flow(asked: PreparedRun) -> dict[str, Any]:
    """Run the flow in this process against the Prefect server; the summary it returns."""

    from callsheet.cli.progress import ProgressView
    from callsheet.orchestration.server import is_gone, is_up

    settings, view = asked.settings, ProgressView()
    server = join_server(settings)
    try:
        summary = asyncio.run(_follow(asked, view, server))
    except CallsheetError:
        raise
    except Exception as error:
        if is_up(server):
            raise
        say(
            f"The Prefect server at {server.api_url} is gone ({in_short(error)}). Nothing that was paid for is lost: "
            "the ledger has it. This is how the batch stands:"
        )
        summary = asyncio.run(summary_without_server(asked))
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

    from callsheet.orchestration.server import ensure_server

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


async def _follow(asked: PreparedRun, view: ProgressView, server: PrefectServer) -> dict[str, Any]:
    with pause_collection():
        from callsheet.orchestration.end_states import carry_out as carry_out_flow
        from callsheet.orchestration.local_server import follow_server
        from callsheet.orchestration.run_parameters import parameters_of
        from flows.content_batch import flow_of

    with view:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, _stop, view, loop)
        looking = loop.create_task(follow_server(server, asked.settings))
        try:
            summary = await carry_out_flow(flow_of(asked, view.watch), parameters_of(asked.request))
        finally:
            looking.cancel()
            loop.remove_signal_handler(signal.SIGINT)
    if view.is_stopped:
        summary["exit_code"] = int(ExitCode.INTERRUPTED)
    return summary


def _stop(view: ProgressView, loop: asyncio.AbstractEventLoop) -> None:
    say("Stopping: what was sent is let finish. Press Ctrl-C again to stop at once; nothing paid for is lost.")
    view.stop()
    loop.remove_signal_handler(signal.SIGINT)


def _show(summary: dict[str, Any]) -> None:
    shots, usd = summary["shots"], summary["usd"]
    counted = {state.replace("_", " "): count for state, count in shots.items() if state not in ("total", "done")}
    rest = ", ".join(f"{count} {state}" for state, count in counted.items() if count)
    out.print(
        f"{summary['batch']}: {shots['done']} of {shots['total']} shots done" + (f", {rest}" if rest else ""),
        markup=False,
    )
    charged = "at list price, $0 charged: a rehearsal" if summary["mode"] == "rehearsal" else "spent"
    out.print(f"USD {usd['spent']:.2f} {charged}{describe_held(summary)}", markup=False)
    out.print(f"Archive: {summary['archive']}\nGallery: {summary['gallery']}", markup=False)
    for problem in dict.fromkeys(problem for one in summary.get("left_out", ()) for problem in one["problems"]):
        say(f"left out: {problem}")
    if summary["exit_code"] in (ExitCode.INTERRUPTED, ExitCode.INTERNAL, ExitCode.PARKED):
        until = summary["parked_until"]
        when = f" from {datetime.fromisoformat(until):%Y-%m-%d %H:%M} UTC on" if until else ""
        say(f"Run the same command again{when} to continue: nothing that was paid for is paid for again.")
    waiting = summary["waiting_for"]
    if waiting["approval"]:
        say(f"{waiting['approval']} to be approved: in the gallery, or with: callsheet approve {summary['batch']}")
    if waiting.get("parent"):
        say(f"{waiting['parent']} wait for a picture of another shot: callsheet status {summary['batch']}")
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
