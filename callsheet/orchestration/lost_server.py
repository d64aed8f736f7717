"""A run whose local Prefect server dies: it ends in seconds, not minutes."""

from __future__ import annotations

import asyncio

from callsheet.orchestration.server import is_gone
from callsheet.orchestration.server_files import PrefectServer
from callsheet.settings import Settings

LOOKS_EVERY_S = 3.0
# Another command may start it anew at the same address; the run then goes on.
GONE_AFTER_LOOKS = 3


async def follow_server(server: PrefectServer, settings: Settings) -> None:
    """Look after the server until cancelled.

    While it is gone, Prefect's client tries each request once.

    Each is otherwise tried for a minute (3.8.8, PREFECT_CLIENT_MAX_RETRIES), one after the other, and there are many
    at the end of a run.
    """
    from prefect.settings import get_current_settings

    client = get_current_settings().client
    retries, missed = client.max_retries, 0
    while True:
        missed = missed + 1 if await asyncio.to_thread(is_gone, server, settings) else 0
        client.max_retries = 0 if missed >= GONE_AFTER_LOOKS else retries
        await asyncio.sleep(LOOKS_EVERY_S)
