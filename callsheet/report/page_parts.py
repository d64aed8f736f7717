"""Parts of a gallery page as values: media, lineage, and questions that wait.

Lineage is what a shot is made of, and what is made of it, as links. Questions are those about shots that wait for
approval, as the Prefect UI asks them too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from urllib.parse import quote

from callsheet.approval.decision_input import is_usable, is_waiting, question_of
from callsheet.archive.layout import folder_name
from callsheet.archive.sidecar import ClipRecord, FileRecord, Sidecar
from callsheet.archive.sidecar_parts import Disclosure
from callsheet.decisions import describe_takes
from callsheet.report.format import format_count, truncate, visible
from callsheet.report.markdown import escaped, table
from callsheet.shots import ShotOutcome

_NAMES = {"youtube": "YouTube", "tiktok": "TikTok", "meta": "Meta"}
# A product's picture may have thousands of edits; their own cards tell what they are made of.
_MOST = 12
# As many digits of a picture's sha256 as its file name carries.
_SEEN = 12
# An artifact is one row in the server's database and one page in a browser.
_MOST_ROWS = 200


def posting(disclosures: Iterable[Disclosure]) -> str:
    """Describe the boxes to tick for some cuts.

    Those for everything that AI made first, then those for what looks real.
    """
    told_of = [one for one in disclosures if one.ai_generated]
    if not told_of:
        return ""
    boxes = [(name, getattr(one.platform_toggle, key)) for key, name in _NAMES.items() for one in told_of]
    toggles = {name: toggle for name, toggle in boxes if toggle is not None}
    told = {
        when: ", ".join(f"“{toggle.setting}” on {name}" for name, toggle in toggles.items() if toggle.tick == when)
        for when in ("always", "if realistic")
    }
    always, realistic = told["always"], told["if realistic"]
    parts = (always and f"tick {always}", realistic and f"if it looks real, {realistic}")
    what = "; ".join(filter(None, parts)) or "say so where you post it"
    return truncate(f"{told_of[0].label_text}: {what}.", 400)


@dataclass(frozen=True, slots=True)
class MediaView:
    """A picture or video: addresses relative to the page, percent-encoded.

    `shape` names its aspect ratio.
    """

    href: str
    src: str
    poster: str
    shape: str
    about: str


# What browsers show as a picture (2026); HEIC and TIFF are linked only.
SHOWN = frozenset(f"image/{kind}" for kind in ("png", "jpeg", "webp", "avif", "gif", "bmp"))


def media_view(file: FileRecord | None, folder: str, about: str, poster: FileRecord | None = None) -> MediaView | None:
    """Build the view of a file in this folder beside the page; None without a file."""
    if file is None:
        return None
    href = quote(f"{folder}/{file.file}")
    small = file.thumbnail or (file.file if file.mime_type in SHOWN else "")
    return MediaView(
        href=href,
        src=quote(f"{folder}/{small}") if small else href,
        poster=quote(f"{folder}/{poster.file}") if poster else "",
        shape="a{}x{}".format(*shape(file.width, file.height)),
        about=truncate(about, 200),
    )


def shape(width: int | None, height: int | None) -> tuple[int, int]:
    """Return the aspect ratio of a picture or video in lowest terms.

    16:9 when its size is not known.
    """
    if not width or not height or width < 0 or height < 0:
        return 16, 9
    common = gcd(width, height)
    return width // common, height // common


def list_clips(sidecar: Sidecar) -> list[ClipRecord]:
    """Return the clips as they are in the end, and those that were not chosen."""
    others = [one for one in sidecar.beginnings if not one.step and not one.chosen and _is_one_of_several(one, sidecar)]
    return (
        sorted([*sidecar.clips, *others], key=lambda one: (one.take or 0, one.variant)) if others else [*sidecar.clips]
    )


def _is_one_of_several(clip: ClipRecord, sidecar: Sidecar) -> bool:
    every = (*sidecar.beginnings, *sidecar.clips)
    return len({one.variant for one in every if one.take == clip.take}) > 1


def name_clip(clip: ClipRecord, sidecar: Sidecar) -> tuple[str, str]:
    """Return a clip's name, and whether and why it is the one of several that goes on."""
    is_one = _is_one_of_several(clip, sidecar)
    of = "" if clip.take is None else f" of take {clip.take}"
    choice = f"chosen: {truncate(clip.why, 300)}" if clip.chosen else "not chosen"
    return (f"Clip {clip.variant}{of}", choice) if is_one else (f"Clip{of}", "")


@dataclass(frozen=True, slots=True)
class ShotLink:
    """A link to another shot of the page; `anchor` is "" when it is not there."""

    name: str
    anchor: str


def anchor_of(shot: str) -> str:
    """Return what the place of a shot on the page is called."""
    return f"shot-{quote(folder_name(shot), safe='')}"


@dataclass(frozen=True, slots=True)
class Kin:
    """The links between the shots of a page, by shot.

    `anchors` are the places that links lead to.
    """

    parents: Mapping[str, ShotLink]
    children: Mapping[str, tuple[ShotLink, ...]]
    anchors: Mapping[str, str]


