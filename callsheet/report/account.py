"""The account of a batch as values and as Markdown.

Money against the budget, requests against the quota.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from callsheet.ledger.quota import PACIFIC
from callsheet.plan.money import Money
from callsheet.report.format import dollars
from callsheet.report.markdown import counts, escaped, table


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

    Times of the clock.
    """

    money: Money
    models: tuple[ModelUse, ...]
    day_ends: datetime


def spend_markdown(summary: Mapping[str, Any], account: Account) -> str:
    """Format what a run cost and made, and how much is left of budget and quota.

    `summary` is the object that `run --json` prints.
    """
    usd = summary["usd"]
    rows = [
        ["Spent by this batch", dollars(usd["spent"])],
        ["Estimated for this run", dollars(usd["estimated"])],
        *([kind.capitalize(), counts(summary[kind])] for kind in ("images", "videos", "cuts")),
        ["Shots", counts(summary["shots"])],
    ]
    rehearsal = summary["mode"] == "rehearsal"
    parts = [
        "A rehearsal: the amounts are what it would have cost." if rehearsal else "",
        table((escaped(summary["batch"]), ""), rows),
        "#### Budget of the campaign",
        _format_budget(account.money),
        "#### Quota",
        table(("Model", "Today", "Last minute", "Goes on"), [_format_use(one) for one in account.models]),
        f"Days are the provider's: this one ends on {_format_moment(account.day_ends)}"
        + (", by the rehearsal's clock." if rehearsal else "."),
    ]
    return "\n\n".join(part for part in parts if part)


def budget_sentence(money: Money) -> str:
    """Format `$1.20 of $5.00 (24 %)`; without a budget what is spent or reserved."""
    committed = money.position.committed
    if not money.budget:
        return dollars(committed)
    return f"{dollars(committed)} of {dollars(money.budget)} ({_format_percent(committed, money.budget)})"


def _format_budget(money: Money) -> str:
    rows = [
        ["Spent, all editions", dollars(money.position.spent)],
        ["Held by requests under way", dollars(money.position.reserved)],
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
