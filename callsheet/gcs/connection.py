"""One gcsfs per process, event loop and kind of access.

Requests are sent once each, stalls are noticed, answers are sorted. gcsfs gives the endpoint, the session (with mutual
TLS where it is asked for) and the quoting of names. Requests are not sent through its own retries: only
gcs/write_rule.py knows when to look at the object before sending again, and gcsfs goes on for minutes without a word
(measured 2026-11-21, gcsfs 2026.10.1).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import aiohttp
from yarl import URL

from callsheet.errors import ArchiveError
from callsheet.gcs import answers
from callsheet.gcs.access import GoogleAccess, Outage, Stalled, WriteInDoubt
from callsheet.gcs.answers import StorageReply
from callsheet.gcs.credentials import Authorisation, find_credentials
from callsheet.gcs.upload import SLICE, Body

# Measured best on loopback: 8 writes at once, 4 when they are large (2026-11-21); reads hold less.
_WRITES, _LARGE_WRITES, _READS = 8, 4, 32
_CONNECT_S = 20.0
# No answer but a listing comes near it; a bound against a server that never ends.
_MAX_ANSWER = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class StorageRequest:
    """One request.

    `path` is below the endpoint, or a whole URL; statuses in `expected` are not failures. `where` and `permission` are
    for the message: the object as gs://, and what it takes to be allowed this.
    """

    method: str
    path: str
    where: str
    permission: str
    expected: Collection[int] = ()
    params: Mapping[str, str] | None = None
    headers: Mapping[str, str] | None = None
    json: Mapping[str, Any] | None = None
    content: Body | None = None
    start: int = 0

    @property
    def bucket(self) -> str:
        """The bucket that is asked."""
        return self.where.removeprefix("gs://").partition("/")[0]


class Connection:
    """Requests to one endpoint, with a limit on how many of a kind run at once.

    Get one from `connected`.
    """

    def __init__(self, access: GoogleAccess) -> None:
        self.access = access
        self.outage = Outage()
        self.writes = asyncio.Semaphore(_WRITES)
        self.large_writes = asyncio.Semaphore(_LARGE_WRITES)
        self.reads = asyncio.Semaphore(_READS)
        self.users = 0
        self._files: Any = None
        self._authorisation = Authorisation(None)
        self._opening = asyncio.Lock()
        self._payers: set[str] = set()

    async def files(self) -> Any:
        """Return the gcsfs file system itself.

        Raises SettingsError when there are no credentials for it.
        """
        async with self._opening:
            if self._files is None:
                # Looking for credentials reads files and may ask the metadata server: not on the event loop.
                credentials = None if self.access.endpoint else await asyncio.to_thread(find_credentials, self.access)
                self._files = await asyncio.to_thread(_open_gcsfs, self.access, credentials)
                self._authorisation = Authorisation(credentials)
            await self._files._set_session()
        return self._files

    async def answer(self, ask: StorageRequest, stall_s: float) -> StorageReply:
        """Return the answer to a request.

        Raises Doubt, ArchiveDenied or ArchiveError unless it is a 2xx or an expected one.
        """
        async with self.stream(ask, stall_s) as (response, alive):
            body = await _read_whole(response, alive, _MAX_ANSWER)
            return StorageReply(response.status, response.headers, body)

    @contextlib.asynccontextmanager
    async def stream(
        self, ask: StorageRequest, stall_s: float
    ) -> AsyncIterator[tuple[aiohttp.ClientResponse, Callable[[], None]]]:
        """Yield the answer to a request while its body still comes.

        It comes with a function: call that at every 256 KiB, to say that the transfer is still alive. Raises as
        `answer` does.
        """
        refused_before = False
        while True:
            await self.files()
            token = await self._authorisation.headers()
            async with self._send(self._add_payer(ask), token, stall_s) as (response, alive):
                if response.status < 300 or response.status in ask.expected:
                    self.outage.answered()
                    yield response, alive
                    return
                answer = StorageReply(
                    response.status, response.headers, await _read_whole(response, lambda: None, _MAX_ANSWER)
                )
            if answer.asks_for_payer and self.access.payer and ask.bucket not in self._payers:
                self._payers.add(ask.bucket)
                continue
            if answer.status != 401:
                break
            if refused_before:
                raise answers.unauthenticated(ask.where, answer)
            refused_before = True
            await self._authorisation.renew(token)
        error = answers.failure(answer, ask.where, ask.permission)
        self.outage.failed() if isinstance(error, WriteInDoubt) else self.outage.answered()
        raise error

    def _add_payer(self, ask: StorageRequest) -> StorageRequest:
        """Add the project that pays to a request, where the bucket has asked for one.

        An upload session has it already.
        """
        if ask.bucket not in self._payers or "://" in ask.path:
            return ask
        return replace(ask, params={**(ask.params or {}), "userProject": self.access.payer or ""})

    @contextlib.asynccontextmanager
    async def _send(
        self, ask: StorageRequest, token: dict[str, str], stall_s: float
    ) -> AsyncIterator[tuple[aiohttp.ClientResponse, Callable[[], None]]]:
        """Yield whatever the server answers.

        Raises Doubt when the connection broke or nothing came or went for `stall_s`.
        """
        try:
            async with asyncio.timeout(stall_s) as timer:
                alive = partial(_postpone, timer, stall_s)
                async with self._start_request(ask, token, alive) as response:
                    alive()
                    yield response, alive
        except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
            if own := _find_own_error(error):
                raise own from error
            self.outage.failed()
            if isinstance(error, TimeoutError):
                raise Stalled(f"less than 256 KiB came in {stall_s:g} s") from error
            raise WriteInDoubt(f"{type(error).__name__}: {error}") from error

    def _start_request(
        self, ask: StorageRequest, token: dict[str, str], alive: Callable[[], None]
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        headers = {"User-Agent": "callsheet", **token, **(ask.headers or {})}
        data: Any = None
        if ask.content is not None:
            headers["Content-Length"] = str(ask.content.size - ask.start)
            data = _watch_slices(ask.content, ask.start, alive) if ask.content.size > ask.start else b""
        url = ask.path if "://" in ask.path else f"{self._files._location}/{ask.path}"
        request: AbstractAsyncContextManager[aiohttp.ClientResponse] = self._files.session.request(
            ask.method,
            URL(url, encoded=True),
            params=ask.params,
            headers=headers,
            json=ask.json,
            data=data,
            allow_redirects=False,
        )
        return request

    async def close(self) -> None:
        """Close the session; a later request opens another one."""
        if self._files is not None and self._files._session is not None:
            await self._files._session.close()
        self._files = None


_connections: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[GoogleAccess, Connection]] = WeakKeyDictionary()


def connected(access: GoogleAccess) -> Connection:
    """Return the connection that everything in this event loop shares.

    Give it back with `let_go`.
    """
    shared = _connections.setdefault(asyncio.get_running_loop(), {})
    connection = shared.setdefault(access, Connection(access))
    connection.users += 1
    return connection


async def let_go(connection: Connection) -> None:
    """Give back one use of the connection; the last one closes it."""
    connection.users -= 1
    if connection.users <= 0:
        _connections.get(asyncio.get_running_loop(), {}).pop(connection.access, None)
        await connection.close()


def _open_gcsfs(access: GoogleAccess, credentials: Any) -> Any:
    # Read by gcsfs at import. With it on, every operation first asks over gRPC what kind of bucket it has: 39-78 s
    # each where gRPC is blocked (measured 2026-11-21). The plain class is taken too, should gcsfs be loaded already.
    os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
    from gcsfs.core import GCSFileSystem

    # No limit for a request as a whole, which for a large file is any time: stalls are noticed instead.
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S)
    return GCSFileSystem(
        token=credentials or "anon",
        endpoint_url=access.endpoint,
        asynchronous=True,
        skip_instance_cache=True,
        use_listings_cache=False,
        requests_timeout=timeout,
        # Proxies of the environment, as Google's own clients use them; an emulator is nearer than any proxy.
        session_kwargs={"timeout": timeout, "trust_env": access.endpoint is None},
    )


async def _read_whole(response: aiohttp.ClientResponse, alive: Callable[[], None], limit: int) -> bytes:
    body, told = bytearray(), 0
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            raise ArchiveError(f"{response.url.host} answered with more than {limit} bytes. Look at what it is.")
        if len(body) - told >= SLICE:
            told = len(body)
            alive()
    return bytes(body)


async def _watch_slices(content: Body, start: int, alive: Callable[[], None]) -> AsyncIterator[memoryview]:
    async for piece in content.slices(start):
        yield piece
        alive()  # asked for the next one: this one went out


def _postpone(timer: asyncio.Timeout, stall_s: float) -> None:
    timer.reschedule(asyncio.get_running_loop().time() + stall_s)


def _find_own_error(error: BaseException | None) -> ArchiveError | None:
    """Return an error of this side in the middle of sending, which aiohttp wraps."""
    while error is not None:
        if isinstance(error, ArchiveError):
            return error
        error = error.__cause__ or error.__context__
    return None
