"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A new name beside `target` to write to; renamed over `target` on success, removed on any failure.

    The name is absolute and starts with a dot, so tools cannot take it for an option or a protocol.
    """
    target = target.absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        yield part
        os.replace(part, target)  # noqa: PTH105 - the function that is documented to be atomic
    finally:
        part.unlink(missing_ok=True)
