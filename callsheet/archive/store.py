"""The interface of an archive, whatever it is kept on, and its objects' metadata.

Files are written once and verified, documents are replaced whole. Nothing secret is in the metadata: no prompt, no API
key, no local path.
"""

from __future__ import annotations

import asyncio
import base64
import re
import tempfile
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypedDict
from urllib.parse import quote

from callsheet import files
from callsheet.errors import ArchiveError
from callsheet.files import Digests, md5_of_bytes

# The longest object name that Google Cloud Storage takes, in UTF-8 bytes
# (docs.cloud.google.com/storage/docs/objects#naming, checked 2026-11-21), and the longest file name of Linux.
MAX_NAME = 1024
MAX_PART = 255
# All custom metadata of an object together (docs.cloud.google.com/storage/docs/metadata, checked 2026-11-21: 8 KiB).
MAX_METADATA = 8 * 1024
_MAX_NAME = 150
# What RFC 5987 lets stand unencoded, beside letters and digits (attr-char).
_PLAIN = "!#$&+-.^_`|~"


@dataclass(frozen=True, slots=True)
class Stat:
    """A file in the archive: its size in bytes and its md5 in hex digits.

    The md5 is "" where a listing does not know it.
    """

    size: int
    md5: str


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file to store: what its bytes are, and what a bucket is told of it."""

    #: Its name in the archive, a relative POSIX path that carries its hash.
    name: str
    #: The hash of its bytes, in hex digits.
    sha256: str
    #: The md5 of its bytes, in hex digits: stores verify by it.
    md5: str
    #: Its size in bytes.
    size: int
    #: Its MIME type.
    content_type: str
    #: Where it comes from; readable by whoever may read the object.
    metadata: Mapping[str, str] | None = None
    #: The name under which a browser saves it.
    download_name: str | None = None


class Store(Protocol):
    """An archive.

    Names are relative POSIX paths; one that would leave the archive raises ArchiveError. A store belongs to the event
    loop it was first used in. Every method may raise ArchiveDenied (final) and ArchiveError; the message says what is
    in the archive afterwards.
    """

    uri: str

    async def put_file(self, source: Path, file: StoredFile) -> str:
        """Store `source` under the file's name, and return the full URI.

        Create-only and idempotent: the same bytes already there are fine, other bytes raise ArchiveConflict. On
        return the stored file has this size and md5. A bucket keeps type, metadata and the
        name under which a browser saves it; a folder has no place for them.
        """
        ...

    async def adopt_file(self, source_uri: str, file: StoredFile) -> str | None:
        """Store an object (gs://) like put_file, copied by the storage service itself.

        None when it cannot be had that way and has to be put: the archive is a folder, the object is not there with
        this size and md5 any more, or may not be copied. The object itself is left where it is.
        """
        ...

    async def put_bytes(self, name: str, data: bytes, content_type: str) -> str:
        """Write or replace a document as a whole, and return the full URI.

        Readers see the old or the new one.
        """
        ...

    async def get_file(self, name: str, target: Path, *, sha256: str) -> None:
        """Fetch a file to `target`, which appears only when its bytes have this sha256."""
        ...

    async def read_bytes(self, name: str, limit: int) -> bytes:
        """Read a document; ArchiveError when it is missing or over `limit` bytes."""
        ...

    async def stat(self, name: str) -> Stat | None:
        """Return size and md5 of a file, None when it is not there."""
        ...

    async def list(self, prefix: str) -> tuple[str, ...]:
        """Return the sorted names of all files that begin with `prefix`.

        Unfinished ones are left out.
        """
        ...

    async def stats(self, prefix: str) -> dict[str, Stat]:
        """Return the same files with what is known of them without reading any.

        A bucket knows the md5, a folder does not.
        """
        ...

    async def top_folders(self) -> tuple[str, ...]:
        """Return the names of the archive's folders, sorted: not what is in them."""
        ...

    async def list_numbered(self, prefix: str) -> dict[str, str]:
        """Return the numbered names of documents below `prefix`.

        Those that are not stored under their own name. Only a bucket that keeps what is stored has any, see
        archive/numbered.py.
        """
        ...

    async def digests(self, name: str) -> Digests:
        """Return size and hashes of a file; ArchiveError when it is not there.

        Every byte is read.
        """
        ...

    async def remove(self, name: str, found: Stat) -> bool:
        """Remove a file if it still is what was found (size and md5).

        False when it is gone or another one now.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...


def confined(name: str) -> str:
    """Return the name when it stays inside the archive; ArchiveError otherwise."""
    parts = name.split("/")
    odd = any(character == "\\" or unicodedata.category(character) in {"Cc", "Cs"} for character in name)
    if odd or any(part in {"", ".", ".."} for part in parts):
        raise ArchiveError(
            f"{name[:200]!r} is not a name inside the archive: it must be a relative path without '..', empty parts, "
            "backslashes or control characters. Nothing was read or written; rename the shot or campaign."
        )
    if len(name.encode()) > MAX_NAME or any(len(part.encode()) > MAX_PART for part in parts):
        raise ArchiveError(
            f"{name[:80]!r}... is too long for an archive name ({MAX_NAME} bytes, {MAX_PART} per part). "
            "Nothing was read or written; shorten the campaign's name or the archive's prefix."
        )
    return name


async def create_document(store: Store, name: str, data: bytes, content_type: str) -> None:
    """Store a new document; ArchiveConflict when the name is taken by another one."""
    with tempfile.TemporaryDirectory(prefix="callsheet-") as folder:
        source = Path(folder) / "document"
        # Synced: a store may take the file over by a link.
        await asyncio.to_thread(files.write_bytes, data, source)
        found = await asyncio.to_thread(files.digests, source)
        await store.put_file(source, StoredFile(name, found.sha256, found.md5, found.size, content_type))


DAMAGED = ".damaged"


def name_kept_file(prefix: str, md5: str, name: str) -> str:
    """Return where a wrong file of the batch at `prefix` is kept."""
    return f"{prefix}/{DAMAGED}/{md5[:12]}/{name.removeprefix(f'{prefix}/')}"


async def keep_aside(store: Store, prefix: str, name: str, limit: int) -> Stat:
    """Copy a file to where it is kept, and return how it was.

    ArchiveError when it is larger than `limit` bytes.
    """
    data = await store.read_bytes(name, limit)
    md5 = md5_of_bytes(data)
    await create_document(store, name_kept_file(prefix, md5, name), data, "application/octet-stream")
    return Stat(len(data), md5)


def resource(
    key: str,
    *,
    content_type: str,
    md5: str,
    metadata: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Build the object's resource as the JSON API takes it.

    With the md5 declared, Cloud Storage keeps nothing but these very bytes. `headers` are properties that become
    headers of a download: contentDisposition and cacheControl.
    """
    told: dict[str, Any] = {
        **(headers or {}),
        "name": key,
        "contentType": content_type,
        "md5Hash": base64.b64encode(bytes.fromhex(md5)).decode(),
    }
    if metadata:
        told["metadata"] = bounded(metadata)
    return told


class Told(TypedDict):
    """The metadata of a file that a store gets beside its bytes."""

    metadata: dict[str, str]
    download_name: str


def about_file(campaign: str, batch: str, shot: str | None, name: str) -> Told:
    """Describe the origin of a file, and the name under which a browser saves it.

    `name` is a file of a shot, or of the whole batch. The store adds the sha256. `autumn-lighthouse-take-1.png` stands
    for `take-1-<hash>.png` of the shot `lighthouse`.
    """
    readable = re.sub(r"-[0-9a-f]{12}(?=\.[^.]*$|$)", "", name.rpartition("/")[2])
    origin = {"campaign": campaign, "batch": batch, **({"shot": shot} if shot else {})}
    return Told(metadata=origin, download_name="-".join(filter(None, (campaign, shot, readable))))


def disposition(name: str) -> str:
    """Build the Content-Disposition that shows a file in a browser.

    It is saved under `name` (RFC 6266, RFC 5987).
    """
    cleaned = re.sub(r'[\x00-\x1f\x7f/\\:*?"<>|]+', "_", _replace_surrogates(name)).strip(". ") or "file"
    stem, dot, suffix = cleaned.rpartition(".")
    cut = f"{(stem or suffix)[:_MAX_NAME]}{dot}{suffix}" if stem else cleaned[:_MAX_NAME]
    plain = re.sub(r"[^\x20-\x7e]+", "_", cut)
    quoted = plain.replace("%", "_")  # some browsers decode percent signs in the plain form
    return f"inline; filename=\"{quoted}\"; filename*=UTF-8''{quote(cut, safe=_PLAIN)}"


def bounded(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return as many entries as fit into an object's custom metadata, in order."""
    kept: dict[str, str] = {}
    room = MAX_METADATA
    for name, value in ((_replace_surrogates(name), _replace_surrogates(value)) for name, value in metadata.items()):
        room -= len(name.encode()) + len(value.encode())
        if room < 0:
            break
        kept[name] = value
    return kept


def _replace_surrogates(text: str) -> str:
    """Replace half characters, which YAML lets in and UTF-8 does not know."""
    return text.encode(errors="replace").decode()
