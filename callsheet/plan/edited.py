"""The picture that a shot's pictures are made from: a take or a file. Pure."""

from __future__ import annotations

from callsheet.shots import Shot


def name_edited(shot: Shot) -> str | None:
    """Return what the shot's pictures are made from: a take, as `kite:2`, or a file."""
    if shot.edits_file:
        return shot.reference_images[0].uri
    return str(shot.edit_of) if shot.edit_of else None


def hash_edited(shot: Shot) -> str | None:
    """Return the sha256 of what the shot's pictures are made from, once it is known."""
    if shot.edits_file:
        return shot.reference_images[0].sha256
    return shot.edit_of.picture.sha256 if shot.edit_of and shot.edit_of.picture else None
