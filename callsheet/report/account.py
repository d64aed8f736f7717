"""Accounts as values and as Markdown: of a batch, and of a day and its month.

A batch's money against the budget, its requests against the quota; the cost of a day and of its month so far by
campaign, model and day. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from callsheet.ledger import SpendRow
from callsheet.ledger.quota import PACIFIC
from callsheet.plan.inputs import Money
from callsheet.report.format import dollars
from callsheet.report.markdown import counts, escaped, table

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class ModelUse:
    """Requests to one model, by all that share its quota.

    In the last minute and on this Pacific day. The limits are those in force now; None is unlimited. `full_until` is
    when a day that is used up ends.
    """

    model: str
    minute: int
    per_minute: int | None
    today: int
    per_day: int | None
    full_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """Money of the campaign and mode, the use of each model, and the quota's day end.

    Times of the clock. Only the bill can settle `usd_in_doubt` of the money.
    """

    money: Money
    models: tuple[ModelUse, ...]
    day_ends: datetime
    usd_in_doubt: Decimal = Decimal(0)


def spend_markdown(summary: Mapping[str, Any], account: Account) -> str:
    """Format what a run cost and made, and how much is left of budget and quota.

    `summary` is the object that `run --json` prints.
    """
    usd, rehearsal = summary["usd"], summary["mode"] == "rehearsal"
    rows = [
        ["List price of this batch, $0 charged" if rehearsal else "Spent by this batch", dollars(usd["spent"])],
        ["Estimated for this run", dollars(usd["estimated"])],
        *([kind.capitalize(), counts(summary[kind])] for kind in ("images", "videos", "cuts")),
        ["Shots", counts(summary["shots"])],
    ]
    parts = [
        "A rehearsal: the amounts are what it would have cost." if rehearsal else "",
        table((escaped(summary["batch"]), ""), rows),
        "#### Budget of the campaign",
        _format_budget(account.money, account.usd_in_doubt),
        "#### Quota",
        table(("Model", "Today", "Last minute", "Goes on"), [_format_use(one) for one in account.models]),
        f"Days are the provider's: this one ends on {_format_moment(account.day_ends)}"
        + (", by the rehearsal's clock." if rehearsal else "."),
    ]
    return "\n\n".join(part for part in parts if part)


def _format_budget(money: Money, in_doubt: Decimal) -> str:
    rows = [
        ["Spent, all editions", dollars(money.position.spent)],
        ["Held by requests under way", dollars(money.position.reserved)],
        *([["Of both in doubt: only the bill tells", dollars(in_doubt)]] if in_doubt else []),
    ]
    if money.left is None:
        return table(("Budget", "none is set"), rows)
    share = f" ({_format_percent(money.left, money.budget)})" if money.budget else ""
    return table(("Budget", dollars(money.budget)), [*rows, ["Left", f"**{dollars(money.left)}**{share}"]])


def _format_percent(part: Decimal | int, whole: Decimal | int | None) -> str:
    return f"{100 * part / whole:.0f} %" if whole else ""


def _format_use(one: ModelUse) -> list[str]:
    goes_on = _format_moment(one.full_until) if one.full_until else "now"
    return [
        escaped(one.model),
        _format_share(one.today, one.per_day),
        _format_share(one.minute, one.per_minute),
        goes_on,
    ]


def _format_share(used: int, limit: int | None) -> str:
    if limit is None:
        return f"{used:,}, no limit known"
    return f"{used:,} of {limit:,}" + (f" ({_format_percent(used, limit)})" if limit else "")


def _format_moment(moment: datetime) -> str:
    local = moment.astimezone(PACIFIC)
    return f"{local.day} {local:%b %H:%M} Pacific ({moment:%H:%M} UTC)"


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
