"""How the quotas of the live routes stand, for a person.

Read from settings, catalogue and ledger; sends nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from callsheet.batch.account import model_use
from callsheet.jobs.charges import spend_limits
from callsheet.ledger import Ledger
from callsheet.ledger.model_usage import Use
from callsheet.ledger.quota import WINDOW, QuotaLimits
from callsheet.ledger.spend_window import SPEND_WINDOW, pacific_month, stricter
from callsheet.models import Catalogue
from callsheet.providers.access import PLATFORMS, access_to
from callsheet.providers.routing import Scopes, scope_of
from callsheet.settings import Settings


@dataclass(frozen=True, slots=True)
class QuotaRow:
    """One model on one route.

    Its limits, which of them a 429 taught, and its use this minute and today (Pacific). `goes_on_at` is when the next
    request may be sent, None for now. `closed_since`: the provider refused for good.
    """

    route: str
    model: str
    per_minute: int | None
    per_day: int | None
    is_learned: bool
    this_minute: int
    today: int
    goes_on_at: datetime | None
    closed_since: datetime | None

    def as_json(self) -> dict[str, object]:
        """Return the row of `callsheet quota --json`."""
        return {
            "route": self.route,
            "model": self.model,
            "per_minute": self.per_minute,
            "per_day": self.per_day,
            "source": "learned" if self.is_learned else "catalogue",
            "this_minute": self.this_minute,
            "today": self.today,
            "goes_on_at": self.goes_on_at.isoformat() if self.goes_on_at else None,
            "closed_since": self.closed_since.isoformat() if self.closed_since else None,
        }


async def quota_rows(ledger: Ledger, settings: Settings, catalogue: Catalogue, now: datetime) -> list[QuotaRow]:
    """Return a row for each model that matters today.

    Those are models that were used today, that a 429 was about, or that are the catalogue's default.
    """
    scope_by_model = scope_of(settings, "live")
    rows: list[QuotaRow] = []
    for scope in scopes_of(settings):
        names = await _models(ledger, catalogue, scope, scope_by_model, now)
        used = await ledger.use_of(dict.fromkeys(names, scope), now)
        for name in names:
            model = catalogue.find(name)
            published = model.limits(settings.tier) if model else QuotaLimits()
            rows.append(quota_row(scope, name, used[name], QuotaLimits(published.rpm, published.rpd), now))
    return rows


def scopes_of(settings: Settings) -> list[str]:
    """Name whose quota each platform's requests use, with these settings."""
    access = access_to(settings, "live")
    return [access.scope(platform) for platform in PLATFORMS]


def quota_row(scope: str, model: str, use: Use, published: QuotaLimits, now: datetime) -> QuotaRow:
    """Make the row of a model from what is published and what is on record."""
    found = model_use(model, use, published, now)
    is_learned = found.per_minute != published.rpm or use.learned.day_until is not None
    return QuotaRow(
        route=scope,
        model=model,
        per_minute=found.per_minute,
        per_day=published.rpd,
        is_learned=is_learned,
        this_minute=found.minute,
        today=found.today,
        goes_on_at=_goes_on_at(use, found.per_minute, found.full_until, now),
        closed_since=use.closed_since,
    )


def _goes_on_at(use: Use, rpm: int | None, full_until: datetime | None, now: datetime) -> datetime | None:
    pause = use.learned.pause_until
    waits = [until for until in (full_until, pause) if until is not None and until > now]
    if rpm is not None and len(use.times) >= rpm:
        waits.append(use.times[-rpm] + WINDOW + timedelta(seconds=1))
    return max((until for until in waits if until > now), default=None)


async def _models(
    ledger: Ledger, catalogue: Catalogue, scope: str, scope_by_model: Scopes, now: datetime
) -> Sequence[str]:
    defaults = (catalogue.default_image, catalogue.default_video)
    names = {name for name in defaults if scope_by_model(name) == scope}
    names.update(await ledger.models_today(scope, now))
    names.update(row.model for row in await ledger.learned_rows(scope) if row.model)
    return sorted(names)


@dataclass(frozen=True, slots=True)
class RouteSpend:
    """USD of one route in ten minutes and this Pacific month, and their limits.

    What is held is included. `goes_on_at` is until when a 429 lets everything wait, None for now.
    """

    route: str
    last_10min: Decimal
    per_10min: Decimal | None
    this_month: Decimal
    per_month: Decimal | None
    is_learned: bool
    goes_on_at: datetime | None

    def as_json(self) -> dict[str, object]:
        """Return the row of `callsheet quota --json`."""
        return {
            "route": self.route,
            "last_10min_usd": float(self.last_10min),
            "per_10min_usd": None if self.per_10min is None else float(self.per_10min),
            "this_month_usd": float(self.this_month),
            "per_month_usd": None if self.per_month is None else float(self.per_month),
            "source": "learned" if self.is_learned else "tier or settings",
            "goes_on_at": self.goes_on_at.isoformat() if self.goes_on_at else None,
        }


async def spend_rows(ledger: Ledger, settings: Settings, catalogue: Catalogue, now: datetime) -> list[RouteSpend]:
    """Return a row for each live route whose money is limited.

    The limit is the tier's, the settings' or that of a 429.
    """
    rows: list[RouteSpend] = []
    for scope in scopes_of(settings):
        limits = spend_limits(settings, catalogue, scope)
        learned, pause = await ledger.learned_spend(scope, now)
        per_10min = stricter(limits.per_10min, learned)
        if per_10min is None and limits.per_month is None and pause is None:
            continue
        rows.append(
            RouteSpend(
                route=scope,
                last_10min=await ledger.sum_spending(scope, now - SPEND_WINDOW, now),
                per_10min=per_10min,
                this_month=await ledger.sum_spending(scope, pacific_month(now)[0], now),
                per_month=limits.per_month,
                is_learned=per_10min != limits.per_10min or pause is not None,
                goes_on_at=pause,
            )
        )
    return rows
