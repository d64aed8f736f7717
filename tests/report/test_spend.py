"""The spend report: a day and its month so far, by campaign, model and day, from the ledger."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

from callsheet.batch.account import spend_until
from callsheet.ledger import SpendRow
from callsheet.report.account import spend_report, spend_report_markdown, spend_rows
from callsheet.settings import load_settings

DAY = date(2026, 11, 20)


def row(campaign: str, model: str, day: date, usd: str, held: str = "0", requests: int = 1) -> SpendRow:
    return SpendRow(campaign, "live", model, day, requests, Decimal(usd), Decimal(held), Decimal(usd))


ROWS = [
    row("ads", "veo", date(2026, 10, 31), "100"),
    row("ads", "veo", date(2026, 11, 1), "2.40", requests=2),
    row("teasers", "banana", date(2026, 11, 1), "0.10"),
    row("ads", "veo", DAY, "1.20"),
    row("ads", "banana", DAY, "0.30", held="0.08", requests=3),
    row("ads", "veo", date(2026, 11, 21), "50"),
]


def test_day_and_month_so_far_are_summed_and_nothing_else() -> None:
    report = spend_report(ROWS, DAY)
    assert (report.usd_day, report.usd_month, report.held) == (Decimal("1.50"), Decimal("4.00"), Decimal("0.08"))
    assert report.sentence() == (
        "Friday, 20 November 2026: $1.50. The month so far: $4.00; $0.080 held for requests under way or in doubt."
    )
    assert [(one["Day"], one["Campaign"], one["Model"], one["Spent (USD)"]) for one in spend_rows(report)] == [
        ("2026-11-20", "ads", "banana", "0.300"),
        ("2026-11-20", "ads", "veo", "1.200"),
        ("2026-11-01", "ads", "veo", "2.400"),
        ("2026-11-01", "teasers", "banana", "0.100"),
    ]


def test_the_page_has_the_dearest_first_and_lets_no_name_break_its_tables() -> None:
    page = spend_report_markdown(spend_report([*ROWS, row("a|b", "veo", DAY, "0.01")], DAY), live=True)
    campaigns = [line for line in page.splitlines() if line.startswith(("| ads", "| teasers", "| a\\"))]
    assert campaigns[:2] == ["| ads | $1.50 | $3.90 | 6 |", "| teasers | $0.00 | $0.100 | 1 |"]
    assert campaigns[2:] == ["| a\\|b | $0.010 | $0.010 | 1 |"]
    assert "| 2026-11-20 | $1.51 | 5 |" in page
    assert "Nothing was sent this month." in spend_report_markdown(spend_report([], DAY), live=False)


async def test_without_a_day_it_is_the_pacific_day_before(tmp_path: Path) -> None:
    half_past_midnight_pacific = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
    settings = load_settings(home=tmp_path)
    report = await spend_until(settings, "live", day=None, now=half_past_midnight_pacific)
    assert report.day == DAY
    an_hour_earlier = await spend_until(settings, "live", day=None, now=datetime(2026, 11, 21, 7, 30, tzinfo=UTC))
    assert an_hour_earlier.day == date(2026, 11, 19)
