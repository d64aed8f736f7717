"""Resolve the address of a video, in whatever form an operation names it.

Also what the Files API tells of the file there: its state, size and hash.

One resolver for both routes. Pure. A key goes to the configured base URL only. Other hosts are asked over https,
without it, and only in live runs: gateways hand out signed addresses of their storage. Names of private networks and
bare numbers are left alone: no provider keeps videos there, and an answer must not lead this machine to what only it
can reach.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs, unquote, urljoin, urlsplit

from callsheet.errors import DownloadFailed
from callsheet.files import digest_file
from callsheet.providers.access import GEMINI_URL, is_google, is_loopback

_FILE = re.compile(r"(?P<root>(?:.*/)?files/[^/:?#]+)(?::download)?/?")
_VERSION = re.compile(r"(?:^|/)v\d{1,2}(?:alpha|beta)?\d{0,2}/files/")
_STORAGE = ("storage.googleapis.com", "storage.cloud.google.com", "www.googleapis.com")
_SIGNATURES = ("x-goog-signature", "signature", "x-amz-signature", "token", "sig")
_PRIVATE = (".local", ".internal", ".localhost", ".localdomain", ".arpa", ".test", ".invalid")
MAX_RESOURCE_BYTES = 64 * 1024
# States of a file whose bytes are not there yet (ai.google.dev/gemini-api/docs/omni, 2026-07).
_PROCESSED = frozenset({"PROCESSING", "PENDING", "CREATING", "QUEUED"})


def resolve(uri: str, base_url: str) -> str:
    """Return the address to fetch: an http(s) URL, or a gs:// object.

    Files of Google's API are fetched from the base URL, which ends with a slash: operations name
    `https://generativelanguage.googleapis.com/v1beta/files/ID:download?alt=media` even behind a gateway or the
    rehearsal service. So is every address without a host. Anything else stays as it is.
    """
    parts = urlsplit(uri)
    if parts.scheme == "gs" or uri.startswith("//"):
        return uri
    here = parts.hostname in (None, urlsplit(GEMINI_URL).hostname) and not parts.username
    if here or same_origin(uri, base_url):
        if file := _FILE.fullmatch(parts.path):
            return _build_file_url(file["root"], parts.query, uri, base_url, here=here)
        if parts.hostname is None:
            return urljoin(base_url, uri)
        return f"{base_url}{parts.path.lstrip('/')}{_format_query(parts.query)}" if here else uri
    return object_of(uri) or uri


def object_of(url: str) -> str | None:
    """Return the gs:// name of an object for its address at Google's storage.

    None for other addresses, and signed ones.
    """
    parts = urlsplit(url)
    host, path = parts.hostname or "", unquote(parts.path).lstrip("/")
    if parts.scheme not in ("http", "https") or {name.lower() for name in parse_qs(parts.query)} & {*_SIGNATURES}:
        return None
    if host.endswith(".storage.googleapis.com"):
        path = f"{host.removesuffix('.storage.googleapis.com')}/{path}"
    elif host not in _STORAGE:
        return None
    api = re.fullmatch(r"(?:download/)?storage/v1/b/([^/]+)/o/(.+)", path)
    bucket, _, key = (api[1], "", api[2]) if api else path.partition("/")
    return f"gs://{bucket}/{key}" if bucket and key and (api or host != "www.googleapis.com") else None


def is_allowed(url: str, base_url: str, *, foreign: bool) -> bool:
    """Return whether a video may be fetched from there.

    From the base URL's host, or over https from Google's or a public host. `foreign` allows public hosts; otherwise,
    behind a base URL on this machine, nothing else is asked.
    """
    parts, base = urlsplit(url), urlsplit(base_url)
    if parts.scheme not in ("http", "https") or parts.username or not parts.hostname:
        return False
    if parts.hostname == base.hostname:
        return parts.scheme == "https" or is_loopback(url)
    if parts.scheme != "https":
        return False
    return (is_google(url) and not is_loopback(base_url)) or (foreign and _is_public(url))


def same_origin(url: str, base_url: str) -> bool:
    """Return whether scheme, host and port are those of the base URL.

    The key is sent only there.
    """
    return _read_origin(url) == _read_origin(base_url)


def _build_file_url(root: str, query: str, uri: str, base_url: str, *, here: bool) -> str:
    """Return the address of a file's bytes, with the query that requests them."""
    wanted = query if "alt=" in query else "&".join(part for part in (query, "alt=media") if part)
    if not here:
        return f"{uri.partition('?')[0].partition('#')[0].rstrip('/').removesuffix(':download')}:download?{wanted}"
    path = root.lstrip("/")
    return f"{base_url}{path if _VERSION.search(path) else 'v1beta/' + path}:download?{wanted}"


def _is_public(url: str) -> bool:
    try:
        host, port = (urlsplit(url).hostname or "").rstrip("."), urlsplit(url).port
    except ValueError:
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return (
            "." in host and not host.endswith(_PRIVATE) and not host.replace(".", "").isdigit() and port in (None, 443)
        )
    return False


def _read_origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        return "", None, None
    return parts.scheme, parts.hostname, port or {"https": 443, "http": 80}.get(parts.scheme)


def _format_query(query: str) -> str:
    return f"?{query}" if query else ""


def is_processed(resource: bytes) -> bool:
    """Return whether a file is said to be processed still: its bytes come later."""
    return str(_read(resource).get("state") or "").upper().removeprefix("STATE_") in _PROCESSED


def check_file(path: Path, resource: bytes) -> None:
    """Raise DownloadFailed when the file differs from what its resource states.

    What the resource does not state is not checked.
    """
    told = _read(resource)
    size, hashes = str(told.get("sizeBytes") or ""), _read_digests(told.get("sha256Hash"))
    if not size and not hashes:
        return
    digest = digest_file(path)
    if (size.isdigit() and int(size) != digest.size) or (hashes and digest.sha256 not in hashes):
        raise DownloadFailed(
            f"The video came damaged: {digest.size} bytes with sha256 {digest.sha256[:12]}, and the provider tells of "
            f"{size or '?'} bytes with another hash. Fetching it again is free."
        )


def _read(resource: bytes) -> Mapping[str, object]:
    """Return the fields of a resource, {} for anything else."""
    try:
        told = json.loads(resource[:MAX_RESOURCE_BYTES])
    except (ValueError, RecursionError):
        return {}
    inner = told.get("file") if isinstance(told, Mapping) else None
    found = inner if isinstance(inner, Mapping) else told
    return found if isinstance(found, Mapping) else {}


def _read_digests(value: object) -> set[str]:
    """Return the hex digests that a `sha256Hash` may mean; empty when it is none."""
    if not isinstance(value, str):
        return set()
    found = {value.lower()}
    try:
        raw = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    found |= {raw.hex(), raw.decode("ascii", "replace").lower()}
    return {digest for digest in found if re.fullmatch(r"[0-9a-f]{64}", digest)}
