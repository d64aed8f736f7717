"""Static pages that need no server, no network and no script to be read.

All text in them is escaped.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from callsheet.report.view import GalleryView


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
