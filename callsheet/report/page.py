"""Static pages that need no server, no network and no script to be read.

The gallery of a batch, and the page of what a search found: one card for each asset, from rows of the catalogue. All
text in them is escaped.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from callsheet.archive import layout
from callsheet.archive.layout import link_to
from callsheet.archive.store import Store
from callsheet.concurrency import gather_bounded
from callsheet.errors import ArchiveError, MediaError
from callsheet.media.stills import small_picture
from callsheet.report.format import dollars, format_count, role, size, truncate, visible
from callsheet.report.view import GalleryView

log = logging.getLogger(__name__)

_AT_ONCE = 8
_MAX_STILL = 4 * 1024 * 1024
_SIDE, _QUALITY = 480, 78


def page_html(template: str, *, style: str, script: str = "", **values: object) -> str:
    """Render the page as HTML.

    Its policy allows its own style and script by their hashes and local files, nothing else.
    """
    return (
        _open_environment()
        .get_template(template)
        .render(
            **values,
            # Own files without a closing tag in them; marked safe because a browser reads them raw.
            style=Markup(style),  # noqa: S704
            script=Markup(script),  # noqa: S704
            policy=_build_policy(style, script),
        )
    )


@cache
def part(name: str) -> str:
    """Read a style sheet or script of the templates' folder."""
    return (files("callsheet.report") / "templates" / name).read_text(encoding="utf-8")


def shape_rules(shapes: Iterable[tuple[int, int]]) -> str:
    """Build one CSS rule per aspect ratio of a page.

    The policy forbids style attributes, and posters may have another one.
    """
    return "".join(f".a{width}x{height}{{aspect-ratio:{width}/{height}}}\n" for width, height in shapes)


