"""Ports for the local Prefect server: free ones, and what is said of one that is taken."""

from __future__ import annotations

import socket
from contextlib import suppress

from callsheet.errors import ServiceError

LOOPBACK, EVERYWHERE = "127.0.0.1", "0.0.0.0"  # noqa: S104  only when a person asks for it


class PortTakenError(ServiceError):
    """The port was another program's before the server had it."""


def free_port(host: str) -> int:
    """4200, as people expect it, when it is free."""
    for wish in (4200, 0):
        with suppress(OSError):
            return _bound(host, wish)
    raise ServiceError(f"No free port on {host} for the Prefect server. Nothing was started.")


def check_free(host: str, port: int) -> None:
    """Raise PortTakenError when the port is another program's."""
    try:
        _bound(host, port)
    except OSError:
        raise taken(host, port) from None


def _bound(host: str, port: int) -> int:
    """The port, after a moment in which it was ours; OSError when it is another's."""
    with socket.socket() as probe:
        # As the server itself does: connections that are just closing do not keep the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        return int(probe.getsockname()[1])


def taken(host: str, port: int) -> PortTakenError:
    """The error of a port that is not to be had."""
    return PortTakenError(
        f"Port {port} on {host} is another program's, or this is no address of this machine. Nothing was started or "
        "paid. Choose another one: callsheet ui --port. A Prefect server that is there already is used with "
        f"PREFECT_API_URL=http://{LOOPBACK if host == EVERYWHERE else host}:{port}/api."
    )
