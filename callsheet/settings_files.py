"""The files beside the environment that settings may stand in.

They are `callsheet.toml`, with profiles, and `.env`, both in the working folder. What they say is read here and judged:
a name that nobody reads is a mistake, and a misspelt budget would be none.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values

from callsheet.errors import SettingsError
from callsheet.suggestions import did_you_mean

TOML, DOTENV, PROFILE = "callsheet.toml", ".env", "CALLSHEET_PROFILE"
PREFIX = "CALLSHEET_"
# Variables with our prefix that are no settings: the second one names the version of deployments.
OTHERS = (PROFILE, "CALLSHEET_VERSION")
_MOST_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class SettingNames:
    """The settings that there are.

    `variables` has the environment variables of each, of which the first one counts; `secrets` are those that stand in
    no `callsheet.toml`.
    """

    variables: Mapping[str, tuple[str, ...]]
    secrets: Collection[str]


@dataclass(frozen=True, slots=True)
class SettingsFiles:
    """What the files of one working folder say.

    `common` and `chosen` are the settings of `callsheet.toml` by name: those of every profile, and those of `profile`.
    `dotenv` has the variables of `.env`.
    """

    profile: str = ""
    common: Mapping[str, object] = field(default_factory=dict)
    chosen: Mapping[str, object] = field(default_factory=dict)
    dotenv: Mapping[str, str] = field(default_factory=dict)

    @property
    def toml(self) -> dict[str, object]:
        """The settings of `callsheet.toml` by name, those of the profile first."""
        return {**self.common, **self.chosen}


def read_settings_files(folder: Path, environ: Mapping[str, str]) -> SettingsFiles:
    """Return what the folder's files say.

    Raises SettingsError for files that cannot be read, and for a profile that is not there.
    """
    dotenv = _read_dotenv(folder / DOTENV)
    common = _read_toml(folder / TOML)
    profiles, default = common.pop("profiles", {}), common.pop("profile", "")
    if not isinstance(profiles, dict) or not all(isinstance(one, dict) for one in profiles.values()):
        raise SettingsError(f"{TOML}: `profiles` has to be tables, [profiles.prod] say. Nothing was read.")
    name = environ.get(PROFILE) or dotenv.get(PROFILE) or str(default)
    if name and name not in profiles:
        listed = f"It has {', '.join(profiles)}." if profiles else "It has none."
        raise SettingsError(
            f"{TOML} has no profile {name!r}. {listed} Add "
            f"[profiles.{name}], or choose another one with {PROFILE}. Nothing was read."
        )
    return SettingsFiles(name, common, profiles.get(name, {}), dotenv)


def _read_toml(path: Path) -> dict[str, object]:
    text = _read_text(path)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path.name} is no TOML: {error}. Nothing was read.") from None


def _read_dotenv(path: Path) -> dict[str, str]:
    _read_text(path)
    # Taken as written: a $ in a key is no reference.
    found = dotenv_values(path, interpolate=False, encoding="utf-8-sig") if path.is_file() else {}
    return {name: value for name, value in found.items() if value is not None}


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise SettingsError(f"{path.name} has more than {_MOST_BYTES // 1024} KiB: it holds no settings.")
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path.name} cannot be read: {error}. Nothing was read.") from None


def find_mistakes(files: SettingsFiles, environ: Mapping[str, str], known: SettingNames) -> list[str]:
    """Return a sentence for each name that no setting has.

    It has the nearest one that there is.
    """
    listed = {variable for variables in known.variables.values() for variable in variables} | {*OTHERS}
    return [
        *_find_unknown(environ, listed, "the environment"),
        *_find_unknown(files.dotenv, listed, DOTENV),
        *_find_misplaced(files.common, known, TOML),
        *_find_misplaced(files.chosen, known, f"{TOML} [profiles.{files.profile}]"),
    ]


def _find_unknown(given: Collection[str], listed: Collection[str], where: str) -> Iterator[str]:
    for name in given:
        # Names of the environment have any case, as they always had.
        if name.upper().startswith(PREFIX) and name.upper() not in listed:
            yield f"{name} in {where} is no setting: {did_you_mean(name.upper(), listed)}".rstrip(": ")


def _find_misplaced(given: Collection[str], known: SettingNames, where: str) -> Iterator[str]:
    for name in given:
        if name not in known.variables:
            yield f"{name} in {where} is no setting: {did_you_mean(name, known.variables)}".rstrip(": ")
        elif name in known.secrets:
            yield f"{name} in {where} is a secret: it belongs into the environment or {DOTENV}, out of version control"


def find_origin(name: str, files: SettingsFiles, environ: Mapping[str, str], known: SettingNames) -> str:
    """Return where the value of a setting comes from, "" for its default."""
    there = {variable.upper() for variable in environ}
    for variable in known.variables[name]:
        if variable in there:
            return variable
    for variable in known.variables[name]:
        if variable in files.dotenv:
            return f"{DOTENV}: {variable}"
    if name in files.chosen:
        return f"{TOML} [profiles.{files.profile}]"
    return TOML if name in files.common else ""
