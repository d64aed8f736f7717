"""The environment of the Prefect server.

It is what `deployments/server.env` says, the user's own settings, and the server's place.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import socket
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from callsheet.errors import ServiceError, SettingsError
from callsheet.orchestration.own_packages import DEPLOYMENTS, shipped
from callsheet.web_guard import host_in, is_loopback_host

LOOPBACK, EVERYWHERE = "127.0.0.1", "0.0.0.0"  # noqa: S104  only when a person asks for it


class PortTakenError(ServiceError):
    """The port was another program's before the server had it."""


def free_port(host: str) -> int:
    """Return 4200, as people expect it, when it is free, else another port."""
    for wish in (4200, 0):
        with suppress(OSError):
            return _bind_port(host, wish)
    raise ServiceError(f"No free port on {host} for the Prefect server. Nothing was started.")


def check_free(host: str, port: int) -> None:
    """Raise PortTakenError when the port is another program's."""
    try:
        _bind_port(host, port)
    except OSError:
        raise port_taken_error(host, port) from None


def _bind_port(host: str, port: int) -> int:
    """Return the port, after a moment in which it was ours.

    OSError when it is another's.
    """
    with socket.socket() as probe:
        # As the server itself does: connections that are just closing do not keep the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        return int(probe.getsockname()[1])


def port_taken_error(host: str, port: int) -> PortTakenError:
    """Return the error of a port that is not to be had."""
    return PortTakenError(
        f"Port {port} on {host} is another program's, or this is no address of this machine. Nothing was started or "
        "paid. Choose another one: callsheet ui --port. A Prefect server that is there already is used with "
        f"PREFECT_API_URL=http://{LOOPBACK if host == EVERYWHERE else host}:{port}/api."
    )


# Settings that name a module, and so may name one that is not installed.
MODULES = (
    "PREFECT_SERVER_EVENTS_MESSAGING_BROKER",
    "PREFECT_SERVER_EVENTS_MESSAGING_CACHE",
    "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE",
    "PREFECT_SERVER_WORKER_CHANNEL_CLEANUP_QUEUE_STORAGE",
)


PASSWORD, CLIENT_PASSWORD = "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"
PASSWORD_FILE = "auth-string"  # noqa: S105  a file's name
ORIGINS = "PREFECT_SERVER_CORS_ALLOWED_ORIGINS"
# What a server is given of the environment: it makes no pictures and needs nobody's keys.
PASSED_ON = frozenset(
    {
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TERM", "TMPDIR", "TEMP", "TMP",
        "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "DO_NOT_TRACK",
        "SYSTEMROOT", "NO_COLOR", "VIRTUAL_ENV",
    }
)  # fmt: skip
PASSED_ON_FAMILIES = ("PREFECT_", "LC_", "PYTHON", "PG", "XDG_", "OTEL_", "COV")


def server_environment(folder: Path, api_url: str, host: str = "127.0.0.1") -> dict[str, str]:
    """Return the whole environment to start a server with.

    Home and, unless another is set, database are in `folder`.

    What this process's environment sets wins over `deployments/server.env`; its keys and secrets are not passed on. A
    server that others can reach gets a password, made when it has none. ServiceError when it asks for Redis and
    `callsheet[redis]` is not installed.
    """
    given = {**server_env(), **os.environ}
    check_modules(given)
    passed_on = {name: value for name, value in given.items() if is_passed_on(name)}
    if not is_loopback_host(host_in(host)) and PASSWORD not in passed_on:
        passed_on[PASSWORD] = passed_on.get(CLIENT_PASSWORD) or ensure_password(folder)
    if PASSWORD in passed_on:
        passed_on.setdefault(CLIENT_PASSWORD, passed_on[PASSWORD])
    if ORIGINS not in os.environ:
        passed_on[ORIGINS] = own_origins(host, urlsplit(api_url).port or 80, given)
    return {
        "PREFECT_UI_API_URL": api_url,
        **passed_on,
        "PREFECT_HOME": str(folder.absolute()),
        "PREFECT_API_URL": api_url,
    }


def is_passed_on(name: str) -> bool:
    """Tell whether a variable of this process's environment is one of the server's."""
    return name.upper() in PASSED_ON or name.upper().startswith(PASSED_ON_FAMILIES)


def own_origins(host: str, port: int, given: Mapping[str, str]) -> str:
    """Return the origins of the UI of a server that listens there.

    Prefect's CORS setting wants them so.
    """
    names = [host] if host not in ("0.0.0.0", "::") else []  # noqa: S104  compared, not listened on
    origins = [f"http://{name}:{port}" for name in ("127.0.0.1", "localhost", *names)]
    for name in ("PREFECT_UI_API_URL", "PREFECT_UI_URL"):
        parts = urlsplit(given.get(name, ""))
        origins += [f"{parts.scheme}://{parts.netloc}"] if parts.netloc else []
    return ",".join(dict.fromkeys(origins))


def foreground_environment(host: str, port: int) -> Mapping[str, str]:
    """Complete this process's environment to that of a server, and return it.

    The server is one in the foreground.

    SettingsError when others could use the server without a password.
    """
    given = {**server_env(), **os.environ}
    if not is_loopback_host(host_in(host)) and not given.get(PASSWORD):
        raise SettingsError(
            f"A server that listens on {host} can be used by others. Nothing was started. Set {PASSWORD}=name:password "
            f"and the same as {CLIENT_PASSWORD} for workers and commands; or start it with: callsheet ui --host {host}"
        )
    if os.environ.get(ORIGINS) in (None, server_env().get(ORIGINS)):
        given[ORIGINS] = own_origins(host, port, given)
    given.setdefault("PREFECT_UI_API_URL", f"http://127.0.0.1:{port}/api")
    os.environ.update(given)
    return os.environ


def ensure_password(folder: Path) -> str:
    """Return the password of the server of this folder, made at its first start.

    Its owner alone can read it.
    """
    with suppress(FileExistsError):
        made = os.open(folder / PASSWORD_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(made, "w", encoding="utf-8") as file:
            file.write(f"callsheet:{secrets.token_urlsafe(24)}\n")
    return read_password(folder)


def read_password(folder: Path) -> str:
    """Return the password made for the server of this folder; "" for none."""
    try:
        return (folder / PASSWORD_FILE).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def use_password(folder: Path) -> None:
    """Have Prefect here give the local server's password, unless another is set."""
    if (password := read_password(folder)) and not os.environ.get(CLIENT_PASSWORD):
        os.environ[CLIENT_PASSWORD] = password


def password_header(folder: Path | None = None) -> dict[str, str]:
    """Return the headers for a server that asks for a password.

    Empty when no password is known here.
    """
    given = {**server_env(), **os.environ}
    password = given.get(PASSWORD) or given.get(CLIENT_PASSWORD) or (read_password(folder) if folder else "")
    return {"Authorization": f"Basic {b64encode(password.encode()).decode()}"} if password else {}


def server_env() -> dict[str, str]:
    """Return the settings of `deployments/server.env`."""
    return read_env(shipped(DEPLOYMENTS).joinpath("server.env").read_text(encoding="utf-8"))


def read_env(text: str) -> dict[str, str]:
    """Read NAME=value lines.

    Blank lines and those that begin with # say nothing. SettingsError for any other.
    """
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
    """Raise ServiceError when a setting names a module that is not installed."""
    for name in MODULES:
        package = given.get(name, "").partition(".")[0]
        if package and importlib.util.find_spec(package) is None:
            raise ServiceError(
                f"{name} names {given[name]}, which is not installed. No server was started. "
                "Install it with: pip install 'callsheet[redis]'"
            )
