"""The gate of a rehearsal's requests: the rehearsal service gets them, or nobody.

The service proves itself by every reply. Before the first request it is asked who it is. Every request goes to a path
that only the service has. After a reply without proof nothing is sent any more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from callsheet.errors import NotRehearsal, ServiceError
from callsheet.rehearsal_proof import CHALLENGE, PROOF, ROOT, ask_service, is_proof, new_challenge

if TYPE_CHECKING:
    import aiohttp
    import httpx2

log = logging.getLogger(__name__)

# A busy service answers late; one that is not there refuses at once.
ASK_S = 30.0


class RehearsalGate:
    """Lets requests through to the rehearsal service at `url`, until another answers.

    `url` ends with a slash. `on_shut` is called once, with the error that all further requests get.
    """

    def __init__(self, url: str, on_shut: Callable[[NotRehearsal], None] = lambda error: None) -> None:
        self._url = url
        self.on_shut = on_shut
        self._shut: NotRehearsal | None = None
        self._is_known = False
        self._asking = asyncio.Lock()

    async def admit(self) -> str:
        """Return the challenge to be sent with a request.

        Raises NotRehearsal when it may not be sent, ServiceError when no service answers.
        """
        async with self._asking:
            if not self._is_known and self._shut is None:
                answer = await asyncio.to_thread(ask_service, self._url, ASK_S)
                if answer.trouble:
                    raise ServiceError(f"{answer.describe()} Nothing was sent.")
                if not answer.is_proven:
                    self._close(f"{answer.describe()} Nothing was sent to it.")
                self._is_known = True
        if self._shut is not None:
            raise self._shut
        return new_challenge()

    def check(self, challenge: str, headers: Mapping[str, str]) -> None:
        """Raise NotRehearsal unless a reply with these headers came from the service."""
        if not is_proof(headers.get(PROOF), challenge):
            self._close(
                f"A reply from {self._url} came without the proof of callsheet's rehearsal service: another server "
                "answers there by now. Nothing further is sent."
            )
            assert self._shut is not None  # noqa: S101  narrows the type
            raise self._shut

    def own_path(self, url: str) -> str:
        """Return the service's own path for what is at `url` of Google's.

        No gateway has that path.
        """
        parts, base = urlsplit(url), urlsplit(self._url).path
        below = parts.path.removeprefix(base)
        if not parts.path.startswith(base) or below.startswith(f"{ROOT}/"):
            return url
        return urlunsplit(parts._replace(path=f"{base}{ROOT}/{below}"))

    def _close(self, why: str) -> None:
        if self._shut is None:
            self._shut = NotRehearsal(why)
            log.error("%s", why)
            self.on_shut(self._shut)

    async def aiohttp_middleware(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Guard every request of an aiohttp session."""
        challenge = await self.admit()
        request.headers[CHALLENGE] = challenge
        request.url = type(request.url)(self.own_path(str(request.url)), encoded=True)
        reply = await handler(request)
        try:
            self.check(challenge, reply.headers)
        except NotRehearsal:
            reply.close()
            raise
        return reply

    @property
    def httpx2_hooks(self) -> dict[str, list[Callable[..., object]]]:
        """Guard every request of an httpx2 client: give it as its `event_hooks`."""

        async def before(request: httpx2.Request) -> None:
            request.headers[CHALLENGE] = await self.admit()
            request.url = type(request.url)(self.own_path(str(request.url)))

        async def after(reply: httpx2.Response) -> None:
            self.check(reply.request.headers[CHALLENGE], reply.headers)

        return {"request": [before], "response": [after]}
