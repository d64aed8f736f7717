"""Addresses of archived files as a browser opens them."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

# Asks for a Google login and then gives the object to whoever may read it
# (docs.cloud.google.com/storage/docs/request-endpoints#cookieauth, checked 2026-11-21).
_BROWSER_DOWNLOADS = "https://storage.cloud.google.com/"


def link_to(uri: str, *, beside: Path | None = None) -> str:
    """The address of an archived file: `file:` for a path, an authenticated download for `gs://`.

    `beside` is the folder of the page that holds the link: a file in the same folder or below it gets a relative one.
    """
    if uri.startswith("gs://"):
        return _BROWSER_DOWNLOADS + quote(uri.removeprefix("gs://"))
    path = Path(os.path.normpath(uri))
    if beside is not None and path.is_relative_to(beside):
        return quote(path.relative_to(beside).as_posix())
    return f"file://{quote(str(path))}"
