"""Read a reply's body as leniently as a browser would.

What is in it counts, not what its headers say it is: JSON with a byte order mark, in an array, as lines (NDJSON) or as
events (SSE), with a guard before it or anything after it, in any Unicode charset, compressed or not, and JSON that was
cut off. Pure functions of bytes; none of them raises.
"""

from __future__ import annotations

import binascii
import codecs
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from html import unescape
from urllib.parse import unquote_to_bytes

from callsheet.providers.error_bodies import plain
from callsheet.providers.reply_spool import MAX_KEPT_BYTES, Reply

_DATA_URL = re.compile(r"\s*data:([\w.+-]{1,40}/[\w.+-]{1,60})?[^,]{0,200},", re.IGNORECASE)
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_OTHERS = bytes(sorted(set(range(256)) - set(_ALPHABET) - {ord("=")}))
_STANDARD = bytes.maketrans(b"-_", b"+/")


def decode_base64(text: str, limit: int | None = None) -> bytes:
    """Return the bytes of a base64 text; never raises.

    With line breaks, spaces, the URL-safe alphabet, no or odd padding, percent-encoded, or a data URL; what is no
    base64 in it is left out, and a cut end gives what is whole. `limit` ends it after about so many characters, for a
    look at the beginning.
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
    return b"".join(map(_decode_piece, pieces))


def data_url_type(text: str) -> str | None:
    """Return the MIME type that a data URL names, "" when it names none.

    None for a text that is no data URL.
    """
    found = _DATA_URL.match(text[:400])
    return (found[1] or "").lower() if found else None


def _decode_piece(coded: bytes) -> bytes:
    whole = coded[:-1] if len(coded) % 4 == 1 else coded
    with suppress(binascii.Error):
        return binascii.a2b_base64(whole + b"=" * (-len(whole) % 4))
    return b""


# What a compressed body may grow to; a picture's reply hardly shrinks.
MAX_BODY_BYTES = 2 * MAX_KEPT_BYTES
MAX_DOCUMENTS = 10_000
MAX_DEPTH = 500
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE)
_PAGE = re.compile(r"(?:\s|<!--.*?-->|<\?xml[^>]{0,200}\?>)*<(?:!doctype\s+html|html|head|body|title|meta|script)\b",
                   re.IGNORECASE | re.DOTALL)  # fmt: skip
_TITLE = re.compile(r"<title\b[^>]{0,200}>(.{0,1000}?)</title", re.IGNORECASE | re.DOTALL)
# Guards against inclusion as a script, which servers put before JSON.
_GUARD = re.compile(r"\s*(?:\)\]\}'?,?|while\s*\(\s*1\s*\)\s*;|for\s*\(\s*;\s*;\s*\)\s*;|throw 1;)\s*")
_TOKEN = re.compile(r'\s*("[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]:,]|[^\s"{}\[\]:,]+)', re.DOTALL)
_DECODER = json.JSONDecoder(strict=False)


@dataclass(frozen=True, slots=True)
class ReplyBody:
    """What a body holds.

    `documents` are its JSON values in order, without the array around them. `is_cut` is True when the JSON ended before
    its time; what was there until then is in `documents`. `page_title` is the title of a web page ("" without one),
    None for anything else. `text` is the body where it has no documents, `data` the uncompressed bytes where it is no
    text either.
    """

    documents: tuple[object, ...] = ()
    is_cut: bool = False
    page_title: str | None = None
    text: str = field(default="", repr=False)
    data: bytes = field(default=b"", repr=False)

    @property
    def is_page(self) -> bool:
        """Return whether the answer is a web page.

        It is that of a proxy, a sign-in, or a wrong base URL.
        """
        return self.page_title is not None

    @property
    def first(self) -> Mapping[str, object]:
        """Return the first JSON object, {} when there is none."""
        return next((one for one in self.documents if isinstance(one, Mapping)), {})


def read_body(reply: Reply) -> ReplyBody:
    """Read a reply as it came; never raises."""
    data = uncompressed(reply.body, reply.headers.get("content-encoding", ""))
    if _is_binary(data):
        return ReplyBody(data=data, is_cut=not reply.is_whole)
    text = decoded(data, reply.headers.get("content-type", ""))
    del data
    if _PAGE.match(text[:100_000]):
        title = _TITLE.search(text[:100_000])
        return ReplyBody(page_title=plain(unescape(title[1]), 120) if title else "", text=text)
    documents, is_cut = read_json(text)
    return ReplyBody(tuple(documents), is_cut or not (documents or reply.is_whole), text="" if documents else text)


def uncompressed(body: bytes, encoding: str = "") -> bytes:
    """Return the body without its compression, as far as it came; bounded.

    The compression is gzip or deflate, whether the headers state it or not.
    """
    if body[:3] == b"\x1f\x8b\x08":
        return _inflate(body, 31)
    if "deflate" in encoding.lower():
        return _inflate(body, 15) or _inflate(body, -15) or body
    return body


def decoded(data: bytes, content_type: str = "") -> str:
    """Return the body as text.

    By its byte order mark, its first bytes, the charset it names, else UTF-8.
    """
    for mark, charset in _BOMS:
        if data.startswith(mark):
            return data[len(mark) :].decode(charset, "replace")
    if data[1:2] == b"\0" and data[:1].isascii() and data[:1] != b"\0":
        return data.decode("utf-32-le" if data[1:4] == b"\0\0\0" else "utf-16-le", "replace")
    if data[:1] == b"\0" and data[1:2] != b"\0":
        return data.decode("utf-16-be", "replace")
    named = _CHARSET.search(content_type)
    with suppress(UnicodeDecodeError):
        return data.decode("utf-8")
    with suppress(LookupError):
        return data.decode(named[1] if named else "utf-8", "replace")
    return data.decode("utf-8", "replace")


def read_json(text: str) -> tuple[list[object], bool]:
    """Return the JSON values in a text, in order, and whether the last is cut off.

    A list around them is removed.
    """
    body = text.strip("\ufeff \t\r\n\x00")
    body = body[guard.end() :] if (guard := _GUARD.match(body)) else body
    events = _read_events(body) if re.match(r"(?:data|event|id|retry)?:", body) else None
    found, is_cut = _read_values(events if events is not None else body)
    if not found and (begin := re.search(r"[{\[]", body)) and body[:1] != "<":
        found, is_cut = _read_values(body[begin.start() :])
    return [value for one in found for value in _unwrap(one)], is_cut


def _read_events(text: str) -> str | None:
    """Return the data of server-sent events, one a line, None without any.

    The lines of an event belong together.
    """
    joined: list[str] = [""]
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if not line.strip():
            joined.append("")
        elif name.strip() == "data" and value.strip() != "[DONE]":
            joined[-1] += value.strip() + "\n"
    return "\n".join(part for part in joined if part) or None


def _read_values(text: str) -> tuple[list[object], bool]:
    """Return JSON values that follow one another, and whether the last is cut off.

    Between them is white space, commas or nothing.
    """
    found: list[object] = []
    at = 0
    while len(found) < MAX_DOCUMENTS:
        while at < len(text) and text[at] in " \t\r\n,;\x1e\x00":
            at += 1
        if at >= len(text):
            return found, False
        try:
            value, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            rest = close_json(text[at:]) if text[at] in "{[" else None
            return (found, False) if rest is None else ([*found, rest[0]], True)
        found.append(value)
    return found, False


def close_json(text: str) -> tuple[object] | None:
    """Return the value of JSON that was cut off, closed where it ends.

    In a tuple; None when it is damaged otherwise.
    """
    closers: list[str] = []
    end = 0
    while token := _TOKEN.match(text, end):
        word = token[1]
        if word in ("{", "["):
            closers.append("}" if word == "{" else "]")
        elif word in ("}", "]") and (not closers or closers.pop() != word):
            return None
        end = token.end()
    if len(closers) > MAX_DEPTH:
        return None
    whole, begun, tail = text[:end], text[end:].lstrip(), "".join(reversed(closers))
    endings: tuple[str, ...] = ("", ":null", "null")
    if begun:  # a text that was begun, without the half of an escape
        begun = re.sub(r"\\(?:u[0-9a-fA-F]{0,3})?$", "", begun[-8:])
        whole = text[: len(text) - len(text[end:].lstrip()[-8:])] + begun
        endings = ('"', '":null')
    for ending in endings:
        with suppress(ValueError, RecursionError):
            return (json.loads(f"{whole}{ending}{tail}", strict=False),)
    # Cut after a comma, or within a word (tru, 12e): that goes, with its name.
    short = re.sub(r"[,:]?\s*(?:\"[^\"]{0,200}\"\s*:\s*)?[^\s\"{}\[\]:,]*\s*$", "", whole[-400:])
    with suppress(ValueError, RecursionError):
        return (json.loads(f"{whole[:-400]}{short}{tail}", strict=False),)
    return None


def _unwrap(value: object) -> Sequence[object]:
    """Return a list's members, or a JSON text's own value; nothing for null.

    Anything else comes back as it is.
    """
    if isinstance(value, list):
        return value
    if isinstance(value, str) and value[:1] in "{[":
        with suppress(ValueError, RecursionError):
            return _unwrap(json.loads(value, strict=False))
    return () if value is None else (value,)


def _is_binary(data: bytes) -> bool:
    """Return whether the bytes are no text in any charset that JSON comes in.

    A picture itself, for example.
    """
    if any(data.startswith(mark) for mark, _ in _BOMS) or b"\0" in data[:2]:
        return b"\0\0\0\0" in data[:64] or data[:1] == b"\0" == data[1:2]
    head = data[:512]
    return b"\0" in head or (head[:1] >= b"\x80" and not _is_text(head))


def _is_text(head: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\r\n" for byte in head)


def _inflate(body: bytes, window: int) -> bytes:
    """Return everything that can be uncompressed, of all members of a gzip file."""
    pieces: list[bytes] = []
    left = MAX_BODY_BYTES
    for piece in _inflate_members(body, window):
        pieces.append(piece[:left])
        left -= len(piece)
        if left <= 0:
            break
    return b"".join(pieces)


def _inflate_members(body: bytes, window: int) -> Iterator[bytes]:
    while body:
        inflate = zlib.decompressobj(window)
        try:
            yield inflate.decompress(body, MAX_BODY_BYTES)
        except zlib.error:
            yield from _inflate_pieces(body, window)
            return
        if not inflate.eof:
            return
        body = inflate.unused_data if inflate.unused_data[:2] == b"\x1f\x8b" else b""


def _inflate_pieces(body: bytes, window: int) -> Iterator[bytes]:
    """Yield what a damaged stream gives until the damage."""
    inflate = zlib.decompressobj(window)
    with suppress(zlib.error):
        for at in range(0, len(body), 4096):
            yield inflate.decompress(body[at : at + 4096])
