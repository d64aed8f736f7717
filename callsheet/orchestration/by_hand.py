"""A Prefect server for a flow that is served by hand: `python -m flows.content_batch`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from callsheet.orchestration.server import ensure_server
from callsheet.orchestration.server_settings import CLIENT_PASSWORD
from callsheet.settings import load_settings


@contextmanager
def local_server() -> Iterator[None]:
    """Have Prefect in this process use the server of PREFECT_API_URL, else the local one, started when none runs."""
    server = ensure_server(load_settings())
    password = os.environ.get(CLIENT_PASSWORD)
    with temporary_settings({PREFECT_API_URL: server.api_url, PREFECT_API_AUTH_STRING: password or None}):
        yield
