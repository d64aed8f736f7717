"""Chains of edits: `edits` become shots, and `edit_of` finds the shot it means."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from callsheet.errors import Problem
from callsheet.manifest.columns import COLUMNS, MAX_CHAIN, MAX_PROBLEMS, MAX_SHOTS, Cell, instructions_of, items_of
from callsheet.manifest.draft import Draft
from callsheet.manifest.problems import Findings, did_you_mean, quote_value
from callsheet.shots import CHOSEN, Shot

_REFERENCE = re.compile(rf"([^:]+)(?::({CHOSEN}|[1-9][0-9]?))?\Z", re.IGNORECASE)
_ALLOWED = "allowed: a shot of this manifest, such as kite, kite:2 or kite:chosen"
# A picture's file by its path, address or ending.
_FILE = re.compile(r".*[/\\].*|.*\.(?:png|jpe?g|webp|gif|hei[cf])\Z", re.IGNORECASE | re.DOTALL)
# What is said of the last picture of a chain, not of the one that it begins with.
_OF_THE_LAST = frozenset(name for name, column in COLUMNS.items() if column.video) | {"motion_prompt"}
# What is said of the first picture alone.
_OF_THE_FIRST = frozenset({"id", "prompt", "takes", "select", "reference_images", "edit_of", "edits"})


@dataclass(frozen=True, slots=True)
class Link:
    """The place of the draft that one is made of, and the take; None: the chosen."""

    parent: int
    take: int | None


@dataclass(frozen=True, slots=True)
class Links:
    """The links between the drafts of a manifest, by the place of the child."""

    of: Mapping[int, Link] = field(default_factory=dict)
    #: The places whose picture is made from a file.
    files: frozenset[int] = frozenset()
    #: The takes that videos keep to, by the id of their shot and the text that names them.
    videos: Mapping[str, Mapping[str, Link]] = field(default_factory=dict)

    @property
    def parents(self) -> frozenset[int]:
        """Return the places of the drafts that something is made of."""
        of_videos = (link for links in self.videos.values() for link in links.values())
        return frozenset(link.parent for link in (*self.of.values(), *of_videos))


@dataclass(frozen=True, slots=True)
class Chains:
    """All drafts of a manifest and their links; `built` are the shots so far."""

    drafts: Sequence[Draft]
    links: Links
    parents: frozenset[int]
    built: dict[int, Shot] = field(default_factory=dict)


def expand_edits(drafts: Sequence[Draft], findings: Findings) -> list[Draft]:
    """Return the drafts, each followed by a draft for each of its edits."""
    found = [part for draft in drafts for part in _expand(draft, findings)]
    if len(found) > MAX_SHOTS >= len(drafts):
        place = drafts[0].place_of("edits")
        what = f"with its edits this has {len(found)} shots"
        findings.problem(Problem(*place, "edits", what, f"allowed: at most {MAX_SHOTS}"))
        return []
    return found


def name_parents(text: str) -> tuple[str, ...]:
    """Return the shot that a text names a take of, if it does."""
    match = _REFERENCE.match(text.strip())
    return (match[1].strip(),) if match else ()


def read_links(drafts: Sequence[Draft], findings: Findings) -> Links:
    """Return which drafts are made of which; wrong links are noted and left out."""
    reader = ReferenceReader(drafts, findings)
    named = {index: draft.text("edit_of") or "" for index, draft in enumerate(drafts) if "edit_of" in draft.cells}
    files = frozenset(index for index, text in named.items() if reader.names_file(text))
    links = {
        index: link
        for index, text in named.items()
        if index not in files and (link := reader.read(drafts[index], "edit_of", text))
    }
    for index in (*links, *files):
        if _count_takes(drafts[index]) == 0:
            drafts[index].problem(findings, "edit_of", "0 takes make no picture", "allowed: 1 to 20", "raise takes")
    return Links(_without_circles(drafts, links, findings), files)


def read_clip_edits(draft: Draft, findings: Findings) -> tuple[str, ...]:
    """Return the instructions by which a shot's clip is edited; too many are noted."""
    found = instructions_of(draft.cells.get("clip_edits"))
    if len(found) > MAX_CHAIN:
        draft.problem(
            findings, "clip_edits", f"there are {len(found)} edits of a clip", f"allowed: at most {MAX_CHAIN}"
        )
    return found[:MAX_CHAIN]


