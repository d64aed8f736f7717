"""Keep keys out of every message."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import quote

HIDDEN = "[secret]"
# What looks like a key, in case a body shows one that we never sent: Google API keys, those that AI Studio and Agent
# Platform give since 2026 (AQ.), access tokens (ya29.), bearer tokens, key= queries and the header of keys.
_KEY_LIKE = re.compile(
    r"AIza[\w-]{20,}|(?<![\w.])AQ\.[\w-]{16,}|ya29\.[\w.-]{16,}"
    r"|(?i:(?<=Bearer )[\w.~+/=-]{8,}|(?<=[?&]key=)[^&\s\"']+"
    r"|(?<=x-goog-api-key)(?P<between>[\"']?\s*[:=]\s*[\"']?)[\w.-]{8,})"
)


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
