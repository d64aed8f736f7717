"""Jobs through the ledger, beside a bare SQLite loop.

The loop has as many durable steps for each.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from benchmarks.bench import Bench, Row, Samples
from callsheet.clock import Clock
from callsheet.ledger import JobOrder, JobResult, Ledger
from callsheet.shots import Asset, Batch

WORKERS = 16
STEPS = ("claimed", "submitting", "finished", "stored")
BATCH = Batch("bench", None, "rehearsal")
PRICE = Decimal("0.04")


def ledger_jobs(bench: Bench) -> list[Row]:
    """Measure jobs a second of 16 coroutines through claim to stored.

    The steps are claim, begin, finished and stored.
    """
    jobs, samples = bench.size(3200, 160), Samples()
    for _ in range(bench.repeats):
        folder = bench.new_folder("ledger")
        samples.add(ours=jobs / asyncio.run(_run_ledger(folder, jobs)))
        samples.add(peer=jobs / _run_bare_sqlite(folder / "bare.db", jobs))
    return [
        Row(
            f"ledger: {WORKERS} at once, four durable steps a job",
            f"{samples['ours']:.0f} jobs/s",
            f"bare SQLite loop, four committed upserts a job: {samples['peer']:.0f} jobs/s",
            f"ratio {samples['ours'] / samples['peer']:.2f}",
        )
    ]


async def _run_ledger(folder: Path, jobs: int) -> float:
    async with await Ledger.open(f"sqlite:///{folder / 'ledger.db'}", clock=Clock()) as ledger:
        await ledger.open_batch(BATCH, [(f"shot-{n}", n) for n in range(jobs)])
        started = time.perf_counter()
        await asyncio.gather(*(_work(ledger, range(first, jobs, WORKERS)) for first in range(WORKERS)))
        return time.perf_counter() - started


async def _work(ledger: Ledger, numbers: range) -> None:
    for n in numbers:
        key = hashlib.sha256(str(n).encode()).hexdigest()
        order = JobOrder(
            key=key,
            kind="image",
            mode="rehearsal",
            model="model",
            campaign=BATCH.campaign,
            batch=BATCH.name,
            shot=f"shot-{n}",
            slot="take-1",
            request={"prompt": f"A lighthouse number {n} in fog", "take": 1},
        )
        await ledger.claim(order)
        attempt = await ledger.begin(key, estimate=PRICE, scope="bench")
        result = JobResult(
            sha256=key,
            md5=key[:32],
            size=1000,
            mime_type="image/png",
            width=1024,
            height=1024,
            duration_s=None,
            details={},
            usd=PRICE,
        )
        await ledger.record_result(key, result, attempt)
        await ledger.record_files(key, [_build_asset(n, key)])


def _build_asset(n: int, key: str) -> Asset:
    return Asset(
        kind="take",
        batch=BATCH.name,
        shot=f"shot-{n}",
        name=f"take-1-{key[:12]}.png",
        sha256=key,
        md5=key[:32],
        size=1000,
        mime_type="image/png",
        uri=f"archive/shot-{n}",
        created=datetime.now(UTC),
        job_key=key,
        usd=PRICE,
        model="model",
    )


def _run_bare_sqlite(path: Path, jobs: int) -> float:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE jobs (key TEXT PRIMARY KEY, state TEXT, updated REAL)")
    upsert = "INSERT INTO jobs VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET state=excluded.state"
    started = time.perf_counter()
    for n in range(jobs):
        for state in STEPS:
            connection.execute(upsert, (f"job-{n}", state, time.time()))
    seconds = time.perf_counter() - started
    connection.close()
    return seconds
