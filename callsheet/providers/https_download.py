"""Fetching a video over HTTPS without taking the key, or the request, to a place that was not configured.

A transfer that breaks off is continued where it ended, and one that drips is ended: its turn belongs to others too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx2

from callsheet.errors import DownloadFailed, DownloadStalled
from callsheet.providers.file_check import check_file, resource_of
from callsheet.providers.http_errors import Phase, from_reply
from callsheet.providers.partial_file import PARTIAL_CONTENT, RANGE_NOT_SATISFIABLE, Interrupted, PartialFile
from callsheet.providers.routes import GEMINI_URL, is_google, is_loopback
from callsheet.providers.secrets import Secrets
from callsheet.providers.video_files import opened
from callsheet.providers.wire import guarded, httpx2_watch

log = logging.getLogger(__name__)

MAX_REDIRECTS = 5
# How a page or JSON begins, and no video does.
_TEXT = (b"<", b"{", b"[")
# The slowest transfer that is waited for, as for buckets: so many bytes in so many real seconds.
FLOOR_BYTES, FLOOR_S = 256 * 1024, 60.0
# So often a transfer that breaks off or drips is taken up again without so much progress, before it is left.
TURNS = 3
# Longest wait for what the Files API tells of a file, and for the body of an error, in seconds.
ASIDE_S = 20.0


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
        and hash of the file, they are compared. DownloadStalled when it does not get on in three turns.
        """
        async with opened(target) as stream:
            part, turn = PartialFile(stream), 0
            while True:
                before = part.size
                try:
                    resource = await self._take_turn(uri, part)
                    break
                except Interrupted as error:
                    turn = 1 if part.size - before >= FLOOR_BYTES else turn + 1
                    if turn == TURNS:
                        raise _given_up(part, error) from error
        await self._compare(resource, target)

    async def _take_turn(self, uri: str, part: PartialFile) -> str | None:
        """Bring the rest of the file; the address of its resource, where it has one."""
        url, headers = rebased(uri, self._base_url), self._headers
        resource = resource_of(url)
        for _ in range(MAX_REDIRECTS + 1):
            if not allowed(url, self._base_url):
                raise DownloadFailed(
                    f"The video's address is at {urlsplit(url).hostname or 'no host'}, which is neither the configured "
                    "base URL's nor Google's: not fetched. Check the base URL."
                )
            moved = await self._hop(url, headers if same_origin(url, self._base_url) else {}, part)
            if moved is None:
                return resource
            url, headers = urljoin(url, moved), {}
        raise DownloadFailed(f"The video's address was redirected over {MAX_REDIRECTS} times. Fetch it again later.")

    async def _compare(self, resource: str | None, target: Path) -> None:
        if resource is None or not same_origin(resource, self._base_url):
            return
        try:
            async with asyncio.timeout(ASIDE_S), self._client.stream("GET", resource, headers=self._headers) as reply:
                told = await _start(reply) if reply.status_code == 200 else b""
        except (httpx2.HTTPError, TimeoutError) as error:
            log.debug("%s could not be asked for size and hash: %s", resource, type(error).__name__)
            return
        if told:
            await asyncio.to_thread(check_file, target, told)

    async def _hop(self, url: str, headers: Mapping[str, str], part: PartialFile) -> str | None:
        return await guarded(lambda: self._in_time(url, headers, part), Phase.DOWNLOAD, "the video", self._secrets)

    async def _in_time(self, url: str, headers: Mapping[str, str], part: PartialFile) -> str | None:
        """The same as `_get`; Interrupted when it gets on too slowly, in real seconds, or breaks off."""
        before = part.received
        try:
            async with asyncio.timeout(FLOOR_S) as timer:
                return await self._get(url, headers, part, timer)
        except TimeoutError:
            slow = f"less than {FLOOR_BYTES // 1024} KiB came in {FLOOR_S:g} s."
            raise Interrupted(slow, slow=True) from None
        except httpx2.HTTPError as error:
            if part.received == before:
                raise
            raise Interrupted(f"the connection broke off ({type(error).__name__}).") from None

    async def _get(self, url: str, headers: Mapping[str, str], part: PartialFile, timer: asyncio.Timeout) -> str | None:
        """None when the file is written, else where it moved to."""
        sent = {**headers, **part.headers(), "Accept-Encoding": "identity"}  # a video does not compress
        request = self._client.build_request("GET", url, headers=sent, extensions={"trace": httpx2_watch})
        reply = await self._client.send(request, stream=True)
        try:
            if reply.status_code in (301, 302, 303, 307, 308) and (moved := reply.headers.get("Location")):
                return str(moved)
            if reply.status_code in (401, 403) and not headers and same_origin(url, self._base_url):
                # A redirect that stayed on the configured host and wants the key after all may have it there.
                return await self._get(url, self._headers, part, timer)
            if reply.status_code == RANGE_NOT_SATISFIABLE and part.size:
                await part.restart()
                raise Interrupted("the server has no more of it than came.")
            if reply.status_code not in (200, 203, PARTIAL_CONTENT):
                raise from_reply(reply.status_code, await _start(reply), Phase.DOWNLOAD, what="the video")
            await self._write(reply, part, timer)
            return None
        finally:
            await reply.aclose()

    async def _write(self, reply: httpx2.Response, part: PartialFile, timer: asyncio.Timeout) -> None:
        await part.begin(reply.status_code, reply.headers)
        passed = 0
        try:
            async for chunk in reply.aiter_bytes():
                if not part.size and chunk.lstrip()[:1] in _TEXT:
                    raise from_reply(reply.status_code, chunk, Phase.DOWNLOAD, what="the video")
                await part.add(chunk)
                passed += len(chunk)
                if passed >= FLOOR_BYTES:
                    passed = 0
                    timer.reschedule(asyncio.get_running_loop().time() + FLOOR_S)
        finally:
            part.flush()
        # httpx2 itself refuses a body shorter than declared (2.16.2, measured); this holds for any client.
        if not part.size:
            raise DownloadFailed("The video came without a byte. Fetching it again is free.")
        if not part.is_whole:
            raise Interrupted(f"it ended after {part.size} of {part.total} bytes.")


def _given_up(part: PartialFile, error: Interrupted) -> DownloadFailed:
    cls = DownloadStalled if error.slow else DownloadFailed
    of = f" of {part.total}" if part.total else ""
    return cls(
        f"The video did not come in {TURNS} turns, {part.size}{of} bytes of it; in the last one {error} "
        "Fetching it again is free."
    )


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
