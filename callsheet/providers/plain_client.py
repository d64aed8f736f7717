"""Plain HTTPS clients, and what every client shares: TLS, base URL, secrets.

Keys are kept out of every message.

One TLS context for all clients saves 0.15 s and 2.5 MB for each. Nothing here loads Google's SDK, which takes seconds.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from functools import cache
from urllib.parse import quote

import httpx2

from callsheet.providers.access import Access, Way, is_loopback
from callsheet.providers.rehearsal_gate import RehearsalGate

# A server that closes an idle connection just as we write to it looks like one that took the request and died. So
# connections are dropped before the shortest idle limit in common use (5 s: uvicorn, Node.js), or never reused.
KEEPALIVE_S = 4.0
_MULTI_REGIONS = frozenset({"us", "eu"})
HIDDEN = "[secret]"
# What looks like a key, in case a body shows one that we never sent: Google API keys, those that AI Studio and Agent
# Platform give since 2026 (AQ.), access tokens (ya29.), bearer tokens, key= queries and the header of keys.
_KEY_LIKE = re.compile(
    r"AIza[\w-]{20,}|(?<![\w.])AQ\.[\w-]{16,}|ya29\.[\w.-]{16,}"
    r"|(?i:(?<=Bearer )[\w.~+/=-]{8,}|(?<=[?&]key=)[^&\s\"']+"
    r"|(?<=x-goog-api-key)(?P<between>[\"']?\s*[:=]\s*[\"']?)[\w.-]{8,})"
)


@cache
def tls_context() -> ssl.SSLContext:
    """Return the process's TLS context; certificates are always verified.

    It has the system's trust store (or SSL_CERT_FILE).
    """
    return httpx2.create_ssl_context()


def plain_client(url: str, timeout_s: float, gate: RehearsalGate | None, *, fresh: bool = False) -> httpx2.AsyncClient:
    """Open a client for plain requests to `url`, which follows no redirects.

    `fresh` opens a connection for each request.
    """
    limits = httpx2.Limits(max_keepalive_connections=0) if fresh else httpx2.Limits(keepalive_expiry=KEEPALIVE_S)
    return httpx2.AsyncClient(
        verify=tls_context(),
        timeout=timeout_s,
        limits=limits,
        follow_redirects=False,
        trust_env=not is_loopback(url),
        event_hooks=gate.httpx2_hooks if gate else None,
    )


def base_url(way: Way, access: Access) -> str:
    """Return the configured base URL, else Google's host for the way and location."""
    if way is Way.GEMINI:
        return access.gemini_url
    if access.vertex_url:
        return access.vertex_url
    if way is Way.EXPRESS or access.location == "global":
        return "https://aiplatform.googleapis.com/"
    if access.location in _MULTI_REGIONS:
        return f"https://aiplatform.{access.location}.rep.googleapis.com/"
    return f"https://{access.location}-aiplatform.googleapis.com/"


def secrets_of(access: Access, way: Way) -> Secrets:
    """Return every secret value of the access, to be kept out of messages.

    The rehearsal's dummies are none. The variable is that of the key which requests of this way carry.
    """
    if access.mode == "rehearsal":
        return Secrets()
    given = (access.gemini_key, access.express_key, access.static_token)
    values = {value.get_secret_value() for value in given if value is not None} - {"anonymous"}
    return Secrets(tuple(sorted(values, key=len, reverse=True)), access.variable(way))


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key, and the variable that it came from ("" when none is known)."""

    value: str = field(repr=False)
    variable: str = ""


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secret values of one client, and the variable that its key came from.

    `scrub` removes them from a text.
    """

    values: tuple[str, ...] = field(default=(), repr=False)
    variable: str = ""

    def scrub(self, text: str) -> str:
        """Return the text without the secrets and anything that looks like a key.

        Secrets are removed as they are and percent-encoded.
        """
        for value in self.values:
            for form in {value, quote(value, safe="")}:
                text = text.replace(form, HIDDEN) if form else text
        return _KEY_LIKE.sub(lambda found: f"{found['between'] or ''}{HIDDEN}", text)


NO_SECRETS = Secrets()
