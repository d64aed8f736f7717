"""A guard that keeps strangers' web pages away from servers on this machine.

Every browser here can reach them. A page of another site may post to a loopback address, and after DNS rebinding it may
read what that answers. Browsers report both: by the `Origin` that the request comes from, and by the `Host` that they
believe to talk to.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_NO_FRAMES = ((b"x-frame-options", b"SAMEORIGIN"), (b"content-security-policy", b"frame-ancestors 'self'"))
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::\d{1,5})?")


def host_in(header: str) -> str:
    """Return the name or address in a `Host` header, without port and brackets.

    "" when it is none.
    """
    found = _HOST.fullmatch(header.strip().lower())
    return found["name"].strip("[]").removesuffix(".") if found else ""


def is_address(host: str) -> bool:
    """Return whether the host is an IP address, which nobody can point elsewhere."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback_host(host: str) -> bool:
    """Return whether the host is this machine by its loopback names and addresses.

    The host is as `host_in` returns it.
    """
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)


class OwnPagesOnly:
    """ASGI middleware that refuses foreign hosts, and pages that are not the server's.

    It covers requests and WebSockets. `is_host` decides about hosts; `origins` are further origins of own pages (the
    same server under another name). What comes without an `Origin`, as from programs, is not a page's. No other page
    may show a page of the server in a frame either: one that it lays over something else is clicked without being seen.
    """

    def __init__(
        self, app: ASGIApp, is_host: Callable[[str], bool] = is_loopback_host, origins: frozenset[str] = frozenset()
    ) -> None:
        self._app = app
        self._is_host = is_host
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is no stranger's; answer 403 to the rest."""
        if scope["type"] in ("http", "websocket") and (why := self.refusal(Headers(scope=scope))):
            await _refuse(scope, send, why)
        else:
            await self._app(scope, receive, _forbid_frames(send) if scope["type"] == "http" else send)

    def refusal(self, headers: Headers) -> str:
        """Return why a request with these headers is refused; "" when it is not."""
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or not self._is_host(host_in(hosts[0])):
            return "This server does not answer under the name that was asked for."
        if any(not self._is_own(origin, hosts[0]) for origin in origins):
            return "Pages of other sites may not use this server."
        if not origins and headers.get("sec-fetch-site") in ("cross-site", "same-site") and not _is_visit(headers):
            return "Pages of other sites may not use this server."
        return ""

    def _is_own(self, origin: str, host: str) -> bool:
        try:
            return origin in self._origins or (urlsplit(origin).netloc.lower() or "?") == host.strip().lower()
        except ValueError:
            return False


def _is_visit(headers: Headers) -> bool:
    """Return whether somebody follows a link to the server.

    That is: a page is opened, in no frame, and nothing else is done.
    """
    return headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest", "document") == "document"


def _forbid_frames(send: Send) -> Send:
    """Return a `send` after which browsers show the answer in no foreign frame."""

    async def send_guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *_NO_FRAMES]}
        await send(message)

    return send_guarded


async def _refuse(scope: Scope, send: Send, why: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": why})
        return
    body = json.dumps({"detail": why}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})
