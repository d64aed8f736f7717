"""`callsheet rehearsal`: the embedded service on its own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from callsheet.cli.output import out
from callsheet.settings import load_settings


def rehearsal(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = 8931,
    state: Annotated[Path | None, typer.Option(help="Folder for its state; default: in the home folder.")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings: latency, quotas, retention.")] = None,
    factor: Annotated[float | None, typer.Option(help="How many times faster its clock runs.")] = None,
    script: Annotated[Path | None, typer.Option(help="YAML file of faults to play.")] = None,
) -> None:
    """Serve the rehearsal service, until Ctrl-C.

    It speaks Google's wire protocol, makes real files, and costs nothing.
    """

    from callsheet.rehearsal.config import load_config
    from callsheet.rehearsal.server import RehearsalServer

    folder = state or load_settings().home / "rehearsal"
    server = RehearsalServer(load_config(config, state_dir=folder, factor=factor, script=script), port=port)

    def ready(url: str) -> None:
        out.print(f"Rehearsal service: {url}", markup=False)
        out.print(
            f"GOOGLE_GEMINI_BASE_URL={url} GOOGLE_VERTEX_BASE_URL={url} points callsheet and the SDK to it.",
            markup=False,
        )
        out.print(f"Counts of accepted requests: {url}/rehearsal/counts", markup=False)

    asyncio.run(server.run(ready))
