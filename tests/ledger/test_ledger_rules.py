"""The pure rules of the ledger: life cycle, quota, budget."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.errors import LedgerError
from callsheet.ledger import TERMINAL, TRANSITIONS, JobState, QuotaLimits
from callsheet.ledger.job_state import check
from callsheet.ledger.quota import (
    MARGIN,
    PACIFIC,
    WINDOW,
    DayFull,
    Learned,
    Slot,
    TimeList,
    pacific_day,
    place,
    recover_limit,
)
from callsheet.ledger.spend_window import Position, lacking

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
# Around both changes of Pacific time in 2026: 8 March (23 hours) and 1 November (25 hours).
STARTS = st.sampled_from([datetime(2026, 3, 7, 20, tzinfo=UTC), datetime(2026, 10, 31, 20, tzinfo=UTC), NOON])
GAPS = st.lists(st.integers(min_value=0, max_value=4 * 3600 * 10), min_size=1, max_size=80)


def test_every_state_has_its_moves_and_every_ended_job_can_only_be_planned_again_or_looked_for() -> None:
    assert set(TRANSITIONS) == set(JobState)
    for state in TERMINAL - {JobState.STORED}:
        looked_for = {JobState.SUBMITTED} if state is JobState.EXPIRED else set()
        assert TRANSITIONS[state] == {JobState.PLANNED} | looked_for


def test_an_unsent_job_can_never_look_submitted_and_a_submitted_one_is_never_sent_again() -> None:
    assert JobState.SUBMITTED not in TRANSITIONS[JobState.PLANNED] | TRANSITIONS[JobState.RESERVED]
    assert JobState.SUBMITTING not in TRANSITIONS[JobState.SUBMITTED] | TRANSITIONS[JobState.UNKNOWN]


def test_an_illegal_move_names_the_states_and_what_to_do() -> None:
    with pytest.raises(LedgerError, match=r"is stored and cannot become submitting .*callsheet status"):
        check("a" * 64, JobState.STORED, JobState.SUBMITTING)


@settings(max_examples=150)
@given(start=STARTS, gaps=GAPS, rpm=st.integers(1, 6), rpd=st.integers(1, 40))
def test_no_window_and_no_pacific_day_ever_holds_more_than_the_limits(
    start: datetime, gaps: list[int], rpm: int, rpd: int
) -> None:
    sent: list[datetime] = []
    now = start
    for gap in gaps:
        now += timedelta(seconds=gap / 10)
        slot = place(TimeList(sent), now, QuotaLimits(rpm, rpd))
        if isinstance(slot, Slot):
            assert slot.not_before >= now
            sent.append(slot.not_before)
        else:
            assert slot.until > now
    for time in sent:
        assert sum(time <= other < time + WINDOW for other in sent) <= rpm
        day, end = pacific_day(time)
        assert sum(day <= other < end for other in sent) <= rpd


def test_slots_are_handed_out_as_early_as_the_window_allows() -> None:
    sent: list[datetime] = []
    for _ in range(5):
        slot = place(TimeList(sent), NOON, QuotaLimits(rpm=2))
        assert isinstance(slot, Slot)
        sent.append(slot.not_before)
    assert [(time - NOON).total_seconds() for time in sent] == [0, 0, 61, 61, 122]


def test_a_full_day_ends_at_midnight_in_california() -> None:
    full = place(TimeList([NOON]), NOON, QuotaLimits(rpd=1))
    assert full == DayFull(datetime(2026, 11, 22, 8, tzinfo=UTC))


@pytest.mark.parametrize(
    ("moment", "hours"),
    [(datetime(2026, 3, 8, 20, tzinfo=UTC), 23), (datetime(2026, 11, 1, 20, tzinfo=UTC), 25), (NOON, 24)],
)
def test_pacific_days_follow_daylight_saving(moment: datetime, hours: int) -> None:
    start, end = pacific_day(moment)
    assert end - start == timedelta(hours=hours)
    assert start <= moment < end


def test_the_slot_of_the_next_day_counts_for_that_day() -> None:
    late = datetime(2026, 11, 22, 7, 59, 30, tzinfo=UTC)
    tomorrow = pacific_day(late)[1]
    assert place(TimeList([late]), late, QuotaLimits(rpm=1, rpd=1)) == Slot(late + WINDOW + MARGIN)
    assert isinstance(place(TimeList([tomorrow, late]), late, QuotaLimits(rpm=2, rpd=1)), DayFull)


def test_what_a_429_said_lowers_pauses_or_ends_the_day() -> None:
    minute = Learned(rpm=1, pause_until=NOON + timedelta(seconds=20))
    assert place(TimeList([]), NOON, QuotaLimits(rpm=10), minute) == Slot(NOON + timedelta(seconds=20))
    assert place(TimeList([NOON]), NOON, QuotaLimits(rpm=10), minute) == Slot(NOON + WINDOW + MARGIN)
    day = Learned(day_until=NOON + timedelta(hours=3))
    assert place(TimeList([]), NOON, QuotaLimits(), day) == DayFull(NOON + timedelta(hours=3))


def test_a_lower_limit_is_believed_then_grows_back_and_is_forgotten() -> None:
    minutes = [recover_limit(20, NOON, NOON + timedelta(minutes=n)) for n in (-1, 0, 1, 2, 60)]
    assert minutes == [20, 25, 30, 35, None]
    assert recover_limit(0, NOON, NOON) == 1  # a limit of none at all is tried again too


@settings(max_examples=300)
@given(moment=st.integers(1_700_000_000, 2_000_000_000).map(lambda s: datetime.fromtimestamp(s, UTC)))
def test_every_moment_lies_in_one_pacific_day_from_midnight_to_midnight(moment: datetime) -> None:
    start, end = pacific_day(moment)
    assert start <= moment < end
    for edge in (start, end):
        assert (edge.astimezone(PACIFIC).hour, edge.astimezone(PACIFIC).minute) == (0, 0)
    assert end.astimezone(PACIFIC).date() - start.astimezone(PACIFIC).date() == timedelta(days=1)
    assert end - start in {timedelta(hours=hours) for hours in (23, 24, 25)}
    assert pacific_day(end)[0] == end
    assert pacific_day(end - timedelta(microseconds=1)) == (start, end)


money = st.decimals(min_value=0, max_value=1000, places=6)


@given(spent=money, reserved=money, estimate=money, budget=money)
def test_what_fits_the_budget_never_exceeds_it(
    spent: Decimal, reserved: Decimal, estimate: Decimal, budget: Decimal
) -> None:
    short = lacking(Position(spent, reserved), estimate, budget)
    assert (short == 0) == (spent + reserved + estimate <= budget)
    assert lacking(Position(spent, reserved), estimate, None) == 0
