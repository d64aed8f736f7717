"""Whether a fetched file is the one that the Files API tells of: its size and hash, where the API tells them.

A `files/{id}` resource has `sizeBytes` and `sha256Hash` (ai.google.dev/api/files, read 2026-11): the base64 of the hex
digest, or of the digest itself as gateways have it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from pathlib import Path

from callsheet.errors import DownloadFailed
from callsheet.files import digest_file

_DOWNLOAD = re.compile(r"(.*/files/[^/:?]+):download(\?.*)?")
MAX_RESOURCE_BYTES = 64 * 1024


def resource_of(url: str) -> str | None:
    """The address of the file's resource, for the address of its bytes; None when that is no Files API address."""
    found = _DOWNLOAD.fullmatch(url)
    return found.group(1) if found else None


def check_file(path: Path, resource: bytes) -> None:
    """Raise DownloadFailed when the file is not what its resource says; what is not told is not checked."""
    try:
        told = json.loads(resource[:MAX_RESOURCE_BYTES])
    except ValueError:
        return
    if not isinstance(told, Mapping):
        return
    size, hashes = str(told.get("sizeBytes") or ""), _digests(told.get("sha256Hash"))
    digest = digest_file(path)
    if (size.isdigit() and int(size) != digest.size) or (hashes and digest.sha256 not in hashes):
        raise DownloadFailed(
            f"The video came damaged: {digest.size} bytes with sha256 {digest.sha256[:12]}, and the provider tells of "
            f"{size or '?'} bytes with another hash. Fetching it again is free."
        )


def _digests(value: object) -> set[str]:
    """The hex digests that a `sha256Hash` may mean; empty when it is none."""
    if not isinstance(value, str):
        return set()
    found = {value.lower()}
    try:
        raw = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    found |= {raw.hex(), raw.decode("ascii", "replace").lower()}
    return {digest for digest in found if re.fullmatch(r"[0-9a-f]{64}", digest)}
