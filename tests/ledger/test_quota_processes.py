"""Four processes that share a quota: never over it in any minute, and hardly under it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from callsheet.clock import Clock, real_now
from callsheet.errors import BudgetParked
from callsheet.ledger import AttemptRecord, JobOrder, JobResult, JobState, Ledger, QuotaLimits
from callsheet.shots import Batch
from tests.support.paths import ROOT
from tests.support.service import start_service
from tests.support.stories import start_story

PROCESSES, RPM, FACTOR, MINUTES = 4, 60, 20.0, 3
BATCH = Batch("shared", None, "rehearsal")
MINUTE = timedelta(seconds=60)
PRICE = Decimal("0.10")


def order(name: str) -> JobOrder:
    key = hashlib.sha256(name.encode()).hexdigest()
    return JobOrder(key, "image", BATCH.mode, "m", BATCH.campaign, BATCH.name, "s1", name, {"prompt": name})


def result(name: str) -> JobResult:
    return JobResult(order(name).key, "0" * 32, 10, "image/png", PRICE)


async def send_many(url: str, origin: str, first: str, count: str) -> None:
    """Send as many requests as the quota allows, all asked for at once."""
    async with await Ledger.open(url, clock=Clock(FACTOR, datetime.fromisoformat(origin))) as ledger:

        async def send(name: str) -> None:
            wish = order(name)
            await ledger.claim(wish)
            attempt = await ledger.begin(wish.key, estimate=PRICE, scope="p", limits=QuotaLimits(rpm=RPM))
            await ledger.submitting(attempt)
            await ledger.record_result(wish.key, result(name), attempt)

        await asyncio.gather(*(send(f"{first}-{n}") for n in range(int(count))))


async def spend_with_mishaps(url: str, first: str) -> None:
    """Of every six requests one is blocked, one fails and one is sent twice; until the budget says no."""
    async with await Ledger.open(url, clock=Clock()) as ledger:
        for n in range(60):
            wish = order(f"{first}-{n}")
            await ledger.claim(wish)
            try:
                attempt = await ledger.begin(wish.key, estimate=PRICE, scope="p", budget=Decimal(5))
                if n % 6 in (1, 2):
                    state = (JobState.BLOCKED, JobState.FAILED)[n % 6 - 1]
                    await ledger.settle(attempt, state, kind="Mishap", reason="Refused.")
                    continue
                if n % 6 == 3:
                    await ledger.settle(attempt, JobState.UNKNOWN, kind="Unknown", reason="No reply.", usd=PRICE)
                    await ledger.resolve(wish.key, "resubmit")
                    await ledger.claim(wish)
                    attempt = await ledger.begin(wish.key, estimate=PRICE, scope="p", budget=Decimal(5))
                await ledger.record_result(wish.key, result(wish.slot), attempt)
            except BudgetParked:
                return


def run_all(story: Callable[..., Awaitable[None]], *arguments: tuple[str, ...]) -> None:
    crew = [start_story(story, *given) for given in arguments]
    assert [process.wait(120) for process in crew] == [0] * len(crew)


async def tries_of(url: str) -> list[AttemptRecord]:
    async with await Ledger.open(url, clock=Clock()) as ledger:
        return await ledger.attempts_of(BATCH.name)


@pytest.fixture
async def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    async with await Ledger.open(url, clock=Clock()) as ledger:
        await ledger.open_batch(BATCH, [("s1", 0)])
    return url


@pytest.mark.slow  # compares times: a busy machine leaves quota unused
async def test_four_processes_fill_the_minute_and_never_overfill_it(url: str) -> None:
    origin, count = real_now().isoformat(), str(RPM * (MINUTES + 1) // PROCESSES)
    run_all(send_many, *((url, origin, str(n), count) for n in range(PROCESSES)))
    sent = sorted(one.at for one in await tries_of(url) if one.outcome == JobState.FINISHED)
    assert len(sent) == RPM * (MINUTES + 1)
    assert all(later - earlier >= MINUTE for earlier, later in zip(sent, sent[RPM:], strict=False))
    # The first minute's requests go at once; from then on a whole minute's worth has to follow every minute.
    used = (len(sent) - RPM) / (RPM * ((sent[-1] - sent[0]) / MINUTE))
    assert used >= 0.95, f"only {used:.1%} of the quota was used"


async def test_the_budget_holds_over_processes_restarts_and_mishaps(url: str) -> None:
    for start in ("early", "late"):
        run_all(spend_with_mishaps, *((url, f"{start}{n}") for n in range(PROCESSES)))
    tries = await tries_of(url)
    assert {one.usd for one in tries if one.outcome in (JobState.BLOCKED, JobState.FAILED)} == {Decimal(0)}
    twice = {one.job_key for one in tries if one.n == 2 and one.usd}
    assert twice
    assert all(sum(one.usd for one in tries if one.job_key == key) == 2 * PRICE for key in twice)
    async with await Ledger.open(url, clock=Clock()) as ledger:
        (row,) = await ledger.batches()
    assert (row.spent_usd, row.reserved_usd) == (Decimal(5), 0)
    assert datetime.now(UTC) > row.created


def run_four_commands(folder: Path, given: dict[str, str], pictures: int) -> list[int]:
    """The exit codes of four commands at once that share the pictures, each started from nothing."""
    code = "from tests.support.whole_batch import command_without_prefect; command_without_prefect()"
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    crew = []
    for n in range(PROCESSES):
        rows = "".join(f"s{i},A lamp {n} of {i}\n" for i in range(n, pictures, PROCESSES))
        (folder / f"lamps{n}.csv").write_text("id,prompt\n" + rows)
        command = [sys.executable, "-c", code, "run", f"lamps{n}.csv", "--live", "--yes", "--json"]
        crew.append(subprocess.Popen(command, cwd=folder, env={**os.environ, **given, "PYTHONPATH": path}))
    return [process.wait(900) for process in crew]


@pytest.mark.timeout(1200)
@pytest.mark.slow  # more than three minutes of real time: the quota's minute cannot be hurried for a live run
async def test_four_real_runs_keep_the_minute_and_use_it(tmp_path: Path) -> None:
    """190 pictures at 60 a minute: none is refused by a service that counts arrivals, and three minutes are enough."""
    pictures, rpm = 190, 60
    quotas = {"*": {"rpm": rpm}}
    service = start_service(tmp_path / "service", factor=1, latency={"image": 5}, quotas=quotas)
    (tmp_path / "limits.yaml").write_text(f"models:\n  gemini-nano-banana-2.1: {{limits: {{1: {{rpm: {rpm}}}}}}}\n")
    given = {
        "CALLSHEET_HOME": str(tmp_path / "home"),
        "CALLSHEET_CATALOGUE": str(tmp_path / "limits.yaml"),
        "GOOGLE_GEMINI_BASE_URL": service.url,
        "GEMINI_API_KEY": "dummy-key-1",
    }
    ended = run_four_commands(tmp_path, given, pictures)
    counts = service.counts()
    service.process.terminate()
    service.process.wait(timeout=20)
    assert ended == [0] * PROCESSES
    async with await Ledger.open(f"sqlite:///{tmp_path / 'home' / 'ledger.db'}", clock=Clock()) as ledger:
        rows_of = [await ledger.attempts_of(row.batch.name) for row in await ledger.batches()]
    sent = sorted(one.at for rows in rows_of for one in rows if one.outcome == JobState.FINISHED)
    assert len(sent) == pictures
    assert counts["requests"]["generateContent"] - counts["accepted"]["image"] == 0, "requests were refused"
    # The last ten are due three minutes after the first ten.
    used = 3 * MINUTE / (sent[-1] - sent[0])
    print(f"refused 0, used {used:.3f} of the quota")  # noqa: T201  the figure
    assert used >= 0.95, f"only {used:.1%} of the quota was used"
