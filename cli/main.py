"""The `callsheet` command: its subcommands, and what an error becomes on a terminal."""

from __future__ import annotations

import logging
import sys

import typer

from callsheet.errors import CallsheetError, UsageError
from callsheet.exit_codes import ExitCode
from cli.lazy import lazy_group
from cli.leaving import end_if_asked
from cli.output import err, fail, in_short, warnings_to

# In the order of the help. Where each is found; it is loaded when it is called.
COMMANDS = {
    "check": "cli.check:check",
    "plan": "cli.plan:plan",
    "run": "cli.run:run",
    "status": "cli.status:status",
    "approve": "cli.approve:approve",
    "resolve": "cli.resolve:resolve",
    "recover": "cli.recover:recover",
    "cuts": "cli.cuts:cuts",
    "assemble": "cli.assemble:assemble",
    "find": "cli.find:find",
    "gallery": "cli.gallery:gallery",
    "models": "cli.models:models",
    "platforms": "cli.platforms:platforms",
    "quota": "cli.quota:quota",
    "archive": "cli.archive:app",
    "ledger": "cli.ledger:app",
    "rehearsal": "cli.rehearsal:rehearsal",
    "ui": "cli.ui:ui",
    "deploy": "cli.deploy:deploy",
    "worker": "cli.worker:worker",
}

app = typer.Typer(
    name="callsheet",
    cls=lazy_group(COMMANDS),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def callsheet() -> None:
    """From a manifest of prompts to pictures, Veo clips, social cuts and an archive: paid for once, never lost."""


def main() -> None:
    """Run the command and end this process; see `run_command`."""
    try:
        run_command()
    except SystemExit as ended:
        end_if_asked(ended.code)
        raise


def run_command() -> None:
    """Run the command; exit codes are 0, 1 internal, 2 usage, 3 partly done, 4 parked, 5 waiting, 130 interrupted."""
    logging.basicConfig(handlers=[warnings_to(err)], format="%(name)s: %(message)s")
    try:
        app()
    except UsageError as error:
        fail(error, ExitCode.USAGE)
    except CallsheetError as error:
        fail(error, ExitCode.INTERNAL)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    except Exception as error:  # the last stop: a bug of ours is reported whole, but not as a bare traceback
        logging.getLogger(__name__).debug("internal error", exc_info=True)
        fail(CallsheetError(f"An error of callsheet's own: {in_short(error)}"), ExitCode.INTERNAL)
