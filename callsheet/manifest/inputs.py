"""Files that a manifest refers to.

They are kept within allowed places, recognised by their bytes, and hashed once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from callsheet.errors import ManifestError, MediaError
from callsheet.manifest.problems import quote_value
from callsheet.places import Places
from callsheet.shots import Reference
from callsheet.sources import is_remote, read_bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """The reason why a file cannot be used."""

    what: str
    allowed: str = ""
    suggestion: str = ""


def _accept_anything(_data: bytes, _name: str) -> None:
    """Accept any file of the type."""


def _find_no_damage(_data: bytes) -> str:
    return ""


def _find_damage(data: bytes) -> str:
    from callsheet.media.kinds import picture_damage  # Pillow is not needed by manifests without pictures

    return picture_damage(data)


@dataclass(frozen=True, slots=True)
class InputKind:
    """A kind of file.

    What it is called, its MIME type by its bytes (None: not of this kind), its largest size. `check` raises MediaError
    for a file of the right type that cannot be used. `damage` says what keeps it from being sent; what was made with it
    before stays.
    """

    noun: str
    allowed: str
    mime_type: Callable[[bytes], str | None]
    max_bytes: int
    check: Callable[[bytes, str], None] = _accept_anything
    damage: Callable[[bytes], str] = _find_no_damage


def picture_type(data: bytes) -> str | None:
    """Return the MIME type by the first bytes: PNG, JPEG or WebP, else None."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return None


def pictures(max_bytes: int) -> InputKind:
    """Return the kind of pictures to be sent to a model, at most so large."""
    return InputKind("picture", "allowed: PNG, JPEG or WebP", picture_type, max_bytes, damage=_find_damage)


class InputFiles:
    """Opens the files of one manifest.

    Each is read at most once as one kind, and never more than that allows.
    """

    def __init__(self, manifest_uri: str, input_roots: tuple[str, ...]) -> None:
        self._cache: dict[tuple[str, str], Reference | Refused] = {}
        self._damage: dict[str, str] = {}
        self._folder: Path | None = None
        self._prefixes = [root.rstrip("/") + "/" for root in input_roots if is_remote(root)]
        self._roots = [Path(root).resolve() for root in input_roots if not is_remote(root)]
        self._base = manifest_uri.rpartition("/")[0] + "/"
        if is_remote(manifest_uri):
            self._prefixes.append(self._base)
        else:
            self._folder = Path(manifest_uri).parent.resolve()
            self._roots.append(self._folder)

    def open(self, location: str, kind: InputKind) -> Reference | Refused:
        """Open the file at a path beside the manifest or at an allowed URI.

        Returns why not when it cannot be used.
        """
        key = location, kind.noun
        if key not in self._cache:
            place = self.locate(location)
            self._cache[key] = place if isinstance(place, Refused) else self._read(place, location, kind)
        return self._cache[key]

    def damage_of(self, file: Reference) -> str:
        """Return what keeps an opened file from being sent, "" when nothing does."""
        return self._damage.get(file.uri, "")

    def locate(self, location: str) -> str | Refused:
        """Return the resolved path or URI of a location within the allowed places.

        Returns why not for any other.
        """
        if "\0" in location or len(location) > 2000:
            return Refused("this is no path", "allowed: at most 2000 characters of text")
        if is_remote(location) or (self._folder is None and not location.startswith("/")):
            return self._locate_remote(location if is_remote(location) else self._base + location)
        if self._folder is None:
            return Refused(f"{quote_value(location)} is outside the manifest's folder", f"allowed: below {self._base}")
        return self._locate_local(self._folder, location)

    def _read(self, place: str, location: str, kind: InputKind) -> Reference | Refused:
        try:
            data = read_bytes(place, kind.max_bytes)
            mime_type = kind.mime_type(data)
            if mime_type is None:
                return Refused(f"{quote_value(location)} is no {kind.noun} of a known type", kind.allowed, "convert it")
            kind.check(data, location)
        except ManifestError as error:
            problem = error.problems[0]
            return Refused(f"{quote_value(location)}: {problem.what}", problem.allowed, "check the file")
        except MediaError as error:
            return Refused(str(error).rstrip("."), kind.allowed)
        if damage := kind.damage(data):
            self._damage[place] = f"{quote_value(location)}: {damage}"
        return Reference(place, hashlib.sha256(data).hexdigest(), mime_type, len(data))

    def _locate_remote(self, uri: str) -> str | Refused:
        if uri.lower().startswith(("http://", "https://")):
            return Refused("web addresses are not fetched", "allowed: files beside the manifest", "download it first")
        if place := Places(prefixes=tuple(self._prefixes)).find(uri):
            return place
        listed = ", ".join(self._prefixes) or "no URIs here"
        hint = "add its prefix to CALLSHEET_INPUT_ROOTS"
        return Refused(f"{quote_value(uri)} is outside the allowed places", f"allowed: {listed}", hint)

    def _locate_local(self, folder: Path, location: str) -> str | Refused:
        if place := Places(tuple(self._roots)).find(location, folder):
            return place
        hint = "move it beside the manifest, or add its folder to CALLSHEET_INPUT_ROOTS"
        return Refused(f"{quote_value(location)} leads out of the manifest's folder", "allowed: files below it", hint)
