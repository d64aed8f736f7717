"""Files that a manifest refers to.

They are kept within allowed places, recognised by their bytes, and hashed once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from callsheet.errors import ManifestError, MediaError
from callsheet.manifest.problems import quote_value
from callsheet.media import containers
from callsheet.shots import Reference
from callsheet.sources import Places, is_remote, read_bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """The reason why a file cannot be used."""

    what: str
    allowed: str = ""
    suggestion: str = ""


def _accept_anything(_data: bytes, _name: str) -> None:
    """Accept any file of the type."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What sending a file takes.

    `damage` keeps it from being sent; one that `changes` does not go out as it is.
    """

    damage: str = ""
    changes: bool = False


def _inspect_nothing(_data: bytes) -> Inspection:
    return Inspection()


def _inspect_picture(data: bytes) -> Inspection:
    from callsheet.media.input_pictures import needs_change, picture_damage  # Pillow is for pictures only

    damage = picture_damage(data)
    return Inspection(damage, not damage and needs_change(data))


@dataclass(frozen=True, slots=True)
class InputKind:
    """A kind of file.

    What it is called, its MIME type by its bytes (None: not of this kind), its largest size. `check` raises MediaError
    for a file of the right type that cannot be used. `inspect` says what sending it takes; what was made with it before
    stays.
    """

    noun: str
    allowed: str
    mime_type: Callable[[bytes], str | None]
    max_bytes: int
    check: Callable[[bytes, str], None] = _accept_anything
    inspect: Callable[[bytes], Inspection] = _inspect_nothing


def picture_type(data: bytes) -> str | None:
    """Return the MIME type by the first bytes: PNG, JPEG or WebP, else None."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return None


def reference_type(data: bytes) -> str | None:
    """Return the MIME type of a picture that can be sent, else None."""
    found = containers.picture_type(data[: containers.HEAD_BYTES])
    return found if found in containers.REFERENCE_TYPES else None


def pictures(max_bytes: int) -> InputKind:
    """Return the kind of pictures to be sent to a model, at most so large."""
    allowed = "allowed: PNG, JPEG, WebP, HEIC, HEIF or GIF"
    return InputKind("picture", allowed, reference_type, max_bytes, inspect=_inspect_picture)


class InputFiles:
    """Opens the files of one manifest.

    Each is read at most once as one kind, and never more than that allows. Of a manifest that a program sent
    (`is_sent`) only those below the gs:// prefixes of `input_roots` are.
    """

    def __init__(self, manifest_uri: str, input_roots: tuple[str, ...], *, is_sent: bool = False) -> None:
        self._cache: dict[tuple[str, str], Reference | Refused] = {}
        self._inspected: dict[str, Inspection] = {}
        self._sizes: dict[tuple[str, tuple[str, ...]], int] = {}
        self._folder: Path | None = None
        self._prefixes = [root.rstrip("/") + "/" for root in input_roots if is_remote(root)]
        self._roots = [Path(root).resolve() for root in input_roots if not is_remote(root)]
        self._base = manifest_uri.rpartition("/")[0] + "/"
        if is_sent:
            self._prefixes = [prefix for prefix in self._prefixes if prefix.startswith("gs://")]
        elif is_remote(manifest_uri):
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
        return self._inspected.get(file.uri, Inspection()).damage

    def measure_sent(self, file: Reference, taken: tuple[str, ...]) -> int:
        """Return the size of an opened picture as it is sent.

        `taken` are the MIME types that the model takes.
        """
        inspection = self._inspected.get(file.uri, Inspection())
        if inspection.damage or (file.mime_type in taken and not inspection.changes):
            return file.size
        if (file.uri, taken) not in self._sizes:
            from callsheet.media.input_pictures import prepare_picture

            self._sizes[file.uri, taken] = len(prepare_picture(read_bytes(file.uri, file.size), taken)[0])
        return self._sizes[file.uri, taken]

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
        if (found := kind.inspect(data)) != Inspection():
            self._inspected[place] = replace(found, damage=found.damage and f"{quote_value(location)}: {found.damage}")
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
