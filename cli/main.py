"""The `callsheet` command: its subcommands, and what an error becomes on a terminal."""

from __future__ import annotations

import logging
import sys

import typer

from callsheet.errors import CallsheetError, UsageError
from cli import check, gallery, ledger, models, plan, recover, rehearsal, resolve, run, status, ui
from cli.output import err, fail, warnings_to

EXIT_INTERNAL, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130

app = typer.Typer(
    name="callsheet",
    help="From a manifest of prompts to pictures, Veo clips, social cuts and an archive: paid for once, never lost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("check")(check.check)
app.command("plan")(plan.plan)
app.command("run")(run.run)
app.command("status")(status.status)
app.command("resolve")(resolve.resolve)
app.command("recover")(recover.recover)
app.command("gallery")(gallery.gallery)
app.command("models")(models.models)
app.add_typer(ledger.app, name="ledger")
app.command("rehearsal")(rehearsal.rehearsal)
app.command("ui")(ui.ui)


def main() -> None:
    """Run the command; exit codes are 0, 1 internal, 2 usage, 3 partly done, 4 parked, 5 waiting, 130 interrupted."""
    logging.basicConfig(handlers=[warnings_to(err)], format="%(name)s: %(message)s")
    try:
        app()
    except UsageError as error:
        fail(error, EXIT_USAGE)
    except CallsheetError as error:
        fail(error, EXIT_INTERNAL)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:  # the last stop: a bug of ours is reported whole, but not as a bare traceback
        logging.getLogger(__name__).debug("internal error", exc_info=True)
        fail(CallsheetError(f"An error of callsheet's own: {type(error).__name__}: {error}"), EXIT_INTERNAL)
