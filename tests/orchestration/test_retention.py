"""What a server keeps: runs that are over go after a month, and what waits or is parked stays."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from prefect import flow, get_client
from prefect.client.orchestration import PrefectClient
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Failed, Paused, State

from callsheet.orchestration.server import ensure_server, stop_server
from callsheet.orchestration.server_settings import free_port, server_environment
from callsheet.settings import load_settings

MONTH = timedelta(days=30)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server of its own that looks for what is old every second, not every hour."""
    monkeypatch.setenv("PREFECT_SERVER_SERVICES_DB_VACUUM_LOOP_SECONDS", "1")
    settings = load_settings(home=tmp_path / "home")
    yield ensure_server(settings, free_port("127.0.0.1")).api_url
    stop_server(settings)


@flow
def batch() -> None:
    """Nothing: only its runs are looked at."""


async def make_run(client: PrefectClient, state: State[None]) -> UUID:
    run = await client.create_flow_run(batch)
    await client.set_flow_run_state(run.id, state, force=True)
    return run.id


def age(database: Path, runs: dict[UUID, timedelta]) -> None:
    """Have runs ended that long ago: the server sets the time of a state itself."""
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        for run, old in runs.items():
            ended = (datetime.now(UTC) - old).strftime("%Y-%m-%d %H:%M:%S.%f")
            told = connection.execute(
                "UPDATE flow_run SET end_time = ?, state_timestamp = ? WHERE id = ?", (ended, ended, str(run))
            )
            assert told.rowcount == 1


async def is_gone(client: PrefectClient, run: UUID) -> bool:
    try:
        await client.read_flow_run(run)
    except ObjectNotFound:
        return True
    return False


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_runs_that_ended_a_month_ago_are_removed_and_those_that_wait_are_not(server: str, tmp_path: Path) -> None:
    waits = (Paused(name="Paused", reschedule=True), Paused(name="Suspended", reschedule=True))
    with temporary_settings({PREFECT_API_URL: server}):
        async with get_client() as client:
            young, *waiting = [await make_run(client, state) for state in (Completed(), *waits)]
            old = [await make_run(client, state) for state in (Completed(), Failed())]
            [database] = (tmp_path / "home").rglob("prefect.db")
            ages = dict.fromkeys(old, MONTH + timedelta(days=1)) | dict.fromkeys(waiting, 2 * MONTH)
            age(database, ages | {young: MONTH - timedelta(days=1)})
            while not all([await is_gone(client, run) for run in old]):  # noqa: ASYNC110  another process does it
                await asyncio.sleep(0.2)
            assert [await is_gone(client, run) for run in (young, *waiting)] == [False, False, False]


def test_a_server_of_ours_keeps_a_month_unless_it_is_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD"
    given = server_environment(tmp_path, "http://127.0.0.1:4200/api")
    assert (given["PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED"], given[name]) == (
        "events,flow_runs", str(MONTH // timedelta(seconds=1)),
    )  # fmt: skip
    monkeypatch.setenv(name, "86400")
    assert server_environment(tmp_path, "http://127.0.0.1:4200/api")[name] == "86400"
