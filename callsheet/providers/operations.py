"""What a long-running operation says: running, a video, or the class of its absence. Pure functions of its JSON.

One reader for both platforms: the Gemini API answers `response.generateVideoResponse.generatedSamples`, Agent
Platform `response.videos` (bodies captured with google-genai 2.34.0 and 3.4.0, 2026-11-21).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence

from callsheet.errors import DownloadFailed, NoVideo, OperationFailed, ProviderError, Unreachable, VideoFiltered
from callsheet.providers.error_bodies import plain, speaks_of_policy, support_codes
from callsheet.providers.protocol import VideoReady

MAX_VIDEO_BYTES = 1024 * 1024 * 1024
# google.rpc.Code: the numbers that an operation's error carries.
RPC_CODES = {
    1: "CANCELLED", 2: "UNKNOWN", 3: "INVALID_ARGUMENT", 4: "DEADLINE_EXCEEDED", 5: "NOT_FOUND", 6: "ALREADY_EXISTS",
    7: "PERMISSION_DENIED", 8: "RESOURCE_EXHAUSTED", 9: "FAILED_PRECONDITION", 10: "ABORTED", 11: "OUT_OF_RANGE",
    12: "UNIMPLEMENTED", 13: "INTERNAL", 14: "UNAVAILABLE", 15: "DATA_LOSS", 16: "UNAUTHENTICATED",
}  # fmt: skip
# Reasons of an OperationFailed that may pass: nothing is charged for a failed operation, so submitting again is safe.
TRANSIENT = frozenset({"RESOURCE_EXHAUSTED", "UNAVAILABLE", "INTERNAL", "ABORTED", "DEADLINE_EXCEEDED"})
_MIME = re.compile(r"video/[\w.+-]{1,60}")
_AUDIO = re.compile(r"\b(audio|sound|soundtrack|speech)\b", re.IGNORECASE)
# Names as seen on both platforms; nothing else is put into a URL.
_NAME = re.compile(
    r"(?:projects/[\w.:-]+/locations/[\w-]+/)?(?:publishers/google/)?models/[\w.@-]+/operations/[\w.-]+"
    r"|operations/[\w.-]+"
)

_OBJECT = re.compile(r"gs://[a-z0-9][\w.-]{1,220}/[^\x00-\x1f\x7f-\x9f]*[^/\x00-\x1f\x7f-\x9f]")


def video_result(operation: object, what: str = "the operation") -> VideoReady | None:
    """The first video of a done operation, None while it runs.

    Raises OperationFailed, VideoFiltered (also when only the error's text speaks of policy) or NoVideo. When the
    filter removed some of several videos, the first that is left counts. Unreachable when `operation` is no JSON
    object: a free poll went wrong.
    """
    if not isinstance(operation, Mapping):
        raise Unreachable(
            f"The poll of {what} was answered with something that is no operation. Polling again is free."
        )
    error = operation.get("error")
    if isinstance(error, Mapping) and error:
        raise _failure(error)
    if not operation.get("done"):
        return None
    response = _mapping(operation.get("response"))
    inner = _mapping(response.get("generateVideoResponse")) or response
    video = next(_videos(inner), None)
    if video is None:
        raise _absence(inner)
    return video


def checked_name(name: object) -> str:
    """The operation's name, fit to be put into a URL; ValueError for anything that is not one."""
    if not isinstance(name, str) or len(name) > 500 or not _NAME.fullmatch(name) or {".", ".."} & {*name.split("/")}:
        raise ValueError(f"not an operation name: {plain(repr(name), 120)}")
    return name


def adoptable(name: str) -> str:
    """What a job in doubt may be said to have become: an operation's name, or the gs:// object that it wrote.

    ValueError for anything else.
    """
    return name if _OBJECT.fullmatch(name) and len(name) <= 1200 else checked_name(name)


def _failure(error: Mapping[str, object]) -> ProviderError:
    code = error.get("code")
    reason = RPC_CODES.get(code, str(code)) if isinstance(code, int) else str(error.get("status") or "UNKNOWN")
    message = plain(str(error.get("message") or ""))
    if speaks_of_policy(message):
        return _filtered([message], reason)
    hint = "Not charged; submitting again may work." if reason in TRANSIENT else "Not charged."
    return OperationFailed(f"The operation ended with {reason}: {message.rstrip('.')}. {hint}", reason=reason)


def _absence(response: Mapping[str, object]) -> ProviderError:
    reasons = [plain(str(reason)) for reason in _sequence(_either(response, "raiMediaFilteredReasons"))]
    count = _either(response, "raiMediaFilteredCount")
    if reasons or (isinstance(count, int) and count > 0):
        return _filtered(reasons, "RAI_FILTERED")
    return NoVideo("The operation is done, without a video and without a reason. Veo charges only for videos.")


def _filtered(reasons: Sequence[str], fallback: str) -> VideoFiltered:
    text = " ".join(reasons)
    message = f"The video was filtered: {text.rstrip('.') or 'no reason given'}. Not charged; change prompt or frame."
    return VideoFiltered(message, reason=support_codes(text) or fallback, audio=bool(_AUDIO.search(text)))


def _videos(response: Mapping[str, object]) -> Iterator[VideoReady]:
    samples = _either(response, "generatedSamples") or _either(response, "generatedVideos") or response.get("videos")
    for sample in _sequence(samples):
        entry = _mapping(sample)
        ready = _video(_mapping(entry.get("video")) or entry)
        if ready is not None:
            yield ready


def _video(video: Mapping[str, object]) -> VideoReady | None:
    stated = str(_either(video, "mimeType"))
    mime_type = stated if _MIME.fullmatch(stated) else "video/mp4"
    uri = _either(video, "gcsUri") or video.get("uri")
    if isinstance(uri, str) and uri:
        return VideoReady(mime_type=mime_type, uri=uri)
    encoded = _either(video, "bytesBase64Encoded") or _either(video, "encodedVideo") or _either(video, "videoBytes")
    if isinstance(encoded, str) and encoded:
        return VideoReady(mime_type=mime_type, data=_decoded(encoded))
    return None


def _decoded(encoded: str) -> bytes:
    if len(encoded) * 3 // 4 > MAX_VIDEO_BYTES:
        raise DownloadFailed(f"The operation holds a video of more than {MAX_VIDEO_BYTES} bytes, which is not taken.")
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise DownloadFailed(
            f"The video inside the operation is damaged ({error}). Poll it again: that is free."
        ) from None


def _either(value: Mapping[str, object], camel: str) -> object:
    """The field in camelCase or snake_case: gateways send both."""
    found = value.get(camel)
    return found if found is not None else value.get(re.sub(r"([A-Z])", r"_\1", camel).lower())


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _sequence(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else ()
