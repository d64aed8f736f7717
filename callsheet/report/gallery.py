"""The gallery: one static page per batch, stored beside the files that it shows."""

from __future__ import annotations

from callsheet.report.page import page_html, part, shape_rules
from callsheet.report.view import GalleryView


def gallery_html(view: GalleryView) -> str:
    """The page as HTML, to be stored as `gallery.html` in the batch's folder, which its links are relative to."""
    style = part("gallery.css") + shape_rules(view.shapes)
    script = part("gallery.js")
    if view.asks:
        style, script = style + part("approve.css"), script + part("approve.js")
    return page_html("gallery.html.jinja", style=style, script=script, view=view)
