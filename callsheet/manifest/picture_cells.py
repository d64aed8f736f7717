"""The cells of a shot that name what is sent with its prompt, and guidance.

Pictures are opened, looked at, and held against what the model takes; so are style, safety and thinking. Takes of other
shots that videos keep to have an order to be made in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from callsheet.errors import CallsheetError
from callsheet.manifest.chains import Link, Links, ReferenceReader
from callsheet.manifest.columns import COLUMNS, MAX_CHAIN, items_of
from callsheet.manifest.draft import Draft
from callsheet.manifest.inputs import InputFiles, InputKind, Refused
from callsheet.manifest.problems import Findings, did_you_mean, quote_value
from callsheet.models import Model, Refusal
from callsheet.models.controls import ALL_CATEGORIES, THINKING, THRESHOLDS, category_word, threshold_word
from callsheet.shots import CHOSEN, Guidance, Reference

PaidKind = Literal["image", "video"]
# All that is sent with a prompt, in base64 (blog.google, "gemini-api-new-file-limits", 2026-01-12: 20 MB until then).
MAX_REQUEST_BYTES = 100_000_000
# The word for what the model does unless it is told otherwise: nothing is sent.
DEFAULT = "default"
COLUMN = "video_references"
# A take of this manifest, and no file or URI.
_TAKE = re.compile(rf"[^:/\\]+:(?:{CHOSEN}|[0-9]+)\Z", re.IGNORECASE)
_STYLE = re.compile(r"style\s*=\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PictureCells:
    """Opens the pictures that the shots of one manifest name."""

    findings: Findings
    inputs: InputFiles
    kind: InputKind

    def open(self, draft: Draft, column: str) -> tuple[Reference, ...]:
        """Return the pictures that a cell names; those that cannot be used are noted."""
        cell = draft.cells.get(column)
        locations = items_of(cell) if COLUMNS[column].kind == "list" else ((draft.text(column) or "",) if cell else ())
        opened = (self.open_one(draft, column, location) for location in locations)
        return tuple(picture for picture in opened if picture is not None)

    def open_one(self, draft: Draft, column: str, location: str) -> Reference | None:
        """Return the picture at a location; None, noted, when it cannot be used."""
        opened = self.inputs.open(location, self.kind)
        if isinstance(opened, Refused):
            draft.problem(self.findings, column, opened.what, opened.allowed, opened.suggestion)
            return None
        return opened

    def note_damage(self, draft: Draft, column: str, pictures: Iterable[Reference], kind: PaidKind) -> None:
        """Note pictures that cannot be decoded: their requests are not sent."""
        damaged = (self.inputs.damage_of(picture) for picture in pictures)
        shot = f", in shot {draft.text('id')}"
        found = [
            Refusal(column, damage + shot, "allowed: whole pictures", "save it anew") for damage in damaged if damage
        ]
        self.note_unsendable(draft, kind, found)

    def note_unsendable(self, draft: Draft, kind: PaidKind, findings: Iterable[Refusal]) -> None:
        """Note what keeps requests of a kind from being sent."""
        for finding in findings:
            draft.unsendable(self.findings, kind, finding)

    def note_unfit(self, draft: Draft, pictures: Mapping[str, Iterable[Reference]], model: Model | None) -> None:
        """Note pictures of a request, by column, that a model does not take."""
        if model is None:
            return
        kind: PaidKind = "image" if model.kind == "image" else "video"
        found, total, largest = [], 0, ("", 0)
        for column, some in pictures.items():
            for picture in some:
                refusal, size = self._measure(picture, column, model)
                found += [refusal] if refusal else []
                total, largest = total + 4 * -(-size // 3), max(largest, (column, size), key=lambda one: one[1])
        if not found and total > MAX_REQUEST_BYTES:
            what = f"all pictures of the request have {total} bytes as they are sent (base64)"
            allowed = f"allowed: at most {MAX_REQUEST_BYTES} in all"
            found = [Refusal(largest[0], what, allowed, "shrink them, or name fewer")]
        self.note_unsendable(draft, kind, found)

    def _measure(self, picture: Reference, column: str, model: Model) -> tuple[Refusal | None, int]:
        """Return why a model does not take a picture, and its size as it is sent to it."""
        try:
            size = self.inputs.measure_sent(picture, model.mime_types)
        except CallsheetError as error:
            return Refusal(column, f"{picture.uri}: {error}", "", "save it anew"), picture.size
        if size <= model.max_bytes:
            return None, size
        upright = "" if size == picture.size else " as it is sent (upright, in a type that the model takes)"
        allowed = f"allowed for {model.id}: at most {model.max_bytes}"
        return Refusal(column, f"{picture.uri} has {size} bytes{upright}", allowed, "shrink it"), size


def read_guidance(draft: Draft, findings: Findings, kind: PaidKind) -> Guidance:
    """Return what a shot's cells ask for; values that are none are noted."""
    instruction = draft.text("system_instruction")
    reader = _GuidanceReader(draft, findings, kind)
    return Guidance(
        system_instruction=None if instruction == DEFAULT else instruction,
        safety=reader.read_safety(),
        thinking=reader.read_thinking(),
    )


_SWITCH = {**dict.fromkeys(("on", "yes", "true"), True), **dict.fromkeys(("off", "no", "false"), False)}


_SWITCHED: dict[str, tuple[PaidKind, ...]] = {"fallback_on_quota": ("image", "video")}


def read_switch(draft: Draft, findings: Findings, column: str) -> bool | None:
    """Return whether a cell says on or off, None for the model's own way."""
    text = draft.text(column) or DEFAULT
    if text.casefold() not in (*_SWITCH, DEFAULT):
        finding = Refusal(column, f"{quote_value(text)} is neither on nor off", "allowed: on, off, default")
        for kind in _SWITCHED.get(column, ("video",)):
            draft.unsendable(findings, kind, finding)
    return _SWITCH.get(text.casefold())


