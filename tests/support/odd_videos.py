"""Odd answers to a video's submission, its polls and its download, as data: what servers and gateways really send."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass, field
from typing import Any

from tests.support.odd_video_server import Reply, ranged

MP4 = b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 40
WEBM = b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01B\x82\x84webm" + bytes(2000)
B64 = base64.b64encode(MP4).decode()
NAME = "models/veo/operations/op1"
# Where the video is, as a path of the server; {url} in an answer is the server's own address.
FILE = "/v1beta/files/f1:download?alt=media"
GOOGLE = "https://generativelanguage.googleapis.com/v1beta/files/f1"


@dataclass(frozen=True)
class Odd:
    """One case: the answers, and what is right: "video", or the class of the error."""

    id: str
    submit: Reply = field(default_factory=lambda: Reply({"name": NAME}))
    poll: Reply | list[Reply] = field(default_factory=lambda: done())
    files: dict[str, Any] = field(default_factory=lambda: {FILE: Reply(MP4, kind="video/mp4")})
    want: str = "video"
    says: str = ""
    polled: str = ""  # what has to be in the poll's path
    data: bytes = MP4


def done(uri: str = GOOGLE + ":download?alt=media", **more: Any) -> Reply:
    samples = {"generateVideoResponse": {"generatedSamples": [{"video": {"uri": uri}}]}}
    return Reply({"name": NAME, "done": True, "response": samples, **more})


def over(response: Any, **more: Any) -> Reply:
    return Reply({"name": NAME, "done": True, "response": response, **more})


def text(body: str | bytes, kind: str = "application/json", **headers: str) -> Reply:
    return Reply(body.encode() if isinstance(body, str) else body, headers=headers, kind=kind)


PAGE = b"<!DOCTYPE html><html><head><title>Sign in to Corp WiFi</title></head><body>please</body></html>"
BUSY = {"error": {"code": 429, "message": "Resource has been exhausted", "status": "RESOURCE_EXHAUSTED"}}
DOWN = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}
FILTERED = "A celebrity. Support codes: 17301594"

NAMES = (
    Odd("name ends in ==", Reply({"name": "models/veo/operations/b3AxMjM0NQ=="}), polled="operations/"),
    Odd("name is a gateway's own", Reply({"name": "task_01HX~abc==:video"})),
    Odd("name with odd characters", Reply({"name": "models/veo/operations/ä?x=1#y%2e%2e"})),
    Odd("name with a version", Reply({"name": "v1beta/models/veo/operations/op1"})),
    Odd("name is an address", Reply({"name": f"{GOOGLE.rpartition('/files')[0]}/models/veo/operations/op1"})),
    Odd("name in operation", Reply({"operation": {"name": NAME}})),
    Odd("name in response", Reply({"response": {"name": NAME}})),
    Odd("operation is the name", Reply({"operation": NAME})),
    Odd("name in an array of one", Reply([{"name": NAME}])),
    Odd("id in place of a name", Reply({"id": "op-77", "object": "video"})),
    Odd("name in camel case", Reply({"operationName": NAME})),
    Odd("name in data", Reply({"code": 0, "data": {"task_id": "t1"}})),
    Odd("submit with 202", Reply({"name": NAME}, 202)),
    Odd("submit with a byte order mark", text(b"\xef\xbb\xbf" + json.dumps({"name": NAME}).encode())),
    Odd("submit as text/plain", text(json.dumps({"name": NAME}), "text/plain")),
    Odd("submit compressed, untold", text(gzip.compress(json.dumps({"name": NAME}).encode()))),
    Odd("submit as an event", text(f"data: {json.dumps({'name': NAME})}\n\ndata: [DONE]\n", "text/event-stream")),
    Odd("name beside an empty error", Reply({"name": NAME, "error": {}})),
    Odd("name and done at once", Reply({"name": NAME, "done": True, "response": {}})),
)
REFUSED = (
    Odd("submit 200 with 429", Reply(BUSY), want="RateLimited", says="exhausted"),
    Odd("submit 200 with 503", Reply(DOWN), want="Overloaded", says="overloaded"),
    Odd("submit 200 in an array", Reply([BUSY]), want="RateLimited", says="exhausted"),
    Odd("submit 200 without a name", Reply({"ok": True}), want="Unknown", says="resolve"),
    Odd("submit 200, null", text("null"), want="Unknown", says="resolve"),
    Odd("submit 200, a page", Reply(PAGE, kind="text/html"), want="Unknown", says="Sign in to Corp WiFi"),
    Odd("submit 200, cut off", text('{"na'), want="Unknown", says="resolve"),
    Odd("submit 500 that names it", Reply({"name": NAME}, 500), want="video"),
)
POLLS = (
    Odd("done is text", poll=done(done="true")),
    Odd("done is left out", poll=Reply({"name": NAME, "response": {"videos": [{"uri": GOOGLE}]}})),
    Odd("done by its state", poll=Reply({"id": "x", "status": "completed", "output": {"video_url": GOOGLE}})),
    Odd("running first, as a page", poll=[Reply({"name": NAME}), done()]),
    Odd("poll in an array", poll=Reply([{"name": NAME, "done": True, "response": {"videos": [{"uri": GOOGLE}]}}])),
    Odd(
        "poll in snake case",
        poll=over({"generate_video_response": {"generated_samples": [{"video": {"uri": GOOGLE}}]}}),
    ),
    Odd("poll in operation", poll=Reply({"operation": {"done": True, "response": {"videos": [{"uri": GOOGLE}]}}})),
    Odd("video is the address", poll=over({"generatedVideos": [{"video": GOOGLE}]})),
    Odd("videos are addresses", poll=over({"videos": [GOOGLE]})),
    Odd("bytes", poll=over({"videos": [{"bytesBase64Encoded": B64}]}), files={}),
    Odd(
        "bytes with line breaks",
        poll=over({"videos": [{"bytesBase64Encoded": "\n".join([B64[:76], B64[76:]])}]}),
        files={},
    ),
    Odd("bytes as a data URL", poll=over({"videos": [{"videoBytes": f"data:video/mp4;base64,{B64}"}]}), files={}),
    Odd("bytes as the address", poll=over({"videos": [{"uri": f"data:video/mp4;base64,{B64}"}]}), files={}),
    Odd(
        "bytes in inlineData", poll=over({"videos": [{"inlineData": {"data": B64, "mimeType": "video/mp4"}}]}), files={}
    ),
    Odd("bytes and a bucket", poll=over({"videos": [{"gcsUri": "gs://b/o.mp4", "bytesBase64Encoded": B64}]}), files={}),
    Odd("poll compressed, untold", poll=text(gzip.compress(done().payload))),
    Odd(
        "filtered, reasons are a text",
        poll=over({"raiMediaFilteredReasons": FILTERED}),
        want="VideoFiltered",
        says="17301594",
    ),
    Odd("filtered, the count is a text", poll=over({"raiMediaFilteredCount": "1"}), want="VideoFiltered"),
    Odd(
        "filtered in snake case",
        poll=over({"rai_media_filtered_reasons": [FILTERED]}),
        want="VideoFiltered",
        says="17301594",
    ),
    Odd(
        "filtered, nested",
        poll=over({"generateVideoResponse": {"raiMediaFilteredCount": "1", "raiMediaFilteredReasons": FILTERED}}),
        want="VideoFiltered",
        says="17301594",
    ),
    Odd("filtered beside the sample", poll=over({"videos": [{"raiFilteredReason": FILTERED}]}), want="VideoFiltered"),
    Odd("count of none", poll=over({"raiMediaFilteredCount": "0"}), want="NoVideo"),
    Odd("poll 200 with 503", poll=Reply(DOWN), want="Overloaded"),
    Odd("poll 200 with 404", poll=Reply({"error": {"code": 404, "status": "NOT_FOUND"}}), want="OperationExpired"),
    Odd("poll is a page", poll=Reply(PAGE, kind="text/html"), want="Unreachable", says="Sign in to Corp WiFi"),
    Odd("poll is cut off", poll=Reply(done().payload, cut=60), want="Unreachable"),
    Odd("ended, the error is a text", poll=Reply({"done": True, "error": "internal"}), want="OperationFailed"),
    Odd("ended with a code as text", poll=Reply({"done": True, "error": {"code": "14"}}), want="OperationFailed"),
)
ADDRESSES = (
    Odd("files/ID", poll=done("files/f1")),
    Odd("/v1beta/files/ID", poll=done("/v1beta/files/f1")),
    Odd("v1/files/ID", poll=done("v1/files/f1"), files={"/v1/files/f1:download?alt=media": Reply(MP4)}),
    Odd("https files/ID", poll=done(GOOGLE)),
    Odd("download without alt=media", poll=done(GOOGLE + ":download")),
    Odd("our own files/ID", poll=done("{url}/v1beta/files/f1")),
    Odd("a path", poll=done("/out/clip.mp4?sig=1"), files={"/out/clip.mp4?sig=1": Reply(MP4)}),
    Odd("an address of our own", poll=done("{url}/out/clip.mp4"), files={"/out/clip.mp4": Reply(MP4)}),
    Odd("redirected", files={FILE: Reply(b"", 302, {"Location": "/signed/clip"}), "/signed/clip": Reply(MP4)}),
    Odd("gcsUri is a Google file", poll=over({"videos": [{"gcsUri": GOOGLE + ":download?alt=media"}]})),
    Odd("a host without a name", poll=done("https://10.0.0.8/clip.mp4"), want="DownloadRefused", says="not fetched"),
    Odd("plain http elsewhere", poll=done("http://cdn.example.com/x"), want="DownloadRefused", says="not fetched"),
    Odd("a file of this machine", poll=done("file:///etc/passwd"), want="DownloadRefused", says="not fetched"),
    Odd("nobody's scheme", poll=done("//cdn.example.com/x"), want="DownloadRefused", says="not fetched"),
)
FILES = (
    Odd("whole with 206", files={FILE: ranged(MP4, most=len(MP4))}),
    Odd("206 without a range", files={FILE: Reply(MP4, 206)}),
    Odd("in parts", files={FILE: ranged(MP4, most=4000)}),
    Odd("as an octet stream", files={FILE: Reply(MP4, kind="application/octet-stream")}),
    Odd("as text", files={FILE: Reply(MP4, kind="text/html")}),
    Odd("another kind of video", files={FILE: Reply(WEBM)}, data=WEBM),
    Odd("an error that is binary", files={FILE: Reply(MP4, 500)}, want="DownloadFailed", says="500"),
    Odd("a page in place of it", files={FILE: Reply(PAGE, kind="text/html")}, want="DownloadFailed", says="Corp WiFi"),
    Odd("an error with 200", files={FILE: Reply(DOWN)}, want="DownloadFailed", says="overloaded"),
    Odd("nothing", files={FILE: Reply(b"")}, want="DownloadFailed"),
)
CASES = (*NAMES, *REFUSED, *POLLS, *ADDRESSES, *FILES)
