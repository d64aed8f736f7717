"""One signed exchange over httpx2: the reply as it came, stored while it arrives.

Requests are signed with a key, a fixed token, or Google's own credentials.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, Protocol

import google.auth.transport.requests
import httpx2
import requests
from google.auth.exceptions import DefaultCredentialsError

from callsheet.errors import SettingsError
from callsheet.gcs.access import GoogleAccess
from callsheet.gcs.credentials import find_credentials
from callsheet.providers.reply_spool import KEPT_HEADERS, MAX_KEPT_BYTES, Keeper, Reply, may_be_paid
from callsheet.providers.sent_tracking import note_reply

# Whoever waits for a reply goes on waiting while so many bytes come in the time.
PROGRESS_BYTES = 256 * 1024
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_RENEWAL_S = 30.0


async def exchange(
    client: httpx2.AsyncClient,
    request: httpx2.Request,
    *,
    wait_s: float,
    keeper: Keeper | None = None,
    limit: int = MAX_KEPT_BYTES,
) -> Reply:
    """Send the request once and return its reply, stored with `keeper` first.

    The part of a reply that broke off counts too: `is_whole` is False then. Raises what httpx2 raises, or
    TimeoutError, when nothing of a body came. `wait_s` is for the first 256 KiB, and then for each more.
    """
    came = _Coming(keeper)
    try:
        async with asyncio.timeout(wait_s) as timer:
            await came.receive(await client.send(request, stream=True), timer, wait_s, limit)
    except (httpx2.HTTPError, TimeoutError):
        if not came.body:
            raise
    return await came.finish()


class _Coming:
    """A reply that is arriving."""

    def __init__(self, keeper: Keeper | None) -> None:
        self.body = bytearray()
        self._keeper = keeper
        self._status, self._headers, self._is_whole = 0, dict[str, str](), False

    async def receive(self, reply: httpx2.Response, timer: asyncio.Timeout, wait_s: float, limit: int) -> None:
        self._status = reply.status_code
        self._headers = {name: reply.headers[name] for name in KEPT_HEADERS if name in reply.headers}
        self._keeper = self._keeper if may_be_paid(self._status) else None
        if self._keeper is not None:
            self._keeper.begin(self._status, self._headers)
        try:
            async with aclosing(reply.aiter_raw()) as pieces:
                passed = 0
                async for piece in pieces:
                    passed += len(piece)
                    self._add(piece[: limit - len(self.body)])
                    if len(self.body) >= limit:
                        return
                    if passed >= PROGRESS_BYTES:
                        passed = 0
                        timer.reschedule(asyncio.get_running_loop().time() + wait_s)
            self._is_whole = True
        finally:
            await reply.aclose()

    def _add(self, piece: bytes) -> None:
        self.body += piece
        if self._keeper is not None:
            self._keeper.add(piece)

    async def finish(self) -> Reply:
        reply = Reply(self._status, self._headers, bytes(self.body), self._is_whole)
        if self._keeper is not None:
            await self._keeper.end(reply)
        note_reply(reply)
        return reply


class RequestSigner(Protocol):
    """The source of the headers that a plain request to Google carries."""

    async def headers(self) -> Mapping[str, str]:
        """Return the headers, valid now."""
        ...


class FixedRequestSigner:
    """A key or token that does not change."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = dict(headers)

    async def headers(self) -> Mapping[str, str]:
        """Return the headers."""
        return self._headers


class GoogleRequestSigner:
    """Google's credentials: those of the file, else what its library finds by itself."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._credentials: Any = None
        self._renewing = asyncio.Lock()

    async def headers(self) -> Mapping[str, str]:
        """Return a valid token in a header.

        Raises GoogleAuthError when there are no credentials or no token is granted.
        """
        async with self._renewing:
            if self._credentials is None or not self._credentials.valid:
                await asyncio.to_thread(self._renew)
        headers: dict[str, str] = {}
        self._credentials.apply(headers)
        return headers

    def _renew(self) -> None:
        """Find the credentials, and get a token for them. Blocks."""
        if self._credentials is None:
            try:
                self._credentials = find_credentials(GoogleAccess(credentials_file=self._file), SCOPE)
            except SettingsError as error:
                raise DefaultCredentialsError(str(error)) from error  # type: ignore[no-untyped-call]
        with requests.Session() as session:
            ask = functools.partial(google.auth.transport.requests.Request(session), timeout=_RENEWAL_S)
            self._credentials.refresh(ask)
