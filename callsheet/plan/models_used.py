"""The models that a plan pays for: routes, prices, alternatives and fallbacks.

Where a shot names several, what is planned is the model that is asked, and what it may cost is the dearest that may be
asked after it. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Literal

from callsheet.errors import CatalogueError
from callsheet.ledger import Job, JobState
from callsheet.models import Catalogue, Model
from callsheet.models.guidance_rules import guidance_findings
from callsheet.models.rules import PictureValues, VideoValues, image_findings, person_word, video_findings, video_task
from callsheet.models.schema import Platform
from callsheet.plan.actions import ZERO, Action, ShotPlan
from callsheet.plan.extensions import ClipSlot, read_clip_slot
from callsheet.plan.inputs import Known, RouteName
from callsheet.plan.planned_model import Alternative, PlannedModel, Step
from callsheet.plan.requests import take_estimate
from callsheet.shots import Shot

Kind = Literal["image", "video"]
_UNSENT = (JobState.PLANNED, JobState.RESERVED)


def list_models(
    items: Sequence[ShotPlan], catalogue: Catalogue, routes: Mapping[str, RouteName], today: date
) -> tuple[PlannedModel, ...]:
    """Return the models of all requests still to be sent, in the plan's order."""
    found: dict[tuple[Kind, str, Decimal, Step | None, tuple[str, ...]], list[Shot]] = defaultdict(list)
    kinds: tuple[Kind, ...] = ("image", "video")
    for kind in kinds:
        for item in items:
            for action in item.actions:
                if action.kind == kind and action.is_to_be_paid and action.model and action.list_usd is not None:
                    what = (kind, action.model, action.list_usd, _find_step(action), action.fallbacks)
                    found[what].append(item.shot)
    return tuple(
        PlannedModel(
            kind, model, routes[model].name if model in routes else "", usd, len(shots),
            tuple(dict.fromkeys(shot.id for shot in shots)),
            ()
            if step
            else (
                *find_fallbacks(others, shots, catalogue, routes),
                *_find_alternatives(catalogue.get(model), shots, catalogue, _without(routes, others), today),
            ),
            step,
        )
        for (kind, model, usd, step, others), shots in found.items()
    )  # fmt: skip


def _find_step(action: Action) -> Step | None:
    place = read_clip_slot(action.slot) if action.kind == "video" else ClipSlot()
    return None if not place.step else "edit" if place.is_edit else "extend"


def _without(routes: Mapping[str, RouteName], fallbacks: Sequence[str]) -> Mapping[str, RouteName]:
    """Return the routes but for models that the sheet names itself, after the first."""
    return {name: route for name, route in routes.items() if name not in fallbacks}


def _find_alternatives(
    model: Model, shots: Sequence[Shot], catalogue: Catalogue, routes: Mapping[str, RouteName], today: date
) -> Iterator[Alternative]:
    """Yield the cheapest model that makes the same for less, and a better one.

    For a model without a route: the cheapest that has one, whatever it costs.
    """
    different = {(_values_of(model, shot), shot.guidance): shot for shot in shots}
    priced: dict[str, tuple[Decimal, Decimal]] = {}
    for other in catalogue.models(model.kind):
        if other.id != model.id and other.id in routes and _is_recommended(other, today):
            price = _price_all(other, shots)
            if price is not None and _takes_all(other, different.values(), routes[other.id].platform):
                priced[other.id] = price
    price = _price_all(model, shots)
    usd = price[1] if price else ZERO
    cheapest = min(priced, key=lambda name: priced[name][1], default=None)
    if cheapest and model.id not in routes:
        yield Alternative(cheapest, "reachable", routes[cheapest].name, *priced[cheapest])
    elif cheapest and priced[cheapest][1] < usd:
        yield Alternative(cheapest, "cheaper", routes[cheapest].name, *priced[cheapest])
    better = next((name for name in catalogue.list_better(model.id) if name in priced), None)
    if better and better != cheapest:
        yield Alternative(better, "better", routes[better].name, *priced[better])


def _is_recommended(model: Model, today: date) -> bool:
    return model.driven and model.status in ("live", "preview") and not model.is_retired(today)


def _price_all(model: Model, shots: Sequence[Shot]) -> tuple[Decimal, Decimal] | None:
    """Return what one costs and what all cost; None where the catalogue has no price."""
    try:
        prices = [_price_listed(model, shot) for shot in shots]
    except CatalogueError:
        return None
    return prices[0], sum(prices, ZERO)


def _takes_all(model: Model, shots: Iterable[Shot], platform: Platform) -> bool:
    """Return whether the model takes all that is asked of these shots."""
    return not any(_find_refusals(model, shot, platform) for shot in shots)


