"""`python -m callsheet.rehearsal`: the service in a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from pathlib import Path

from callsheet.errors import CallsheetError
from callsheet.rehearsal.config import RehearsalConfig, load_config

# How often a service whose starter is gone looks whether others still lease it.
LEASE_CHECK_S = 0.1


def main(argv: list[str] | None = None) -> int:
    """Serve until interrupted; return 2 when the service cannot start.

    With --attached: until stdin ends and no lease is left.
    """
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        given = json.loads(options.settings) if options.settings else {}
        config = load_config(options.config, state_dir=options.state, **given)
        asyncio.run(_serve(config, options.port, attached=options.attached))
    except (CallsheetError, ValueError) as error:
        logging.getLogger(__name__).error("%s", error)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m callsheet.rehearsal", description=__doc__)
    parser.add_argument("--state", type=Path, help="folder for the service's state")
    parser.add_argument("--config", type=Path, help="YAML file of settings")
    parser.add_argument("--settings", help="settings as JSON, on top of the file")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 is any free one")
    parser.add_argument("--attached", action="store_true", help="end when stdin does")
    return parser


async def _serve(config: RehearsalConfig, port: int, *, attached: bool) -> None:
    from callsheet.rehearsal.server import RehearsalServer

    server = RehearsalServer(config, port=port)
    watching: list[asyncio.Task[None]] = []

    def ready(url: str) -> None:
        if attached:
            watching.append(asyncio.create_task(_end_with_stdin(server)))
        else:
            sys.stdout.write(f"{url}\n")
            sys.stdout.flush()

    await server.run(ready)
    for task in watching:
        task.cancel()


async def _end_with_stdin(server: object) -> None:
    """Stop the server when its starter is gone and nobody leases it.

    The starter is gone when its end of stdin is closed, even by SIGKILL.
    """
    from callsheet.rehearsal.server import RehearsalServer

    assert isinstance(server, RehearsalServer)  # noqa: S101
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()
    while server.service.leases:  # noqa: ASYNC110 - a tenth of a second late is soon enough
        await asyncio.sleep(LEASE_CHECK_S)
    server.stop()


if __name__ == "__main__":
    sys.exit(main())
