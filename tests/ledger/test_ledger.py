"""The ledger on a real SQLite file: life cycle, money, quota, leases, refusals."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.clock import Clock
from callsheet.errors import BudgetParked, LedgerError, QuotaParked
from callsheet.ledger import Attempt, Job, JobOrder, JobState, Ledger, QuotaLimits
from callsheet.ledger.quota import MARGIN, PACIFIC, WINDOW
from callsheet.shots import Batch, ShotOutcome
from tests.support.hand_clock import HandClock
from tests.support.ledger_rows import BATCH, PRICE, asset, begun, books_balance, digest, order, result

S = JobState
NOON = datetime(2026, 11, 20, 20, tzinfo=UTC)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'home' / 'ledger.db'}"


@pytest.fixture
async def ledger(url: str) -> AsyncIterator[Ledger]:
    async with await Ledger.open(url, clock=Clock()) as opened:
        await opened.open_batch(BATCH, [("s1", 0), ("s2", 1)])
        yield opened


async def test_a_picture_goes_from_wish_to_stored_and_all_of_it_is_on_record(ledger: Ledger) -> None:
    wish = order("cat")
    claimed = await ledger.claim(wish)
    assert claimed.mine
    assert claimed.job == await ledger.job(wish.key)
    attempt = await ledger.begin(wish.key, estimate=PRICE, scope="p")
    assert (await ledger.job(wish.key)).state is S.SUBMITTING
    finished = await ledger.record_result(wish.key, result(), attempt)
    assert finished == await ledger.job(wish.key)
    stored = await ledger.record_files(wish.key, [asset("cat", key=wish.key)])
    job = await ledger.job(wish.key)
    assert stored == job
    assert (job.state, job.owner, job.spent_usd, job.sha256) == (S.STORED, None, PRICE, digest("bytes"))
    assert job.details == {"tokens": {"image": 1120}}
    assert await ledger.assets_of(BATCH.name, "s1") == [asset("cat", key=wish.key)]
    assert await ledger.copies_of(digest("cat")) == [asset("cat", key=wish.key)]
    assert await ledger.sum_spent(BATCH.name) == PRICE
    assert not (await ledger.claim(wish)).mine


async def test_a_video_keeps_its_operation_and_costs_nothing_when_filtered(ledger: Ledger) -> None:
    wish = order("clip", kind="video", slot="clip-1")
    attempt = await begun(ledger, wish)
    await ledger.submitted(attempt, "models/m/operations/1")
    assert [job.operation for job in await ledger.under_way()] == ["models/m/operations/1"]
    job = await ledger.fail(wish.key, S.BLOCKED, kind="VideoFiltered", reason="Filtered.", code="17301594")
    assert (job.state, job.spent_usd, job.reason_kind, job.reason_code) == (
        S.BLOCKED, 0, "VideoFiltered", "17301594",
    )  # fmt: skip
    assert await books_balance(ledger)


async def test_an_illegal_step_changes_nothing(ledger: Ledger) -> None:
    wish = order("cat")
    await ledger.claim(wish)
    with pytest.raises(LedgerError, match="planned and cannot become stored"):
        await ledger.record_files(wish.key, [asset("cat")])
    assert await ledger.assets_of(BATCH.name) == []
    with pytest.raises(LedgerError, match="no job"):
        await ledger.record_files(digest("other"), [])


async def test_a_job_that_was_not_claimed_cannot_be_sent(ledger: Ledger, url: str) -> None:
    wish = order("cat")
    await ledger.claim(wish)
    async with await Ledger.open(url, clock=Clock()) as other:
        assert not (await other.claim(wish)).mine
        with pytest.raises(LedgerError, match="Nothing was sent"):
            await other.begin(wish.key, estimate=PRICE, scope="p")


async def test_a_batch_must_be_open_before_its_jobs_are_claimed(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="open_batch first"):
        await ledger.claim(order("cat", batch=Batch("autumn", None, "rehearsal")))
    with pytest.raises(LedgerError, match="open_batch first"):
        await ledger.claim(replace(order("cat"), mode="live"))
    with pytest.raises(LedgerError, match="open_batch first"):
        await ledger.set_shot(BATCH.name, "nowhere", ShotOutcome.DONE)


async def test_requests_are_bounded_and_must_be_json(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="shorten the prompt"):
        await ledger.claim(replace(order("cat"), request={"prompt": "x" * 300_000}))
    with pytest.raises(LedgerError, match="not JSON"):
        await ledger.claim(replace(order("cat"), request={"image": b"bytes"}))


async def test_a_refused_attempt_is_free_and_may_be_tried_again(ledger: Ledger) -> None:
    wish = order("cat")
    first = await begun(ledger, wish)
    job = await ledger.settle(first, S.PLANNED, kind="Overloaded", reason="503", status=503)
    assert (job.state, job.spent_usd, job.owner) == (S.PLANNED, 0, ledger.owner)
    second = await begun(ledger, wish)
    await ledger.record_result(wish.key, result(), second)
    tries = await ledger.attempts_on(wish.key)
    assert [(a.outcome, a.status, a.usd, a.reserved_usd) for a in tries] == [
        ("planned", 503, 0, 0), ("finished", None, PRICE, 0),
    ]  # fmt: skip
    assert await books_balance(ledger)


async def test_an_unknown_picture_tried_again_counts_twice(ledger: Ledger) -> None:
    wish = order("cat")
    await ledger.settle(await begun(ledger, wish), S.UNKNOWN, kind="Unknown", reason="connection lost")
    assert [row.reserved_usd for row in await ledger.batches()] == [PRICE]
    assert [job.key for job in await ledger.unresolved()] == [wish.key]
    await ledger.resolve(wish.key, "resubmit", by="policy")
    await ledger.record_result(wish.key, result(), await begun(ledger, wish))
    assert (await ledger.job(wish.key)).spent_usd == 2 * PRICE
    assert await books_balance(ledger)


async def test_an_adopted_operation_is_paid_once(ledger: Ledger) -> None:
    wish = order("clip", kind="video")
    await ledger.settle(await begun(ledger, wish), S.UNKNOWN, kind="Unknown", reason="timeout", usd=PRICE)
    assert (await ledger.job(wish.key)).spent_usd == PRICE
    with pytest.raises(LedgerError, match="operation's name"):
        await ledger.resolve(wish.key, "adopt")
    adopted = await ledger.resolve(wish.key, "adopt", operation="op/7", by="ann", request_id="id-7")
    assert (adopted.state, adopted.operation, adopted.spent_usd) == (S.SUBMITTED, "op/7", 0)
    assert adopted.details == {"submission_request_id": "id-7"}
    finished = await ledger.record_result(wish.key, replace(result(), details={"fps": 24}))
    assert finished.details == {"submission_request_id": "id-7", "fps": 24}
    assert (await ledger.job(wish.key)).spent_usd == PRICE
    assert await books_balance(ledger)


async def test_dropping_counts_as_spent_unless_known_better(ledger: Ledger) -> None:
    for name, usd, spent in (("a", None, PRICE), ("b", Decimal(0), Decimal(0))):
        wish = order(name)
        await ledger.settle(await begun(ledger, wish), S.UNKNOWN, kind="Unknown", reason="?")
        job = await ledger.resolve(wish.key, "drop", by="ann", usd=usd)
        assert (job.state, job.spent_usd) == (S.FAILED, spent)
        with pytest.raises(LedgerError, match="nothing to resolve"):
            await ledger.resolve(wish.key, "drop")
    assert await books_balance(ledger)


async def test_a_late_answer_to_a_lost_attempt_is_kept_and_paid(ledger: Ledger) -> None:
    wish = order("cat")
    first = await begun(ledger, wish)
    await ledger.settle(first, S.UNKNOWN, kind="Unknown", reason="timeout")
    await ledger.resolve(wish.key, "resubmit")
    second = await begun(ledger, wish)
    await ledger.record_result(wish.key, result("first"), first)
    job = await ledger.record_result(wish.key, result("second"), second)
    assert (job.sha256, job.spent_usd) == (digest("first"), 2 * PRICE)
    assert await books_balance(ledger)


async def test_a_reopened_job_forgets_its_lost_files_and_keeps_its_history(ledger: Ledger) -> None:
    wish = order("cat")
    await ledger.record_result(wish.key, result(), await begun(ledger, wish))
    await ledger.record_files(wish.key, [asset("cat", key=wish.key)])
    job = await ledger.reopen(wish.key, "the file is gone from the archive")
    assert (job.state, job.sha256, job.attempts, job.spent_usd) == (S.PLANNED, None, 1, PRICE)
    assert await ledger.assets_of(BATCH.name) == []
    await ledger.record_result(wish.key, result(), await begun(ledger, wish))
    assert (await ledger.job(wish.key)).spent_usd == 2 * PRICE
    with pytest.raises(LedgerError, match="only ended jobs"):
        await ledger.reopen((await ledger.claim(order("dog"))).job.key)


async def test_a_shared_job_is_paid_by_one_batch_and_wanted_by_both(ledger: Ledger) -> None:
    autumn = Batch("autumn", None, "rehearsal")
    await ledger.open_batch(autumn, [("a1", 0)])
    wish = order("cat")
    await ledger.record_result(wish.key, result(), await begun(ledger, wish))
    await ledger.record_files(wish.key, [asset("cat", key=wish.key)])
    claimed = await ledger.claim(order("cat", batch=autumn, shot="a1"))
    assert (claimed.mine, claimed.job.state) == (False, S.STORED)
    await ledger.record_files(wish.key, [asset("cat", batch=autumn, shot="a1", key=wish.key)])
    assert [job.key for job in await ledger.jobs_of(autumn.name)] == [wish.key]
    assert (await ledger.sum_spent(BATCH.name), await ledger.sum_spent(autumn.name)) == (PRICE, 0)


async def test_an_edited_manifest_drops_shots_and_changes_what_a_slot_wants(ledger: Ledger) -> None:
    await ledger.claim(order("cat"))
    await ledger.claim(order("dog", shot="s2"))
    await ledger.set_shot(BATCH.name, "s1", ShotOutcome.DONE)
    await ledger.open_batch(BATCH, [("s3", 0), ("s1", 1)])
    await ledger.claim(order("better cat"))
    assert [(row.shot, row.state) for row in await ledger.shots_of(BATCH.name)] == [
        ("s3", ShotOutcome.PENDING), ("s1", ShotOutcome.DONE),
    ]  # fmt: skip
    assert (await ledger.counts(BATCH.name))[ShotOutcome.DONE] == 1
    assert [(want.shot, want.job_key) for want in await ledger.wants_of(BATCH.name)] == [("s1", digest("better cat"))]
    assert set(await ledger.jobs([digest("cat"), digest("dog"), digest("none")])) == {digest("cat"), digest("dog")}


async def test_one_name_never_stands_for_two_files(ledger: Ledger) -> None:
    await ledger.add_assets([asset("cat")])
    await ledger.add_assets([asset("cat")])
    with pytest.raises(LedgerError, match="Nothing was recorded"):
        await ledger.add_assets([asset("dog"), replace(asset("cat"), sha256=digest("dog"))])
    assert await ledger.assets_of(BATCH.name) == [asset("cat")]


async def test_spending_is_reported_by_campaign_mode_model_and_day(ledger: Ledger) -> None:
    await ledger.record_result(digest("a"), result(), await begun(ledger, order("a")))
    await begun(ledger, order("b"))
    (row,) = await ledger.spend(campaign="spring", mode="rehearsal")
    assert (row.model, row.attempts, row.day) == ("m", 2, datetime.now(PACIFIC).date())
    assert (row.estimated_usd, row.reserved_usd, row.spent_usd) == (2 * PRICE, PRICE, PRICE)
    assert await ledger.spend(mode="live") == []


async def test_the_budget_holds_over_the_campaign_and_says_how_to_go_on(ledger: Ledger) -> None:
    other = Batch("spring", "2026-11-21", "rehearsal")
    await ledger.open_batch(other, [("s1", 0)])
    await begun(ledger, order("a", batch=other))
    wish = order("b")
    await ledger.claim(wish)
    with pytest.raises(BudgetParked, match=r"\$0.0072 over its budget of \$0.06"):
        await ledger.begin(wish.key, estimate=PRICE, scope="p", budget=Decimal("0.06"))
    job = await ledger.job(wish.key)
    assert (job.state, job.owner, job.reason_kind, job.attempts) == (S.PLANNED, None, "BudgetParked", 0)
    await begun(ledger, wish, budget=Decimal("0.06"), budget_scope="batch")


async def test_sixteen_at_once_never_exceed_the_budget(ledger: Ledger) -> None:
    async def one(number: int) -> None:
        wish = order(f"shot {number}")
        try:
            attempt = await begun(ledger, wish, budget=Decimal("0.50"))
        except BudgetParked:
            return
        await ledger.record_result(wish.key, result(), attempt)

    await asyncio.gather(*(one(number) for number in range(40)))
    assert await ledger.sum_spent(BATCH.name) == 14 * PRICE  # 15 would be 0.504
    assert await books_balance(ledger)


async def test_a_full_day_parks_the_job_until_midnight_pacific(ledger: Ledger) -> None:
    limits = QuotaLimits(rpd=2)
    for name in "ab":
        await begun(ledger, order(name), limits=limits)
    with pytest.raises(QuotaParked) as parked:
        await begun(ledger, order("c"), limits=limits)
    job = await ledger.job(digest("c"))
    assert (job.state, job.parked_until, job.owner) == (S.PLANNED, parked.value.until, None)
    assert (await begun(ledger, order("c"), limits=QuotaLimits(rpd=3))).n == 1


async def test_a_full_minute_reserves_slots_that_keep_the_limit_when_used(url: str) -> None:
    """At factor 600 a minute passes in 0.1 s; what counts is the clock time of each intent."""
    async with await Ledger.open(url, clock=Clock(factor=600)) as ledger:
        await ledger.open_batch(BATCH, [("s1", 0)])

        async def one(number: int) -> None:
            attempt = await begun(ledger, order(str(number)), limits=QuotaLimits(rpm=3))
            if attempt.not_before:
                assert (await ledger.job(attempt.key)).state is S.RESERVED
            await ledger.submitting(attempt)
            assert (await ledger.job(attempt.key)).state is S.SUBMITTING

        await asyncio.gather(*(one(number) for number in range(12)))
        sent = sorted(attempt.at for attempt in await ledger.attempts_of(BATCH.name))
        assert all(later - earlier >= timedelta(seconds=60) for earlier, later in zip(sent, sent[3:], strict=False))
        assert (await ledger.job(digest("0"))).reason == ""


async def test_a_slot_that_was_given_back_costs_neither_money_nor_quota(ledger: Ledger) -> None:
    limits = QuotaLimits(rpm=1)
    await begun(ledger, order("a"), limits=limits)
    held = await begun(ledger, order("b"), limits=limits)
    assert held.not_before
    await ledger.release(held.key)
    again = await begun(ledger, order("c"), limits=limits)
    assert again.not_before == held.not_before
    assert (await ledger.job(held.key)).state is S.PLANNED
    assert await books_balance(ledger)


async def test_what_a_429_says_holds_for_everyone(ledger: Ledger, url: str) -> None:
    await begun(ledger, order("a"))
    resume = await ledger.lower_limit("p", "m", "minute", 1, 20.0)
    async with await Ledger.open(url, clock=Clock()) as other:
        attempt = await begun(other, order("b"), limits=QuotaLimits(rpm=100))
        assert attempt.not_before
        assert attempt.not_before > resume
        until = await other.lower_limit("p", "m", "day", 250, 9303.0)
    with pytest.raises(QuotaParked) as parked:
        await begun(ledger, order("c"), limits=QuotaLimits(rpd=1000))
    assert parked.value.until == until
    with pytest.raises(LedgerError, match="minute"):
        await ledger.lower_limit("p", "m", "week")


async def test_leases_end_and_are_renewed(url: str) -> None:
    """The owners' names are of another machine, so only time tells whether they live."""
    wish = order("cat")
    async with await Ledger.open(url, clock=Clock(), owner="far:1:2:a", lease_s=0.3) as one:
        await one.open_batch(BATCH, [("s1", 0)])
        await one.claim(wish)
        async with await Ledger.open(url, clock=Clock(), owner="far:1:2:b") as other:
            await asyncio.sleep(0.5)
            assert not (await other.claim(wish)).mine
            one._heartbeat.cancel()
            await asyncio.sleep(0.4)
            assert (await other.claim(wish)).mine
            with pytest.raises(LedgerError, match="Claim it again"):
                await one.begin(wish.key, estimate=PRICE, scope="p")