def _find_refusals(model: Model, shot: Shot, platform: Platform) -> bool:
    values = _values_of(model, shot)
    guidance = guidance_findings(model, shot.guidance, platform) if model.kind == "image" or not shot.takes else []
    if isinstance(values, PictureValues):
        return bool(image_findings(model, values, platform) or guidance)
    fits = model.prompt_tokens is None or len(shot.motion_prompt or "") <= 4 * model.prompt_tokens
    return not fits or bool(video_findings(model, values, platform) or guidance)


def _values_of(model: Model, shot: Shot) -> PictureValues | VideoValues:
    """Return what the shot asks for, in the model's own words about people."""
    if model.kind == "image":
        person = shot.person_generation and person_word(shot.person_generation, model.person_values("image"))
        size, is_edit = shot.image_size, shot.edits_file or shot.edit_of is not None
        return PictureValues(shot.aspect_ratio, size, shot.input_pictures, person, shot.seed, is_edit)
    kept_to = shot.kept_references
    words = model.person_values(video_task(shot.takes > 0, len(kept_to)))
    return VideoValues(
        aspect_ratio=shot.video_aspect_ratio or "",
        resolution=shot.resolution or "",
        duration_s=shot.duration_s or 0,
        has_first_frame=shot.takes > 0,
        has_last_frame=shot.last_frame is not None,
        seed=shot.seed,
        person_generation=shot.person_generation and person_word(shot.person_generation, words),
        references=len(kept_to),
        styles=sum(one.is_style for one in kept_to),
        extend=shot.extend,
        edits=len(shot.clip_edits),
    )


def list_models_of(shot: Shot, kind: str) -> tuple[str, ...]:
    """Return the models that may be asked for a shot's pictures or clips, in order."""
    first, others = (
        (shot.image_model, shot.image_fallbacks) if kind == "image" else (shot.video_model or "", shot.video_fallbacks)
    )
    return (first, *others)


def with_image_model(shot: Shot, model: Model) -> Shot:
    """Return the shot as its pictures are asked of a model of its list."""
    if model.id == shot.image_model:
        return shot
    person = shot.person_generation and person_word(shot.person_generation, model.person_values("image"))
    return replace(shot, image_model=model.id, person_generation=person)


def with_video_model(shot: Shot, model: Model) -> Shot:
    """Return the shot as its video is asked of a model of its list."""
    if model.id == shot.video_model:
        return shot
    words = model.person_values(video_task(shot.takes > 0, len(shot.kept_references)))
    person = shot.video_person_generation or shot.person_generation
    return replace(shot, video_model=model.id, video_person_generation=person and person_word(person, words))


def price_fallbacks(shot: Shot, actions: Sequence[Action], known: Known, catalogue: Catalogue) -> list[Action]:
    """Return the actions at the prices of the models that are asked, or may be."""
    if not (shot.image_fallbacks or shot.video_fallbacks):
        return list(actions)
    return [
        action if action.kind == "cut" else _price_action(action, shot, known.jobs.get(action.job_key or ""), catalogue)
        for action in actions
    ]


def find_fallbacks(
    names: Sequence[str], shots: Sequence[Shot], catalogue: Catalogue, routes: Mapping[str, RouteName]
) -> Iterator[Alternative]:
    """Yield the models that are asked when the one before takes nothing."""
    for name in names:
        prices = [_price_listed(catalogue.get(name), shot) for shot in shots]
        route = routes[name].name if name in routes else ""
        yield Alternative(name, "fallback", route, prices[0], sum(prices, Decimal(0)))


def _price_action(action: Action, shot: Shot, job: Job | None, catalogue: Catalogue) -> Action:
    """Return the action at the prices of the models that may still be asked.

    What is in doubt, or was sent, stays with its model.
    """
    names = list_models_of(shot, action.kind)
    if len(names) == 1:
        return action
    asked = job.model if job and job.model in names else names[0]
    left = names[names.index(asked) + 1 :] if job is None or job.state in _UNSENT else ()
    first, now, *later = (_reserve_for(catalogue.get(name), shot) for name in (names[0], asked, *left))
    dearest = max([now, *later])
    if not first:
        return replace(action, model=asked, fallbacks=left)
    once, all_in_all = action.usd / first, action.usd_high / first
    return replace(
        action,
        model=asked,
        usd=once * now,
        extra_usd=all_in_all * dearest - once * now,
        list_usd=_price_listed(catalogue.get(asked), shot),
        fallbacks=left,
        dearest_usd=once * dearest,
    )


def _reserve_for(model: Model, shot: Shot) -> Decimal:
    """Return what is reserved for one picture or clip (USD)."""
    return take_estimate(model, with_image_model(shot, model)) if model.kind == "image" else _price_listed(model, shot)


def _price_listed(model: Model, shot: Shot) -> Decimal:
    if model.kind == "image":
        return model.image_price(shot.image_size)
    return model.video_price(shot.resolution, shot.duration_s)
