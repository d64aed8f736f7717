"""The service's core: what it accepts, refuses and counts, and its latency.

Quotas are pure functions: a sliding minute, and a day that turns at midnight Pacific. Knows no routes.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Literal
from zoneinfo import ZoneInfo

from starlette.responses import HTMLResponse, JSONResponse, Response

from callsheet.models import Catalogue, Model, load_catalogue
from callsheet.rehearsal import errors, faults
from callsheet.rehearsal.clock import continued_clock
from callsheet.rehearsal.config import Quota, RehearsalConfig
from callsheet.rehearsal.connections import Connections, Dropped
from callsheet.rehearsal.errors import RefusedError
from callsheet.rehearsal.faults import FaultRule, Kind, Script
from callsheet.rehearsal.media_pool import MediaPool
from callsheet.rehearsal.requests import ImageAsk, VideoAsk
from callsheet.rehearsal.state import State

_PLAIN_REFUSALS: Mapping[str, Callable[[], RefusedError]] = {
    "429-bare": errors.exhausted_bare,
    "429-credits": errors.credits_depleted,
    "429-cap": errors.over_the_cap,
    "402": errors.payment_required,
    "billing-off": errors.billing_off,
    "404": errors.refuse_retired,
    "500": errors.internal,
    "502": errors.bad_gateway,
    "503": errors.overloaded,
    "504": errors.deadline,
    "html-503": partial(errors.overloaded, "html"),
    "array-503": partial(errors.overloaded, "array"),
}
# Requests per day reset at midnight Pacific: ai.google.dev/gemini-api/docs/rate-limits, read 2026-11-21.
PACIFIC = ZoneInfo("America/Los_Angeles")
MINUTE_S = 60.0


class Service:
    """Everything the routes share. Made and used on one event loop."""

    def __init__(self, config: RehearsalConfig, connections: Connections) -> None:
        config.state_dir.mkdir(parents=True, exist_ok=True)
        self.config = config
        self.connections = connections
        self.state = State(config.state_dir / "rehearsal.db")
        self.clock = continued_clock(self.state, config.factor)
        self._catalogue = load_catalogue(config.catalogue)
        self.media = MediaPool(config.state_dir, prerender=config.prerender)
        self.requests: dict[str, int] = {}
        self.leases = 0
        self.deliveries: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.stopping = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._script = faults.load_script(config.script) if config.script else Script()

    @property
    def catalogue(self) -> Catalogue:
        """Return the catalogue with the prices of the clock's day."""
        return self._catalogue.price_at(self.clock.now())

    def keep(self, task: asyncio.Task[None]) -> None:
        """Keep a background task until it ends; the loop itself holds tasks only weakly."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop background work, finish what is being made and close the database."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.media.close()
        self.state.close()

    def replace_script(self, script: Script) -> None:
        """Play another failure script from now on; its counts begin at one."""
        self._script = script
        self.state.forget_counts()

    def now_s(self) -> float:
        """Return the seconds since 1970 on the service's clock."""
        return self.clock.now().timestamp()

    def retirement_day(self) -> date | None:
        """Return the real day, to judge retired models by; None serves them all."""
        return datetime.now(UTC).date() if self.config.strict_retirement else None

    def fault(self, kind: Kind, model: str, prompt: str = "") -> FaultRule | None:
        """Return the failure that the script plays for this request."""
        return faults.choose(self._script, self.state, kind, model, prompt)

    def check_quota(self, kind: str, model: str) -> None:
        """Raise the 429 of a model whose quota is used up."""
        limits, now = self.config.quota(model), self.clock.now()
        minute = self.state.times(model, now.timestamp() - MINUTE_S) if limits.rpm is not None else []
        today = self.state.count(model, day_start(now).timestamp()) if limits.rpd is not None else 0
        over = exceeded(limits, now, minute, today)
        if over is not None:
            raise errors.exhausted(model=model, kind=kind, per=over.per, limit=over.limit, retry_s=over.retry_s)

    def check_open(self, labels: tuple[tuple[str, str], ...]) -> None:
        """Raise a 499 for closed labels.

        Somebody was told that nothing was accepted with them.
        """
        if labels and self.state.is_closed(labels):
            raise errors.cancelled()

    def latency_s(self, model: Model, number: int) -> float:
        """Return how long the submission with this number takes.

        In seconds of the service's clock.
        """
        return self.config.latency.of(model).at(draw_share(number))

    async def before(self, rule: FaultRule | None, kind: str, model: str) -> Response | None:
        """Play what happens before acceptance.

        An error (raised) or a dropped connection (returned).
        """
        if rule is None:
            return None
        if rule.fault == "stall-before":
            await self.clock.sleep(rule.seconds)
        elif rule.fault == "drop-before":
            return Dropped(self.connections)
        elif rule.fault in faults.REFUSALS and not rule.accepted:
            raise self._build_refusal(rule, kind, model)
        return None

    async def after(self, rule: FaultRule | None, kind: str, model: str) -> Response | None:
        """Play what happens to the reply of accepted work."""
        if rule is None:
            return None
        if rule.fault == "stall":
            await self.clock.sleep(rule.seconds)
        elif rule.fault == "drop-after":
            return Dropped(self.connections)
        elif rule.fault in faults.REFUSALS and rule.accepted:
            raise self._build_refusal(rule, kind, model)
        return None

    def _build_refusal(self, rule: FaultRule, kind: str, model: str) -> RefusedError:
        if rule.fault in ("429-minute", "429-day"):
            per = rule.fault.removeprefix("429-")
            now = self.clock.now()
            wait = rule.seconds if per == "minute" else (day_end(now) - now).total_seconds()
            return errors.exhausted(model=model, kind=kind, per=per, limit=rule.limit, retry_s=wait)
        if rule.fault == "503" and rule.accepted:
            return errors.disconnected()
        return _PLAIN_REFUSALS[rule.fault]()


