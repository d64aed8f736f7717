"""Observe what goes over the wire, and turn what goes wrong into our errors.

Whether a request was sent decides about money, and exception classes do not show it: a total timeout of aiohttp looks
the same before and after sending. So both HTTP clients report the moment before the first byte is written.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, TypeVar

import aiohttp
import google.auth.exceptions
import httpx2
from google.genai import errors as sdk_errors

from callsheet.errors import NotRehearsal, ProviderError, Rejected, ServiceError, Unauthorised, Unknown
from callsheet.providers.http_errors import Phase, describe_exception, from_reply, without_reply
from callsheet.providers.plain_client import Secrets
from callsheet.providers.reply_body import uncompressed
from callsheet.providers.reply_spool import KEPT_HEADERS, MAX_KEPT_BYTES, Keeper, Reply, may_be_paid
from callsheet.providers.reply_words import error_body

T = TypeVar("T")
_SIGN_IN = (
    "Nothing was sent. Run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS or "
    "CALLSHEET_AGENT_PLATFORM_API_KEY."
)


@dataclass(slots=True)
class Exchange:
    """What is known of the exchange under way in this task.

    `reply` is the reply as it came, as far as it came. `is_raw` means that the caller reads it from there, and the SDK
    is given an empty object in its place: its own reading of JSON fails for what ours can read.
    """

    sent: bool = False
    status: int | None = None
    retry_after: str | None = None
    reply: Reply | None = None
    keeper: Keeper | None = None
    is_raw: bool = False
    limit: int = MAX_KEPT_BYTES


@dataclass(frozen=True, slots=True)
class SdkRequest:
    """What errors say of a request: its phase, its name, and the secrets to leave out."""

    phase: Phase
    what: str
    secrets: Secrets


_exchange: ContextVar[Exchange | None] = ContextVar("exchange", default=None)
_listener: ContextVar[Callable[[], None] | None] = ContextVar("listener", default=None)


@contextmanager
def listening(when_sent: Callable[[], None]) -> Iterator[None]:
    """Call `when_sent` at the moment at which this task begins to send a request."""
    token = _listener.set(when_sent)
    try:
        yield
    finally:
        _listener.reset(token)


def _mark_sent(exchange: Exchange) -> None:
    if not exchange.sent and (tell := _listener.get()) is not None:
        tell()
    exchange.sent = True


async def received(
    call: Callable[[], Awaitable[object]],
    read: Callable[[Reply], T],
    request: SdkRequest,
    keeper: Keeper | None = None,
    *,
    limit: int = MAX_KEPT_BYTES,
) -> T:
    """Return what `read` makes of the reply to the one SDK request in `call`.

    The reply is durable with `keeper` before that. A reply that was cut off is read as well: only when nothing is in it
    (Unknown) is the error that of the exchange.
    """

    async def exchange() -> T:
        known = _exchange.get() or Exchange()
        known.keeper, known.is_raw, known.limit = keeper, True, limit
        lost: Exception | None = None
        try:
            await call()
        except Exception as error:  # what came is read first
            lost = error
        reply = known.reply
        if reply is None or not may_be_paid(reply.status) or (lost is not None and not reply.body):
            silence = f"The {request.phase} of {request.what} gave no reply that can be read."
            raise lost or Unknown(silence, reason="NO_REPLY")
        try:
            return await asyncio.to_thread(read, reply)
        except Unknown:
            if lost is None or reply.status != 200:
                raise
            raise lost from None

    return await guarded(exchange, request.phase, request.what, request.secrets)


def note_reply(reply: Reply) -> None:
    """Record the answer to the exchange under way in this task.

    An error then names the provider's id of it.
    """
    if (exchange := _exchange.get()) is not None:
        exchange.reply = reply


async def guarded(call: Callable[[], Awaitable[T]], phase: Phase, what: str, secrets: Secrets) -> T:
    """Return the result of `call`, one exchange with the provider.

    Whatever it raises becomes a ProviderError without secrets. The original exception is not chained: it may hold
    headers with the key, and the SDK's own do not pickle (google-genai 3.4.0 with aiohttp, measured 2026-11-21).
    Cancellation passes through, and so does NotRehearsal where nothing is paid for.
    """
    exchange = Exchange()
    token = _exchange.set(exchange)
    try:
        return await call()
    except NotRehearsal as error:
        if phase is not Phase.SUBMIT:
            raise
        failure = without_reply(error, phase, what=what, sent=exchange.sent)
    except Exception as error:  # after sending, any exception may hide an accepted request
        failure = error if isinstance(error, ProviderError) else _translate(error, exchange, phase, what)
    finally:
        _exchange.reset(token)
    if isinstance(failure, Unauthorised) and secrets.variable:
        failure.message += f" The key of {secrets.variable} was used."
    if exchange.reply is not None and exchange.reply.request_id:
        failure.message += f" The provider's id of the request: {exchange.reply.request_id}."
    failure.message = secrets.scrub(failure.message)
    failure.reason = secrets.scrub(failure.reason)
    failure.args = (failure.message,)
    raise failure


def _translate(error: Exception, exchange: Exchange, phase: Phase, what: str) -> ProviderError:
    if exchange.status is not None and exchange.status != 200:
        # The SDK may not be able to read the error's body; its status still tells what it means.
        body = error_body(exchange.reply) if exchange.reply is not None else None
        return from_reply(exchange.status, body, phase, what=what, retry_after=exchange.retry_after)
    if isinstance(error, sdk_errors.APIError):
        return from_reply(error.code, error.details, phase, what=what, retry_after=exchange.retry_after)
    if exchange.sent or _is_in_transit(error):
        return without_reply(error, phase, what=what, sent=exchange.sent, status=exchange.status)
    reason = type(error).__name__
    if isinstance(error, google.auth.exceptions.GoogleAuthError):
        return Unauthorised(
            f"No access token for the {phase} of {what}: {describe_exception(error)}. {_SIGN_IN}", reason=reason
        )
    return Rejected(
        f"The {phase} of {what} was refused before it was sent: {describe_exception(error)}. Change it.", reason=reason
    )


def _is_in_transit(error: Exception) -> bool:
    return isinstance(
        error, OSError | ServiceError | aiohttp.ClientError | httpx2.HTTPError | google.auth.exceptions.TransportError
    ) and not isinstance(error, aiohttp.InvalidURL)


class WatchedResponse(aiohttp.ClientResponse):
    """A response whose body is stored as it comes, still compressed.

    Its reader (the SDK) gets it uncompressed, or an empty object when the exchange is raw.
    """

    async def read(self) -> bytes:
        """Return the body, uncompressed."""
        if self._body is None:
            exchange = _exchange.get() or Exchange()
            reply = await self._keep_reply(exchange)
            is_hidden = exchange.is_raw and self.status == 200
            self._body = b"{}" if is_hidden else uncompressed(reply.body, reply.headers.get("content-encoding", ""))
        return self._body

    async def _keep_reply(self, exchange: Exchange) -> Reply:
        """Return the reply as it came, durable.

        Also when its body ends with an error, which is then raised.
        """
        headers = {name.lower(): value for name, value in self.headers.items() if name.lower() in KEPT_HEADERS}
        keeper = exchange.keeper if may_be_paid(self.status) else None
        if keeper is not None:
            keeper.begin(self.status, headers)
        pieces: list[bytes] = []
        try:
            is_whole = await self._receive(pieces, keeper, exchange.limit if exchange.is_raw else sys.maxsize)
        except BaseException as error:
            self.close()
            exchange.reply = Reply(self.status, headers, b"".join(pieces), is_whole=False)
            if keeper is not None and isinstance(error, Exception):
                await keeper.end(exchange.reply)
            raise
        self.release() if is_whole else self.close()
        exchange.reply = Reply(self.status, headers, b"".join(pieces), is_whole)
        pieces.clear()
        if keeper is not None:
            await keeper.end(exchange.reply)
        return exchange.reply

    async def _receive(self, pieces: list[bytes], keeper: Keeper | None, left: int) -> bool:
        """Add the body's pieces as they come.

        Returns whether they ended before `left` bytes had come.
        """
        async for piece in self.content.iter_any():
            pieces.append(piece[:left])
            left -= len(pieces[-1])
            if keeper is not None:
                keeper.add(piece)
            if not left:
                return False
        return True


def aiohttp_watch() -> aiohttp.TraceConfig:
    """Report sending and status of every request of a session to the task's exchange."""
    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(_on_sent)
    trace.on_request_end.append(_on_reply)
    return trace


async def _on_sent(_: aiohttp.ClientSession, __: SimpleNamespace, ___: Any) -> None:
    if (exchange := _exchange.get()) is not None:
        _mark_sent(exchange)


async def _on_reply(_: aiohttp.ClientSession, __: SimpleNamespace, end: aiohttp.TraceRequestEndParams) -> None:
    if (exchange := _exchange.get()) is not None:
        exchange.status = end.response.status
        exchange.retry_after = end.response.headers.get("Retry-After")


async def httpx2_watch(event: str, _: dict[str, Any]) -> None:
    """Do the same for httpx2: pass it as the request's extension `trace`."""
    if event.endswith("send_request_headers.started") and (exchange := _exchange.get()) is not None:
        _mark_sent(exchange)