class _GuidanceReader:
    def __init__(self, draft: Draft, findings: Findings, kind: PaidKind) -> None:
        self._draft = draft
        self._findings = findings
        self._kind = kind

    def read_thinking(self) -> str | None:
        word = (self._draft.text("thinking") or DEFAULT).casefold()
        if word == DEFAULT:
            return None
        if word not in THINKING:
            self._note("thinking", f"{quote_value(word)} is no level of thinking", (DEFAULT, *THINKING), word)
            return None
        return word

    def read_safety(self) -> tuple[tuple[str, str], ...]:
        """Return categories and thresholds in the provider's words, in a fixed order."""
        found: dict[str, str] = {}
        for item in items_of(self._draft.cells.get("safety")):
            name, separator, value = item.replace(":", "=", 1).partition("=")
            if not separator and item.casefold() == DEFAULT:
                continue
            threshold = threshold_word(value if separator else name)
            names = (category_word(name),) if separator else ALL_CATEGORIES
            if threshold is None:
                self._note("safety", f"{quote_value(item)} names no threshold", tuple(THRESHOLDS), value or name)
            elif None in names:
                allowed = tuple(each.removeprefix("HARM_CATEGORY_").lower() for each in ALL_CATEGORIES)
                self._note("safety", f"{quote_value(item)} names no category of harm", allowed, name)
            else:
                found.update({category: threshold for category in names if category})
        return tuple(sorted(found.items()))

    def _note(self, column: str, what: str, allowed: tuple[str, ...], written: str) -> None:
        hint = did_you_mean(written.strip().casefold(), allowed)
        finding = Refusal(column, what, f"allowed: {', '.join(allowed)}", hint)
        self._draft.unsendable(self._findings, self._kind, finding)


@dataclass(frozen=True, slots=True)
class ReferenceItem:
    """One item of the cell: the place of a file or the name of a take.

    `is_style`: the video takes its style from it, and not its subject.
    """

    text: str
    is_style: bool = False

    @property
    def names_take(self) -> bool:
        """Return whether it is a take of this manifest."""
        return _TAKE.match(self.text) is not None


def reference_items(draft: Draft) -> tuple[ReferenceItem, ...]:
    """Return what a shot's video is to keep to, in the order of the cell."""
    items = items_of(draft.cells.get(COLUMN))
    return tuple(ReferenceItem(_STYLE.sub("", item, count=1), bool(_STYLE.match(item))) for item in items)


def add_video_links(drafts: Sequence[Draft], links: Links, findings: Findings) -> Links:
    """Return the links with those of videos; wrong ones are noted and left out."""
    with_cells = {index: draft for index, draft in enumerate(drafts) if COLUMN in draft.cells}
    if not with_cells:
        return links
    reader = ReferenceReader(drafts, findings)
    found: dict[int, dict[str, Link]] = {}
    for index, draft in with_cells.items():
        names = (item.text for item in reference_items(draft) if item.names_take)
        found[index] = {name: link for name in names if (link := reader.read(draft, COLUMN, name))}
    edges = {index: [link.parent for link in each.values()] for index, each in found.items()}
    for index, link in links.of.items():
        edges.setdefault(index, []).append(link.parent)
    wrong = _note_wrong_order(drafts, edges, found.keys(), findings)
    videos = {index: each for index, each in found.items() if each and index not in wrong}
    return replace(links, videos={drafts[index].text("id") or "": each for index, each in videos.items()})


def _note_wrong_order(
    drafts: Sequence[Draft], edges: Mapping[int, Sequence[int]], places: Iterable[int], findings: Findings
) -> set[int]:
    """Note the videos that lead in a circle or too far; return their places."""
    depths = _measure_depths(edges)
    stuck = _find_circles({child: parents for child, parents in edges.items() if child not in depths})
    wrong = set()
    for index in places:
        if index not in depths:
            wrong.add(index)
        if index in stuck:
            hint = "name a picture of a shot that is made without this one"
            drafts[index].problem(findings, COLUMN, "this leads in a circle", "allowed: takes of other shots", hint)
        elif depths.get(index, 0) > MAX_CHAIN:
            wrong.add(index)
            what = f"this is made after {depths[index]} others, one after the other"
            drafts[index].problem(findings, COLUMN, what, f"allowed: at most {MAX_CHAIN}")
    return wrong


def _measure_depths(edges: Mapping[int, Sequence[int]]) -> dict[int, int]:
    """Return how many are made before each, one after the other.

    What leads in a circle, or to one, is left out.
    """
    children: dict[int, list[int]] = {}
    for child, parents in edges.items():
        for parent in set(parents):
            children.setdefault(parent, []).append(child)
    waiting = {child: len(set(parents)) for child, parents in edges.items() if parents}
    ready = [node for node in {*children, *edges} if node not in waiting]
    depths = dict.fromkeys(ready, 0)
    while ready:
        node = ready.pop()
        for child in children.get(node, ()):
            depths[child] = max(depths.get(child, 0), depths[node] + 1)
            waiting[child] -= 1
            if waiting[child] == 0:
                ready.append(child)
    return {node: depth for node, depth in depths.items() if not waiting.get(node)}


def _find_circles(edges: Mapping[int, Sequence[int]]) -> set[int]:
    """Return the nodes on circles, without those that only lead to one."""
    left = set(edges)
    while True:
        wanted = {parent for node in left for parent in edges[node]}
        if left <= wanted:
            return left
        left &= wanted
