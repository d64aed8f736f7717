"""The account of a batch as values and as Markdown: money against the budget, requests against the quota."""

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
    """Requests to one model, by all that share its quota: in the last minute and on this Pacific day.

    The limits are those in force now; None is unlimited. `full_until` is when a day that is used up ends.
    """

    model: str
    minute: int
    per_minute: int | None
    today: int
    per_day: int | None
    full_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """Money of the campaign and mode, the use of each model, and when the quota's day turns (times of the clock)."""

    money: Money
    models: tuple[ModelUse, ...]
    day_ends: datetime


def spend_markdown(summary: Mapping[str, Any], account: Account) -> str:
    """What a run cost and made, from the object that `run --json` prints, and how much is left of budget and quota."""
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
        _budget(account.money),
        "#### Quota",
        table(("Model", "Today", "Last minute", "Goes on"), [_use(one) for one in account.models]),
        f"Days are the provider's: this one ends on {_moment(account.day_ends)}"
        + (", by the rehearsal's clock." if rehearsal else "."),
    ]
    return "\n\n".join(part for part in parts if part)


def budget_sentence(money: Money) -> str:
    """`$1.20 of $5.00 (24 %)`; without a budget what is spent or held."""
    committed = money.position.committed
    if not money.budget:
        return dollars(committed)
    return f"{dollars(committed)} of {dollars(money.budget)} ({_percent(committed, money.budget)})"


def _budget(money: Money) -> str:
    rows = [
        ["Spent, all editions", dollars(money.position.spent)],
        ["Held by requests under way", dollars(money.position.reserved)],
    ]
    if money.left is None:
        return table(("Budget", "none is set"), rows)
    share = f" ({_percent(money.left, money.budget)})" if money.budget else ""
    return table(("Budget", dollars(money.budget)), [*rows, ["Left", f"**{dollars(money.left)}**{share}"]])


def _percent(part: Decimal | int, whole: Decimal | int | None) -> str:
    return f"{100 * part / whole:.0f} %" if whole else ""


def _use(one: ModelUse) -> list[str]:
    goes_on = _moment(one.full_until) if one.full_until else "now"
    return [escaped(one.model), _of(one.today, one.per_day), _of(one.minute, one.per_minute), goes_on]


def _of(used: int, limit: int | None) -> str:
    if limit is None:
        return f"{used:,}, no limit known"
    return f"{used:,} of {limit:,}" + (f" ({_percent(used, limit)})" if limit else "")


def _moment(moment: datetime) -> str:
    local = moment.astimezone(PACIFIC)
    return f"{local.day} {local:%b %H:%M} Pacific ({moment:%H:%M} UTC)"