@dataclass(slots=True)
class ReferenceReader:
    """Finds the takes that the cells of a manifest name, such as `kite:2`."""

    drafts: Sequence[Draft]
    findings: Findings
    _places: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Note where each shot stands."""
        for index, draft in enumerate(self.drafts):
            self._places.setdefault(draft.text("id") or "", index)

    def names_file(self, text: str) -> bool:
        """Return whether a text is the place of a picture, and no shot of the manifest."""
        return text.strip() not in self._places and _FILE.match(text) is not None

    def read(self, draft: Draft, column: str, text: str) -> Link | None:
        """Return the link that a text stands for; None, and a problem, for no take."""
        match = _REFERENCE.match(text.strip())
        if match is None:
            draft.problem(self.findings, column, f"{quote_value(text)} names no take", _ALLOWED)
            return None
        name, take = match[1].strip(), match[2]
        if name not in self._places:
            is_told = len(self.findings.problems) < MAX_PROBLEMS
            hint = did_you_mean(name, self._places) if is_told else ""
            draft.problem(self.findings, column, f"unknown shot {quote_value(name)}", _ALLOWED, hint)
            return None
        link = Link(self._places[name], int(take) if take and take.isdigit() else None)
        return link if self._is_there(draft, column, name, link) else None

    def _is_there(self, draft: Draft, column: str, name: str, link: Link) -> bool:
        """Return whether the shot has such a take; if not, that is noted."""
        parent = self.drafts[link.parent]
        takes, select = _count_takes(parent), parent.text("select") or "best"
        what, allowed, hint = "", "", ""
        if takes == 0:
            what, allowed = f"{name} has no pictures: its video is made of text alone", "allowed: shots with takes"
        elif link.take is not None and link.take > takes:
            what, allowed = f"{name} has no take {link.take}", f"allowed: 1 to {takes}"
        elif link.take is None and takes > 1 and (select == "all" or len(set(items_of(select))) > 1):
            what, hint = f"{name} selects several takes ({select}): which one is meant?", f"name it, such as {name}:1"
        if what:
            draft.problem(self.findings, column, what, allowed, hint)
        return not what


def _expand(draft: Draft, findings: Findings) -> list[Draft]:
    instructions = instructions_of(draft.cells.get("edits"))
    if "edits" not in draft.cells or not instructions:
        draft.cells.pop("edits", None)
        return [draft]
    if len(instructions) > MAX_CHAIN:
        what = f"there are {len(instructions)} edits, one after the other"
        draft.problem(findings, "edits", what, f"allowed: at most {MAX_CHAIN}")
        return [draft]
    if _count_takes(draft) == 0:
        draft.problem(findings, "edits", "0 takes make no picture to edit", "allowed: 1 to 20", "raise takes")
    base, place = draft.text("id") or "", draft.place_of("edits")
    names = [base, *(f"{base}-edit-{n}" for n in range(1, len(instructions) + 1))]
    first = {name: cell for name, cell in draft.cells.items() if name != "edits" and name not in _OF_THE_LAST}
    kept = ("select", "video_model", "video_aspect_ratio")  # the picture has the shape of the video that it ends in
    first |= {name: draft.cells[name] for name in kept if name in draft.cells}
    shared = {name: cell for name, cell in draft.cells.items() if name not in _OF_THE_LAST | _OF_THE_FIRST}
    own = draft.own - _OF_THE_LAST | (draft.own & {"select"})
    found = [replace(draft, cells=first, own=own, begins_clip="motion_prompt" in draft.cells)]
    for parent, name, instruction in zip(names, names[1:], instructions, strict=False):
        cells: dict[str, Cell] = {**shared, "id": name, "prompt": instruction, "edit_of": parent}
        if name == names[-1]:
            cells |= {key: cell for key, cell in draft.cells.items() if key in _OF_THE_LAST - {"select"}}
            cells |= {"select": "approve"} if _is_asked_about(draft) else {}
        places = {**draft.places, **dict.fromkeys(("id", "prompt", "edit_of"), place)}
        found.append(replace(draft, cells=cells, places=places, own=draft.own & cells.keys()))
    return found


def _is_asked_about(draft: Draft) -> bool:
    """Return whether a person is to see the last picture before its clip is paid for."""
    return draft.text("select") == "approve" and "motion_prompt" in draft.cells


def _count_takes(draft: Draft) -> int:
    """Return the takes of a draft; 1 for what is no number, which is told elsewhere."""
    text = draft.text("takes") or "1"
    return int(text) if text.isdigit() and len(text) < 4 else 1


def _without_circles(drafts: Sequence[Draft], links: Mapping[int, Link], findings: Findings) -> dict[int, Link]:
    """Return the links that lead to a beginning, not too far; others are noted."""
    depths: dict[int, int | None] = {}
    for start in links:
        path: list[int] = []
        here = start
        while here in links and here not in depths and here not in path:
            path.append(here)
            here = links[here].parent
        if here in path:
            _note_circle(drafts, path[path.index(here) :], findings)
            depths |= dict.fromkeys(path)
            continue
        depth = depths.get(here, 0)
        for index in reversed(path):
            depth = None if depth is None else depth + 1
            depths[index] = depth
    for index, depth in depths.items():
        if depth is not None and depth > MAX_CHAIN:
            what = f"this is made after {depth} others, one after the other"
            drafts[index].problem(findings, "edit_of", what, f"allowed: at most {MAX_CHAIN}", "begin a new chain")
    return {index: link for index, link in links.items() if (depth := depths[index]) is not None and depth <= MAX_CHAIN}


def _note_circle(drafts: Sequence[Draft], circle: Sequence[int], findings: Findings) -> None:
    """Note a circle at each of its shots; a long one is told in short."""
    names = [drafts[index].text("id") or "" for index in circle]
    for n, index in enumerate(circle):
        around = [*names[n:], *names[:n], names[n]]
        told = around if len(around) <= 8 else [*around[:4], "...", *around[-3:]]
        what = "it is made of itself" if len(circle) == 1 else f"this leads in a circle: {' of '.join(told)}"
        drafts[index].problem(findings, "edit_of", what, _ALLOWED, "begin the chain with a shot that is made of none")
