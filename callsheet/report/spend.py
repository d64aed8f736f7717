"""The spend report: the cost of a day and of its month so far. Pure.

By campaign, model and day.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from callsheet.ledger import SpendRow
from callsheet.report.format import dollars
from callsheet.report.markdown import escaped, table

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class SpendReport:
    """Spending of `day` and of its month up to it, in US dollars.

    Both are Pacific, as the provider counts. `held` is reserved for requests that are under way or in doubt.
    """

    day: date
    rows: tuple[SpendRow, ...]

    @property
    def of_day(self) -> tuple[SpendRow, ...]:
        """The rows of the day itself."""
        return tuple(row for row in self.rows if row.day == self.day)

    @property
    def usd_day(self) -> Decimal:
        """The USD that the day has cost."""
        return sum_spend(self.of_day)

    @property
    def usd_month(self) -> Decimal:
        """The USD that the month has cost up to the end of the day."""
        return sum_spend(self.rows)

    @property
    def held(self) -> Decimal:
        """The USD that are reserved in the month."""
        return sum((row.reserved_usd for row in self.rows), ZERO)

    def sentence(self) -> str:
        """Describe the report in a sentence."""
        held = f"; {dollars(self.held)} held for requests under way or in doubt" if self.held else ""
        return f"{self.day:%A, %-d %B %Y}: {dollars(self.usd_day)}. The month so far: {dollars(self.usd_month)}{held}."


def spend_report(rows: Iterable[SpendRow], day: date) -> SpendReport:
    """Build the report on a day, of what the ledger has on record."""
    first = day.replace(day=1)
    return SpendReport(day, tuple(row for row in rows if first <= row.day <= day))


def sum_spend(rows: Iterable[SpendRow]) -> Decimal:
    """Sum what these rows have cost, USD."""
    return sum((row.spent_usd for row in rows), ZERO)


def spend_rows(report: SpendReport) -> list[dict[str, Any]]:
    """Build the rows of a table artifact.

    The month by day, newest first, campaign and model.
    """
    ordered = sorted(report.rows, key=lambda row: (-row.day.toordinal(), row.campaign, row.model))
    return [
        {
            "Day": row.day.isoformat(),
            "Campaign": row.campaign,
            "Model": row.model,
            "Requests": row.attempts,
            "Spent (USD)": f"{row.spent_usd:.3f}",
            "Held (USD)": f"{row.reserved_usd:.3f}",
        }
        for row in ordered
    ]


def spend_report_markdown(report: SpendReport, *, live: bool) -> str:
    """Format the report for a person.

    The sentence, then day and month by campaign and by model, then the month by day.
    """
    kind = "" if live else "Rehearsals: the amounts are what it would have cost; days are those of rehearsal time.\n\n"
    if not report.rows:
        return f"{kind}{report.sentence()} Nothing was sent this month."
    parts = [
        _build_totals(report, "Campaign", lambda row: row.campaign),
        _build_totals(report, "Model", lambda row: row.model),
        _build_days(report),
    ]
    return f"{kind}**{report.sentence()}**\n\n" + "\n\n".join(parts)


def _build_totals(report: SpendReport, what: str, name: Callable[[SpendRow], str]) -> str:
    by_name: dict[str, list[SpendRow]] = defaultdict(list)
    for row in report.rows:
        by_name[name(row)].append(row)
    most_first = sorted(by_name, key=lambda one: (-sum_spend(by_name[one]), one))
    rows = [[escaped(one), *_format_sums(by_name[one], report.day)] for one in most_first]
    return table((what, "That day", "Month so far", "Requests"), rows)


def _format_sums(rows: Sequence[SpendRow], day: date) -> list[str]:
    of_day = sum_spend(row for row in rows if row.day == day)
    return [dollars(of_day), dollars(sum_spend(rows)), f"{sum(row.attempts for row in rows):,}"]


def _build_days(report: SpendReport) -> str:
    days = sorted({row.day for row in report.rows}, reverse=True)
    of = {day: [row for row in report.rows if row.day == day] for day in days}
    rows = [[day.isoformat(), dollars(sum_spend(of[day])), f"{sum(row.attempts for row in of[day]):,}"] for day in days]
    return table(("Day", "Spent", "Requests"), rows)
