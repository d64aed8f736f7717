"""Reading and decoding a manifest or table from a local path or an fsspec URI.

What is read is bounded in size.
"""

from __future__ import annotations

import codecs
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import fsspec

from callsheet.errors import ManifestError, Problem
from callsheet.settings import load_settings

MAX_MANIFEST_BYTES = 64 * 1024 * 1024

_MIB = 1024 * 1024
# An address with one of these opens the file for whoever sees it, and addresses of manifests are kept and shown.
_SIGNED = re.compile(r"[?&](x-goog-signature|x-amz-signature|signature|sig|key|token|access_token)=", re.IGNORECASE)


def is_remote(uri: str) -> bool:
    """Return whether the location is a URI rather than a local path."""
    return "://" in uri


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
        try:
            return _fetch(uri, count)
        except Exception as error:
            if not _asks_for_payer(uri, error):
                raise
        settings = load_settings()
        if not (payer := settings.storage_project or settings.google_cloud_project):
            raise OSError("its bucket has the requester pay: set CALLSHEET_STORAGE_PROJECT to the project that does")
        return _fetch(uri, count, requester_pays=payer)
    path = Path(uri)
    if path.exists() and not path.is_file():
        raise OSError("it is not a regular file")
    with path.open("rb") as file:
        return file.read(count)


def _fetch(uri: str, count: int, **options: str) -> bytes:
    with fsspec.open(uri, "rb", **options) as stream:
        return bytes(stream.read(count))


def _asks_for_payer(uri: str, error: Exception) -> bool:
    """Return whether a bucket wants to know who pays: gcsfs's own words, or the service's (2026-11)."""
    return uri.startswith(("gs://", "gcs://")) and re.search("requester.?pays", str(error), re.IGNORECASE) is not None


def _describe(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return (text or type(error).__name__).splitlines()[0][:300]


def _refuse(uri: str, what: str, allowed: str, *, suggestion: str) -> ManifestError:
    return ManifestError((Problem(uri, 1, "-", what, allowed, suggestion),))
