"""`callsheet config`: each setting, its value, and where that comes from."""

from __future__ import annotations

import re
from typing import Any

from pydantic import SecretStr
from rich.table import Table
from rich.text import Text

from callsheet.cli.options import JsonOption
from callsheet.cli.output import out, print_json
from callsheet.settings import Settings, find_origins, load_settings, variables_of
from callsheet.settings_files import DOTENV, TOML

# A second reading of one variable, which `gemini_api_key` shows.
_INNER = "key_in_gemini"
# That of a ledger's or a server's URL.
_PASSWORD = re.compile(r"(://[^/@:]*:)[^/@]*@")
# What names a server that keys and prompts are sent to.
_SERVERS = ("gemini_base_url", "vertex_base_url", "storage_emulator_host", "sheets_base_url")


def config(json: JsonOption = False) -> None:
    """Show each setting, its value and where that comes from.

    Secrets are masked. The environment counts before `.env`, that before `callsheet.toml`.
    """
    settings, origins = load_settings(), find_origins()
    rows = [_record(settings, name, origins[name]) for name in Settings.model_fields if name != _INNER]
    if json:
        print_json({"exit_code": 0, "settings": rows})
        return
    table = Table()
    for column in ("setting", "value", "comes from"):
        table.add_column(column, overflow="fold")
    for row in rows:
        shown = "-" if row["value"] is None else str(row["value"])
        table.add_row(*(Text(cell) for cell in (row["variable"], shown, row["from"] or "default")))
    out.print(table)


def _record(settings: Settings, name: str, origin: str) -> dict[str, Any]:
    value = getattr(settings, name)
    if isinstance(value, SecretStr):
        value = str(value)  # pydantic masks it
    elif value is not None and not isinstance(value, bool | int | float):
        value = list(value) if isinstance(value, tuple) else _PASSWORD.sub(r"\1***@", str(value))
    return {"setting": name, "variable": variables_of(name)[0], "value": value, "from": origin}


def find_servers_in_files(settings: Settings) -> dict[str, str]:
    """Return the servers in place of Google's that a file names, and which file."""
    origins = find_origins()
    files = {name: origins[name] for name in _SERVERS if origins[name].startswith((TOML, DOTENV))}
    return {str(getattr(settings, name)): file for name, file in files.items()}
