"""Fetch a video over HTTPS, with the key for the configured host only.

Neither the key nor the request goes to a place that was not configured. A transfer that breaks off is continued where
it ended, and one that drips is ended: others wait for its turn.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx2

from callsheet.errors import (
    DownloadFailed,
    DownloadRefused,
    DownloadStalled,
    OperationExpired,
    ProviderError,
    Unauthorised,
)
from callsheet.providers.http_errors import Phase, from_reply
from callsheet.providers.partial_file import (
    PARTIAL_CONTENT,
    RANGE_NOT_SATISFIABLE,
    Interrupted,
    PartialFile,
    open_partial,
)
from callsheet.providers.plain_client import Secrets
from callsheet.providers.reply_body import read_body
from callsheet.providers.reply_spool import KEPT_HEADERS, Reply
from callsheet.providers.reply_words import error_body, stated_error
from callsheet.providers.sent_tracking import guarded, httpx2_watch
from callsheet.providers.video_addresses import check_file, is_allowed, is_processed, same_origin

_DOWNLOAD = re.compile(r"(.*/files/[^/:?]+):download(\?.*)?")


def resource_of(url: str) -> str | None:
    """Return the address of a file's resource for the address of its bytes.

    None when that is no Files API address.
    """
    found = _DOWNLOAD.fullmatch(url)
    return found.group(1) if found else None


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
# How often it is asked, and after which answers below 500 once more.
ASKED = 3
_ASK_AGAIN = (408, 425, 429)
MAX_ERROR_BYTES = 64 * 1024


class HttpsDownload:
    """Downloads from `base_url` and, where `foreign` is set, from public hosts.

    `base_url` ends with a slash.
    """

    def __init__(
        self,
        client: httpx2.AsyncClient,
        base_url: str,
        headers: Mapping[str, str],
        secrets: Secrets,
        *,
        foreign: bool = False,
    ) -> None:
        self._client = client
        self._base_url = base_url
        self._headers = dict(headers)
        self._secrets = secrets
        self._foreign = foreign

    @property
    def base_url(self) -> str:
        """Return where files without a host of their own are."""
        return self._base_url

    async def fetch(self, url: str, target: Path) -> None:
        """Stream the file at an address (see video_addresses.resolve) to `target`.

        Raises DownloadFailed unless it came whole, OperationExpired when it is gone, DownloadStalled when it makes no
        progress in three turns. The key goes to the configured host only. Redirects are followed without it. Where the
        Files API states size and hash of the file, they are compared.
        """
        async with open_partial(target) as stream:
            part, turn = PartialFile(stream), 0
            while True:
                before = part.size
                try:
                    resource = await self._take_turn(url, part)
                    break
                except Interrupted as error:
                    turn = 1 if part.size - before >= FLOOR_BYTES else turn + 1
                    if turn == TURNS:
                        raise _report_given_up(part, error) from error
        await self._compare(resource, target)

    async def _take_turn(self, url: str, part: PartialFile) -> str | None:
        """Fetch the rest of the file; return the address of its resource, if it has one."""
        headers = self._headers
        resource = resource_of(url)
        for _ in range(MAX_REDIRECTS + 1):
            if not is_allowed(url, self._base_url, foreign=self._foreign):
                raise DownloadRefused(
                    f"The video's address is at {urlsplit(url).hostname or 'no host'}, which is neither the configured "
                    "base URL's nor a public host over https: not fetched. Check the base URL."
                )
            moved = await self._follow(url, headers if same_origin(url, self._base_url) else {}, part)
            if moved is None:
                return resource
            url, headers = urljoin(url, moved), {}
        raise DownloadFailed(f"The video's address was redirected over {MAX_REDIRECTS} times. Fetch it again later.")

    async def is_active(self, url: str) -> bool:
        """Return False while the Files API says that a file is still processed.

        Whatever else it says of it, or that it does not answer, is left to the download.
        """
        return not is_processed(await self._ask_about(resource_of(url)) or b"")

    async def _compare(self, resource: str | None, target: Path) -> None:
        """Hold the file against what the Files API tells of it.

        One that cannot be asked, several times, is taken at its word: the file is paid for.
        """
        for _ in range(ASKED):
            told = await self._ask_about(resource)
            if told:
                await asyncio.to_thread(check_file, target, told)
            if told is not None:
                return
        log.warning("Nobody could be asked whether %s came whole: it is taken as it came.", resource)

    async def _ask_about(self, resource: str | None) -> bytes | None:
        """Return what the Files API tells of a file, nothing when it does not.

        None when there was no answer, so that it may be asked again.
        """
        if resource is None or not same_origin(resource, self._base_url):
            return b""
        try:
            async with asyncio.timeout(ASIDE_S), self._client.stream("GET", resource, headers=self._headers) as reply:
                if reply.status_code in _ASK_AGAIN or reply.status_code >= 500:
                    return None
                return (await _read_beginning(reply)).body if reply.status_code == 200 else b""
        except (httpx2.HTTPError, TimeoutError) as error:
            log.debug("%s could not be asked about: %s", resource, type(error).__name__)
            return None

    async def _follow(self, url: str, headers: Mapping[str, str], part: PartialFile) -> str | None:
        return await guarded(lambda: self._get_in_time(url, headers, part), Phase.DOWNLOAD, "the video", self._secrets)

    async def _get_in_time(self, url: str, headers: Mapping[str, str], part: PartialFile) -> str | None:
        """Do the same as `_get`, within its time in real seconds.

        Raises Interrupted when it is too slow or breaks off.
        """
        before = part.received
        try:
            async with asyncio.timeout(FLOOR_S) as timer:
                return await self._get(url, headers, part, timer)
        except TimeoutError:
            slow = f"less than {FLOOR_BYTES // 1024} KiB came in {FLOOR_S:g} s."
            raise Interrupted(slow, slow=True) from None
        except httpx2.HTTPError as error:
            if part.received == before or not part.can_resume:
                raise
            raise Interrupted(f"the connection broke off ({type(error).__name__}).") from None

    async def _get(self, url: str, headers: Mapping[str, str], part: PartialFile, timer: asyncio.Timeout) -> str | None:
        """Write the file and return None, or return where it moved to."""
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
                raise self._judge_refusal(url, await _read_beginning(reply))
            await self._write(reply, part, timer)
            return None
        finally:
            await reply.aclose()

    def _judge_refusal(self, url: str, reply: Reply) -> ProviderError:
        """Return what an error reply means.

        One of another host than the provider's says nothing about key or operation.
        """
        error = from_reply(reply.status, error_body(reply), Phase.DOWNLOAD, what="the video")
        known = same_origin(url, self._base_url) or not isinstance(error, Unauthorised | OperationExpired)
        return error if known else DownloadFailed(str(error), reason=error.reason, status=error.status)

    async def _write(self, reply: httpx2.Response, part: PartialFile, timer: asyncio.Timeout) -> None:
        await part.begin(reply.status_code, reply.headers)
        passed = 0
        try:
            async for chunk in reply.aiter_bytes():
                if not part.size and chunk.lstrip()[:1] in _TEXT:
                    raise _judge_no_video(await _read_beginning(reply, chunk))
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
            ended = f"it ended after {part.size} of {part.total} bytes."
            raise Interrupted(ended) if part.can_resume else DownloadFailed(f"The video did not come whole: {ended}")


def _report_given_up(part: PartialFile, error: Interrupted) -> DownloadFailed:
    cls = DownloadStalled if error.slow else DownloadFailed
    of = f" of {part.total}" if part.total else ""
    return cls(
        f"The video did not come in {TURNS} turns, {part.size}{of} bytes of it; in the last one {error} "
        "Fetching it again is free."
    )


def _judge_no_video(reply: Reply) -> ProviderError:
    """Return the error for what came in place of a file.

    An error with status 200, a web page, or some other JSON.
    """
    stated = stated_error(read_body(reply), Phase.DOWNLOAD, "the video")
    return stated or from_reply(reply.status, error_body(reply), Phase.DOWNLOAD, what="the video")


async def _read_beginning(reply: httpx2.Response, begun: bytes = b"") -> Reply:
    """Return the first part of an error's body, uncompressed: enough to read it."""
    body = bytearray(begun)
    if not begun:
        async for chunk in reply.aiter_bytes():
            body += chunk
            if len(body) > MAX_ERROR_BYTES:
                break
    headers = {name: reply.headers[name] for name in KEPT_HEADERS if name in reply.headers}
    return Reply(reply.status_code, {**headers, "content-encoding": ""}, bytes(body))
