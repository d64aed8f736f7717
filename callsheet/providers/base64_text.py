"""Base64 as servers and gateways really send it, decoded leniently: one function for pictures and videos."""

from __future__ import annotations

import binascii
import re
from contextlib import suppress
from urllib.parse import unquote_to_bytes

_DATA_URL = re.compile(r"\s*data:([\w.+-]{1,40}/[\w.+-]{1,60})?[^,]{0,200},", re.IGNORECASE)
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_OTHERS = bytes(sorted(set(range(256)) - set(_ALPHABET) - {ord("=")}))
_STANDARD = bytes.maketrans(b"-_", b"+/")


def decode_base64(text: str, limit: int | None = None) -> bytes:
    """The bytes of a base64 text: with line breaks, spaces, the URL-safe alphabet, no or odd padding, percent-encoded,
    or a data URL; what is no base64 in it is left out, and a cut end gives what is whole. Never raises.

    `limit` ends it after about so many characters, for a look at the beginning.
    """
    if limit is None:
        with suppress(binascii.Error, ValueError):  # as it should be, and then without a copy
            return binascii.a2b_base64(text, strict_mode=True)
    start = found.end() if (found := _DATA_URL.match(text[:400])) else 0
    part = text[start:] if limit is None else text[start : start + limit]
    coded = part.encode("ascii", "ignore")
    if b"%" in coded:
        coded = unquote_to_bytes(coded)
    coded = coded.translate(_STANDARD).translate(None, _OTHERS)
    pieces = coded.rstrip(b"=").split(b"=") if b"=" in coded.rstrip(b"=") else [coded.rstrip(b"=")]
    return b"".join(map(_piece, pieces))


def data_url_type(text: str) -> str | None:
    """The MIME type that a data URL names, "" when it names none, None for a text that is no data URL."""
    found = _DATA_URL.match(text[:400])
    return (found[1] or "").lower() if found else None


def _piece(coded: bytes) -> bytes:
    whole = coded[:-1] if len(coded) % 4 == 1 else coded
    with suppress(binascii.Error):
        return binascii.a2b_base64(whole + b"=" * (-len(whole) % 4))
    return b""
