"""Read a long-running operation: running, a video, or the error of its absence.

Pure functions of its JSON. One reader for both platforms: the Gemini API answers
`response.generateVideoResponse.generatedSamples`, Agent Platform `response.videos` (bodies captured with google-genai
2.34.0 and 3.4.0, 2026-11-21). It is lenient, for gateways have their own ways: what is in an answer counts, not where
it lies or how it is spelled.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote, urlsplit

from callsheet.errors import DownloadFailed, NoVideo, OperationFailed, ProviderError, Unreachable, VideoFiltered
from callsheet.providers.error_bodies import plain, speaks_of_policy, support_codes
from callsheet.providers.error_codes import name_code
from callsheet.providers.protocol import VideoReady
from callsheet.providers.reply_body import data_url_type, decode_base64

MAX_NAME_CHARS = 1000
_UNFIT = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]|//|://")
_OBJECT = re.compile(r"gs://[a-z0-9][\w.-]{1,220}/[^\x00-\x1f\x7f-\x9f]*[^/\x00-\x1f\x7f-\x9f]")
_VERSION = re.compile(r"v\d{1,2}(?:alpha|beta)?\d{0,2}/(?=.)")
_OPERATION = re.compile(r"(?:^|/)(?:operations|interactions)/.")
# Fields that hold an operation's name, the most telling first; then those that hold the object with such a field.
_NAME_FIELDS = ("name", "operationname", "operation", "operationid", "requestid", "taskid", "id")
_NAME_HOLDERS = ("operation", "interaction", "response", "result", "data", "operations", "body")
_NAME_DEPTH = 4


def check_name(name: object) -> str:
    """Return the operation's name as it came.

    Raises ValueError for anything that would lead a URL elsewhere, or is no name.
    """
    fit = isinstance(name, str) and 0 < len(name) <= MAX_NAME_CHARS and not _UNFIT.search(name)
    if not isinstance(name, str) or not fit or {".", ".."} & {*re.split(r"[/\\]", name)}:
        raise ValueError(f"not an operation name: {plain(repr(name), 120)}")
    return name


def adoptable(name: str) -> str:
    """Return the name that a person may say a job in doubt has become.

    An operation's name, or the gs:// object that it wrote. Raises ValueError for anything else.
    """
    return name if _OBJECT.fullmatch(name) and len(name) <= 1200 else check_name(name)


def name_path(name: str) -> str:
    """Return the name as the path of a URL, percent-encoded.

    Without a slash or an API version before it. Raises ValueError unless it is fit for that.
    """
    path = check_name(name).strip("/")
    return quote(_VERSION.sub("", path, count=1), safe="/:@!$&'()*+,;=~")


def find_name(document: object) -> str | None:
    """Return the operation's name in the JSON of a reply, None when there is none.

    It is found wherever it lies; a name in Google's form comes first. The origin of an address is left out: its path is
    the name.
    """
    found = [fit for name in _find_names(document, _NAME_DEPTH) if (fit := _check_fit(name))]
    return next((name for name in found if _OPERATION.search(name)), found[0] if found else None)


def is_google_name(name: str) -> bool:
    """Return whether the name has Google's form, which nothing else in a reply has."""
    return bool(_OPERATION.search(name))


def _check_fit(name: str) -> str | None:
    if name.startswith("https://"):
        name = urlsplit(name).path.lstrip("/")
    try:
        return check_name(name)
    except ValueError:
        return None


def _find_names(value: object, depth: int) -> Iterator[str]:
    if isinstance(value, list):
        for one in value[:10]:
            yield from _find_names(one, depth)
    if not isinstance(value, Mapping) or not depth:
        return
    fields = lower_names(value)
    if fields.get("object") == "interaction" and isinstance(fields.get("id"), str):
        yield f"interactions/{str(fields['id']).rpartition('interactions/')[2]}"
    for field in _NAME_FIELDS:
        one = fields.get(field)
        if isinstance(one, str) and one:
            yield one
        elif isinstance(one, int) and not isinstance(one, bool):
            yield str(one)
    for field in _NAME_HOLDERS:
        yield from _find_names(fields.get(field), depth - 1)


