"""The metadata of a stored object.

Pure; nothing secret: no prompt, no API key, no local path.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any, TypedDict
from urllib.parse import quote

# All custom metadata of an object together (docs.cloud.google.com/storage/docs/metadata, checked 2026-11-21: 8 KiB).
MAX_METADATA = 8 * 1024
_MAX_NAME = 150
# What RFC 5987 lets stand unencoded, beside letters and digits (attr-char).
_PLAIN = "!#$&+-.^_`|~"


def resource(
    key: str,
    *,
    content_type: str,
    md5: str,
    metadata: Mapping[str, str] | None = None,
    download_name: str | None = None,
    cache_control: str | None = None,
) -> dict[str, Any]:
    """Build the object's resource as the JSON API takes it.

    With the md5 declared, Cloud Storage keeps nothing but these very bytes.
    """
    told: dict[str, Any] = {
        "name": key,
        "contentType": content_type,
        "md5Hash": base64.b64encode(bytes.fromhex(md5)).decode(),
    }
    if metadata:
        told["metadata"] = bounded(metadata)
    if download_name:
        told["contentDisposition"] = disposition(download_name)
    if cache_control:
        told["cacheControl"] = cache_control
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
