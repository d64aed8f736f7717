"""A place in the minute is taken when nothing is left to do but to send, and counts from when that really was."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from callsheet.batch.request import RunRequest
from callsheet.context.context import current_run
from callsheet.ledger import AttemptRecord, Ledger
from callsheet.providers.genai import GenaiImages
from callsheet.settings import load_settings
from tests.support.service import Service
from tests.support.whole_batch import whole_batch

SLOW_S = 0.5


@pytest.fixture
def batch(tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Makes two pictures in this process, and gives their attempts."""
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", service.url)
    (tmp_path / "two.csv").write_text("id,prompt\none,A lamp\ntwo,A cup\n")
    settings = load_settings(home=tmp_path / "home")

    async def make() -> list[AttemptRecord]:
        report = await whole_batch(RunRequest(str(tmp_path / "two.csv")), settings)
        assert report.exit_code == 0
        async with await Ledger.open(settings.ledger_url, clock=current_clock[0]) as ledger:
            return await ledger.attempts_of(report.summary["batch"])

    return make


current_clock: list[Any] = []


async def test_place_in_the_minute_is_taken_after_the_client_is_open(
    batch: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[datetime] = []
    real = GenaiImages.__init__

    def slowly(self: GenaiImages, *given: Any, **named: Any) -> None:
        import time

        time.sleep(SLOW_S)  # as the import of the SDK
        current_clock[:] = [current_run().resources.clock]
        opened.append(current_run().resources.clock.now())
        real(self, *given, **named)

    monkeypatch.setattr(GenaiImages, "__init__", slowly)
    attempts = await batch()
    assert len(opened) == 1
    assert all(attempt.at >= opened[0] for attempt in attempts)


async def test_attempt_counts_from_when_it_was_really_sent(
    batch: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[datetime] = []
    real = GenaiImages.make

    async def slowly(self: GenaiImages, *given: Any) -> Any:
        await asyncio.sleep(SLOW_S)  # as a connection that is slow to come about
        current_clock[:] = [current_run().resources.clock]
        left.append(current_run().resources.clock.now())
        return await real(self, *given)

    monkeypatch.setattr(GenaiImages, "make", slowly)
    attempts = await batch()
    assert len(left) == 2
    assert all(attempt.at >= min(left) for attempt in attempts)
