"""Watching what goes over the wire, and turning whatever goes wrong there into our errors.

Whether a request was sent decides about money, and exception classes do not tell it: a total timeout of aiohttp looks
the same before and after sending. So both HTTP clients report the moment before the first byte is written.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, TypeVar

import aiohttp
import google.auth.exceptions
import httpx2
from google.genai import errors as sdk_errors

from callsheet.errors import ProviderError, Rejected, Unauthorised
from callsheet.providers.http_errors import Phase, from_reply, told, without_reply
from callsheet.providers.secrets import Secrets

T = TypeVar("T")
_SIGN_IN = (
    "Nothing was sent. Run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS or "
    "CALLSHEET_AGENT_PLATFORM_API_KEY."
)


@dataclass(slots=True)
class Exchange:
    """What is known of the exchange under way in this task."""

    sent: bool = False
    status: int | None = None
    retry_after: str | None = None


_exchange: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


async def guarded(call: Callable[[], Awaitable[T]], phase: Phase, what: str, secrets: Secrets) -> T:
    """The result of `call`, one exchange with the provider; whatever it raises becomes a ProviderError without secrets.

    The original exception is not chained: it may hold headers with the key, and the SDK's own do not pickle
    (google-genai 3.4.0 with aiohttp, measured 2026-11-21). Cancellation passes through.
    """
    exchange = Exchange()
    token = _exchange.set(exchange)
    try:
        return await call()
    except Exception as error:  # after sending, any exception may hide an accepted request
        failure = error if isinstance(error, ProviderError) else _translated(error, exchange, phase, what)
    finally:
        _exchange.reset(token)
    failure.message = secrets.scrub(failure.message)
    failure.reason = secrets.scrub(failure.reason)
    failure.args = (failure.message,)
    raise failure


def _translated(error: Exception, exchange: Exchange, phase: Phase, what: str) -> ProviderError:
    if isinstance(error, sdk_errors.APIError):
        return from_reply(error.code, error.details, phase, what=what, retry_after=exchange.retry_after)
    if exchange.status is not None and exchange.status != 200:
        # The SDK could not read the error's body; its status still tells what it means.
        return from_reply(exchange.status, None, phase, what=what, retry_after=exchange.retry_after)
    if exchange.sent or _in_transit(error):
        return without_reply(error, phase, what=what, sent=exchange.sent, status=exchange.status)
    reason = type(error).__name__
    if isinstance(error, google.auth.exceptions.GoogleAuthError):
        return Unauthorised(f"No access token for the {phase} of {what}: {told(error)}. {_SIGN_IN}", reason=reason)
    return Rejected(f"The {phase} of {what} was refused before it was sent: {told(error)}. Change it.", reason=reason)


def _in_transit(error: Exception) -> bool:
    return isinstance(
        error, OSError | aiohttp.ClientError | httpx2.HTTPError | google.auth.exceptions.TransportError
    ) and not isinstance(error, aiohttp.InvalidURL)


def aiohttp_watch() -> aiohttp.TraceConfig:
    """Reports sending and status of every request of a session to the task's exchange."""
    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(_on_sent)
    trace.on_request_end.append(_on_reply)
    return trace


async def _on_sent(_: aiohttp.ClientSession, __: SimpleNamespace, ___: Any) -> None:
    if (exchange := _exchange.get()) is not None:
        exchange.sent = True


async def _on_reply(_: aiohttp.ClientSession, __: SimpleNamespace, end: aiohttp.TraceRequestEndParams) -> None:
    if (exchange := _exchange.get()) is not None:
        exchange.status = end.response.status
        exchange.retry_after = end.response.headers.get("Retry-After")


async def httpx2_watch(event: str, _: dict[str, Any]) -> None:
    """The same for httpx2: give it as the request's extension `trace`."""
    if event.endswith("send_request_headers.started") and (exchange := _exchange.get()) is not None:
        exchange.sent = True
