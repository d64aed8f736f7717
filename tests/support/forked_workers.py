"""The workers of pytest-xdist, forked from one process that has imported what tests import: seconds of CPU less each.

`python -m tests.support.forked_workers` is what xdist starts where it would start Python; it gives its pipes to a
forked worker and lives as long as that one.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from tests.support.forked import LATER, LOOK_EVERY_S, PLACE, PREFECT, bare_forge, forge
from tests.support.paths import ROOT

# What the tests' modules import, of libraries and of ours.
IMPORTED = (*LATER, *PREFECT, "callsheet.cli.run", "hypothesis", "tests.support.whole_batch", "xdist.remote")


def fork_workers(addresses: list[str]) -> list[str]:
    """The addresses of xdist's workers; those that are processes of this machine are forked."""
    if Path.cwd() != ROOT:
        return addresses
    forked = f"popen//python={sys.executable} -m {__name__}"
    return [forked if address == "popen" else address for address in addresses]


def main() -> None:
    """Have a worker forked that speaks with xdist over the pipes of this process; wait for its end."""
    order = {
        "args": [],
        "cwd": str(Path.cwd()),
        "env": dict(os.environ),
        "output": tempfile.mkdtemp(prefix="worker-", dir=os.environ[PLACE]),
        "main": f"{__spec__.name}:work",
    }
    worker = forge("workers", IMPORTED, base=bare_forge()).start_with(order, (0, 1, 2))
    # Whoever listens hears of the worker's end, not of ours.
    os.close(0)
    os.close(1)
    while worker.poll() is None:
        time.sleep(10 * LOOK_EVERY_S)


def work() -> None:
    """Do what a Python that execnet has started does: run what the first line says."""
    exec(eval(sys.stdin.readline()), {"__name__": "__main__"})  # noqa: S102, S307  as execnet has it


if __name__ == "__main__":
    main()
