"""A picture or video on a page, as values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import gcd
from urllib.parse import quote

from callsheet.archive.disclosure import Disclosure
from callsheet.archive.sidecar import FileRecord
from callsheet.report.format import truncate

_NAMES = {"youtube": "YouTube", "tiktok": "TikTok", "meta": "Meta"}


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
