"""Several processes on one ledger: races, kills, concurrent starts, damaged files."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
from decimal import Decimal
from importlib.resources import as_file, files
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, make_url, text

from callsheet.clock import Clock
from callsheet.errors import LedgerError
from callsheet.ledger import JobOrder, JobResult, JobState, Ledger, QuotaLimits, owners
from callsheet.ledger.database import HEAD, VERSION_TABLE
from callsheet.ledger.tables import metadata
from callsheet.shots import Batch
from tests.support.stories import start_story

PRICE = Decimal("0.04")
BATCH = Batch("race", None, "rehearsal")


def key(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def order(name: str, kind: str = "image") -> JobOrder:
    return JobOrder(key(name), kind, BATCH.mode, "m", BATCH.campaign, BATCH.name, "s1", name, {"prompt": name})  # type: ignore[arg-type]


def result(name: str) -> JobResult:
    return JobResult(key(name), "0" * 32, 10, "image/png", PRICE)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'home' / 'ledger.db'}"


async def claim_all(url: str) -> None:
    """Claim jobs 0..59 and say which are ours; keep them until told to end."""
    ledger = await Ledger.open(url, clock=Clock())
    await ledger.open_batch(BATCH, [("s1", 0)])
    for number in range(60):
        if (await ledger.claim(order(str(number)))).mine:
            print(number, flush=True)  # noqa: T201
    print("claimed", flush=True)  # noqa: T201
    await asyncio.to_thread(sys.stdin.readline)


async def work_until_killed(url: str, seed: str) -> None:
    """Take jobs through their lives and say each step after it is durable."""
    ledger = await Ledger.open(url, clock=Clock())
    await ledger.open_batch(BATCH, [("s1", 0)])
    for number in range(100_000):
        name = f"{seed}-{number}"
        await ledger.claim(order(name, "video"))
        attempt = await ledger.begin(key(name), estimate=PRICE, scope="p")
        print(f"{name} submitting", flush=True)  # noqa: T201
        await ledger.submitted(attempt, f"op/{name}")
        print(f"{name} submitted", flush=True)  # noqa: T201
        await ledger.record_result(key(name), result(name), attempt)
        print(f"{name} finished", flush=True)  # noqa: T201
        await ledger.record_files(key(name), [])
        print(f"{name} stored", flush=True)  # noqa: T201


async def open_and_close(url: str) -> None:
    await (await Ledger.open(url, clock=Clock())).aclose()


async def spend_to_the_limit(url: str, first: str) -> None:
    """Submit until budget or quota parks; each process with jobs of its own."""
    async with await Ledger.open(url, clock=Clock()) as ledger:
        await ledger.open_batch(BATCH, [("s1", 0)])
        for number in range(30):
            name = f"{first}-{number}"
            await ledger.claim(order(name))
            attempt = await ledger.begin(
                key(name), estimate=PRICE, scope="p", limits=QuotaLimits(rpm=12), budget=Decimal("0.80")
            )
            if attempt.not_before is None:
                await ledger.record_result(key(name), result(name), attempt)


def test_of_several_processes_exactly_one_gets_each_job(url: str) -> None:
    crew = [start_story(claim_all, url) for _ in range(3)]
    won: list[str] = []
    for process in crew:
        for line in process.said:
            if line == "claimed\n":
                break
            won.append(line.strip())
    for process in crew:
        process.kill()
        process.wait()
    assert sorted(won, key=int) == [str(number) for number in range(60)]


async def test_of_two_ledgers_in_one_process_exactly_one_gets_each_job(url: str) -> None:
    async with await Ledger.open(url, clock=Clock()) as one, await Ledger.open(url, clock=Clock()) as two:
        await one.open_batch(BATCH, [("s1", 0)])
        claims = [(one.claim(order(str(n))), two.claim(order(str(n)))) for n in range(40)]
        for pair in await asyncio.gather(*(asyncio.gather(*pair) for pair in claims)):
            assert sorted(claim.mine for claim in pair) == [False, True]


@pytest.mark.parametrize("seed", ["1", "2", "3", "4"])
async def test_a_kill_loses_no_step_and_leaves_every_job_in_a_known_state(url: str, seed: str) -> None:
    process = start_story(work_until_killed, url, seed)
    said: dict[str, str] = {}
    for _ in range(random.Random(seed).randint(1, 60)):
        name, state = process.said.readline().split()
        said[name] = state
    process.send_signal(signal.SIGKILL)
    for line in process.said.read().splitlines():
        if len(line.split()) == 2:
            said[line.split()[0]] = line.split()[1]
    process.wait()
    stages = ["submitting", "submitted", "finished", "stored"]
    async with await Ledger.open(url, clock=Clock()) as ledger:
        for name, state in said.items():
            before = await ledger.job(key(name))
            assert stages.index(before.state) >= stages.index(state)
            claimed = await ledger.claim(order(name, "video"))
            expected = JobState.UNKNOWN if before.state is JobState.SUBMITTING else before.state
            assert claimed.job.state is expected
            assert claimed.mine == (expected is not JobState.STORED)
            assert claimed.job.operation == (None if expected is JobState.UNKNOWN else f"op/{name}")
        tries = await ledger.attempts_of(BATCH.name)
        (row,) = await ledger.batches()
        assert (row.spent_usd, row.reserved_usd) == (sum(a.usd for a in tries), sum(a.reserved_usd for a in tries))


def test_processes_together_keep_to_budget_and_quota(url: str) -> None:
    crew = [start_story(spend_to_the_limit, url, str(first)) for first in range(3)]
    for process in crew:
        process.wait(120)

    async def look() -> None:
        async with await Ledger.open(url, clock=Clock()) as ledger:
            tries = await ledger.attempts_of(BATCH.name)
            assert len([a for a in tries if a.usd]) == 12
            assert sum(a.estimated_usd for a in tries if a.outcome != "dropped") <= Decimal("0.80")
            assert await ledger.sum_spent(BATCH.name) == 12 * PRICE

    asyncio.run(look())


def test_four_processes_may_create_the_ledger_at_once(url: str, tmp_path: Path) -> None:
    crew = [start_story(open_and_close, url) for _ in range(4)]
    assert [process.wait(120) for process in crew] == [0, 0, 0, 0]
    with sqlite3.connect(tmp_path / "home" / "ledger.db") as connection:
        assert connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchall() == [(HEAD,)]  # noqa: S608
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_the_migrations_make_the_tables_that_the_code_uses(url: str) -> None:
    make_first_schema(url)
    await open_and_close(url)
    engine = create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


async def test_a_new_ledger_has_the_tables_of_one_that_was_upgraded(url: str, tmp_path: Path) -> None:
    await open_and_close(url)
    new = describe_tables(make_url(url).database or "")
    older = f"sqlite:///{tmp_path}/older/ledger.db"
    make_first_schema(older)
    await open_and_close(older)
    assert new == describe_tables(make_url(older).database or "")
    assert VERSION_TABLE in new


def describe_tables(path: str) -> dict[str, object]:
    """Columns, keys and indexes of each table, in no order."""
    with sqlite3.connect(path) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        read = {
            name: {
                about: connection.execute(f"PRAGMA {about}({name})").fetchall()
                for about in ("table_info", "foreign_key_list", "index_list")
            }
            for name in names
        }
        indexes = {
            row[1]: [column[2] for column in connection.execute(f"PRAGMA index_info({row[1]})")]
            for each in read.values()
            for row in each["index_list"]
        }
    return {
        name: (
            sorted(row[1:] for row in each["table_info"]),
            sorted(row[2:] for row in each["foreign_key_list"]),
            sorted((row[1:], indexes[row[1]]) for row in each["index_list"]),
        )
        for name, each in read.items()
    }


def make_first_schema(url: str) -> None:
    """A ledger as the first release made it, with a batch."""
    Path(make_url(url).database or "").parent.mkdir()
    engine = create_engine(url)
    with as_file(files("callsheet.ledger") / "migrations") as folder, engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(folder))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(
            text(
                "INSERT INTO batches (name, campaign, mode, manifest_uri, manifest_sha256, reserved_usd, spent_usd, "
                "created, updated) VALUES (:name, 'spring', 'rehearsal', 'old.csv', '', 0, 1250000, 1, 2)"
            ),
            {"name": BATCH.name},
        )
    engine.dispose()


async def test_a_ledger_of_the_first_schema_is_brought_up_to_date_with_its_rows(url: str) -> None:
    make_first_schema(url)
    async with await Ledger.open(url, clock=Clock()) as ledger:
        [row] = await ledger.batches()
        assert (row.batch.manifest_uri, row.spent_usd, row.request) == ("old.csv", Decimal("1.25"), None)
        await ledger.open_batch(BATCH, [("s1", 0)], {"variables": {"city": "Köln"}, "budget_usd": "12.50"})
        await ledger.open_batch(BATCH, [("s1", 0)])
        [row] = await ledger.batches()
        assert (row.spent_usd, row.request) == (Decimal("1.25"), {"variables": {"city": "Köln"}, "budget_usd": "12.50"})


async def test_a_damaged_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"not a database at all " * 500)
    with pytest.raises(LedgerError, match=r"damaged or is not a ledger.*Restore it"):
        await Ledger.open(f"sqlite:///{path}", clock=Clock())
    assert path.read_bytes() == b"not a database at all " * 500


async def test_a_newer_ledger_is_refused(url: str, tmp_path: Path) -> None:
    await open_and_close(url)
    with sqlite3.connect(tmp_path / "home" / "ledger.db") as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")  # noqa: S608
    with pytest.raises(LedgerError, match=r"schema '9999'.*upgrade this one"):
        await Ledger.open(url, clock=Clock())


async def test_places_that_cannot_hold_a_ledger_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for url, why in (
        (f"sqlite:///{tmp_path}/file/ledger.db", "cannot be made"),
        (f"sqlite:///{tmp_path}", "unable to open"),
        ("sqlite://", "must be a file"),
        ("mysql://host/db", "not a URL that callsheet can open"),
        ("nonsense", "not a URL that callsheet can open"),
    ):
        with pytest.raises(LedgerError, match=why):
            await Ledger.open(url, clock=Clock())


async def test_a_mistake_in_one_step_leaves_the_ledger_working(url: str) -> None:
    async with await Ledger.open(url, clock=Clock()) as ledger:
        await ledger.open_batch(BATCH, [("s1", 0)])

        def broken(connection: object) -> None:
            raise KeyError("a mistake in a step")

        with pytest.raises(KeyError):
            await ledger._db.write(broken)
        assert (await ledger.claim(order("after"))).mine


def test_owners_are_alive_dead_or_not_to_be_known() -> None:
    mine = owners.new_owner()
    assert owners.is_alive(mine)
    assert not owners.is_dead(mine)
    machine, pid, start_token, _ = mine.rsplit(":", 3)
    assert pid == str(os.getpid())
    assert owners.is_dead(f"{machine}:{pid}:{int(start_token) - 1}:x")  # the number was used again
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert owners.is_dead(f"{machine}:{gone.pid}:1:x")
    for stranger in (f"elsewhere:{pid}:1:x", "nonsense"):
        assert not owners.is_dead(stranger)
        assert not owners.is_alive(stranger)
    owners.forget(mine)
    assert owners.is_dead(mine)  # closed, in a process that goes on
    assert not owners.is_alive(mine)
