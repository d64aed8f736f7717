"""What the rows of the benchmark share: size, place, and form.

How much to measure, where, and how a row is written.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

# What a user may have set for his own batches must not change what is measured.
OURS = ("CALLSHEET_", "GOOGLE_", "GEMINI_", "PREFECT_", "STORAGE_EMULATOR_")


@dataclass(frozen=True, slots=True)
class Bench:
    """One run of the benchmark: its own folder, and the size of the work."""

    folder: Path
    quick: bool = False
    table: Path | None = None

    def size(self, full: int, quick: int) -> int:
        """Return how many of something to measure."""
        return quick if self.quick else full

    @property
    def repeats(self) -> int:
        """Return how often a measurement is repeated; the table shows medians."""
        return self.size(3, 1)

    def new_folder(self, name: str) -> Path:
        """Create an empty folder of that name."""
        number = sum(1 for _ in self.folder.glob(f"{name}-*"))
        folder = self.folder / f"{name}-{number}"
        folder.mkdir(parents=True)
        return folder


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: what, of callsheet, of its peer, and how they compare.

    The peer is measured in the same run.
    """

    what: str
    ours: str
    peer: str = ""
    compared: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """A command that has ended.

    Its standard output, seconds of wall clock, and its peak of resident memory.
    """

    output: str
    seconds: float
    peak_mb: float


@dataclass
class Spent:
    """Seconds that a block took.

    Wall clock, and CPU of this process and the children that it waited for.
    """

    seconds: float = 0.0
    cpu_s: float = 0.0


@dataclass
class Samples:
    """Values of one measurement under several names."""

    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, **values: float) -> None:
        """Note one value each."""
        for name, value in values.items():
            self.values.setdefault(name, []).append(value)

    def __getitem__(self, name: str) -> float:
        return statistics.median(self.values[name])

    def span(self, name: str) -> str:
        """Return the lowest to the highest."""
        return f"{min(self.values[name]):.1f} to {max(self.values[name]):.1f}"


def environment(**settings: str) -> dict[str, str]:
    """Return the environment of a child.

    callsheet's and the providers' variables are those given, and no others.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return {**kept, "DO_NOT_TRACK": "1", **settings}


def callsheet_exe() -> str:
    """Return the command beside this interpreter."""
    return str(Path(sys.executable).with_name("callsheet"))


def run(argv: Sequence[str], env: Mapping[str, str], log: Path) -> Command:
    """Run a command to its end.

    Raises RuntimeError with the end of its log when it fails.
    """
    started = time.perf_counter()
    with log.open("wb") as errors:
        process = subprocess.Popen(argv, env=dict(env), stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL)
        assert process.stdout is not None
        output = process.stdout.read().decode()
        process.stdout.close()
        # wait4 instead of wait: it tells the memory of this very child.
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    if process.returncode:
        raise RuntimeError(f"{argv[0]} ended with {process.returncode}: {output[-2000:]}{log.read_text()[-4000:]}")
    return Command(output, seconds, used.ru_maxrss / 1024)


@contextmanager
def spent() -> Iterator[Spent]:
    """Measure the block."""
    found = Spent()
    wall, cpu = time.perf_counter(), _read_cpu_s()
    yield found
    found.seconds, found.cpu_s = time.perf_counter() - wall, _read_cpu_s() - cpu


def median_cpu_s(repeats: int, work: Callable[[], object]) -> float:
    """Return the median of CPU-seconds of `work`.

    It is done `repeats` times after one that warms up.
    """
    work()
    samples = []
    for _ in range(repeats):
        with spent() as found:
            work()
        samples.append(found.cpu_s)
    return statistics.median(samples)


def _read_cpu_s() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)