async def test_what_was_sent_before_the_clock_was_set_back_still_counts(url: str) -> None:
    live = Batch("spring", None, "live")
    ahead, right = HandClock(NOON + timedelta(days=3)), HandClock(NOON)
    async with await Ledger.open(url, clock=ahead) as early, await Ledger.open(url, clock=right) as late:
        await late.open_batch(live, [("s1", 0)])
        for name in "ab":
            await begun(early, order(name, batch=live))
        attempt = await begun(late, order("c", batch=live), limits=QuotaLimits(rpm=2))
        assert attempt.not_before == NOON + WINDOW + MARGIN
        with pytest.raises(QuotaParked):
            await begun(late, order("d", batch=live), limits=QuotaLimits(rpd=3))


async def test_what_lives_on_this_machine_keeps_its_jobs_though_its_lease_looks_over(url: str) -> None:
    """As after the wall clock was set, or the machine slept."""
    one = await Ledger.open(url, clock=Clock(), lease_s=0.05)
    one._heartbeat.cancel()
    async with await Ledger.open(url, clock=Clock()) as other:
        await one.open_batch(BATCH, [("s1", 0)])
        assert (await one.claim(order("cat"))).mine
        await asyncio.sleep(0.1)
        assert not (await other.claim(order("cat"))).mine
        await one.aclose()
        assert (await other.claim(order("cat"))).mine


