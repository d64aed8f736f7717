"""Pages for users: commands, settings, manifest, JSON of a run, exit codes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import typer
from pydantic.fields import FieldInfo
from typer.main import get_command

from callsheet import exit_codes
from callsheet.cli.main import app
from callsheet.manifest.columns import COLUMNS
from callsheet.manifest.json_schema import manifest_json_schema
from callsheet.settings import Settings, variables_of
from callsheet.settings_files import PROFILE
from docs.generator.markdown import NOTE, code, default_of, table, words
from docs.generator.texts import RUN_JSON, SETTINGS_OF_OTHERS

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "callsheet"


def commands_page() -> str:
    """Return the page of all commands with their arguments and options."""
    found = list(walk_commands())
    index = table(
        ("command", "does"),
        ((f"[`{name}`](#{_anchor(name)})", words(command.help).split("\n")[0]) for name, command in found),
    )
    return "# Commands\n" + NOTE + index + _GENERAL + "".join(_command(name, command) for name, command in found)


_GENERAL = """
`--json` prints one JSON object as the last line of stdout. Each command ends with one of the
[exit codes](exit-codes.md). `--help` tells of any command what stands here.
"""


def walk_commands() -> Iterator[tuple[str, Any]]:
    """Yield each command with its whole name, groups left out."""
    group: Any = get_command(app)
    for name, command in group.commands.items():
        inner = getattr(command, "commands", {})
        yield from ((f"callsheet {name} {one}", found) for one, found in inner.items())
        if not inner:
            yield f"callsheet {name}", command


def _anchor(name: str) -> str:
    return name.replace(" ", "-")


def _command(name: str, command: Any) -> str:
    context = typer.Context(command, info_name=name)
    usage = command.get_usage(context).removeprefix("Usage: ")
    rows = [
        (code(_options(record[0])), record[1])
        for parameter in command.params
        if (record := parameter.get_help_record(context))
    ]
    options = table(("option", "means"), rows) if rows else ""
    return f"\n## {name}\n\n{words(command.help)}\n```text\n{' '.join(usage.split())}\n```\n\n{options}"


def _options(text: str) -> str:
    """Return how an option is written; what may be given several times ends with dots."""
    return re.sub(r"<list\[(\w+)\]>", r"<\1> ...", text)


def settings_page() -> str:
    """Return the page of all environment variables that are read."""
    rows = [
        (
            " or ".join(map(code, variables_of(name))),
            default_of(field),
            f"{field.description or ''}{_bounds(field)}",
        )
        for name, field in Settings.model_fields.items()
        if name != "key_in_gemini"
    ]
    others = table(("variable", "means"), ((code(name), meaning) for name, meaning in SETTINGS_OF_OTHERS.items()))
    return "# Settings\n" + NOTE + _SETTINGS + table(("variable", "default", "means"), rows) + _OTHERS + others


_SETTINGS = f"""Options of a command go before the environment, that before `.env`, that before `callsheet.toml`; both
files are those of the working folder, and nothing else is read. `callsheet config` shows every value and where it comes
from. A name that is no setting is an error, so that a misspelt budget is none. Keys are never written down: not in the
ledger, not in logs, not on the Prefect server.

`.env` has the variables below, one `NAME=value` a line. In `callsheet.toml` a setting has the name of its variable in
small letters without `callsheet_`; secrets are refused there. A profile is a table, chosen by its name:

```toml
tier = 1
profile = "dev"           # unless {PROFILE} says another one

[profiles.dev]
budget_usd = 1

[profiles.prod]
archive = "gs://studio-archive/callsheet"
budget_usd = 200
```

"""

_OTHERS = """
## Settings of other programs

These belong to Prefect, to Google's libraries or to a deployment. callsheet sets or looks at them.

"""


def _bounds(field: FieldInfo) -> str:
    names = {"ge": "at least", "gt": "more than", "le": "at most", "max_length": "characters, at most"}
    told = [
        f"{word} {value}"
        for rule in field.metadata
        for key, word in names.items()
        if (value := getattr(rule, key, None)) is not None
    ]
    literal = get_args(field.annotation) if "Literal" in str(field.annotation) else ()
    told += [f"one of {', '.join(literal)}"] if literal else []
    return f" ({', '.join(told)})" if told else ""


def manifest_page() -> str:
    """Return the page of the manifest's columns and the keys of its YAML form."""
    kinds = {"text": "text", "whole": "whole number", "list": "list", "texts": "list of sentences"}
    columns = table(
        ("column", "is", "means"),
        (
            (code(name), kinds[column.kind], column.description + (_VIDEO if column.video else ""))
            for name, column in COLUMNS.items()
        ),
    )
    properties: Any = manifest_json_schema()["properties"]
    keys = table(("key", "means"), ((code(name), value.get("description", "")) for name, value in properties.items()))
    return "# Manifest\n" + NOTE + _MANIFEST + columns + _YAML + keys


_VIDEO = " Counts with a motion prompt only."

_MANIFEST = """A CSV or TSV needs a `prompt`; every other column has a default. A column that callsheet does not know is
a variable for `{placeholders}`. Items of a list stand between `;`, `,` or `|`. How to write one:
[Write a manifest](../howto/manifest.md).

## Columns

"""

_YAML = """
## Keys of the YAML form

"""


def run_json_page() -> str:
    """Return the page of the object that `run --json` prints."""
    return (
        "# JSON of a run\n"
        + NOTE
        + _RUN_JSON
        + table(("key", "means"), ((code(key), told) for key, told in RUN_JSON.items()))
        + _LEFT_OUT
    )


_RUN_JSON = """`callsheet run --json` prints this object as the last line of stdout. The summary of a deployed run is
the same. Keys may be added; none goes away or changes its meaning. Money is in USD.

"""


_LEFT_OUT = """
Where rows are left out (`--on-bad-row skip`), `left_out` lists them: `shot`, `line` and `problems`, texts with
file, line and column. `shots.left_out` is how many there are; `shots.total` counts them. Both are absent without any.
"""


def exit_codes_page() -> str:
    """Return the page of the exit codes, told by the comments of the code."""
    order = ", ".join(str(int(one)) for one in exit_codes.PRECEDENCE)
    rows = ((int(one), one.name, told) for one, told in exit_code_meanings().items())
    return "# Exit codes\n" + NOTE + table(("code", "name", "means"), rows) + _EXIT.format(order=order)


_EXIT = """
Where several fit, the first of {order} counts. That holds too for a request that no unfinished shot needs, such as a
take in doubt beside a good one. Money that is still held is in the summary, under `usd.held`.

| code | what to do |
|---|---|
| 1 | Run the same command again. It goes on where it was. |
| 2 | Mend what the message names. Nothing was sent. |
| 3 | Look at the reasons: `callsheet status`, or the gallery. Mend rows that were left out. |
| 4 | Run it again later, let it wait with `--wait`, or leave it to a [schedule](../howto/schedules.md). |
| 5 | Decide: [`callsheet approve`](../howto/approval.md) or [`callsheet resolve`](../howto/recover.md). |
"""


def exit_code_meanings() -> Mapping[exit_codes.ExitCode, str]:
    """Return what the comment over each exit code says."""
    source = (SOURCES / "exit_codes.py").read_text(encoding="utf-8")
    found = re.findall(r"((?: *#: .*\n)+) +([A-Z]+) = ", source)
    return {exit_codes.ExitCode[name]: " ".join(re.sub(r" *#: ", " ", text).split()) for text, name in found}
