"""Orders, results, attempts and assets for tests of the ledger, and whether its books balance."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from decimal import Decimal

from callsheet.ledger import Attempt, JobOrder, JobResult, Ledger
from callsheet.shots import Asset, Batch

PRICE = Decimal("0.0336")

BATCH = Batch("spring", None, "rehearsal")


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def order(name: str, *, batch: Batch = BATCH, kind: str = "image", shot: str = "s1", slot: str = "take-1") -> JobOrder:
    return JobOrder(digest(name), kind, batch.mode, "m", batch.campaign, batch.name, shot, slot, {"prompt": name})  # type: ignore[arg-type]


def result(name: str = "bytes", usd: Decimal = PRICE) -> JobResult:
    return JobResult(digest(name), "0" * 32, 1234, "image/png", usd, 1024, 768, None, {"tokens": {"image": 1120}})


def asset(name: str, *, batch: Batch = BATCH, shot: str = "s1", key: str | None = None) -> Asset:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    return Asset(
        "take", batch.name, shot, f"take-1-{digest(name)[:12]}.png", digest(name), "0" * 32, 1234, "image/png",
        f"file:///archive/{name}", now, 1024, 768, None, key, None, PRICE, "m",
    )  # fmt: skip


async def begun(ledger: Ledger, wish: JobOrder, **terms: object) -> Attempt:
    assert (await ledger.claim(wish)).mine
    return await ledger.begin(wish.key, estimate=PRICE, scope="p", **terms)  # type: ignore[arg-type]


async def books_balance(ledger: Ledger) -> bool:
    """What batches and jobs say of money equals the sums of the attempts."""
    for row in await ledger.batches():
        tries = await ledger.attempts_of(row.batch.name)
        if row.spent_usd != sum(a.usd for a in tries) or row.reserved_usd != sum(a.reserved_usd for a in tries):
            return False
        for job in await ledger.jobs_of(row.batch.name):
            if job.spent_usd != sum(a.usd for a in await ledger.attempts_on(job.key)):
                return False
    return True
