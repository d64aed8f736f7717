"""A local Prefect server for the flow runs of this process.

A flow that is served by hand (`python -m flows.content_batch`, say) starts it. A run whose server dies ends in seconds,
not minutes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, get_current_settings, temporary_settings

from callsheet.orchestration.server import ensure_server, is_gone
from callsheet.orchestration.server_files import PrefectServer, password_file
from callsheet.settings import Settings, load_settings

LOOKS_EVERY_S = 3.0
# Another command may start it anew at the same address; the run then goes on.
GONE_AFTER_LOOKS = 3


@contextmanager
def local_server() -> Iterator[None]:
    """Have Prefect in this process use the local server, started when none runs.

    With PREFECT_API_URL it is the server there; ServiceError when that one does not answer.
    """
    settings = load_settings()
    used: dict[Any, str] = {PREFECT_API_URL: ensure_server(settings).api_url}
    if (password := password_file(settings)) is not None:
        used[PREFECT_API_AUTH_STRING] = password.read_text(encoding="utf-8").strip()
    with temporary_settings(used):
        yield


async def follow_server(server: PrefectServer, settings: Settings) -> None:
    """Look after the server until cancelled.

    While it is gone, Prefect's client tries each request once, and its log handler sends it no records: for each that
    it cannot send it writes a trace to stderr.

    Each is otherwise tried for a minute (3.8.8, PREFECT_CLIENT_MAX_RETRIES), one after the other, and there are many
    at the end of a run.
    """
    client, to_api = get_current_settings().client, get_current_settings().logging.to_api
    retries, is_sent, missed = client.max_retries, to_api.enabled, 0
    while True:
        missed = missed + 1 if await asyncio.to_thread(is_gone, server, settings) else 0
        is_lost = missed >= GONE_AFTER_LOOKS
        client.max_retries, to_api.enabled = 0 if is_lost else retries, is_sent and not is_lost
        await asyncio.sleep(LOOKS_EVERY_S)
