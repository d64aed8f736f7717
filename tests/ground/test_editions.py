"""Editions from the calendar: the time for which a run was scheduled, in its schedule's time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from callsheet.batch.prepare import read_request
from callsheet.batch.request import RunRequest, check_edition, edition_at
from callsheet.errors import SettingsError
from callsheet.settings import load_settings


@pytest.mark.parametrize(
    ("edition", "expected"),
    [
        ("{date}", "2027-01-01"),
        ("{week}", "2026-W53"),
        ("{month}", "2027-01"),
        ("{hour}", "2027-01-01T00"),
        ("{minute}", "2027-01-01T0030"),
        ("teaser-{month}", "teaser-2027-01"),
        ("launch", "launch"),
    ],
)
def test_placeholders_are_the_calendar_of_the_time_zone(edition: str, expected: str) -> None:
    half_past_eleven = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)
    filled = edition_at(edition, half_past_eleven.astimezone(ZoneInfo("Europe/Berlin")))
    assert filled == expected
    check_edition(filled)


@pytest.mark.parametrize(
    ("zone", "first", "second", "expected"),
    [
        ("America/New_York", "2026-11-01T05:30", "2026-11-01T06:30", ("2026-11-01T01", "2026-11-01T01-0500")),
        ("Europe/Berlin", "2026-10-25T00:30", "2026-10-25T01:30", ("2026-10-25T02", "2026-10-25T02+0100")),
        # Half an hour only: from 02:00 back to 01:30.
        ("Australia/Lord_Howe", "2026-04-04T14:00", "2026-04-04T15:00", ("2026-04-05T01", "2026-04-05T01+1030")),
        ("America/Havana", "2026-11-01T04:30", "2026-11-01T05:30", ("2026-11-01T00", "2026-11-01T00-0500")),
        ("America/New_York", "2026-11-01T06:30", "2026-11-01T07:30", ("2026-11-01T01-0500", "2026-11-01T02")),
        ("America/New_York", "2026-03-08T06:30", "2026-03-08T07:30", ("2026-03-08T01", "2026-03-08T03")),
        ("UTC", "2026-11-01T05:30", "2026-11-01T06:30", ("2026-11-01T05", "2026-11-01T06")),
    ],
)
def test_each_hour_is_an_edition_of_its_own_when_clocks_are_put_back(
    zone: str, first: str, second: str, expected: tuple[str, str]
) -> None:
    at = [datetime.fromisoformat(text).replace(tzinfo=UTC).astimezone(ZoneInfo(zone)) for text in (first, second)]
    hours = tuple(edition_at("{hour}", each) for each in at)
    assert hours == expected
    assert edition_at("{minute}", at[0]) != edition_at("{minute}", at[1])
    for hour in hours:
        check_edition(hour)


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu"])
def test_every_hour_of_a_year_that_is_not_doubled_keeps_its_edition(zone: str) -> None:
    start, seen = datetime(2026, 1, 1, tzinfo=UTC), list[str]()
    for hours in range(365 * 24):
        at = (start + timedelta(hours=hours)).astimezone(ZoneInfo(zone))
        seen.append(edition_at("{hour}", at))
        assert at.fold or seen[-1] == f"{at:%Y-%m-%dT%H}"
        assert edition_at("{date}", at) == f"{at:%Y-%m-%d}"
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("edition", ["{day}", "{date:%d}", "{date!r}", "{", "{0}", "{date.year}"])
def test_what_cannot_be_filled_in_is_refused_with_what_can(edition: str) -> None:
    with pytest.raises(SettingsError, match=r"\{date\}, \{week\}, \{month\}"):
        edition_at(edition, datetime.now(UTC))


@pytest.mark.parametrize("edition", ["a/b", "1.2", "..", "", "{date}", "a b", "x" * 81, "-a"])
def test_an_edition_that_cannot_be_part_of_a_name_stops_the_run_before_anything(edition: str, tmp_path: Path) -> None:
    (tmp_path / "sheet.csv").write_text("prompt\nA kite\n")
    with pytest.raises(SettingsError, match="cannot be an edition"):
        read_request(RunRequest(str(tmp_path / "sheet.csv"), edition=edition), load_settings(home=tmp_path))
