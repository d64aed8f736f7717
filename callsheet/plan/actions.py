"""A plan as a value: the actions for each picture, clip and cut of each shot.

Each with what is done, why, and what it costs.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from callsheet.plan.forecast import Forecast
from callsheet.plan.money import Money
from callsheet.shots import Batch, Shot

What = Literal["create", "reuse", "resume", "parked", "waiting", "blocked", "failed"]
Kind = Literal["image", "video", "cut"]
NOUNS: dict[Kind, str] = {"image": "pictures", "video": "clips", "cut": "cuts"}
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Action:
    """One thing a shot needs: what will be done about it, why, and its cost (USD).

    `usd` is the cost when the request is answered at its first try; `extra_usd` may come on top of it. `job_key` is
    None while the job is not known: a clip whose frame is not chosen yet; `wish` then names all else that is asked.
    `how` is how a cut will be made, as far as that is known: copy, encode or crop. `until` is when a parked action goes
    on, None for one that the budget does not allow. `since` is when an operation under way was submitted. `list_usd` is
    the list price alone, of a picture without its words: what plan files of before 2026-12 say that it costs.
    """

    kind: Kind
    slot: str
    what: What
    why: str = ""
    usd: Decimal = ZERO
    job_key: str | None = None
    extra_usd: Decimal = ZERO
    model: str | None = None
    wish: str | None = None
    until: datetime | None = None
    since: datetime | None = None
    how: str = ""
    list_usd: Decimal | None = None

    @property
    def usd_high(self) -> Decimal:
        """The most it can cost."""
        return self.usd + self.extra_usd

    @property
    def sent(self) -> bool:
        """Return whether a paid request is to be sent for it, now or later."""
        return self.kind != "cut" and self.what in ("create", "parked")


@dataclass(frozen=True, slots=True)
class ShotPlan:
    """The actions of one shot.

    `complete` when every one of them is a reuse. `advice` says how its clip would serve its cuts better, "" when there
    is nothing to say.
    """

    shot: Shot
    actions: tuple[Action, ...]
    advice: str = ""

    @property
    def complete(self) -> bool:
        """Return whether everything wanted is in the archive and nothing is left to do."""
        return all(action.what == "reuse" for action in self.actions)

    @property
    def usd(self) -> Decimal:
        """The USD this shot still costs when every request is answered at its first try."""
        return sum((action.usd for action in self.actions), ZERO)

    @property
    def usd_high(self) -> Decimal:
        """The most this shot can cost."""
        return sum((action.usd_high for action in self.actions), ZERO)


@dataclass(frozen=True, slots=True)
class Plan:
    """The actions of a whole batch.

    `dropped` are shots that the manifest has no more (their files are kept). `money` and `forecast` are there when the
    plan was made with the circumstances of a run.
    """

    batch: Batch
    shots: tuple[ShotPlan, ...]
    dropped: tuple[str, ...] = ()
    money: Money | None = None
    forecast: Forecast | None = None

    @property
    def usd(self) -> Decimal:
        """The USD still to pay when every request is answered at its first try.

        Parked work counts.
        """
        return sum((plan.usd for plan in self.shots), ZERO)

    @property
    def usd_high(self) -> Decimal:
        """The most that is still to be paid.

        Requests whose answer is lost are paid for as well.
        """
        return sum((plan.usd_high for plan in self.shots), ZERO)

    def counts(self, kind: Kind) -> Counter[str]:
        """Count the actions of a kind, by what is done."""
        return Counter(action.what for plan in self.shots for action in plan.actions if action.kind == kind)

    @property
    def looks(self) -> int:
        """The most clips that Gemini is asked to look at.

        An answer that is stored is not asked for again.
        """
        return sum(1 for plan in self.shots for one in plan.actions if one.kind == "cut" and one.usd_high)

    def as_json(self) -> dict[str, object]:
        """Return the plan as `plan.json` and `callsheet plan --json` have it."""
        return {
            "batch": self.batch.name,
            "mode": self.batch.mode,
            "usd_estimated": float(self.usd),
            "usd_low": float(self.usd),
            "usd_high": float(self.usd_high),
            "budget": self.money.as_json() if self.money else None,
            "forecast": self.forecast.as_json() if self.forecast else None,
            "images": dict(self.counts("image")),
            "videos": dict(self.counts("video")),
            "cuts": dict(self.counts("cut")),
            "looks": {"create": self.looks},
            "shots": [_shot_as_json(plan) for plan in self.shots],
            "dropped": list(self.dropped),
        }


def _shot_as_json(plan: ShotPlan) -> dict[str, object]:
    return {
        "shot": plan.shot.id,
        "line": plan.shot.line,
        "usd": float(plan.usd),
        "usd_high": float(plan.usd_high),
        "advice": plan.advice,
        "actions": [_action_as_json(action) for action in plan.actions],
    }


def _action_as_json(action: Action) -> dict[str, object]:
    shown = {"kind": action.kind, "slot": action.slot, "what": action.what, "why": action.why, "usd": float(action.usd)}
    shown |= {"how": action.how} if action.how else {}
    return shown | ({"until": action.until.isoformat()} if action.until else {})
