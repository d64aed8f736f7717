"""The environment of the Prefect server: what `deployments/server.env` says, the user's own settings, and its place."""

from __future__ import annotations

import importlib.util
import os
from base64 import b64encode
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from callsheet.errors import ServiceError, SettingsError

# Settings that name a module, and so may name one that is not installed.
MODULES = (
    "PREFECT_SERVER_EVENTS_MESSAGING_BROKER",
    "PREFECT_SERVER_EVENTS_MESSAGING_CACHE",
    "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE",
    "PREFECT_SERVER_WORKER_CHANNEL_CLEANUP_QUEUE_STORAGE",
)


def server_environment(folder: Path, api_url: str) -> dict[str, str]:
    """The whole environment to start a server with: home and, unless another is set, database in `folder`.

    What this process's environment sets wins over `deployments/server.env`. ServiceError when it asks for Redis and
    `callsheet[redis]` is not installed.
    """
    given = {**server_env(), **os.environ}
    check_modules(given)
    return {
        "PREFECT_UI_API_URL": api_url,
        **given,
        "PREFECT_HOME": str(folder.absolute()),
        "PREFECT_API_URL": api_url,
    }


def password_header() -> dict[str, str]:
    """What a request to a server that asks for a password has to carry; empty when no password is set here."""
    given = {**server_env(), **os.environ}
    password = given.get("PREFECT_SERVER_API_AUTH_STRING") or given.get("PREFECT_API_AUTH_STRING")
    return {"Authorization": f"Basic {b64encode(password.encode()).decode()}"} if password else {}


def server_env() -> dict[str, str]:
    """The settings of `deployments/server.env`."""
    return read_env(files("deployments").joinpath("server.env").read_text(encoding="utf-8"))


def read_env(text: str) -> dict[str, str]:
    """NAME=value lines; blank lines and those that begin with # say nothing. SettingsError for any other."""
    found = {}
    for number, line in enumerate(text.splitlines(), start=1):
        name, equals, value = line.strip().partition("=")
        if not name or name.startswith("#"):
            continue
        if not equals or not name.isidentifier():
            raise SettingsError(f"Line {number} of the server's settings is not NAME=value: {line!r}. Correct it.")
        found[name] = value
    return found


def check_modules(given: Mapping[str, str]) -> None:
    """ServiceError when a setting names a module whose package is not installed."""
    for name in MODULES:
        package = given.get(name, "").partition(".")[0]
        if package and importlib.util.find_spec(package) is None:
            raise ServiceError(
                f"{name} names {given[name]}, which is not installed. No server was started. "
                "Install it with: pip install 'callsheet[redis]'"
            )
