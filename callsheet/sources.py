"""Reading a manifest or table from a local path or URI, and what may be read.

What is read is bounded in size, and decoded.

An address in a sheet, an archive or a server's reply is a stranger's, and our rights are ours. One function for all
readers: a local path is followed below given folders, links resolved, an address in a bucket below given prefixes.
Everything else is not: the web, other schemes and buckets, chained addresses, `..`.
"""

from __future__ import annotations

import codecs
import os
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import fsspec

from callsheet.errors import ManifestError, Problem
from callsheet.gcs.access import GoogleAccess, access_of
from callsheet.google_sheets import parse_sheet_address, read_google_sheet
from callsheet.settings import load_settings

MAX_MANIFEST_BYTES = 64 * 1024 * 1024

_MIB = 1024 * 1024
_OF_GOOGLE = ("gs://", "gcs://")
# An address with one of these opens the file for whoever sees it, and addresses of manifests are kept and shown.
_SIGNED = re.compile(r"[?&](x-goog-signature|x-amz-signature|signature|sig|key|token|access_token)=", re.IGNORECASE)
MAX_ADDRESS = 2000
_SHEET = re.compile(r"(?P<file>.+\.(?:xlsx|xlsm))#(?P<sheet>.*)", re.IGNORECASE | re.DOTALL)
_WEB = ("http:", "https:", "ftp:", "ftps:")
_ODD = frozenset("?#%*[]\\")


def is_remote(uri: str) -> bool:
    """Return whether the location is a URI rather than a local path."""
    return "://" in uri


def split_sheet(location: str) -> tuple[str, str]:
    """Return the file and the sheet of `file.xlsx#Sheet name`; no sheet is ""."""
    found = _SHEET.fullmatch(location)
    return (found["file"], found["sheet"]) if found else (location, "")


def read_bytes(uri: str, limit: int = MAX_MANIFEST_BYTES) -> bytes:
    """Return the bytes of a whole file.

    Raises ManifestError when it is missing, unreadable, larger than `limit` bytes or at a signed URL.
    """
    if is_remote(uri) and (_SIGNED.search(uri) or urlsplit(uri).password):
        raise _refuse(
            urlsplit(uri).hostname or "the address",
            "the address carries a signature or a key, which would be kept and shown with the batch",
            "",
            suggestion="give the file's gs:// address; access comes from credentials in the environment",
        )
    if sheet := parse_sheet_address(uri):
        return read_google_sheet(sheet, load_settings(), limit)
    try:
        data = _read(uri, limit + 1)
    except FileNotFoundError:
        raise _refuse(uri, "there is no such file", "", suggestion="check the path") from None
    except Exception as error:  # each fsspec backend raises its own client's errors
        raise _refuse(
            uri, f"cannot be read: {_describe(error)}", "", suggestion="check the path and the permissions"
        ) from error
    if len(data) > limit:
        raise _refuse(uri, "the file is too large", f"allowed: at most {limit // _MIB} MB", suggestion="split it")
    return data


def decode(data: bytes, file: str) -> str:
    """Return the text of UTF-8 (with or without BOM) or of UTF-16 with BOM.

    Raises ManifestError that names the line of a bad byte.
    """
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = f"the text is not {encoding.upper().removesuffix('-SIG')} (byte {error.start})"
        raise ManifestError(
            (Problem(file, line, "-", what, "allowed: UTF-8, or UTF-16 with BOM", "save it as UTF-8"),)
        ) from None
    if (nul := text.find("\0")) >= 0:
        line = text.count("\n", 0, nul) + 1
        raise ManifestError((Problem(file, line, "-", "there is a NUL character", "allowed: text only"),))
    return text


def _read(uri: str, count: int) -> bytes:
    if is_remote(uri):
        # Read by gcsfs at import. With it on, it asks over gRPC first: 39 s and more where that is blocked (measured).
        os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
        access = access_of(load_settings())
        own = _read_own_credentials(access) if uri.startswith(_OF_GOOGLE) else {}
        try:
            return _fetch(uri, count, **own)
        except Exception as error:
            if not _asks_for_payer(uri, error):
                raise
        if not access.payer:
            raise OSError("its bucket has the requester pay: set CALLSHEET_STORAGE_PROJECT to the project that does")
        return _fetch(uri, count, **own, requester_pays=access.payer)
    path = Path(uri)
    if path.exists() and not path.is_file():
        raise OSError("it is not a regular file")
    with path.open("rb") as file:
        return file.read(count)


def _read_own_credentials(access: GoogleAccess) -> dict[str, Any]:
    """Return the credentials that the settings name, as options.

    Without any gcsfs finds some by itself.
    """
    if access.endpoint or not (access.impersonate or access.credentials_file):
        return {}
    from callsheet.gcs.credentials import find_credentials

    return {"token": find_credentials(access)}


def _fetch(uri: str, count: int, **options: Any) -> bytes:
    with fsspec.open(uri, "rb", **options) as stream:
        return bytes(stream.read(count))


def _asks_for_payer(uri: str, error: Exception) -> bool:
    """Return whether a bucket wants to know who pays.

    By gcsfs's own words, or the service's (2026-11).
    """
    return uri.startswith(_OF_GOOGLE) and re.search("requester.?pays", str(error), re.IGNORECASE) is not None


def _describe(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return (text or type(error).__name__).splitlines()[0][:300]


def _refuse(uri: str, what: str, allowed: str, *, suggestion: str) -> ManifestError:
    return ManifestError((Problem(uri, 1, "-", what, allowed, suggestion),))


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
