"""The pure rules of the ledger: life cycle, quota, budget."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.errors import LedgerError
from callsheet.ledger import TERMINAL, TRANSITIONS, JobState, Limits
from callsheet.ledger.budget import Position, lacking
from callsheet.ledger.life import check
from callsheet.ledger.quota import WINDOW, DayFull, Learned, Slot, TimeList, pacific_day, place

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
# Around both changes of Pacific time in 2026: 8 March (23 hours) and 1 November (25 hours).
STARTS = st.sampled_from([datetime(2026, 3, 7, 20, tzinfo=UTC), datetime(2026, 10, 31, 20, tzinfo=UTC), NOON])
GAPS = st.lists(st.integers(min_value=0, max_value=4 * 3600 * 10), min_size=1, max_size=80)


def test_every_state_has_its_moves_and_every_ended_job_can_only_be_planned_again() -> None:
    assert set(TRANSITIONS) == set(JobState)
    for state in TERMINAL - {JobState.STORED}:
        assert TRANSITIONS[state] == {JobState.PLANNED}


def test_an_unsent_job_can_never_look_submitted_and_a_submitted_one_is_never_sent_again() -> None:
    assert JobState.SUBMITTED not in TRANSITIONS[JobState.PLANNED] | TRANSITIONS[JobState.RESERVED]
    assert JobState.SUBMITTING not in TRANSITIONS[JobState.SUBMITTED] | TRANSITIONS[JobState.UNKNOWN]


def test_an_illegal_move_names_the_states_and_what_to_do() -> None:
    with pytest.raises(LedgerError, match=r"is stored and cannot become submitting .*callsheet status"):
        check("a" * 64, JobState.STORED, JobState.SUBMITTING)


@settings(max_examples=150, deadline=None)
@given(start=STARTS, gaps=GAPS, rpm=st.integers(1, 6), rpd=st.integers(1, 40))
def test_no_window_and_no_pacific_day_ever_holds_more_than_the_limits(
    start: datetime, gaps: list[int], rpm: int, rpd: int
) -> None:
    sent: list[datetime] = []
    now = start
    for gap in gaps:
        now += timedelta(seconds=gap / 10)
        slot = place(TimeList(sent), now, Limits(rpm, rpd))
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
        slot = place(TimeList(sent), NOON, Limits(rpm=2))
        assert isinstance(slot, Slot)
        sent.append(slot.not_before)
    assert [(time - NOON).total_seconds() for time in sent] == [0, 0, 60, 60, 120]


def test_a_full_day_ends_at_midnight_in_california() -> None:
    full = place(TimeList([NOON]), NOON, Limits(rpd=1))
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
    assert place(TimeList([late]), late, Limits(rpm=1, rpd=1)) == Slot(late + WINDOW)
    assert isinstance(place(TimeList([tomorrow, late]), late, Limits(rpm=2, rpd=1)), DayFull)


def test_what_a_429_said_lowers_pauses_or_ends_the_day() -> None:
    minute = Learned(rpm=1, pause_until=NOON + timedelta(seconds=20))
    assert place(TimeList([]), NOON, Limits(rpm=10), minute) == Slot(NOON + timedelta(seconds=20))
    assert place(TimeList([NOON]), NOON, Limits(rpm=10), minute) == Slot(NOON + WINDOW)
    day = Learned(day_until=NOON + timedelta(hours=3))
    assert place(TimeList([]), NOON, Limits(), day) == DayFull(NOON + timedelta(hours=3))


money = st.decimals(min_value=0, max_value=1000, places=6)


@given(spent=money, reserved=money, estimate=money, budget=money)
def test_what_fits_the_budget_never_exceeds_it(
    spent: Decimal, reserved: Decimal, estimate: Decimal, budget: Decimal
) -> None:
    short = lacking(Position(spent, reserved), estimate, budget)
    assert (short == 0) == (spent + reserved + estimate <= budget)
    assert lacking(Position(spent, reserved), estimate, None) == 0
