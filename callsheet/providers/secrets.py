"""Keeping keys out of every message."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import quote

HIDDEN = "[secret]"
# What looks like a key, in case a body shows one that we never sent: Google API keys, bearer tokens, key= queries.
_KEY_LIKE = re.compile(r"AIza[\w-]{20,}|(?<=Bearer )[\w.~+/=-]{8,}|(?<=[?&]key=)[^&\s\"']+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secret values of one client; `scrub` takes them out of a text."""

    values: tuple[str, ...] = field(default=(), repr=False)

    def scrub(self, text: str) -> str:
        """The text without the secrets, as they are and percent-encoded, and without anything that looks like a key."""
        for value in self.values:
            for form in {value, quote(value, safe="")}:
                text = text.replace(form, HIDDEN) if form else text
        return _KEY_LIKE.sub(HIDDEN, text)


NO_SECRETS = Secrets()
