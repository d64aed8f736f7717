"""Whether the models named in a manifest exist, still run, and take what is asked of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date

from callsheet.manifest.draft import Draft
from callsheet.manifest.findings import Findings, shown
from callsheet.models import Catalogue, Finding, Model
from callsheet.models.schema import Kind

_Combination = tuple[object, ...]


@dataclass(slots=True)
class Legality:
    """The catalogue's word on one manifest; every distinct combination of values is judged once."""

    catalogue: Catalogue
    live: bool
    today: date
    findings: Findings
    _judged: dict[_Combination, list[Finding]] = field(default_factory=dict)
    _nearest: dict[tuple[str, Kind], str | None] = field(default_factory=dict)
    _warned: set[str] = field(default_factory=set)

    def model(self, draft: Draft, column: str, model_id: str, kind: Kind) -> Model | None:
        """The model if it can be used; if not, the reason is noted with the nearest one that can."""
        model = self.catalogue.find(model_id)
        if model is None:
            draft.problem(self.findings, column, f"unknown model {shown(model_id)}", *self._usable(model_id, kind))
            return None
        if model.kind != kind:
            what = f"{model_id} makes no {'pictures' if kind == 'image' else 'videos'}"
            draft.problem(self.findings, column, what, *self._usable(model_id, kind))
            return None
        if not model.driven:
            what = f"callsheet does not drive {model_id}: it is served on the {model.surface} surface"
            draft.problem(self.findings, column, what, *self._usable(model.replacement or model_id, kind))
            return None
        self._note_end(draft, column, model)
        return model

    def judge(
        self, draft: Draft, combination: _Combination, rules: Callable[[], list[Finding]], skip: frozenset[str]
    ) -> None:
        """Note what the rules find about a combination, but nothing about the columns in `skip`."""
        found = self._judged.get(combination)
        if found is None:
            found = self._judged[combination] = rules()
        for column, what, allowed, suggestion in found:
            if column not in skip:
                draft.problem(self.findings, column, what, allowed, suggestion)

    def _note_end(self, draft: Draft, column: str, model: Model) -> None:
        retired = model.retired(self.today)
        hint = f"use {model.replacement}" if model.replacement else ""
        if retired and self.live:
            what = f"{model.id} was shut down" + (f" on {model.retired_on}" if model.retired_on else "")
            draft.problem(self.findings, column, what, "allowed: models that still run", hint)
        elif (retired or model.status == "deprecated") and model.id not in self._warned:
            self._warned.add(model.id)
            what = f"{model.id} is deprecated" if not retired else f"{model.id} is shut down; a live run will refuse it"
            self.findings.warn(*draft.place_of(column), column, what, "", hint)

    def _usable(self, model_id: str, kind: Kind) -> tuple[str, str]:
        """What is allowed and the nearest of it, for a message."""
        key = (model_id, kind)
        if key not in self._nearest:
            default = self.catalogue.default_image if kind == "image" else self.catalogue.default_video
            self._nearest[key] = self.catalogue.nearest(model_id, kind) or default
        noun = "image" if kind == "image" else "video"
        return f"allowed: the {noun} models of `callsheet models`", f"the nearest is {self._nearest[key]}"
