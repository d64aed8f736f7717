"""The two ways of uploading an object: one request, or a session.

A session goes on where it was interrupted.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from callsheet.gcs.content import Content


@dataclass(frozen=True, slots=True)
class Multipart:
    """The body of a multipart upload: the object's metadata, and the bytes.

    The boundary is drawn at random. gcsfs has a constant boundary, at which data that holds it was cut off silently
    (measured 2026-11-21).
    """

    prefix: bytes
    content: Content
    suffix: bytes
    content_type: str

    @staticmethod
    def of(resource: Mapping[str, Any], content: Content) -> Multipart:
        """Return the body that uploads `content` as the object that `resource` describes."""
        boundary = secrets.token_hex(16)
        about = json.dumps(resource, ensure_ascii=False)
        kind = resource["contentType"]
        prefix = (
            f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{about}\r\n"
            f"--{boundary}\r\nContent-Type: {kind}\r\n\r\n"
        )
        suffix = f"\r\n--{boundary}--\r\n".encode()
        return Multipart(prefix.encode(), content, suffix, f"multipart/related; boundary={boundary}")

    @property
    def size(self) -> int:
        """The number of bytes, with the frame."""
        return len(self.prefix) + self.content.size + len(self.suffix)

    async def slices(self, start: int = 0) -> AsyncIterator[memoryview]:
        """Yield the whole body; it cannot begin in the middle."""
        yield memoryview(self.prefix)
        async for piece in self.content.slices():
            yield piece
        yield memoryview(self.suffix)


@dataclass(slots=True)
class Session:
    """An upload session: where its bytes go, and how many the server has already.

    None: it has to be asked.
    """

    location: str
    content_type: str
    kept: int | None = 0

    @staticmethod
    def at(location: str, content_type: str, endpoint: str | None) -> Session:
        """Return the session at `location`.

        An emulator may name a host by which it is not reached from here.
        """
        if endpoint:
            parts = urlsplit(location)
            location = f"{endpoint}{parts.path}?{parts.query}"
        return Session(location, content_type)

    def range(self, size: int) -> str:
        """Return the Content-Range of the next request.

        It is the rest of `size` bytes, or the question how much the server has.
        """
        return f"bytes */{size}" if self.kept is None else f"bytes {self.kept}-{size - 1}/{size}"


def parse_kept_bytes(headers: Mapping[str, str]) -> int:
    """Return how many bytes a 308 says that the server has."""
    found = re.fullmatch(r"(?:bytes=)?0-(\d+)", headers.get("Range", ""))
    return int(found.group(1)) + 1 if found else 0