MAX_VIDEO_BYTES = 1024 * 1024 * 1024
# Reasons of an OperationFailed that may pass: nothing is charged for a failed operation, so submitting again is safe.
TRANSIENT = frozenset({"RESOURCE_EXHAUSTED", "UNAVAILABLE", "INTERNAL", "ABORTED", "DEADLINE_EXCEEDED"})
MOST_VIDEOS, _DEPTH = 16, 6
_MIME = re.compile(r"video/[\w.+-]{1,60}")
_AUDIO = re.compile(r"\b(audio|sound|soundtrack|speech)\b", re.IGNORECASE)
_ENDED = frozenset({"true", "1", "done", "yes", "succeeded", "success", "completed", "failed"})
# Field names are compared in lower case without underscores.
_HOLDERS = ("response", "result", "generatevideoresponse", "operation", "data", "output", "outputs", "body")
_LISTS = ("generatedsamples", "generatedvideos", "videos", "samples", "predictions", "video")
_URIS = ("gcsuri", "uri", "videouri", "fileuri", "downloaduri", "url", "videourl", "downloadurl", "gcsurl")
_BYTES = ("bytesbase64encoded", "encodedvideo", "videobytes", "b64json", "data", "videobase64")
# Of these, those that mean a video wherever they stand.
_DIRECT = ("gcsuri", "videouri", "videourl", "downloaduri", "downloadurl", "bytesbase64encoded", "encodedvideo",
           "videobytes", "videobase64", "mimetype")  # fmt: skip
_INNER = ("video", "inlinedata", "filedata", "file")
_REASONS = ("raimediafilteredreasons", "raimediafilteredreason", "raifilteredreason", "raireason", "filteredreasons")


def video_result(operation: object, what: str = "the operation") -> VideoReady | None:
    """Return the first video of a done operation with the others, None while it runs.

    Raises OperationFailed, VideoFiltered (also when only the error's text speaks of policy) or NoVideo. When the
    filter removed some of several videos, the first that is left counts. Unreachable when `operation` is no JSON
    object: a free poll went wrong.
    """
    if isinstance(operation, list):
        operation = next((one for one in operation if isinstance(one, Mapping)), None) or None
    if not isinstance(operation, Mapping):
        raise Unreachable(
            f"The poll of {what} was answered with something that is no operation. Polling again is free."
        )
    found = list(_find_objects(operation, _DEPTH))
    videos = list(dict.fromkeys(video for one in found for video in _find_videos(one)))[:MOST_VIDEOS]
    if videos:
        return VideoReady(videos[0].mime_type, videos[0].uri, videos[0].data, tuple(videos[1:]))
    if (error := _find_error(found)) is not None:
        raise judge_failure(error)
    if not any(_is_done(one) for one in found):
        return None
    raise _judge_absence(found)


def _find_objects(value: object, depth: int) -> Iterator[Mapping[str, object]]:
    """Yield the operation and the objects that hold its result.

    Fields are compared without regard to case and underscores.
    """
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, Mapping) or not depth:
        return
    fields = lower_names(value)
    yield fields
    for holder in _HOLDERS:
        yield from _find_objects(fields.get(holder), depth - 1)


def _is_done(fields: Mapping[str, object]) -> bool:
    told = fields.get("done", fields.get("status", fields.get("state")))
    if told is None:  # some leave it out when the result is there
        return bool(fields.get("response")) or "raimediafilteredcount" in fields
    return told is True or str(told).lower() in _ENDED


def _find_error(found: Sequence[Mapping[str, object]]) -> Mapping[str, object] | None:
    for fields in found:
        error = fields.get("error")
        if isinstance(error, Mapping) and error:
            return error
        if isinstance(error, str) and error:
            return {"message": error, "status": fields.get("code") or fields.get("status")}
    return None


def judge_failure(error: Mapping[str, object]) -> ProviderError:
    """Return the error that an operation ended with, as one of ours.

    Its code is a number of google.rpc, or a word.
    """
    code = error.get("code")
    is_number = isinstance(code, int) or (isinstance(code, str) and code.isascii() and code.isdigit())
    reason = (name_code(code) if is_number else str(error.get("status") or "") or name_code(code)) or "UNKNOWN"
    message = plain(str(error.get("message") or ""))
    if speaks_of_policy(message):
        return report_filtered([message], reason)
    hint = "Not charged; submitting again may work." if reason in TRANSIENT else "Not charged."
    return OperationFailed(f"The operation ended with {reason}: {message.rstrip('.')}. {hint}", reason=reason)


