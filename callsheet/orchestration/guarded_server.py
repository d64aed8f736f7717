"""Run Prefect's server in the foreground, for its own pages and for programs only.

`python -m callsheet.orchestration.guarded_server` is how `callsheet ui` starts it.
Prefect's own server lets every web page that somebody opens on this machine create runs (3.8.8, tried 2026-11-30).
"""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from callsheet.errors import SettingsError
from callsheet.orchestration.server_settings import foreground_environment
from callsheet.web_guard import OwnPagesOnly, is_address, is_loopback_host


def is_own_host(listens_on: str, environment: Mapping[str, str]) -> Callable[[str], bool]:
    """Decide which hosts a server that listens there answers under.

    Loopback names always, and the host that was given, or stands in PREFECT_UI_API_URL or PREFECT_API_URL. One that
    others reach answers under addresses, this machine's names, and names without a dot: none of them can be a site's.
    """
    names = {urlsplit(environment.get(name, "")).hostname for name in ("PREFECT_UI_API_URL", "PREFECT_API_URL")}
    names |= {listens_on.lower()}
    if is_loopback_host(listens_on):
        return lambda host: is_loopback_host(host) or host in names
    names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
    return lambda host: is_loopback_host(host) or is_address(host) or host in names or (bool(host) and "." not in host)


def main() -> int:
    """Serve until told to end; 2 when others could use the server without a password."""
    parser = argparse.ArgumentParser(prog="python -m callsheet.orchestration.guarded_server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=4200)
    options = parser.parse_args()
    try:
        # Before Prefect is imported, which reads its settings then.
        environment = foreground_environment(options.host, options.port)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    _serve(options.host, options.port, environment)
    return 0


def _serve(host: str, port: int, environment: Mapping[str, str]) -> None:
    import uvicorn
    from prefect.server.api.server import create_app
    from prefect.settings import get_current_settings

    settings = get_current_settings().server
    origins = frozenset((settings.api.cors_allowed_origins or "").split(",")) - {"*", ""}
    uvicorn.run(
        OwnPagesOnly(create_app(final=True), is_own_host(host, environment), origins),
        host=host,
        port=port,
        timeout_keep_alive=settings.api.keepalive_timeout,
        ws_ping_interval=settings.api.websocket_ping_interval,
        ws_ping_timeout=settings.api.websocket_ping_timeout,
        log_level=settings.logging_level.lower(),
    )


if __name__ == "__main__":
    sys.exit(main())
