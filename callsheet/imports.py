"""Import of large packages at the start of a process, at the least cost."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def pause_collection() -> Iterator[None]:
    """Collect no garbage while the block imports.

    What an import makes stays, and looking through it again and again takes a fifth of the start (Prefect, google-genai
    and callsheet: 5.8 CPU-s, 7.5 with it; 2026-12-01). Later collections do not look at it either.
    """
    known, is_pausing = len(sys.modules), gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_pausing:
            if len(sys.modules) > known:
                gc.freeze()
            gc.enable()


@contextmanager
def hide_package(name: str) -> Iterator[None]:
    """Have imports in the block do without an optional package.

    It seems not to be installed there, unless it has been imported already.
    """
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # what Python itself takes for "not there"
    try:
        yield
    finally:
        sys.modules.pop(name, None)
