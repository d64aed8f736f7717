"""Functions of tests as processes of their own, forked from one that has imported everything: a second less each."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import IO, Any

from tests.support.forked import PLACE, Forked, bare_forge
from tests.support.paths import ROOT


@dataclass
class Story(Forked):
    """The process, with a pipe of its own as stdin: where the tests have none, one that reads would end at once."""

    stdin: IO[str] | None = None
    stdout_pipe: IO[str] | None = None

    @property
    def said(self) -> IO[str]:
        """What it writes to stdout, as it writes it."""
        assert self.stdout_pipe is not None
        return self.stdout_pipe


def start_story(story: Callable[..., Awaitable[Any]], *arguments: str) -> Story:
    """Run a coroutine function of a module, with these arguments, in a process of its own."""
    order = {
        "args": [f"{story.__module__}:{story.__name__}", *arguments],
        "cwd": str(ROOT),
        "env": dict(os.environ),
        "output": tempfile.mkdtemp(prefix="story-", dir=os.environ[PLACE]),
        "main": f"{__name__}:main",
    }
    (stdin, give), (take, stdout) = os.pipe(), os.pipe()
    forked = bare_forge().start_with(order, (stdin, stdout, sys.__stderr__.fileno() if sys.__stderr__ else 2))
    os.close(stdin)
    os.close(stdout)
    return Story(forked.pid, forked.folder, None, os.fdopen(give, "w"), os.fdopen(take))


def main() -> None:
    """Run the story that the arguments name."""
    module, _, name = sys.argv[1].partition(":")
    asyncio.run(getattr(importlib.import_module(module), name)(*sys.argv[2:]))