def draw_share(number: int) -> float:
    """Return a share (0 to 1) that depends only on the submission's number.

    It is where its latency lies among all.
    """
    return hashlib.sha256(f"latency {number}".encode()).digest()[0] / 255


def first_digest(ask: ImageAsk | VideoAsk) -> str:
    """Return the sha256 of the prompt, by which a test finds its submissions."""
    return hashlib.sha256(ask.prompt.encode()).hexdigest()


def new_id() -> str:
    """Return an id of 16 letters and digits, which all clients' parsers take."""
    return secrets.token_hex(8)


def answer_refusal(refusal: RefusedError) -> Response:
    """Return the answer of a refusal."""
    if refusal.form == "html":
        return HTMLResponse(refusal.html(), refusal.code)
    return JSONResponse(refusal.body(), refusal.code)


@dataclass(frozen=True, slots=True)
class Exceeded:
    """Which quota is used up, its value, and the seconds until a request passes."""

    per: Literal["minute", "day"]
    limit: int
    retry_s: float


def day_start(now: datetime) -> datetime:
    """Return the midnight Pacific that began the quota day of `now`, in UTC."""
    return now.astimezone(PACIFIC).replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)


def day_end(now: datetime) -> datetime:
    """Return the midnight Pacific that ends the quota day of `now`, in UTC.

    A day of summer time's change is 23 or 25 h.
    """
    # Noon first: a day later is then the next date even when the clocks change.
    noon = now.astimezone(PACIFIC).replace(hour=12, minute=0, second=0, microsecond=0)
    return day_start(noon + timedelta(days=1))


def exceeded(quota: Quota, now: datetime, minute: Sequence[float], today: int) -> Exceeded | None:
    """Return what refuses one more request, None when it may go.

    The day comes before the minute. `minute` holds the times (seconds since 1970, ascending) of the requests of the
    last minute.
    """
    if quota.rpd is not None and today >= quota.rpd:
        return Exceeded("day", quota.rpd, (day_end(now) - now).total_seconds())
    if quota.rpm is not None and len(minute) >= quota.rpm:
        # With room for none there is no request whose leaving would help.
        leaving = minute[-quota.rpm] if quota.rpm else now.timestamp()
        return Exceeded("minute", quota.rpm, max(1.0, leaving + MINUTE_S - now.timestamp()))
    return None
