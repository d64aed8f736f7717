"""What replies, operations and failures mean: pure functions, so plain values in and errors out."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import ssl
from typing import Any
from urllib.parse import quote

import aiohttp
import httpx2
import pytest
from aiohttp.client_reqrep import ConnectionKey
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st

from callsheet import errors
from callsheet.providers import outcomes
from callsheet.providers.error_bodies import MAX_RETRY_AFTER_S, duration_s, plain, read_error
from callsheet.providers.http_errors import Phase, from_reply, without_reply
from callsheet.providers.operations import video_result
from callsheet.providers.outcomes import image_result as read_image
from callsheet.providers.plain_client import Secrets
from callsheet.providers.protocol import ImageResult, VideoReady
from callsheet.providers.reply_body import ReplyBody
from tests.support.pictures import a_png

PICTURE = a_png()
PNG = base64.b64encode(PICTURE).decode()
INLINE = {"inlineData": {"mimeType": "image/png", "data": PNG}}
# Seen in production on 2026-09-02, shortened.
DAILY_429 = {
    "error": {
        "code": 429,
        "message": "You exceeded your current quota.\n* Quota exceeded for metric: generativelanguage.googleapis.com/"
        "generate_requests_per_model_per_day, limit: 250, model: gemini-3-pro-image\nPlease retry in 2h35m3.27s.",
        "status": "RESOURCE_EXHAUSTED",
        "details": [
            {"@type": "type.googleapis.com/google.rpc.Help", "links": []},
            {
                "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                "violations": [
                    {
                        "quotaMetric": "generativelanguage.googleapis.com/generate_requests_per_model_per_day",
                        "quotaId": "GenerateRequestsPerDayPerProjectPerModel",
                        "quotaDimensions": {"model": "gemini-3-pro-image", "location": "global"},
                        "quotaValue": "250",
                    }
                ],
            },
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "9303s"},
        ],
    }
}


def inline(data: bytes, **part: Any) -> dict[str, Any]:
    return {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(data).decode()}, **part}


def reply(*parts: dict[str, Any], **candidate: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": list(parts), "role": "model"}, **candidate}]}


def image_result(body: dict[str, Any]) -> ImageResult:
    return read_image(ReplyBody((body,)))


def error_json(code: int, message: str = "m", status: str = "", reason: str = "") -> dict[str, Any]:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}] if reason else []
    return {"error": {"code": code, "message": message, "status": status, "details": details}}


# --- pictures


def test_the_last_whole_picture_of_the_answer_is_the_final_one_and_the_others_come_with_it() -> None:
    thought, draft, last = (a_png(colour) for colour in ("red", "green", "blue"))
    parts = [inline(thought, thought=True), {"text": "here"}, inline(draft), inline(last), inline(b"odd")]
    found = image_result(reply(*parts, inline(draft, thought=True), finishReason="STOP"))
    assert (found.data, found.text, found.is_thought) == (last, "here", False)
    assert [one.data for one in found.others] == [thought, draft]


def test_a_picture_that_is_only_a_thought_is_taken() -> None:
    found = image_result(reply({**INLINE, "thought": True}, finishReason="STOP"))
    assert (found.data, found.is_thought) == (PICTURE, True)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("reason", ["SAFETY", "OTHER", "PROHIBITED_CONTENT", "MODEL_ARMOR", "NEW_BLOCK"])
def test_a_blocked_prompt_keeps_its_reason_and_message(reason: str) -> None:
    with pytest.raises(errors.PromptBlocked, match="no such thing") as caught:
        image_result({"promptFeedback": {"blockReason": reason, "blockReasonMessage": "no such thing"}})
    assert caught.value.reason == reason


@pytest.mark.parametrize("reason", [member.value for member in types.FinishReason])
def test_every_finish_reason_has_a_class_and_keeps_its_message(reason: str) -> None:
    expected = errors.ImageBlocked if reason in outcomes.BLOCKING else errors.NoImage
    with pytest.raises(errors.ProviderError) as caught:
        image_result({"candidates": [{"finishReason": reason, "finishMessage": "because of that"}]})
    assert type(caught.value) is expected
    assert caught.value.reason == reason
    assert "because of that" in str(caught.value)
    assert image_result(reply(INLINE, finishReason=reason)).data == PICTURE


def test_refusals_are_told_from_technical_ends() -> None:
    assert all(map(outcomes.is_refusal, ("SAFETY", "IMAGE_SAFETY", "IMAGE_RECITATION", "SPII", "BRAND_NEW_SAFETY")))
    assert not any(outcomes.is_refusal(r) for r in ("STOP", "NO_IMAGE", "IMAGE_OTHER", "MAX_TOKENS", "BRAND_NEW", ""))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("reason", "cls"), [("BRAND_NEW", errors.NoImage), ("NEW_IMAGE_SAFETY", errors.ImageBlocked)])
def test_an_unknown_finish_reason_is_judged_by_its_words(reason: str, cls: type[Exception]) -> None:
    with pytest.raises(errors.ProviderError) as caught:
        image_result({"candidates": [{"finishReason": reason}]})
    assert type(caught.value) is cls


@pytest.mark.parametrize(
    "empty",
    [
        {},
        {"candidates": []},
        {"candidates": [{}]},
        {"candidates": [{"content": {}}]},
        reply({"text": "I cannot draw"}, finishReason="STOP"),
        reply({"inlineData": {"mimeType": "image/png", "data": ""}}),
    ],
)
def test_a_reply_without_a_picture_is_no_image(empty: dict[str, Any]) -> None:
    with pytest.raises(errors.NoImage):
        image_result(empty)


def test_a_text_only_reply_shows_its_text() -> None:
    with pytest.raises(errors.NoImage, match="I cannot draw"):
        image_result(reply({"text": "I cannot draw"}, finishReason="STOP"))


def test_a_picture_beyond_all_bounds_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "MAX_IMAGE_BYTES", 3)
    with pytest.raises(errors.NoImage, match=f"{len(PICTURE)} bytes"):
        image_result(reply(INLINE))


# --- operations


def gemini(**response: Any) -> dict[str, Any]:
    return {"name": "n", "done": True, "response": {"@type": "x", "generateVideoResponse": response}}


def agent(**response: Any) -> dict[str, Any]:
    return {"name": "n", "done": True, "response": {"@type": "x", **response}}


FILTERED = {"raiMediaFilteredCount": 1, "raiMediaFilteredReasons": ["A celebrity. Support codes: 17301594, 15236754"]}


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ({"name": "n"}, None),
        ({"name": "n", "done": False, "metadata": {}}, None),
        (gemini(generatedSamples=[{"video": {"uri": "https://h/f"}}]), VideoReady(uri="https://h/f")),
        (agent(videos=[{"gcsUri": "gs://b/o", "mimeType": "video/mp4"}]), VideoReady(uri="gs://b/o")),
        (
            agent(videos=[{"bytesBase64Encoded": "AAAA", "mimeType": "video/webm"}]),
            VideoReady("video/webm", data=bytes(3)),
        ),
        (agent(**FILTERED, videos=[{"gcsUri": "gs://b/o"}]), VideoReady(uri="gs://b/o")),
        (gemini(**FILTERED, generatedSamples=[{}, {"video": {"uri": "u"}}]), VideoReady(uri="u")),
        (gemini(generated_samples=[{"video": {"video_bytes": "AAAA"}}]), VideoReady(data=bytes(3))),
    ],
)
def test_an_operation_gives_its_first_video(operation: dict[str, Any], expected: VideoReady | None) -> None:
    assert video_result(operation) == expected


@pytest.mark.parametrize("operation", [gemini(**FILTERED), agent(**FILTERED), agent(**FILTERED, videos=[])])
def test_a_filtered_video_keeps_reason_and_support_codes(operation: dict[str, Any]) -> None:
    with pytest.raises(errors.VideoFiltered, match="celebrity") as caught:
        video_result(operation)
    assert (caught.value.reason, caught.value.audio, caught.value.charged) == ("17301594,15236754", False, False)


def test_the_audio_filter_is_marked_and_a_count_alone_is_enough() -> None:
    with pytest.raises(errors.VideoFiltered) as caught:
        video_result(gemini(raiMediaFilteredReasons=["We encountered an issue with the audio for your prompt."]))
    assert caught.value.audio
    with pytest.raises(errors.VideoFiltered):
        video_result(agent(raiMediaFilteredCount=1))


@pytest.mark.parametrize("response", [None, {}, {"generateVideoResponse": {}}, {"videos": []}, {"videos": [{}]}])
def test_done_and_empty_is_no_video(response: Any) -> None:
    with pytest.raises(errors.NoVideo):
        video_result({"done": True, "response": response})


@pytest.mark.parametrize(
    ("code", "message", "cls", "reason"),
    [
        (8, "Resource has been exhausted", errors.OperationFailed, "RESOURCE_EXHAUSTED"),
        (14, "high load", errors.OperationFailed, "UNAVAILABLE"),
        (3, "1080p is not supported", errors.OperationFailed, "INVALID_ARGUMENT"),
        (7, "no write access to the bucket", errors.OperationFailed, "PERMISSION_DENIED"),
        (99, "odd", errors.OperationFailed, "99"),
        (3, "It contains sensitive words. Support codes: 58061214", errors.VideoFiltered, "58061214"),
        (3, "violates Google's Responsible AI practices", errors.VideoFiltered, "INVALID_ARGUMENT"),
    ],
)
def test_an_error_inside_an_operation_ends_it(code: int, message: str, cls: type[Exception], reason: str) -> None:
    with pytest.raises(errors.ProviderError) as caught:
        video_result({"name": "n", "done": True, "error": {"code": code, "message": message}})
    assert (type(caught.value), caught.value.reason) == (cls, reason)


FIELDS = [
    "error", "code", "message", "status", "details", "done", "response", "videos", "video", "uri", "gcsUri",
    "generateVideoResponse", "generatedSamples", "raiMediaFilteredReasons", "raiMediaFilteredCount",
    "violations", "quotaId", "quotaValue", "retryDelay", "metadata", "quota_limit",
]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=25,
)


@given(JSON)
def test_no_json_breaks_the_reading_of_an_operation(body: Any) -> None:
    try:
        found = video_result(body)
    except errors.ProviderError:
        return
    assert found is None or isinstance(found, VideoReady)


# --- replies that are no success

U, K, R = errors.Unauthorised, errors.Unknown, errors.Rejected
TABLE = [
    # status, body, submission, poll, download
    (400, error_json(400, "API key not valid.", "INVALID_ARGUMENT", "API_KEY_INVALID"), U, U, U),
    (400, error_json(400, "Request contains an invalid argument.", "INVALID_ARGUMENT"), R, R, errors.DownloadFailed),
    (400, error_json(400, "User location is not supported", "FAILED_PRECONDITION"), U, U, errors.DownloadFailed),
    (400, error_json(400, "Request payload size exceeds the limit: 20971520 bytes."), errors.RequestTooLarge, R, None),
    (400, error_json(400, "The prompt violates our usage guidelines. Support codes: 1"), errors.PromptBlocked, R, None),
    (401, error_json(401, "m", "UNAUTHENTICATED", "CREDENTIALS_MISSING"), U, U, U),
    (402, b"", errors.RouteClosed, errors.RouteClosed, errors.DownloadFailed),
    (403, error_json(403, "m", "PERMISSION_DENIED"), U, U, errors.OperationExpired),
    (404, error_json(404, "models/x is not found", "NOT_FOUND"), errors.ModelNotFound, errors.OperationExpired, None),
    (404, b"<html>nginx</html>", errors.ModelNotFound, errors.Unreachable, errors.DownloadFailed),
    (408, b"", K, errors.Unreachable, errors.DownloadFailed),
    (409, error_json(409, "m", "ABORTED"), R, R, errors.DownloadFailed),
    (413, b"<html><title>413</title></html>", errors.RequestTooLarge, R, errors.DownloadFailed),
    (429, b"", errors.RateLimited, errors.RateLimited, errors.DownloadFailed),
    (302, b"", R, errors.Unreachable, errors.DownloadFailed),
    (202, b"", K, errors.Overloaded, errors.DownloadFailed),
    (500, error_json(500, "m", "INTERNAL"), K, errors.Overloaded, errors.DownloadFailed),
    (502, b"<html>", K, errors.Overloaded, errors.DownloadFailed),
    (503, error_json(503, "The model is overloaded.", "UNAVAILABLE"), errors.Overloaded, errors.Overloaded, None),
    (503, error_json(503, "Deadline expired before operation could complete."), K, errors.Overloaded, None),
    (503, b"upstream connect error or disconnect/reset before headers", K, errors.Overloaded, None),
    (504, error_json(504, "m", "DEADLINE_EXCEEDED"), K, errors.Overloaded, errors.DownloadFailed),
]


@pytest.mark.parametrize(("status", "body", "submit", "poll", "download"), TABLE)
def test_each_reply_has_its_class_in_each_phase(status: int, body: Any, submit: Any, poll: Any, download: Any) -> None:
    expected = {Phase.SUBMIT: submit, Phase.POLL: poll, Phase.DOWNLOAD: download}
    found = {phase: from_reply(status, body, phase, what="a video by m") for phase in Phase}
    assert {phase: type(error) for phase, error in found.items() if expected[phase]} == {
        phase: cls for phase, cls in expected.items() if cls
    }
    assert all(error.status == status and "a video by m" in str(error) for error in found.values())


def test_a_body_may_be_text_bytes_object_or_array() -> None:
    text = json.dumps(DAILY_429)
    for form in ([DAILY_429], text, text.encode(), f"[{text}]"):
        assert read_error(form) == read_error(DAILY_429)
    page = read_error(b"<html><head><style>x{}</style></head><body><h1>502</h1>\n<p>Bad\x00 gateway</p></body></html>")
    assert (page.message, page.genuine) == ("502 Bad gateway", False)
    assert len(plain("x" * 10**6)) == 500


def test_a_full_day_is_told_with_limit_and_wait() -> None:
    error = from_reply(429, DAILY_429, Phase.SUBMIT, what="a picture by m")
    assert isinstance(error, errors.RateLimited)
    assert (error.per, error.limit, error.retry_after_s, error.reason) == ("day", 250, 9303.0, "RESOURCE_EXHAUSTED")


@pytest.mark.parametrize(
    ("body", "retry_after", "expected"),
    [
        (error_json(429, "Resource has been exhausted (e.g. check quota)."), None, ("", None, None)),
        (error_json(429, "m"), "7", ("", None, 7.0)),
        (error_json(429, "m"), "Fri, 31 Dec 1999 23:59:59 GMT", ("", None, None)),
        (error_json(429, "metric: x_requests, limit: 10\nPlease retry in 2h35m3.27s."), None, ("", 10, 9303.27)),
        (error_json(429, "Please retry in 850.5ms."), None, ("", None, 0.8505)),
        (
            {"error": {"details": [
                {"violations": [
                    {"quotaId": "PredictLongRunningRequestsPerMinutePerProjectPerModel", "quotaValue": "4"},
                    {"quotaId": "PredictLongRunningRequestsPerDayPerProjectPerModel-FreeTier", "quotaValue": "10"},
                ]},
                {"retryDelay": {"seconds": "3", "nanos": 500000000}},
            ]}},
            None,
            ("day", 10, 3.5),
        ),
        (
            {"error": {"details": [
                {"metadata": {"quota_limit": "OnlinePredictionRequestsPerBaseModelPerMinutePerRegion",
                              "quota_unit": "1/min/{project}/{region}", "quota_limit_value": "5"}},
                {"retryDelay": "1e9s"},
            ]}},
            None,
            ("minute", 5, None),
        ),
        ({"error": {"details": [{"retryDelay": "999999999s"}]}}, None, ("", None, MAX_RETRY_AFTER_S)),
    ],
)  # fmt: skip
def test_a_429_tells_window_limit_and_wait(body: Any, retry_after: str | None, expected: tuple[Any, ...]) -> None:
    error = from_reply(429, body, Phase.SUBMIT, what="x", retry_after=retry_after)
    assert isinstance(error, errors.RateLimited)
    assert (error.per, error.limit, error.retry_after_s) == expected


@given(JSON | st.binary(max_size=200) | st.text(max_size=200), st.integers(100, 999), st.sampled_from(Phase))
def test_no_body_breaks_the_reading_of_an_error(body: Any, status: int, phase: Phase) -> None:
    error = from_reply(status, body, phase, what="x")
    assert isinstance(error, errors.ProviderError)
    assert len(str(error)) < 1000


@given(st.integers(0, 47), st.integers(0, 59), st.decimals(0, 59, places=2, allow_nan=False))
def test_durations_are_read_as_written(hours: int, minutes: int, seconds: Any) -> None:
    expected = hours * 3600 + minutes * 60 + float(seconds)
    assert duration_s(f"{hours}h{minutes}m{seconds}s") == pytest.approx(expected)


# --- exchanges without a reply


def refused() -> aiohttp.ClientConnectorError:
    key = ConnectionKey("h", 443, True, True, None, None, None)
    return aiohttp.ClientConnectorError(key, OSError(111, "refused"))


@pytest.mark.parametrize(
    "error",
    [
        refused(),
        aiohttp.ClientConnectorDNSError(ConnectionKey("h", 443, True, True, None, None, None), OSError(-2, "no name")),
        aiohttp.ClientConnectorSSLError(ConnectionKey("h", 443, True, True, None, None, None), ssl.SSLError("bad")),
        aiohttp.ConnectionTimeoutError(),
        httpx2.ConnectError("refused"),
        httpx2.ConnectTimeout("slow"),
        httpx2.PoolTimeout("full"),
        ConnectionRefusedError(111, "refused"),
        socket.gaierror(-2, "no name"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_of_connecting_are_known_not_to_be_accepted(error: Exception) -> None:
    assert type(without_reply(error, Phase.SUBMIT, what="x")) is errors.Unreachable


@pytest.mark.parametrize(
    "error",
    [
        aiohttp.ServerDisconnectedError(),
        aiohttp.ClientOSError(104, "reset"),
        aiohttp.ClientPayloadError("cut"),
        aiohttp.SocketTimeoutError(),
        asyncio.TimeoutError(),  # noqa: UP041
        httpx2.ReadTimeout("slow"),
        httpx2.WriteError("broken"),
        httpx2.ReadError("reset"),
        httpx2.RemoteProtocolError("Server disconnected without sending a response."),
        ConnectionResetError(104, "reset"),
        ValueError("not json"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_that_may_come_after_sending_are_unknown_unless_the_wire_says_otherwise(error: Exception) -> None:
    assert type(without_reply(error, Phase.SUBMIT, what="x")) is errors.Unknown
    assert type(without_reply(error, Phase.SUBMIT, what="x", sent=True)) is errors.Unknown
    assert type(without_reply(error, Phase.SUBMIT, what="x", sent=False)) is errors.Unreachable
    assert type(without_reply(error, Phase.POLL, what="x")) is errors.Unreachable
    assert type(without_reply(error, Phase.DOWNLOAD, what="x")) is errors.DownloadFailed


@pytest.mark.parametrize("key", ["AQ.plain-key", "with/slash+and=sign", "AIza" + "x" * 35])
def test_secrets_are_scrubbed_in_every_form(key: str) -> None:
    text = f"x-goog-api-key: {key}; https://h/p?key={quote(key, safe='')}&alt=1 Authorization: Bearer ya29.abcdefghij"
    scrubbed = Secrets((key,)).scrub(text)
    assert key not in scrubbed
    assert quote(key, safe="") not in scrubbed
    assert "ya29" not in scrubbed
    assert "alt=1" in scrubbed
    assert key not in repr(Secrets((key,)))
