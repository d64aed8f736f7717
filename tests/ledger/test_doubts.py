"""What is spent for certain, what is in doubt, and the bill that settles it: against a provider that knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.clock import Clock
from callsheet.errors import LedgerError
from callsheet.ledger import Attempt, JobState, Ledger
from callsheet.shots import ShotOutcome
from tests.support.ledger_rows import BATCH, PRICE, begun, books_balance, order, result

ZERO = Decimal(0)
KINDS = ["begin", "finish", "refuse", "lose", "again", "drop", "by bill", "late", "bill"]
STEPS = st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(["cat", "dog"]), st.booleans()), max_size=40)


@dataclass
class Provider:
    """Knows which requests it has charged; `lost` are those whose answer never came."""

    charged: dict[tuple[str, int], bool] = field(default_factory=dict)
    lost: list[Attempt] = field(default_factory=list)

    def usd(self) -> Decimal:
        return PRICE * sum(self.charged.values())


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with await Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", clock=Clock()) as ledger:
        await ledger.open_batch(BATCH, [("s1", 0), ("s2", 1)])
        yield ledger


async def position(ledger: Ledger) -> tuple[Decimal, Decimal, Decimal]:
    """The batch's money: spent for certain, held, and in doubt."""
    [row] = await ledger.batches()
    doubts = (await ledger.sum_doubts()).get(BATCH.name, ZERO)
    tries = await ledger.attempts_of(BATCH.name)
    counted = sum((one.doubt_usd or ZERO for one in tries), ZERO)
    waiting = sum((one.reserved_usd for one in tries if one.outcome == JobState.UNKNOWN), ZERO)
    assert doubts == counted + waiting
    return row.spent_usd - counted, row.reserved_usd, doubts


async def act(ledger: Ledger, known: Provider, step: tuple[str, str, bool], now: dict[str, Attempt]) -> None:
    kind, name, paid = step
    wish, attempt = order(name), now.get(name)
    mine = [one for one in known.lost if one.key == wish.key]
    if kind == "begin" or attempt is None:
        if (await ledger.claim(wish)).mine:
            now[name] = begins = await begun(ledger, wish)
            known.charged.setdefault((begins.key, begins.n), paid)
        return
    is_charged = known.charged[attempt.key, attempt.n]
    if kind == "finish" and is_charged:
        await ledger.record_result(wish.key, result(), attempt)
    elif kind == "refuse" and not is_charged and attempt not in known.lost:
        await ledger.settle(attempt, JobState.PLANNED, kind="Overloaded", reason="503")
    elif kind == "lose":
        await ledger.settle(attempt, JobState.UNKNOWN, kind="Unknown", reason="?")
        known.lost.append(attempt)
    elif kind in ("again", "drop"):
        await ledger.resolve(wish.key, "resubmit" if kind == "again" else "drop")
    elif kind == "by bill":
        await ledger.resolve(wish.key, "resubmit", by="ann", usd=PRICE if is_charged else ZERO)
    elif kind == "late":
        for late in [one for one in mine if known.charged[one.key, one.n]][:1]:
            await ledger.record_result(wish.key, result(), late)
    elif kind == "bill":
        await bill(ledger, known, wish.key)


async def bill(ledger: Ledger, known: Provider, key: str) -> None:
    doubtful = {one.n for one in await ledger.attempts_on(key) if one.doubt_usd}
    usd = sum((PRICE for n in doubtful if known.charged[key, n]), ZERO)
    await ledger.enter_bill(key, usd, "ann")


@settings(max_examples=40)
@given(steps=STEPS)
def test_what_is_certain_is_charged_and_the_bills_make_the_ledger_equal_to_it_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, bool]]
) -> None:
    async def story() -> None:
        url, known = f"sqlite:///{tmp_path_factory.mktemp('doubts') / 'ledger.db'}", Provider()
        async with await Ledger.open(url, clock=Clock()) as ledger:
            await ledger.open_batch(BATCH, [("s1", 0)])
            now: dict[str, Attempt] = {}
            for step in steps:
                try:
                    await act(ledger, known, step, now)
                except LedgerError:
                    continue
                certain, held, doubt = await position(ledger)
                assert certain <= known.usd() <= certain + held + doubt
                assert await books_balance(ledger)
            for job in await ledger.unresolved():
                await ledger.resolve(job.key, "drop")
            for job in await ledger.jobs_with_doubts():
                await bill(ledger, known, job.key)
            still = {(one.job_key, one.n) for one in await ledger.attempts_of(BATCH.name) if one.outcome == "open"}
            open_usd = sum((PRICE for one in still if known.charged[one]), ZERO)
            certain, _, doubt = await position(ledger)
            assert (certain, doubt) == (known.usd() - open_usd, 0)

    asyncio.run(story())


async def test_a_late_answer_to_an_earlier_attempt_leaves_the_one_in_doubt_to_the_bill(ledger: Ledger) -> None:
    wish = order("cat")
    first = await begun(ledger, wish)
    await ledger.settle(first, JobState.UNKNOWN, kind="Unknown", reason="timeout")
    await ledger.resolve(wish.key, "resubmit", by="the rule")
    await ledger.settle(await begun(ledger, wish), JobState.UNKNOWN, kind="Unknown", reason="timeout")
    await ledger.record_result(wish.key, result(), first)
    assert await position(ledger) == (PRICE, 0, PRICE), "nothing is held for what nobody decides about"
    assert await books_balance(ledger)
    await ledger.enter_bill(wish.key, ZERO, "ann")
    assert await position(ledger) == (PRICE, 0, 0)


async def test_a_bill_corrects_a_picture_that_is_stored_and_its_shot_is_told_anew(ledger: Ledger) -> None:
    wish = order("cat")
    await ledger.settle(await begun(ledger, wish), JobState.UNKNOWN, kind="Unknown", reason="timeout")
    assert await ledger.sum_doubts() == {BATCH.name: PRICE}, "held for what waits for a decision"
    await ledger.resolve(wish.key, "resubmit", by="the rule")
    await ledger.record_result(wish.key, result(), await begun(ledger, wish))
    await ledger.record_files(wish.key, ())
    await ledger.set_shot(BATCH.name, wish.shot, ShotOutcome.DONE)
    assert await position(ledger) == (PRICE, 0, PRICE)
    job = await ledger.enter_bill(wish.key, ZERO, "ann")
    assert (job.state, job.spent_usd) == (JobState.STORED, PRICE)
    assert await position(ledger) == (PRICE, 0, 0)
    assert {row.shot: row.state for row in await ledger.shots_of(BATCH.name)}[wish.shot] is ShotOutcome.PENDING
    with pytest.raises(LedgerError, match="not in doubt"):
        await ledger.enter_bill(wish.key, ZERO, "ann")


async def test_evidence_leaves_no_doubt(ledger: Ledger) -> None:
    wish = order("cat")
    await ledger.settle(await begun(ledger, wish), JobState.UNKNOWN, kind="Unknown", reason="timeout")
    await ledger.resolve(wish.key, "drop", by="evidence: accepted, its reply lost", usd=PRICE)
    assert await position(ledger) == (PRICE, 0, 0)
