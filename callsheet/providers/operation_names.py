"""Names of long-running operations: found in whatever a submission was answered with, and put into a URL safely.

A name is the server's, and is recorded and sent back as it came. Google's are `.../operations/ID`; gateways have their
own, with any characters (`==` at the end, say). Only what would lead to another host or path is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote, urlsplit

from callsheet.providers.error_bodies import plain

MAX_NAME_CHARS = 1000
_UNFIT = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]|//|://")
_OBJECT = re.compile(r"gs://[a-z0-9][\w.-]{1,220}/[^\x00-\x1f\x7f-\x9f]*[^/\x00-\x1f\x7f-\x9f]")
_VERSION = re.compile(r"v\d{1,2}(?:alpha|beta)?\d{0,2}/(?=.)")
_OPERATION = re.compile(r"(?:^|/)operations/.")
# Fields that hold an operation's name, the most telling first; then those that hold the object with such a field.
_NAME_FIELDS = ("name", "operationname", "operation", "operationid", "requestid", "taskid", "id")
_HOLDERS = ("operation", "response", "result", "data", "operations", "body")
_DEPTH = 4


def checked_name(name: object) -> str:
    """The operation's name as it came; ValueError for anything that would lead a URL elsewhere, or is no name."""
    fit = isinstance(name, str) and 0 < len(name) <= MAX_NAME_CHARS and not _UNFIT.search(name)
    if not isinstance(name, str) or not fit or {".", ".."} & {*re.split(r"[/\\]", name)}:
        raise ValueError(f"not an operation name: {plain(repr(name), 120)}")
    return name


def adoptable(name: str) -> str:
    """What a job in doubt may be said to have become: an operation's name, or the gs:// object that it wrote.

    ValueError for anything else.
    """
    return name if _OBJECT.fullmatch(name) and len(name) <= 1200 else checked_name(name)


def name_path(name: str) -> str:
    """The name as the path of a URL, percent-encoded, without a slash or an API version before it.

    ValueError unless it is fit for that.
    """
    path = checked_name(name).strip("/")
    return quote(_VERSION.sub("", path, count=1), safe="/:@!$&'()*+,;=~")


def find_name(document: object) -> str | None:
    """The operation's name in the JSON of a reply, wherever it lies; one that looks like Google's comes first.

    The origin of an address is left out: its path is the name. None when there is none.
    """
    found = [fit for name in _names(document, _DEPTH) if (fit := _fit(name))]
    return next((name for name in found if _OPERATION.search(name)), found[0] if found else None)


def is_google_name(name: str) -> bool:
    """Whether the name has the form of Google's, which nothing else in a reply has."""
    return bool(_OPERATION.search(name))


def _fit(name: str) -> str | None:
    if name.startswith("https://"):
        name = urlsplit(name).path.lstrip("/")
    try:
        return checked_name(name)
    except ValueError:
        return None


def _names(value: object, depth: int) -> Iterator[str]:
    if isinstance(value, list):
        for one in value[:10]:
            yield from _names(one, depth)
    if not isinstance(value, Mapping) or not depth:
        return
    fields = {str(name).replace("_", "").lower(): one for name, one in value.items()}
    for field in _NAME_FIELDS:
        one = fields.get(field)
        if isinstance(one, str) and one:
            yield one
        elif isinstance(one, int) and not isinstance(one, bool):
            yield str(one)
    for field in _HOLDERS:
        yield from _names(fields.get(field), depth - 1)
