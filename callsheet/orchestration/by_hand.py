"""A Prefect server for a flow that is served by hand.

`python -m flows.content_batch`, say.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from callsheet.orchestration.server import ensure_server
from callsheet.orchestration.server_files import password_file
from callsheet.settings import load_settings


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