def _judge_absence(found: Sequence[Mapping[str, object]]) -> ProviderError:
    reasons = list(dict.fromkeys(reason for fields in found for reason in _find_reasons(fields)))
    counts = (str(fields.get("raimediafilteredcount") or "0") for fields in found)
    if reasons or any(count.isascii() and count.isdigit() and int(count[:9]) for count in counts):
        return report_filtered(reasons, "RAI_FILTERED")
    return NoVideo("The operation is done, without a video and without a reason. Veo charges only for videos.")


def _find_reasons(fields: Mapping[str, object]) -> Iterator[str]:
    """Yield why the filter removed videos.

    The reasons are a list, a text, or stand beside each sample that is missing.
    """
    for name in _REASONS:
        for reason in _as_list(fields.get(name)):
            told = lower_names(reason) if isinstance(reason, Mapping) else {}
            if text := plain(_find_first(told, ("reason", "message", "description")) or str(reason)):
                yield text
    for name in _LISTS[:-1]:
        for sample in _as_list(fields.get(name)):
            if isinstance(sample, Mapping):
                yield from _find_reasons(lower_names(sample))


def report_filtered(reasons: Sequence[str], fallback: str) -> VideoFiltered:
    """Return the error of a video that the filter removed, for these reasons."""
    text = " ".join(reasons)
    message = f"The video was filtered: {text.rstrip('.') or 'no reason given'}. Not charged; change prompt or frame."
    return VideoFiltered(message, reason=support_codes(text) or fallback, audio=bool(_AUDIO.search(text)))


def _find_videos(fields: Mapping[str, object]) -> Iterator[VideoReady]:
    for name in _LISTS:
        for sample in _as_list(fields.get(name)):
            if (ready := read_video(sample)) is not None:
                yield ready
    if (
        any(name in fields for name in _DIRECT)
        and (ready := read_video({n: fields.get(n) for n in _DIRECT})) is not None
    ):
        yield ready


def read_video(sample: object, depth: int = 3) -> VideoReady | None:
    """Return the video that a sample holds: its bytes, its address, or both."""
    if isinstance(sample, str):
        return _read_text(sample)
    if not isinstance(sample, Mapping) or not depth:
        return None
    fields = lower_names(sample)
    stated = str(fields.get("mimetype") or fields.get("contenttype") or "")
    mime_type = stated if _MIME.fullmatch(stated) else "video/mp4"
    encoded, uri = _find_first(fields, _BYTES), _find_first(fields, _URIS)
    data = _decode(encoded) if encoded else None
    if uri and uri.startswith("data:"):
        data, uri = data or _decode(uri), None
    if data or uri:
        return VideoReady(mime_type, uri, data or None)
    inner = (read_video(fields[name], depth - 1) for name in _INNER if name in fields)
    found = next((one for one in inner if one is not None), None)
    name = fields.get("name")
    return found or (_read_text(name) if isinstance(name, str) else None)


def _read_text(text: str) -> VideoReady | None:
    """Return the video of an address or a data URL that stands in place of an object.

    A word alone is neither.
    """
    if text.startswith("data:video/"):
        return VideoReady(data_url_type(text) or "video/mp4", data=_decode(text))
    return VideoReady(uri=text) if "://" in text[:12] or text.lstrip("/").startswith("files/") else None


def _decode(encoded: str) -> bytes:
    if len(encoded) * 3 // 4 > MAX_VIDEO_BYTES:
        raise DownloadFailed(f"The operation holds a video of more than {MAX_VIDEO_BYTES} bytes, which is not taken.")
    return decode_base64(encoded)


def lower_names(value: Mapping[str, object]) -> dict[str, object]:
    """Return the fields by their names in lower case, without underscores."""
    return {str(name).replace("_", "").lower(): one for name, one in value.items()}


def _find_first(fields: Mapping[str, object], names: Sequence[str]) -> str | None:
    """Return the first of these fields that is a text with something in it."""
    return next((one for name in names if isinstance(one := fields.get(name), str) and one), None)


def _as_list(value: object) -> Sequence[object]:
    if isinstance(value, list | tuple):
        return value
    return (value,) if isinstance(value, Mapping) or (isinstance(value, str) and value) else ()
