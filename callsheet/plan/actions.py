"""A plan as a value: the actions for each picture, clip and cut of each shot.

Each with what is done, why, and what it costs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal

from callsheet.manifest.left_out import LeftOut
from callsheet.plan.edited import name_edited
from callsheet.plan.forecast import Forecast
from callsheet.plan.inputs import Money
from callsheet.plan.planned_model import PlannedModel
from callsheet.shots import Batch, Shot

What = Literal["create", "reuse", "resume", "parked", "waiting", "blocked", "failed"]
Kind = Literal["image", "video", "cut"]
NOUNS: dict[Kind, str] = {"image": "pictures", "video": "clips", "cut": "cuts"}
ZERO = Decimal(0)
# What gives nothing in this run, nor does what would be made of it.
LEFT_OVER: tuple[What, ...] = ("waiting", "blocked", "failed")


@dataclass(frozen=True, slots=True)
class Action:
    """One thing a shot needs: what will be done about it, why, and its cost (USD).

    `usd` is the cost when the request is answered at its first try; `extra_usd` may come on top of it. `job_key` is
    None while the job is not known: a clip whose frame is not chosen yet; `wish` then names all else that is asked.
    `how` is how a cut will be made, as far as that is known: copy, encode or crop. `until` is when a parked action goes
    on, None for one that the budget does not allow. `since` is when an operation under way was submitted. `list_usd` is
    the list price alone, of a picture without its words: what plan files of before 2026-12 say that it costs.
    `fallbacks` are asked when the model takes nothing, at `dearest_usd` at most. `is_chosen`: of several clips of its
    frame it is the one that goes on.
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
    fallbacks: tuple[str, ...] = ()
    dearest_usd: Decimal | None = None
    is_chosen: bool = False

    @property
    def usd_held(self) -> Decimal:
        """What the budget must have room for: by the dearest model that may be asked."""
        return self.usd if self.dearest_usd is None else max(self.usd, self.dearest_usd)

    @property
    def usd_high(self) -> Decimal:
        """The most it can cost."""
        return self.usd + self.extra_usd

    @property
    def sent(self) -> bool:
        """Return whether a paid request is to be sent for it, now or later."""
        return self.kind != "cut" and self.what in ("create", "parked")

    @property
    def is_to_be_paid(self) -> bool:
        """Return whether a paid request is to be sent, perhaps after a person's choice."""
        return self.sent or (self.what == "waiting" and self.job_key is None and self.kind != "cut")

    @property
    def needs_route(self) -> bool:
        """Return whether the provider is to be asked for something.

        Now, later, or once a person has chosen.
        """
        return self.is_to_be_paid or self.since is not None


@dataclass(frozen=True, slots=True)
class ShotPlan:
    """The actions of one shot.

    `complete` when every one of them is a reuse and nothing is to be chosen. `advice` says how its clip would serve its
    cuts better, "" when there is nothing to say. `choice` is how one of its takes is still to be chosen for the shots
    that are made of it, or ("clips") one of several clips.
    """

    shot: Shot
    actions: tuple[Action, ...]
    advice: str = ""
    choice: Literal["", "scores", "approval", "clips"] = ""

    @property
    def complete(self) -> bool:
        """Return whether everything wanted is in the archive and nothing is left to do."""
        return all(action.what == "reuse" for action in self.actions) and not self.choice

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
    plan was made with the circumstances of a run. `unreachable` are models that no credentials lead to, with what to
    set; without any credentials at all (`has_credentials`) nothing is parked for it, since a run would not begin.
    `models` are those that are still to be paid, `routes` the names of the routes, by model. `left_out` are shots whose
    rows are wrong: they are not planned. `places` are the ids of all shots of the manifest, in its order, those too
    that are left out: shards are stretches of them, so that they stay the same when a row is mended.
    """

    batch: Batch
    shots: tuple[ShotPlan, ...]
    dropped: tuple[str, ...] = ()
    money: Money | None = None
    forecast: Forecast | None = None
    unreachable: Mapping[str, str] = field(default_factory=dict)
    has_credentials: bool = True
    models: tuple[PlannedModel, ...] = ()
    routes: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()
    places: tuple[str, ...] = ()

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

    def cut_off(self) -> dict[str, list[str]]:
        """Return the shots that cannot be finished, by the credentials to set."""
        found: dict[str, list[str]] = {}
        for item in self.shots:
            models = [a.model for a in item.actions if a.model in self.unreachable and a.needs_route]
            for why in dict.fromkeys(self.unreachable[model] for model in models if model):
                found.setdefault(why, []).append(item.shot.id)
        return found

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
            "models": [model.as_json() for model in self.models],
            "shots": [_shot_as_json(plan, self.routes) for plan in self.shots],
            "dropped": list(self.dropped),
            **({"left_out": [each.as_json() for each in self.left_out]} if self.left_out else {}),
            "cut_off": [{"why": why, "shots": shots} for why, shots in self.cut_off().items()],
        }


def _shot_as_json(plan: ShotPlan, routes: Mapping[str, str]) -> dict[str, object]:
    return {
        "shot": plan.shot.id,
        "line": plan.shot.line,
        "usd": float(plan.usd),
        "usd_high": float(plan.usd_high),
        "advice": plan.advice,
        **({"edit_of": edited} if (edited := name_edited(plan.shot)) else {}),
        **({"choice": plan.choice} if plan.choice else {}),
        "actions": [_action_as_json(action, routes) for action in plan.actions],
    }


def _action_as_json(action: Action, routes: Mapping[str, str]) -> dict[str, object]:
    shown = {"kind": action.kind, "slot": action.slot, "what": action.what, "why": action.why, "usd": float(action.usd)}
    shown |= {"how": action.how} if action.how else {}
    shown |= {"chosen": True} if action.is_chosen else {}
    if action.model:
        each = None if action.list_usd is None else float(action.list_usd)
        shown |= {"model": action.model, "route": routes.get(action.model, ""), "usd_each": each}
        shown |= {"fallbacks": list(action.fallbacks)} if action.fallbacks else {}
    return shown | ({"until": action.until.isoformat()} if action.until else {})
