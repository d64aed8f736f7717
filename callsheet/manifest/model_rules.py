"""Checks of the models that a manifest names.

They exist, still run, and take what is asked of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

from callsheet.errors import Problem
from callsheet.manifest.columns import models_of
from callsheet.manifest.draft import Draft
from callsheet.manifest.problems import Findings, quote_value
from callsheet.models import Catalogue, Model, Refusal
from callsheet.models.controls import Region
from callsheet.models.schema import Kind, Platform

_Combination = tuple[object, ...]
# What a model refuses on a platform; None stands for any that serves it.
_Rules = Callable[[Model, Platform | None], list[Refusal]]


class PlatformOf(Protocol):
    """A function that returns which platform serves a request for a model.

    None when that is not known (no credentials).
    """

    def __call__(self, model: Model, *, about_people: bool) -> Platform | None:
        """Return the platform; `about_people`: the request says whether people may show."""
        ...


def any_platform(model: Model, *, about_people: bool) -> Platform | None:
    """Leave it open which platform serves the model."""
    return None


@dataclass(frozen=True, slots=True)
class Serving:
    """The platforms that requests go to, and the region they come from.

    Some regions have stricter rules about people.
    """

    platform_of: PlatformOf = any_platform
    regions: frozenset[Region] = frozenset()


ANYWHERE = Serving()


@dataclass(slots=True)
class Legality:
    """The catalogue's word on one manifest.

    Every distinct combination of values is judged once.
    """

    catalogue: Catalogue
    live: bool
    today: date
    findings: Findings
    serving: Serving = ANYWHERE
    _judged: dict[_Combination, tuple[list[Refusal], list[Refusal]]] = field(default_factory=dict)
    _nearest: dict[tuple[str, Kind], str | None] = field(default_factory=dict)
    _warned: set[str] = field(default_factory=set)

    def model(self, draft: Draft, column: str, model_id: str, kind: Kind) -> Model | None:
        """Return the model if it can be used.

        If not, the reason is noted with the nearest one that can.
        """
        model = self.catalogue.find(model_id)
        if model is None:
            draft.problem(
                self.findings, column, f"unknown model {quote_value(model_id)}", *self._suggest_usable(model_id, kind)
            )
            return None
        if model.kind != kind:
            what = f"{model_id} makes no {'pictures' if kind == 'image' else 'videos'}"
            draft.problem(self.findings, column, what, *self._suggest_usable(model_id, kind))
            return None
        if not model.driven:
            ended = f"{model_id} was shut down on {model.retired_on}; " if model.is_retired(self.today) else ""
            what = f"{ended}callsheet does not drive {model_id}: it is served on the {model.surface} surface"
            living = self.catalogue.find_replacement(model_id, self.today)
            allowed, nearest = self._suggest_usable(living or model_id, kind)
            draft.problem(self.findings, column, what, allowed, f"use {living}" if living else nearest)
            return None
        self._note_end(draft, column, model)
        return model

    def fallbacks(self, draft: Draft, column: str, kind: Kind) -> list[Model]:
        """Return the models of a list after its first; what is wrong with it is noted.

        One that is shut down, or takes nothing else of what is asked, is refused as the first is.
        """
        first, *others = models_of(draft.cells.get(column)) or ("",)
        repeated = next((name for n, name in enumerate(others, 1) if name in (first, *others[: n - 1])), None)
        if others and "" in (first, *others):
            draft.problem(self.findings, column, "a model is missing beside |", "allowed: models such as a | b")
        elif repeated:
            what = f"{quote_value(repeated)} is listed twice"
            draft.problem(self.findings, column, what, "allowed: each model once")
        found = (self.model(draft, column, name, kind) for name in dict.fromkeys(others) if name and name != first)
        return [model for model in found if model is not None]

    def judge(
        self, draft: Draft, model: Model, combination: _Combination, rules: tuple[_Rules, _Rules], skip: frozenset[str]
    ) -> None:
        """Note what is refused about a combination.

        Nothing about the columns in `skip`. The first rules hold for a model wherever it is served, the second for a
        request that is still to be sent, on the platform that it goes to.
        """
        found = self._judged.get(combination)
        if found is None:
            anywhere, here = rules
            always = anywhere(model, None)
            known = {finding.column for finding in always}
            platform = self.serving.platform_of(model, about_people=bool(draft.text("person_generation")))
            sent = here(model.in_restricted_regions() if self.serving.regions else model, platform)
            found = self._judged[combination] = always, [each for each in sent if each.column not in known]
        for column, what, allowed, suggestion in found[0]:
            if column not in skip:
                draft.problem(self.findings, column, what, allowed, suggestion)
        for finding in found[1]:
            if finding.column not in skip:
                draft.unsendable(self.findings, "image" if model.kind == "image" else "video", finding)

    def judge_region(self, draft: Draft, model: Model, *, pictures: bool, uploads: str) -> None:
        """Note what a model refuses where requests come from; pictures: one warning.

        `uploads` is the column that has a video sent, "" for none.
        """
        if uploads and (closed := sorted(self.serving.regions & model.no_video_uploads)):
            what = f"{model.id} takes no videos in this region ({', '.join(closed).upper()})"
            draft.unsendable(self.findings, "video", Refusal(uploads, what, "allowed: none", "name another model"))
        where = sorted(self.serving.regions & model.no_minors)
        place = f"{model.id} in {', '.join(where)}"
        if where and pictures and place not in self._warned:
            self._warned.add(place)
            what = f"{model.id} refuses pictures of minors in this region ({', '.join(where).upper()})"
            self.findings.warn(Problem(*draft.place_of("video_model"), "video_model", what, "", "show adults only"))

    def _note_end(self, draft: Draft, column: str, model: Model) -> None:
        retired = model.is_retired(self.today)
        living = self.catalogue.find_replacement(model.id, self.today)
        hint = f"use {living}" if living else ""
        names = models_of(draft.cells.get(column))
        later = names[names.index(model.id) + 1 :] if model.id in names else ()
        if retired and self.live and not any(self._runs(name) for name in later):
            what = f"{model.id} was shut down" + (f" on {model.retired_on}" if model.retired_on else "")
            draft.problem(self.findings, column, what, "allowed: models that still run", hint)
        elif (retired or model.status == "deprecated") and model.id not in self._warned:
            self._warned.add(model.id)
            ends = "the next model is asked" if self.live else "a live run will refuse it"
            what = f"{model.id} is deprecated" if not retired else f"{model.id} is shut down; {ends}"
            self.findings.warn(Problem(*draft.place_of(column), column, what, "", hint))

    def _runs(self, name: str) -> bool:
        model = self.catalogue.find(name)
        return model is not None and not model.is_retired(self.today)

    def _suggest_usable(self, model_id: str, kind: Kind) -> tuple[str, str]:
        """Return what is allowed and the nearest of it, for a message."""
        key = (model_id, kind)
        if key not in self._nearest:
            default = self.catalogue.default_image if kind == "image" else self.catalogue.default_video
            self._nearest[key] = self.catalogue.nearest(model_id, kind) or default
        noun = "image" if kind == "image" else "video"
        return f"allowed: the {noun} models of `callsheet models`", f"the nearest is {self._nearest[key]}"
