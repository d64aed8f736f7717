"""`callsheet ui`: the local Prefect server and its UI."""

from __future__ import annotations

from typing import Annotated

import typer

from callsheet.cli.options import JsonOption
from callsheet.cli.output import out, print_json
from callsheet.orchestration.server import ensure_server, stop_server
from callsheet.orchestration.server_files import password_file
from callsheet.orchestration.server_settings import LOOPBACK
from callsheet.settings import load_settings


def ui(
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port; default 4200 when free.")] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 lets workers on other machines in.")
    ] = LOOPBACK,
    stop: Annotated[bool, typer.Option("--stop", help="End the local server.")] = False,
    json: JsonOption = False,
) -> None:
    """Start the local Prefect server when none runs, and say where its UI is.

    --stop ends it.
    """
    settings = load_settings()
    if stop:
        ended = stop_server(settings)
        out.print("The local Prefect server was ended." if ended else "No local Prefect server is running.")
        url = None
    else:
        url = ensure_server(settings, port, host).ui_url
        out.print(f"Prefect UI: {url}\nEnd it with: callsheet ui --stop", markup=False)
        if (file := password_file(settings)) is not None:
            out.print(f"When it asks for a password, that is in {file} (PREFECT_API_AUTH_STRING).", markup=False)
    if json:
        print_json({"exit_code": 0, "ui": url})