async def test_closing_gives_jobs_back_and_what_was_being_sent_is_unknown(url: str) -> None:
    async with await Ledger.open(url, clock=Clock()) as one:
        await one.open_batch(BATCH, [("s1", 0)])
        await begun(one, order("sending"))
        await begun(one, order("waiting"), limits=QuotaLimits(rpm=1))
        await one.submitted(await begun(one, order("clip", kind="video")), "op/1")
    async with await Ledger.open(url, clock=Clock()) as two:
        states = {name: (await two.claim(order(name))).job for name in ("sending", "waiting", "clip")}
        assert {name: job.state for name, job in states.items()} == {
            "sending": S.UNKNOWN, "waiting": S.PLANNED, "clip": S.SUBMITTED,
        }  # fmt: skip
        assert states["clip"].operation == "op/1"
        assert {job.key: job for job in states.values()} == await two.jobs([job.key for job in states.values()])
        assert await books_balance(two)


STEPS = st.lists(
    st.sampled_from(["begin", "finish", "refuse", "lose", "again", "drop", "reopen", "block"]), max_size=25
)


@settings(max_examples=25)
@given(steps=STEPS)
def test_whatever_happens_the_books_balance(tmp_path_factory: pytest.TempPathFactory, steps: list[str]) -> None:
    async def story() -> None:
        path = tmp_path_factory.mktemp("books") / "ledger.db"
        async with await Ledger.open(f"sqlite:///{path}", clock=Clock()) as ledger:
            await ledger.open_batch(BATCH, [("s1", 0)])
            wish = order("cat", kind="video")
            attempt: Attempt | None = None
            for step in steps:
                try:
                    attempt = await _act(ledger, wish, step, attempt)
                except LedgerError:
                    continue
                assert await books_balance(ledger)

    asyncio.run(story())


async def _act(ledger: Ledger, wish: JobOrder, step: str, attempt: Attempt | None) -> Attempt | None:
    if step == "begin" or attempt is None:
        return await begun(ledger, wish) if (await ledger.claim(wish)).mine else attempt
    acts = {
        "finish": lambda: ledger.record_result(wish.key, result(), attempt),
        "refuse": lambda: ledger.settle(attempt, S.PLANNED, kind="Overloaded", reason="503"),
        "lose": lambda: ledger.settle(attempt, S.UNKNOWN, kind="Unknown", reason="?"),
        "block": lambda: ledger.settle(attempt, S.BLOCKED, kind="Blocked", reason="!", usd=PRICE),
        "again": lambda: ledger.resolve(wish.key, "resubmit"),
        "drop": lambda: ledger.resolve(wish.key, "drop"),
        "reopen": lambda: ledger.reopen(wish.key),
    }
    job: Job = await acts[step]()
    json.dumps(dict(job.request))
    return attempt
