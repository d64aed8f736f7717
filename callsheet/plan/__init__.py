"""What a batch will do before it does it: per shot what is made, reused or resumed, why, for how much, until when."""

from __future__ import annotations

from callsheet.plan.actions import NOUNS, Action, Kind, Plan, ShotPlan, What
from callsheet.plan.conditions import Conditions
from callsheet.plan.decide import clip_keys, frames_wanted, plan_shot
from callsheet.plan.forecast import Forecast
from callsheet.plan.known import Doubt, Known
from callsheet.plan.money import Money
from callsheet.plan.whole import plan_batch

__all__ = [
    "NOUNS",
    "Action",
    "Conditions",
    "Doubt",
    "Forecast",
    "Kind",
    "Known",
    "Money",
    "Plan",
    "ShotPlan",
    "What",
    "clip_keys",
    "frames_wanted",
    "plan_batch",
    "plan_shot",
]
