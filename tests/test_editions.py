"""Editions from the calendar: the time for which a run was scheduled, in its schedule's time zone."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from callsheet.editions import check_edition, edition_at
from callsheet.errors import SettingsError
from callsheet.run import RunRequest, read_request
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


@pytest.mark.parametrize("edition", ["{day}", "{date:%d}", "{date!r}", "{", "{0}", "{date.year}"])
def test_what_cannot_be_filled_in_is_refused_with_what_can(edition: str) -> None:
    with pytest.raises(SettingsError, match=r"\{date\}, \{week\}, \{month\}"):
        edition_at(edition, datetime.now(UTC))


@pytest.mark.parametrize("edition", ["a/b", "1.2", "..", "", "{date}", "a b", "x" * 81, "-a"])
def test_an_edition_that_cannot_be_part_of_a_name_stops_the_run_before_anything(edition: str, tmp_path: Path) -> None:
    (tmp_path / "sheet.csv").write_text("prompt\nA kite\n")
    with pytest.raises(SettingsError, match="cannot be an edition"):
        read_request(RunRequest(str(tmp_path / "sheet.csv"), edition=edition), load_settings(home=tmp_path))
