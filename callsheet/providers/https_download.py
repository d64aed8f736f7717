"""Fetching a video over HTTPS without taking the key, or the request, to a place that was not configured."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx2

from callsheet.errors import DownloadFailed
from callsheet.providers.file_check import check_file, resource_of
from callsheet.providers.http_errors import Phase, from_reply
from callsheet.providers.operations import MAX_VIDEO_BYTES
from callsheet.providers.routes import GEMINI_URL, is_google, is_loopback
from callsheet.providers.secrets import Secrets
from callsheet.providers.video_files import opened
from callsheet.providers.wire import guarded, httpx2_watch

log = logging.getLogger(__name__)

MAX_REDIRECTS = 5
CHUNK = 1024 * 1024


class HttpsDownload:
    """Downloads files that operations name, from `base_url` (ends with a slash) and, live, *.googleapis.com."""

    def __init__(self, client: httpx2.AsyncClient, base_url: str, headers: Mapping[str, str], secrets: Secrets) -> None:
        self._client = client
        self._base_url = base_url
        self._headers = dict(headers)
        self._secrets = secrets

    async def fetch(self, uri: str, target: Path) -> None:
        """Stream the file to `target`; DownloadFailed unless it came whole, OperationExpired when it is gone.

        The key goes to the configured host only. Redirects are followed without it. Where the Files API tells size
        and hash of the file, they are compared.
        """
        url, headers = rebased(uri, self._base_url), self._headers
        resource = resource_of(url)
        for _ in range(MAX_REDIRECTS + 1):
            if not allowed(url, self._base_url):
                raise DownloadFailed(
                    f"The video's address is at {urlsplit(url).hostname or 'no host'}, which is neither the configured "
                    "base URL's nor Google's: not fetched. Check the base URL."
                )
            moved = await self._hop(url, headers if same_origin(url, self._base_url) else {}, target)
            if moved is None:
                return await self._compare(resource, target)
            url, headers = urljoin(url, moved), {}
        raise DownloadFailed(f"The video's address was redirected over {MAX_REDIRECTS} times. Fetch it again later.")

    async def _compare(self, resource: str | None, target: Path) -> None:
        if resource is None or not same_origin(resource, self._base_url):
            return
        try:
            reply = await self._client.get(resource, headers=self._headers)
        except httpx2.HTTPError as error:
            log.debug("%s could not be asked for size and hash: %s", resource, type(error).__name__)
            return
        if reply.status_code == 200:
            await asyncio.to_thread(check_file, target, reply.content)

    async def _hop(self, url: str, headers: Mapping[str, str], target: Path) -> str | None:
        return await guarded(lambda: self._get(url, headers, target), Phase.DOWNLOAD, "the video", self._secrets)

    async def _get(self, url: str, headers: Mapping[str, str], target: Path) -> str | None:
        """None when the file is written, else where it moved to."""
        sent = {**headers, "Accept-Encoding": "identity"}  # a video does not compress
        request = self._client.build_request("GET", url, headers=sent, extensions={"trace": httpx2_watch})
        reply = await self._client.send(request, stream=True)
        try:
            if reply.status_code in (301, 302, 303, 307, 308) and (moved := reply.headers.get("Location")):
                return str(moved)
            if reply.status_code in (401, 403) and not headers and same_origin(url, self._base_url):
                # A redirect that stayed on the configured host and wants the key after all may have it there.
                return await self._get(url, self._headers, target)
            if reply.status_code != 200:
                raise from_reply(reply.status_code, await _start(reply), Phase.DOWNLOAD, what="the video")
            await _write(reply, target)
            return None
        finally:
            await reply.aclose()


def rebased(uri: str, base_url: str) -> str:
    """The address on the configured host for a file of Google's API; any other address as it is.

    Operations name `https://generativelanguage.googleapis.com/v1beta/files/ID:download?alt=media` even behind a
    gateway or the rehearsal service.
    """
    parts, google = urlsplit(uri), urlsplit(GEMINI_URL)
    if parts.hostname != google.hostname:
        return uri
    query = f"?{parts.query}" if parts.query else ""
    return f"{base_url}{parts.path.lstrip('/')}{query}"


def allowed(url: str, base_url: str) -> bool:
    """Whether a video may be fetched there: the base URL's host, or Google's over https unless the base is loopback."""
    parts, base = urlsplit(url), urlsplit(base_url)
    if parts.scheme not in ("http", "https") or parts.username or not parts.hostname:
        return False
    if parts.hostname == base.hostname:
        return parts.scheme == "https" or is_loopback(url)
    return parts.scheme == "https" and is_google(url) and not is_loopback(base_url)


def same_origin(url: str, base_url: str) -> bool:
    """Whether scheme, host and port are those of the base URL: only there the key is sent."""
    return _origin(url) == _origin(base_url)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)


async def _start(reply: httpx2.Response) -> bytes:
    """The first part of an error's body: enough to tell what it says."""
    body = b""
    async for chunk in reply.aiter_bytes():
        body += chunk
        if len(body) > 64 * 1024:
            break
    return body


async def _write(reply: httpx2.Response, target: Path) -> None:
    written = 0
    async with opened(target) as handle:
        async for chunk in reply.aiter_bytes(CHUNK):
            written += len(chunk)
            if written > MAX_VIDEO_BYTES:
                raise DownloadFailed(f"The video is larger than {MAX_VIDEO_BYTES} bytes: not taken.")
            await asyncio.to_thread(handle.write, chunk)
        # httpx2 itself refuses a body shorter than declared (2.16.2, measured); this holds for any client.
        declared = reply.headers.get("Content-Length", str(reply.num_bytes_downloaded))
        if written == 0 or declared != str(reply.num_bytes_downloaded):
            raise DownloadFailed(f"The video came with {written} of {declared} bytes. Fetching it again is free.")
