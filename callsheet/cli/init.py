"""`callsheet init`: a folder with a first sheet, settings and schedules."""

from __future__ import annotations

import os
import re
import sys
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from callsheet.cli.options import JsonOption
from callsheet.cli.output import out, print_json, say
from callsheet.errors import SettingsError
from callsheet.orchestration.own_packages import DEPLOYMENTS, shipped
from callsheet.platforms import load_platforms
from callsheet.settings_files import DOTENV, TOML

SHEET, README, SCHEDULES = "shots.csv", "README.md", "prefect.yaml"
_PROMPTS = (
    ("kettle", "A matte sage-green kettle on a gas stove at dawn, low window light, 35 mm", "Steam rises slowly"),
    ("harbour", "Fishing boats in morning fog, one red buoy, muted greens, wide view", ""),
)
_SHIPPED_SHEETS = re.compile(r"(?<=manifest: )prompts/\S+")
# The shipped file's second schedule is of a second sheet.
_SECOND_SCHEDULE = re.compile(r"  - name: weekly-campaign\n.*?(?=  - name: )", re.DOTALL)
_ZONE = re.compile(r"(?<=time_zone: &time_zone )\S+")


def init(
    folder: Annotated[Path, typer.Argument(help="Folder to begin in; it is made. Default: this one.")] = Path(),
    cuts: Annotated[str | None, typer.Option(help="Platforms of the first cuts, with ; between them.")] = None,
    time_zone: Annotated[str | None, typer.Option(help="Time zone of schedules, Europe/Berlin say.")] = None,
    budget: Annotated[str | None, typer.Option(help="USD that a campaign may cost in all.")] = None,
    json: JsonOption = False,
) -> None:
    """Begin a folder: a first sheet, settings, schedules, and what they are.

    Asks three questions on a terminal. What is there already stays as it is.
    """
    chosen = _read_cuts(_ask("Platforms of the first cuts, or none (`callsheet platforms` lists them)", cuts, "reels"))
    zone = _read_zone(_ask("Time zone of schedules", time_zone, _local_zone()))
    usd = _read_usd(_ask("USD that a campaign may cost in all", budget, "10"))
    files = {
        SHEET: _write_sheet(chosen),
        TOML: f'# `callsheet config` shows what counts.\nmanifest = "{SHEET}"\nbudget_usd = {usd}\ntier = 1\n',
        f"{DOTENV}.example": _ENV,
        SCHEDULES: _write_schedules(zone),
        README: _README,
        ".gitignore": f"{DOTENV}\n.callsheet/\n",
    }
    made, kept = _write(folder, files)
    for name in kept:
        say(f"{folder / name} is there already, and stays as it is.")
    out.print(f"Made in {folder.absolute()}: {', '.join(made) or 'nothing'}.", markup=False)
    say(f"Next: {'' if folder == Path() else f'cd {folder} && '}callsheet run")
    if json:
        print_json({"exit_code": 0, "folder": str(folder.absolute()), "made": made, "kept": kept})


def _ask(question: str, given: str | None, default: str) -> str:
    if given is not None or not sys.stdin.isatty():
        return default if given is None else given
    return str(typer.prompt(question, default=default, err=True))


def _read_cuts(text: str) -> str:
    names = [name.strip() for name in re.split("[;,]", text) if name.strip() not in ("", "none")]
    known = load_platforms(None)
    if unknown := [name for name in names if name not in known.names]:
        raise SettingsError(f"{unknown[0]!r} is no platform. These are: {', '.join(known.names)}. Nothing was made.")
    return ";".join(names)


def _read_zone(name: str) -> str:
    try:
        return ZoneInfo(name).key
    except (KeyError, ValueError, OSError):
        raise SettingsError(f"{name!r} is no time zone, Europe/Berlin say. Nothing was made.") from None


def _local_zone() -> str:
    """Return the name of this machine's time zone, UTC when it has none."""
    name = os.path.realpath("/etc/localtime").rpartition("zoneinfo/")[2]
    try:
        return ZoneInfo(name).key
    except (KeyError, ValueError, OSError):
        return "UTC"


def _read_usd(text: str) -> Decimal:
    try:
        usd = Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        usd = Decimal(-1)
    if not usd.is_finite() or not 0 <= usd <= 10**9:
        raise SettingsError(f"{text!r} is no sum in USD, 10 or 12.50 say. Nothing was made.")
    return usd


def _write_sheet(cuts: str) -> str:
    rows = (
        f'{name},"{prompt}",{2 if moves else 1},{moves},{4 if moves else ""},{cuts if moves else ""}\n'
        for name, prompt, moves in _PROMPTS
    )
    return "id,prompt,takes,motion_prompt,duration_s,cuts\n" + "".join(rows)


def _write_schedules(zone: str) -> str:
    text = (
        shipped(DEPLOYMENTS)
        .joinpath(SCHEDULES)
        .read_text(encoding="utf-8")
        .replace("`make deploy`", "`callsheet deploy`")
    )
    return _ZONE.sub(zone, _SHIPPED_SHEETS.sub(SHEET, _SECOND_SCHEDULE.sub("", text)))


def _write(folder: Path, files: dict[str, str]) -> tuple[list[str], list[str]]:
    """Write the files that are not there; returns those made, and those kept."""
    made, kept = [], []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            try:
                with (folder / name).open("x", encoding="utf-8", newline="\n") as file:
                    file.write(text)
                made.append(name)
            except FileExistsError:
                kept.append(name)
    except OSError as error:
        raise SettingsError(
            f"{folder} cannot be written to: {error.strerror or error}. Choose another folder."
        ) from None
    return made, kept


_ENV = """# Copy to .env, which stays out of version control. One key makes pictures and clips.
# GEMINI_API_KEY=
# Where files go, beside this folder: gs://bucket/prefix
# CALLSHEET_ARCHIVE=
"""

_README = f"""# Content of this folder

- `{SHEET}`: one row a shot. A `motion_prompt` makes a clip of it, `cuts` says for which platforms.
- `callsheet run` rehearses it for nothing; it says where the gallery is. Run again, nothing is made twice.
- `callsheet plan --live` says what it would cost, `callsheet run --live` asks and makes it.
- `{DOTENV}.example`: copy it to `{DOTENV}` and put a Gemini API key in. `callsheet doctor` says what is missing.
- `{TOML}`: settings, the budget say. `callsheet config` shows each value and where it comes from.
- `{SCHEDULES}`: what runs when. `callsheet ui`, `callsheet deploy` and `callsheet worker` put it to work.
"""
