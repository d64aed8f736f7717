"""`callsheet deploy`: deployments on a running Prefect server.

With them come the work pool and the automations.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from callsheet.cli.options import JsonOption
from callsheet.cli.output import out, print_json, say
from callsheet.orchestration.own_packages import check_folder
from callsheet.orchestration.work_pools import PoolType
from callsheet.settings import load_settings


def deploy(
    pool_type: Annotated[PoolType, typer.Option("--type", help="Where runs work.")] = "process",
    folder: Annotated[
        Path | None,
        typer.Option(help="Folder that runs of a process pool work in, on every machine; default: this one."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="Default: the folder's own prefect.yaml, or else the one of callsheet.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Put the deployments on the running Prefect server, or update them.

    With CALLSHEET_ALERT_URL, also the automations that tell people.
    """

    from callsheet.cli.run import use_server
    from callsheet.orchestration.server import find_server

    settings = load_settings()
    check_folder(folder or Path.cwd())
    server = find_server(settings)
    use_server(server)
    say("Deploying; this takes some seconds.")
    from callsheet.orchestration.deploy import deploy as deploy_all

    done = asyncio.run(deploy_all(settings, pool_type, folder or Path.cwd(), file))
    for name, page in done.deployments.items():
        out.print(f"{name:32} {server.ui_url}/deployments/deployment/{page}", markup=False)
    out.print(f"{len(done.deployments)} deployments, {len(done.automations)} automations, work pool {done.pool}")
    say("Start a worker: callsheet worker")
    if json:
        print_json(
            {
                "exit_code": 0,
                "pool": done.pool,
                "type": done.pool_type,
                "deployments": dict(done.deployments),
                "automations": list(done.automations),
            }
        )
