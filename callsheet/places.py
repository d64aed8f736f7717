"""The addresses that are followed, and those that are not.

An address in a sheet, an archive or a server's reply is a stranger's, and our rights are ours. One function for all
readers: a local path is followed below given folders, links resolved, an address in a bucket below given prefixes.
Everything else is not: the web, other schemes and buckets, chained addresses, `..`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

MAX_ADDRESS = 2000
_WEB = ("http:", "https:", "ftp:", "ftps:")
_ODD = frozenset("?#%*[]\\")


@dataclass(frozen=True, slots=True)
class Places:
    """Folders and prefixes of addresses below which callsheet may read.

    Folders are resolved, and each prefix ends in a slash.
    """

    folders: tuple[Path, ...] = ()
    prefixes: tuple[str, ...] = ()

    @classmethod
    def of(cls, roots: Iterable[str | Path | None]) -> Places:
        """Return the places that these paths and addresses stand for; None is left out."""
        given = [str(root) for root in roots if root is not None and str(root)]
        folders = tuple(dict.fromkeys(Path(root).resolve() for root in given if "://" not in root))
        return cls(folders, tuple(dict.fromkeys(root.rstrip("/") + "/" for root in given if "://" in root)))

    def find(self, address: str, beside: Path | None = None) -> str | None:
        """Return the resolved path, or the address itself, when it may be followed.

        None when it may not. A relative path is looked for `beside` a folder; without one there is none.
        """
        if len(address) > MAX_ADDRESS or any(unicodedata.category(one) in {"Cc", "Cs"} for one in address):
            return None
        if "://" in address or re.match(r"[A-Za-z][\w+.-]+:", address):
            return address if self._holds_address(address) else None
        path = Path(address)
        if beside is None and not path.is_absolute():
            return None
        try:
            found = ((beside or Path()) / path).resolve()
        except (OSError, RuntimeError):
            return None
        return str(found) if any(found.is_relative_to(folder) for folder in self.folders) else None

    def _holds_address(self, address: str) -> bool:
        parts = address.partition("://")[2].split("/")
        plain = "::" not in address and not {".", ".."} & {*parts} and not _ODD & {*address}
        return plain and not is_of_the_web(address) and address.startswith(self.prefixes)


def is_of_the_web(address: str) -> bool:
    """Return whether an address is of the web, or a chain, which may end there.

    Neither is ever followed.
    """
    return address.lower().startswith(_WEB) or "::" in address


def refusal(address: str) -> str:
    """Return why an address is not followed, and what to do about it.

    The text is sentences for a person.
    """
    return (
        f"{address[:200]!r} is not below the manifest's folder, the archive or CALLSHEET_INPUT_ROOTS, so it was not "
        "read. Add its folder or gs:// prefix to CALLSHEET_INPUT_ROOTS when it is yours."
    )
