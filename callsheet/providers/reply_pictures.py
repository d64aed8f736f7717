"""Find every picture in a reply, wherever it lies.

What the bytes are counts, not the place, the name or the MIME type.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from callsheet.media.containers import HEAD_BYTES, picture_type
from callsheet.providers.reply_body import ReplyBody, data_url_type, decode_base64

MAX_PICTURES = 64
MAX_NODES = 200_000
# Where a reply repeats what was asked: those pictures are ours. Signatures are opaque.
_ECHOES = frozenset(
    {"request", "contents", "instances", "input", "systeminstruction", "thoughtsignature", "cachedcontent"}
)  # fmt: skip
_BLOB = frozenset({"inlinedata", "bytesbase64encoded", "imagebytes", "b64json"})
_FILE = frozenset({"fileuri", "gcsuri", "imageuri", "imageurl"})
# Data URLs and addresses of pictures within a text (Markdown, HTML).
_IN_TEXT = re.compile(r"data:image/[\w.+-]{1,40}[^,\s]{0,100},[A-Za-z0-9+/=_%-]{16,}", re.IGNORECASE)
_LINK = re.compile(r"!\[[^\]]{0,500}\]\((https?://[^\s)]{1,2000}|gs://[^\s)]{1,2000})")
# The beginnings of PNG, JPEG, GIF, WebP, AVIF and HEIC in base64, for what cannot be read as JSON.
_ANYWHERE = re.compile(
    r"(?:iVBORw0KGgo|/9j/|_9j_|R0lGOD[dl]h|UklGR|AAAA[A-Za-z0-9+/_-]{2}ZnR5c)[A-Za-z0-9+/=_\s\\-]{64,}"
)


@dataclass(frozen=True, slots=True)
class ReplyPicture:
    """Bytes that a reply gave as a picture.

    `mime_type` is by their beginning ("" for none that is known). `is_thought` marks an interim picture, `is_answer`
    one that lies in a candidate's parts.
    """

    data: bytes = field(repr=False)
    mime_type: str
    is_thought: bool = False
    is_answer: bool = True


@dataclass(frozen=True, slots=True)
class PicturesFound:
    """The pictures of a reply in order, and the addresses of those it only names."""

    pictures: tuple[ReplyPicture, ...] = ()
    addresses: tuple[str, ...] = ()


def find_pictures(body: ReplyBody) -> PicturesFound:
    """Return every picture, whole or not, and every picture's address in a reply.

    Web pages hold none that was requested.
    """
    if body.is_page:
        return PicturesFound()
    if body.data:
        kind = picture_type(body.data[:HEAD_BYTES])
        return PicturesFound((ReplyPicture(body.data, kind),) if kind else ())
    walk = _Walk()
    for document in body.documents:
        walk.visit(document)
    if not walk.pictures and body.text:
        walk.scan(body.text)
    return PicturesFound(tuple(walk.pictures), tuple(dict.fromkeys(walk.addresses)))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a value lies: under which field, within a thought, within a candidate."""

    name: str = ""
    is_thought: bool = False
    is_answer: bool = False

    @property
    def is_blob(self) -> bool:
        """Return whether the bytes of a picture, and nothing else, belong here."""
        return self.name in ("inlinedata.data", "image.data") or self.name in _BLOB

    def under(self, field_name: object, parent: Mapping[str, object]) -> _Place:
        """Return the place of a field of an object that lies here."""
        name = str(field_name).replace("_", "").lower()[:40]
        full = f"{self.name.rpartition('.')[2]}.{name}" if name in ("data", "url", "uri") else name
        thought = self.is_thought or parent.get("thought") in (True, "true")
        return _Place(full, thought, self.is_answer or name == "candidates")


class _Walk:
    """A bounded walk through JSON values, depth first, in their order."""

    def __init__(self) -> None:
        self.pictures: list[ReplyPicture] = []
        self.addresses: list[str] = []

    def visit(self, document: object) -> None:
        """Look at all that is in a JSON value."""
        stack: list[tuple[_Place, object]] = [(_Place(), document)]
        for _ in range(MAX_NODES):
            if not stack:
                return
            place, value = stack.pop()
            if isinstance(value, Mapping):
                inner = [(place.under(name, value), one) for name, one in value.items()]
                stack += [one for one in reversed(inner) if one[0].name not in _ECHOES]
            elif isinstance(value, list) and not _is_octets(value):
                stack += [(place, one) for one in reversed(value)]
            elif isinstance(value, list):
                self._add(bytes(value), place)
            elif isinstance(value, str):
                self._visit_text(value, place)

    def scan(self, text: str) -> None:
        """Look for the beginnings of pictures in a text that is no JSON."""
        for found in _ANYWHERE.finditer(text):
            self._add(decode_base64(re.sub(r"\\[nrt]|\\", "", found[0])), _Place())
        self.addresses += _LINK.findall(text)

    def _visit_text(self, value: str, place: _Place) -> None:
        if place.name.rpartition(".")[2] in _FILE and "://" in value[:12]:
            self.addresses.append(value[:2000])
        elif place.is_blob or (len(value) >= 16 and _begins_picture(value)):
            self._add(decode_base64(value), place)
        elif "data:image/" in value or "](" in value:
            for found in _IN_TEXT.finditer(value):
                self._add(decode_base64(found[0]), place)
            self.addresses += _LINK.findall(value)

    def _add(self, data: bytes, place: _Place) -> None:
        kind = picture_type(data[:HEAD_BYTES])
        if kind is None and _begins_base64(data):  # encoded twice
            data = decode_base64(data.decode("ascii", "ignore"))
            kind = picture_type(data[:HEAD_BYTES])
        if (kind or (place.is_blob and data)) and len(self.pictures) < MAX_PICTURES:
            self.pictures.append(ReplyPicture(data, kind or "", place.is_thought, place.is_answer))


def _begins_picture(text: str) -> bool:
    head = decode_base64(text, 4 * HEAD_BYTES)[:HEAD_BYTES]
    return (data_url_type(text) or "").startswith("image/") or picture_type(head) is not None or _begins_base64(head)


def _begins_base64(data: bytes) -> bool:
    """Return whether these bytes are the base64 of a picture's beginning."""
    head = data[: 2 * HEAD_BYTES]
    return head[:4].isalnum() and picture_type(decode_base64(head.decode("ascii", "ignore"))[:HEAD_BYTES]) is not None


def _is_octets(value: list[object]) -> bool:
    """Return whether a list is bytes as numbers, as JavaScript's Buffer is sent."""
    return len(value) >= 64 and all(isinstance(one, int) and 0 <= one <= 255 for one in value)
