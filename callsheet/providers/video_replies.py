"""Read the replies to a video's submission and to a poll, as they came.

Leniently, and the same on both routes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from callsheet.errors import ProviderError, Unknown, Unreachable
from callsheet.providers.http_errors import Phase, from_reply
from callsheet.providers.operations import MAX_VIDEO_BYTES, find_name, is_google_name, video_result
from callsheet.providers.protocol import VideoReady
from callsheet.providers.reply_body import ReplyBody, decoded, read_body, uncompressed
from callsheet.providers.reply_spool import Reply
from callsheet.providers.reply_words import error_body, stated_error

WEB_PAGE = "WEB_PAGE"
# The longest answer to a poll: a video in it takes four thirds of its bytes.
MAX_POLL_BYTES = MAX_VIDEO_BYTES // 3 * 4 + 1024 * 1024
# Of what an operation says, so much is kept on record: bytes of videos are not among it.
MAX_RECORD_CHARS, MAX_TEXT_CHARS, MAX_MEMBERS, MAX_DEPTH = 16 * 1024, 2000, 200, 12
# Returns the video in the JSON of a poll's answer, None while it is made; raises its absence.
Reading = Callable[[object, str], VideoReady | None]
# Fields of an operation or interaction, which an error in its place does not have.
_OF_OPERATIONS = frozenset({"name", "done", "response", "steps", "object"})
# Signatures and tokens in addresses let whoever reads the record fetch the file.
_SIGNED = re.compile(
    r"([?&](?:x-goog-|x-amz-)?(?:signature|credential|security-token|token|sig|key)=)[^&\s\"]+", re.IGNORECASE
)


def submitted_name(reply: Reply, what: str) -> str:
    """Return the operation's name in the reply to a submission, wherever it lies.

    Raises the error that the reply states, whatever its HTTP status, and Unknown when it holds neither: then nobody can
    tell whether the request was accepted.
    """
    body = read_body(reply)
    name = find_name(list(body.documents))
    if name and body.is_cut and not _came_whole(name, reply):
        name = None
    if name and (is_google_name(name) and reply.status != 429):
        return name
    retry_after = reply.headers.get("retry-after")
    if not 200 <= reply.status < 300:
        raise from_reply(reply.status, error_body(reply), Phase.SUBMIT, what=what, retry_after=retry_after)
    stated = stated_error(body, Phase.SUBMIT, what, retry_after=retry_after)
    if body.is_page and stated is not None:
        raise Unknown(f"{stated} It may have been passed on; see `callsheet resolve`.", reason=WEB_PAGE, status=200)
    if stated is not None:
        raise stated
    if name:
        return name
    cut = " and was cut off" if not reply.is_whole or body.is_cut else ""
    raise Unknown(
        f"The submission of {what} was answered without an operation name{cut}; see `callsheet resolve`.",
        reason="NO_NAME",
        status=reply.status,
    )


def _came_whole(name: str, reply: Reply) -> bool:
    """Return whether a reply that was cut off has all of an operation's name.

    Read again after a kill a reply does not tell how it ended; a part of a name would be asked about for ever.
    """
    text = decoded(
        uncompressed(reply.body, reply.headers.get("content-encoding", "")), reply.headers.get("content-type", "")
    )
    return is_google_name(name) and f'{name.rpartition("/")[2]}"' in text


def polled_video(reply: Reply, what: str, read: Reading = video_result) -> VideoReady | None:
    """Return the videos of an operation, None while it runs.

    With another `read`, of an interaction. Raises how it ended, or what was wrong with the poll. What the provider said
    of an operation that is over is in the result's `record`, or in that of the error.
    """
    retry_after = reply.headers.get("retry-after")
    if not 200 <= reply.status < 300:
        raise from_reply(reply.status, error_body(reply), Phase.POLL, what=what, retry_after=retry_after)
    body = read_body(reply)
    if body.is_cut or not reply.is_whole:
        raise Unreachable(f"The answer to the poll of {what} was cut off. Polling again is free.")
    if (stated := _find_stated_error(body, what, retry_after)) is not None:
        raise stated
    operation = body.first
    try:
        ready = read(list(body.documents), what)
    except ProviderError as error:
        error.record = record_of(operation)
        raise
    return replace(ready, record=record_of(operation), request_id=reply.request_id) if ready is not None else None


def _find_stated_error(body: ReplyBody, what: str, retry_after: str | None) -> ProviderError | None:
    """Return an error of the poll itself, which came in place of an operation.

    None for an error that an operation ended with.
    """
    if not body.is_page:
        error = body.first.get("error")
        code = error.get("code") if isinstance(error, Mapping) else None
        of_http = isinstance(code, int | str) and str(code).isdigit() and int(code) >= 400
        is_task = isinstance(body.first.get("status"), str) and "id" in body.first
        if not of_http or is_task or not _OF_OPERATIONS.isdisjoint(body.first):
            return None
    return stated_error(body, Phase.POLL, what, retry_after=retry_after)


def record_of(operation: Mapping[str, object]) -> dict[str, object]:
    """Return what an operation said, as JSON of at most 16 KiB.

    Without bytes, and without what signs an address.
    """
    record = _shorten(operation, MAX_DEPTH)
    text = json.dumps(record, ensure_ascii=False)
    if isinstance(record, dict) and len(text) <= MAX_RECORD_CHARS:
        return record
    return {"shortened": text[:MAX_RECORD_CHARS]}


def _shorten(value: object, depth: int) -> object:
    if isinstance(value, str):
        text = _SIGNED.sub(r"\1[secret]", value[: 2 * MAX_TEXT_CHARS])
        return text if len(value) <= MAX_TEXT_CHARS else f"{text[:40]}... ({len(value)} characters)"
    if isinstance(value, Mapping):
        return {str(n)[:100]: _shorten(v, depth - 1) for n, v in list(value.items())[:MAX_MEMBERS]} if depth else "..."
    if isinstance(value, list):
        return [_shorten(one, depth - 1) for one in value[:MAX_MEMBERS]] if depth else "..."
    return value