def _build_policy(style: str, script: str) -> str:
    # `file:` beside 'self': Chromium gives a page opened from disk an opaque origin, which 'self' never matches.
    return (
        "default-src 'none'; img-src 'self' data: file:; media-src 'self' file:; "
        f"style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _open_environment() -> Environment:
    return Environment(
        loader=PackageLoader("callsheet.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def gallery_html(view: GalleryView) -> str:
    """Render the gallery, to be stored as `gallery.html` in the batch's folder.

    Its links are relative to that folder.
    """
    style = part("gallery.css") + shape_rules(view.shapes)
    script = part("gallery.js")
    if view.asks:
        style, script = style + part("approve.css"), script + part("approve.js")
    return page_html("gallery.html.jinja", style=style, script=script, view=view)


async def stills(store: Store, assets: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Read the stills of these assets, by their sha256.

    What has none, or one that cannot be read, is left out.
    """

    async def still(name: str) -> str | ArchiveError | MediaError:
        try:
            data = await store.read_bytes(name, _MAX_STILL)
            return await asyncio.to_thread(_encode_data_uri, data)
        except (ArchiveError, MediaError) as error:
            return error

    names = {asset["sha256"]: _name_still(asset) for asset in assets}
    wanted = {sha256: name for sha256, name in names.items() if name}
    made = dict(zip(wanted, await gather_bounded(_AT_ONCE, map(still, wanted.values())), strict=True))
    if failed := [one for one in made.values() if not isinstance(one, str)]:
        log.warning("%d of %d stills are not on the page. The first: %s", len(failed), len(made), failed[0])
    return {sha256: one for sha256, one in made.items() if isinstance(one, str)}


def _name_still(asset: Mapping[str, Any]) -> str:
    own = asset["file"] if asset["kind"] == "poster" else ""
    folder = layout.shot_folder(f"{asset['campaign']}/{asset['batch']}", asset["shot"])
    return f"{folder}/{asset['thumbnail'] or own}" if asset["thumbnail"] or own else ""


def _encode_data_uri(data: bytes) -> str:
    """Encode the picture at the size of a card."""
    buffer = io.BytesIO()
    small_picture(data, _SIDE).convert("RGB").save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


_LONGEST_TEXT = 1_200


@dataclass(frozen=True, slots=True)
class Search:
    """A search in words, its archive, and how much fits; `usd` in dollars."""

    asked: tuple[str, ...]
    archive: str
    made: datetime
    total: int
    usd: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Card:
    """One asset on the page.

    `still` and `video` are addresses that the page itself may load, or empty.
    """

    what: str
    shot: str
    batch: str
    href: str
    uri: str
    file: str
    still: str
    video: str
    about: str
    prompt: str
    frame_prompt: str
    tags: tuple[str, ...]
    facts: tuple[str, ...]
    usd: str
    rehearsal: bool


def finds_html(search: Search, assets: Sequence[Mapping[str, Any]], page: Path, stills: Mapping[str, str]) -> str:
    """Build the page as HTML, to be kept at `page`.

    `stills` are small pictures as data URIs, by the sha256 of the asset. Files of a local archive are linked and played
    where they are; of a bucket only the stills can be shown. A poster has no card of its own beside its video.
    """
    there = {asset["sha256"] for asset in assets}
    alone = [asset for asset in assets if asset["kind"] != "poster" or asset["parent"] not in there]
    cards = [_build_card(asset, page, stills.get(asset["sha256"], "")) for asset in alone]
    posters = len(assets) - len(cards)
    kinds = Counter(str(asset["kind"]) for asset in assets)
    return page_html(
        "finds.html.jinja",
        style=part("gallery.css") + part("finds.css"),
        search=search,
        cards=cards,
        shown=len(assets),
        posters=format_count(posters, "poster") if posters else "",
        all_rehearsed=bool(cards) and all(card.rehearsal for card in cards),
        kinds=[format_count(count, kind) for kind, count in kinds.most_common()],
        asked=[visible(one) for one in search.asked],
        money=_format_money(search.usd),
    )


def _build_card(asset: Mapping[str, Any], page: Path, still: str) -> Card:
    uri, moving = str(asset["uri"]), str(asset["mime_type"]).startswith("video/")
    local = "://" not in uri
    if local and not still:
        small = asset["thumbnail"] or ("" if moving else asset["file"])
        still = link_to(f"{Path(uri).parent}/{small}", beside=page.parent) if small else ""
    href = link_to(uri, beside=page.parent)
    name = role(asset["kind"], asset["take"], asset["spec"])
    return Card(
        what=visible(name),
        shot=truncate(str(asset["shot"]), 200),
        batch=visible(str(asset["batch"])),
        href=href,
        uri=visible(uri),
        file=truncate(str(asset["file"]), 80),
        still=still,
        video=href if moving and local else "",
        about=truncate(f"{asset['shot']}, {name}", 200),
        prompt=truncate(str(asset["prompt"] or ""), _LONGEST_TEXT),
        frame_prompt=truncate(str(asset["frame_prompt"] or ""), _LONGEST_TEXT),
        tags=tuple(visible(tag) for tag in asset["tags"] or ()),
        facts=_list_facts(asset),
        usd=dollars(asset["usd"] or None),
        rehearsal=asset["mode"] == "rehearsal",
    )


def _list_facts(asset: Mapping[str, Any]) -> tuple[str, ...]:
    created, length = asset["created"], asset["duration_s"]
    facts = [
        f"{created:%-d %B %Y, %H:%M} UTC" if created else "",
        visible(str(asset["model"] or "")),
        f"{asset['width']}x{asset['height']}" if asset["width"] and asset["height"] else "",
        f"{length:.0f} s" if length else "",
        size(asset["size"]) if asset["size"] else "",
    ]
    return tuple(fact for fact in facts if fact)


def _format_money(usd: Mapping[str, float]) -> tuple[tuple[str, str], ...]:
    told = (("Spent", usd["live"]), ("Would have cost", usd["rehearsal"]))
    return tuple((name, dollars(amount)) for name, amount in told if amount) or (("Spent", dollars(0)),)
