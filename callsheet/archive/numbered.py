"""Numbered documents, for archives in which names may not be replaced.

Later versions are numbered, and the highest number counts. A bucket with a retention policy or holds refuses to replace
an object. There `shot.json` is followed by `shot-2.json`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from callsheet.archive.store import Stat

log = logging.getLogger(__name__)

T = TypeVar("T")

# The last part of the names of documents that are written more than once, see archive/layout.py.
_DOCUMENT = re.compile(
    r"(?P<stem>(?:.*/)?(?:shot|_SUCCESS|plan|gallery|manifest))(?:-(?P<n>[2-9]|[1-9]\d{1,5}))?(?P<end>\.[a-z0-9]{1,8})?",
    re.DOTALL,
)


def version_of(name: str) -> tuple[str, int] | None:
    """Return the document that a name is a version of, and its number.

    1 is the plain name; None for another file.
    """
    found = _DOCUMENT.fullmatch(name)
    return (f"{found['stem']}{found['end'] or ''}", int(found["n"] or 1)) if found else None


def name_version(name: str, n: int) -> str:
    """Return the name of version `n` of a document."""
    found = _DOCUMENT.fullmatch(name)
    if found is None:
        raise ValueError(f"not the name of a document: {name!r}")
    return name if n == 1 else f"{found['stem']}-{n}{found['end'] or ''}"


def stem_of(name: str) -> str:
    """Return what the names of all versions of a document begin with."""
    found = _DOCUMENT.fullmatch(name)
    return found["stem"] if found else name


def newest(files: Mapping[str, T]) -> tuple[dict[str, T], dict[str, int]]:
    """Return the files with each document's newest version under its plain name.

    And the numbers above 1, by plain name.
    """
    numbers: dict[str, int] = {}
    for name in files:
        if (version := version_of(name)) and version[1] > numbers.get(version[0], 0):
            numbers[version[0]] = version[1]
    shown = {}
    for name, file in files.items():
        base, n = version_of(name) or (name, 1)
        if n == numbers.get(base, 1):
            shown[base] = file
    return shown, {name: n for name, n in numbers.items() if n > 1}


class Versions:
    """The versions of documents that one store has, as far as it was listed.

    `listed` returns every object by prefix; `keeps` tells whether numbered documents were seen or had to be written.
    """

    def __init__(self, uri: str, listed: Callable[[str], Awaitable[dict[str, Stat]]]) -> None:
        self._uri = uri
        self._listed = listed
        self._several: set[str] = set()
        self._seen: set[str] = set()
        self.keeps = False

    def has_several(self, name: str) -> bool:
        """Return whether a document is known to have numbered versions."""
        return name in self._several

    def can_follow(self, name: str) -> bool:
        """Return whether a version may follow this file, which the bucket keeps as it is.

        Says so in the log, once.
        """
        if version_of(name) is None:
            return False
        if not self.keeps:
            log.warning(
                "%s keeps what is stored (a retention policy or a hold): documents are written under numbered names, "
                "such as shot-2.json, and the highest number counts.",
                self._uri,
            )
        self.keeps = True
        return True

    def show_newest(self, prefix: str, files: Mapping[str, Stat]) -> dict[str, Stat]:
        """Return a listing with each document once, as its newest version is."""
        shown, numbers = newest(files)
        self._several |= numbers.keys()
        self.keeps = self.keeps or bool(numbers)
        if not prefix or prefix.endswith("/"):
            self._seen.add(prefix)
        return shown

    async def of(self, name: str) -> dict[int, Stat]:
        """Return the versions of a document that are there now, by number.

        In one request.
        """
        found = await self._listed(stem_of(name))
        pairs = ((version_of(each), stat) for each, stat in found.items())
        versions = {version[1]: stat for version, stat in pairs if version and version[0] == name}
        if max(versions, default=1) > 1:
            self._several.add(name)
        return versions

    async def real(self, name: str) -> str:
        """Return the name under which a file is stored: for a document its newest version.

        A listing shows which documents have several. What was not listed is looked up; and everything is, once there is
        a numbered document: another process may have written the next.
        """
        listed = not self.keeps and any(name.startswith(prefix) for prefix in self._seen)
        if version_of(name) is None or listed:
            return name
        return name_version(name, max(await self.of(name), default=1))