def find_kin(sidecars: Sequence[Sidecar]) -> Kin:
    """Return what the shots are made of, and what is made of them."""
    parents, children = _link_parents(sidecars), _link_children(sidecars)
    linked = (one.shot for one in sidecars if one.shot in parents or one.shot in children)
    return Kin(parents, children, {shot: anchor_of(shot) for shot in linked})


def _link_parents(sidecars: Sequence[Sidecar]) -> dict[str, ShotLink]:
    """Return what each edit among the shots is made of, by shot."""
    there = {sidecar.shot for sidecar in sidecars}
    told = {one.shot: one.image.edit_of for one in sidecars if one.image and one.image.edit_of}
    return {shot: _link(of, there) for shot, of in told.items()}


def _link_children(sidecars: Sequence[Sidecar]) -> dict[str, tuple[ShotLink, ...]]:
    """Return what is made of each of the shots, by shot, in the order of the page."""
    found: dict[str, list[ShotLink]] = defaultdict(list)
    for sidecar in sidecars:
        if sidecar.image and sidecar.image.edit_of:
            found[_shot_of(sidecar.image.edit_of)].append(
                ShotLink(truncate(visible(sidecar.shot), 100), anchor_of(sidecar.shot))
            )
    return {shot: tuple(links[:_MOST]) for shot, links in found.items()}


def list_facts(sidecar: Sidecar) -> tuple[str, ...]:
    """Return the facts of how a shot's pictures were asked for."""
    image = sidecar.image
    facts = [f"line {sidecar.line}", format_count(len(sidecar.takes), "take") if sidecar.takes else ""]
    if image and sidecar.takes:
        facts += [image.aspect_ratio, image.image_size, f"seed {image.seed}" if image.seed is not None else ""]
        facts.append(format_count(len(image.references), "reference") if image.references else "")
    return tuple(visible(fact) for fact in facts if fact)


def _link(edit_of: str, there: set[str]) -> ShotLink:
    shot = _shot_of(edit_of)
    return ShotLink(truncate(visible(edit_of), 100), anchor_of(shot) if shot in there else "")


def _shot_of(edit_of: str) -> str:
    return edit_of.partition(":")[0]


@dataclass(frozen=True, slots=True)
class ApprovalQuestion:
    """The takes that may be chosen, by number.

    `shown` has every take on the page with the start of its sha256.
    """

    shot: str
    takes: tuple[int, ...]
    shown: dict[str, str]


def ask_about(sidecar: Sidecar) -> ApprovalQuestion | None:
    """Build the question about a shot.

    None when it does not wait for a person's approval.
    """
    if not is_waiting(sidecar):
        return None
    takes = tuple(take.take for take in sidecar.takes if is_usable(take))
    return ApprovalQuestion(sidecar.shot, takes, {str(t.take): t.file.sha256[:_SEEN] for t in sidecar.takes if t.file})


def describe_decision(sidecar: Sidecar) -> str:
    """Describe the decision that the shot goes on by; "" when there is none.

    Until a run has done so.
    """
    if sidecar.state != ShotOutcome.PENDING.value or not sidecar.decisions:
        return ""
    last = sidecar.decisions[-1]
    told = f"{describe_takes(last.takes)} approved by {last.by}" if last.takes else f"rejected by {last.by}"
    return f"{told[0].upper()}{told[1:]}" + (f": {last.note}" if last.note else "")


def waiting_for_approval(sidecars: Sequence[Sidecar]) -> list[Sidecar]:
    """Return the sidecars of shots that wait for a person."""
    return [sidecar for sidecar in sidecars if is_waiting(sidecar)]


def approval_markdown(waiting: Sequence[Sidecar], form: str | None = None) -> str:
    """Format the shots that wait and their takes, the first 200, for the Prefect UI.

    At least one waits. `form` is where they are decided about on the server's own pages.
    """
    rows = [[escaped(one.shot), escaped(one.prompt), _describe_takes(one)] for one in waiting[:_MOST_ROWS]]
    name = waiting[0].batch
    deployment = f"in the [form of approve-frames]({form})" if form else "with the deployment *approve-frames*"
    told = f"Choose takes in the gallery, {deployment}, or: `callsheet approve {name}`"
    more = f"and {len(waiting) - _MOST_ROWS:,} more; the gallery has them all" if len(waiting) > _MOST_ROWS else ""
    return f"{told}\n\n{table(('Shot', 'Prompt', 'Takes'), rows)}\n\n{more}".strip()


def _describe_takes(sidecar: Sidecar) -> str:
    told = []
    for one in question_of(sidecar).candidates:
        rank = f"rank {one.rank:.2f}" if one.rank is not None else ""
        about = ", ".join(part for part in (rank, one.rejected or "") if part)
        told.append(f"{one.take} ({about})" if about else str(one.take))
    return escaped("; ".join(told), 400)
