"""The gallery: one static page per batch that needs no server, no network and no script to be read."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from callsheet.report.view import GalleryView


def gallery_html(view: GalleryView) -> str:
    """The page as HTML, to be stored as `gallery.html` in the batch's folder, which its links are relative to.

    All text of the view is escaped. The page's policy allows its own style and script by their hashes and files
    from the page's own place, nothing else.
    """
    style, script = _part("gallery.css") + _shapes(view), _part("gallery.js")
    return (
        _environment()
        .get_template("gallery.html.jinja")
        .render(
            view=view,
            # Own files without a closing tag in them; marked safe because a browser reads them raw.
            style=Markup(style),  # noqa: S704
            script=Markup(script),  # noqa: S704
            policy=_policy(style, script),
        )
    )


def _shapes(view: GalleryView) -> str:
    """One rule per aspect ratio of the page: the policy forbids style attributes, and posters may have another one."""
    return "".join(f".a{width}x{height}{{aspect-ratio:{width}/{height}}}\n" for width, height in view.shapes)


def _policy(style: str, script: str) -> str:
    # `file:` beside 'self': Chromium gives a page opened from disk an opaque origin, which 'self' never matches.
    return (
        "default-src 'none'; img-src 'self' data: file:; media-src 'self' file:; "
        f"style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _part(name: str) -> str:
    return (files("callsheet.report") / "templates" / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("callsheet.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
