"""The plan of a batch: what a run will do, before it does it.

Per shot what is made, reused or resumed, why, for how much, until when.
"""

from __future__ import annotations

from callsheet.plan.actions import NOUNS, Action, Kind, Plan, ShotPlan, What
from callsheet.plan.forecast import Forecast
from callsheet.plan.inputs import Conditions, Known, Money, UnexplainedFile
from callsheet.plan.plan_batch import plan_batch
from callsheet.plan.plan_shot import clip_keys, frames_wanted, plan_shot

__all__ = [
    "NOUNS",
    "Action",
    "Conditions",
    "Forecast",
    "Kind",
    "Known",
    "Money",
    "Plan",
    "ShotPlan",
    "UnexplainedFile",
    "What",
    "clip_keys",
    "frames_wanted",
    "plan_batch",
    "plan_shot",
]
