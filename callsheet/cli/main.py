"""The `callsheet` command: its subcommands, and errors on a terminal."""

from __future__ import annotations

import ast
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from callsheet.cli.output import end_if_asked, err, fail, in_short, warnings_to
from callsheet.errors import CallsheetError, UsageError
from callsheet.exit_codes import ExitCode
from callsheet.imports import pause_collection

# For every command.
HELP = {"help_option_names": ["-h", "--help"]}
_CODES = (
    "Exit codes: 0 all is there; 1 an error of callsheet's own, the same command goes on; 2 wrong input, nothing was "
    "sent; 3 partly done; 4 goes on later; 5 waits for a person; 130 interrupted."
)


def lazy_group(places: Mapping[str, str]) -> type[TyperGroup]:
    """Return a group of the commands at these places.

    `places` maps a name to `module:attribute`, a function or a Typer app.
    """

    class LazyGroup(TyperGroup):
        def __init__(self, **attrs: Any) -> None:
            super().__init__(**attrs)
            # Whatever asks for the names only, such as the suggestion for a misspelt one, loads nothing.
            self.commands: Any = _Commands(places)

        def list_commands(self, ctx: Any) -> list[str]:
            return list(self.commands)

        def format_commands(self, ctx: Any, formatter: Any) -> None:
            TyperGroup(commands={name: _read_help(name, place) for name, place in places.items()}).format_commands(
                ctx, formatter
            )

    return LazyGroup


class _Commands(Mapping[str, Any]):
    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = places

    def __getitem__(self, name: str) -> Any:
        module, _, attribute = self._places[name].partition(":")
        with pause_collection():
            found = getattr(import_module(module), attribute)
        if isinstance(found, typer.Typer):
            group = get_group(found)
            group.context_settings.update(HELP)
            return group
        return _make_command(name, found)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _make_command(name: str, function: Callable[..., None]) -> Any:
    alone = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=HELP)
    alone.command(name)(function)
    return get_command(alone)


def _read_help(name: str, place: str) -> Any:
    """Return a command with the help of the one at this place, without importing it.

    Its function is found in the text of its module; that of a Typer app has the app's name.
    """
    spec = find_spec(place.partition(":")[0])
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else "")
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]

    def describe() -> None: ...

    describe.__doc__ = next((ast.get_docstring(node) for node in functions), None)
    return _make_command(name, describe)


# In the order of the help. Where each is found; it is loaded when it is called.
COMMANDS = {
    "init": "callsheet.cli.init:init",
    "doctor": "callsheet.cli.doctor:doctor",
    "config": "callsheet.cli.config:config",
    "check": "callsheet.cli.check:check",
    "plan": "callsheet.cli.plan:plan",
    "run": "callsheet.cli.run:run",
    "status": "callsheet.cli.status:status",
    "approve": "callsheet.cli.approve:approve",
    "resolve": "callsheet.cli.resolve:resolve",
    "recover": "callsheet.cli.recover:recover",
    "cancel": "callsheet.cli.cancel:cancel",
    "cuts": "callsheet.cli.cuts:cuts",
    "assemble": "callsheet.cli.assemble:assemble",
    "find": "callsheet.cli.find:find",
    "gallery": "callsheet.cli.gallery:gallery",
    "models": "callsheet.cli.models:models",
    "platforms": "callsheet.cli.platforms:platforms",
    "quota": "callsheet.cli.quota:quota",
    "archive": "callsheet.cli.archive:app",
    "ledger": "callsheet.cli.ledger:app",
    "rehearsal": "callsheet.cli.rehearsal:rehearsal",
    "ui": "callsheet.cli.ui:ui",
    "deploy": "callsheet.cli.deploy:deploy",
    "worker": "callsheet.cli.worker:worker",
}

app = typer.Typer(
    name="callsheet",
    cls=lazy_group(COMMANDS),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=HELP,
    epilog=_CODES,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("callsheet"))
        raise typer.Exit


@app.callback()
def callsheet(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version, and exit.")
    ] = False,
) -> None:
    """Make pictures, clips and cuts of a manifest: paid for once, never lost.

    From a manifest of prompts to pictures, Veo clips, social cuts and an archive.
    """


def main() -> None:
    """Run the command and end this process; see `run_command`."""
    try:
        run_command()
    except SystemExit as ended:
        end_if_asked(ended.code)
        raise


def run_command() -> None:
    """Run the command, and end with its exit code.

    Exit codes are 0, 1 internal, 2 usage, 3 partly done, 4 parked, 5 waiting, 130 interrupted.
    """
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
