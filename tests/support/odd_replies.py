"""Odd replies to a picture's request, as data: what comes, and what has to become of it.

Most were seen in public reports (tests name them by number); all came with status 200 unless said, and were paid for.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace
from typing import Any

from tests.support.odd_server import Wire, zipped
from tests.support.pictures import a_heic, a_picture, a_png

PNG, DRAFT = a_png("teal"), a_png("red")
HALF = PNG[: len(PNG) // 2]
USAGE = {
    "promptTokenCount": 9, "candidatesTokenCount": 1290, "totalTokenCount": 1299,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 9}],
    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}],
}  # fmt: skip
# Those that tell no tokens: the picture costs what its size costs.
UNTOLD = {
    "snake-case", "several-candidates", "openai-images", "openai-chat", "imagen", "parts-as-object",
    "candidates-as-object", "usage-of-texts", "cut-after-the-picture", "broken-json", "raw-picture",
    "cut-in-the-base64", "closed-in-the-base64",
}  # fmt: skip
# What becomes of a reply: taken, part (kept as evidence), asked again, blocked, or the batch halts.
TAKEN, PART, AGAIN, BLOCKED = "taken", "part", "again", "blocked"


@dataclass(frozen=True)
class Odd:
    """A reply and what has to become of it. `others` counts the further pictures that are kept, `said` is its text.

    `charged`: a picture is booked for it, although none came of it; `usd`: what its text costs.
    """

    name: str
    wire: Wire
    becomes: str = TAKEN
    picture: bytes = PNG
    mime_type: str = "image/png"
    others: int = 0
    said: str = ""
    kind: str = ""
    charged: bool = False
    usd: str = "0"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def blob(data: bytes = PNG, mime_type: str = "image/png", **part: Any) -> dict[str, Any]:
    return {"inlineData": {"mimeType": mime_type, "data": b64(data)}, **part}


def coded(text: str, mime_type: str = "image/png") -> dict[str, Any]:
    return {"inlineData": {"mimeType": mime_type, "data": text}}


def answer(*parts: dict[str, Any], finish: str = "STOP", **more: Any) -> dict[str, Any]:
    candidate = {"content": {"parts": list(parts), "role": "model"}, "finishReason": finish}
    return {"candidates": [candidate], "usageMetadata": USAGE, "modelVersion": "m", "responseId": "r", **more}


def js(document: Any, **wire: Any) -> Wire:
    return Wire(json.dumps(document).encode(), **wire)


def typed(content_type: str, body: bytes, **more: Any) -> Wire:
    return Wire(body, headers={"Content-Type": content_type}, **more)


def error(code: int, status: str, message: str = "m", **more: Any) -> dict[str, Any]:
    return {"error": {"code": code, "status": status, "message": message, **more}}


GOOD = json.dumps(answer(blob())).encode()
TEXT_ONLY = {
    **answer({"text": "I cannot draw that."}),
    "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 1000},
}
LINES = "\n".join(b64(PNG)[at : at + 60] for at in range(0, len(b64(PNG)), 60))
URL_SAFE = base64.urlsafe_b64encode(PNG).decode()
SSE_PARTS = (answer({"text": "one"}, finish=""), answer(blob()))


def _kept(**given: Any) -> dict[str, Any]:
    return {"becomes": PART, "kind": "BadImage", "charged": True, **given}


def _again(kind: str = "NoImage", **given: Any) -> dict[str, Any]:
    return {"becomes": AGAIN, "kind": kind, **given}


REPLIES = (
    Odd("plain", js(answer(blob()))),
    # 01: in a thought
    Odd("only-thought", js(answer(blob(thought=True)))),
    Odd("thought-then-final", js(answer(blob(DRAFT, thought=True), blob())), others=1),
    Odd("final-then-thought", js(answer(blob(), blob(DRAFT, thought=True))), others=1),
    Odd("thought-as-text", js(answer(blob(thought="true")))),
    # 03: kinds of pictures
    Odd("avif", js(answer(blob(a_picture("AVIF"), "image/avif"))), picture=a_picture("AVIF"), mime_type="image/avif"),
    Odd("gif", js(answer(blob(a_picture("GIF"), "image/gif"))), picture=a_picture("GIF"), mime_type="image/gif"),
    Odd("heic", js(answer(blob(a_heic(), "image/heic"))), picture=a_heic(), mime_type="image/heic"),
    Odd("webp", js(answer(blob(a_picture("WEBP")))), picture=a_picture("WEBP"), mime_type="image/webp"),
    Odd("jpeg-as-png", js(answer(blob(a_picture("JPEG")))), picture=a_picture("JPEG"), mime_type="image/jpeg"),
    Odd("bmp", js(answer(blob(a_picture("BMP"), "image/bmp"))), picture=a_picture("BMP"), mime_type="image/bmp"),
    Odd("tiff", js(answer(blob(a_picture("TIFF"), "image/tiff"))), picture=a_picture("TIFF"), mime_type="image/tiff"),
    Odd("octet-stream", js(answer(blob(mime_type="application/octet-stream")))),
    Odd("no-mime-type", js(answer({"inlineData": {"data": b64(PNG)}}))),
    Odd("text-mime-type", js(answer(blob(mime_type="text/plain")))),
    # 04: base64
    Odd("line-breaks", js(answer(coded(LINES)))),
    Odd("crlf-line-breaks", js(answer(coded(LINES.replace("\n", "\r\n"))))),
    Odd("spaces", js(answer(coded(LINES.replace("\n", " ") + " ")))),
    Odd("url-safe", js(answer(coded(URL_SAFE)))),
    Odd("no-padding", js(answer(coded(URL_SAFE.rstrip("="))))),
    Odd("data-url", js(answer(coded("data:image/png;base64," + b64(PNG))))),
    Odd("data-url-with-charset", js(answer(coded("data:image/png;charset=utf-8;base64," + b64(PNG))))),
    Odd("percent-encoded", js(answer(coded(b64(PNG).replace("+", "%2B").replace("/", "%2F").replace("=", "%3D"))))),
    Odd("encoded-twice", js(answer(coded(b64(b64(PNG).encode()))))),
    Odd("octets", js(answer({"inlineData": {"mimeType": "image/png", "data": list(PNG)}}))),
    Odd("buffer", js(answer({"inlineData": {"data": {"type": "Buffer", "data": list(PNG)}}}))),
    # shapes
    Odd("snake-case", js({"candidates": [{"content": {"parts": [{"inline_data": {"mime_type": "image/png",
        "data": b64(PNG)}}]}, "finish_reason": "STOP"}]})),
    Odd("text-picture-text-picture", js(answer({"text": "first"}, blob(DRAFT), {"text": "then"}, blob())),
        others=1, said="first\nthen"),
    Odd("several-candidates", js({"candidates": [*answer(blob(DRAFT))["candidates"], *answer(blob())["candidates"]]}),
        others=1),
    Odd("markdown", js(answer({"text": f"Here it is: ![cat](data:image/png;base64,{b64(PNG)}) Enjoy."})),
        said="Here it is: [picture] Enjoy."),
    Odd("openai-images", js({"created": 1, "data": [{"b64_json": b64(PNG)}]})),
    Odd("openai-chat", js({"choices": [{"message": {"content": f"![x](data:image/png;base64,{b64(PNG)})"}}]})),
    Odd("imagen", js({"predictions": [{"bytesBase64Encoded": b64(PNG), "mimeType": "image/png"}]})),
    Odd("parts-as-object", js({"candidates": [{"content": {"parts": blob()}, "finishReason": "STOP"}]})),
    Odd("candidates-as-object", js({"candidates": {"content": {"parts": [blob()]}}})),
    Odd("wrapped", js({"response": answer(blob())})),
    Odd("unknown-fields", js({**answer(blob()), "candidates": [{**answer(blob())["candidates"][0],
        "finishReason": 99, "safetyRatings": "none", "index": "x"}]})),
    Odd("usage-of-texts", js({**answer(blob()), "usageMetadata": {"totalTokenCount": "9", "promptTokenCount": None}})),
    Odd("picture-with-error", js({**answer(blob()), **error(500, "INTERNAL")})),
    # finish reasons
    *(Odd(f"finish-{reason}", js(answer(blob(), finish=reason))) for reason in
      ("SAFETY", "MAX_TOKENS", "OTHER", "IMAGE_SAFETY", "RECITATION", "BRAND_NEW", "")),
    Odd("block-reason-and-picture", js({**answer(blob()), "promptFeedback": {"blockReason": "OTHER"}})),
    # bodies
    Odd("bom", Wire(b"\xef\xbb\xbf" + GOOD)),
    Odd("utf-16", typed("application/json; charset=utf-16", GOOD.decode().encode("utf-16"))),
    Odd("array-of-one", Wire(b"[" + GOOD + b"]")),
    Odd("ndjson", Wire(b"\n".join(json.dumps(one).encode() for one in SSE_PARTS)), said="one"),
    Odd("sse", typed("text/event-stream", b"".join(b"data: %s\r\n\r\n" % json.dumps(one).encode() for one in SSE_PARTS)
        + b"data: [DONE]\r\n\r\n"), said="one"),
    Odd("trailing-bytes", Wire(GOOD + b"\n\n-- \nproxy 1.0")),
    Odd("two-answers", Wire(GOOD + GOOD)),
    Odd("guard", Wire(b")]}'\n" + GOOD)),
    Odd("json-in-a-text", js(GOOD.decode())),
    Odd("cut-after-the-picture", Wire(GOOD[: GOOD.index(b'"finishReason"')])),
    Odd("broken-json", Wire(GOOD.replace(b'"role"', b'role'))),
    Odd("html-type", typed("text/html; charset=utf-8", GOOD)),
    Odd("no-type", Wire(GOOD, headers={})),
    Odd("unknown-charset", typed("application/json; charset=x-none", GOOD)),
    Odd("raw-picture", typed("image/png", PNG)),
    Odd("status-201", js(answer(blob()), status=201)),
    Odd("status-500-with-picture", js(answer(blob()), status=500)),
    # transport
    Odd("gzip", zipped(Wire(GOOD))),
    Odd("gzip-untold", Wire(zipped(Wire(GOOD)).body)),
    Odd("gzip-told-but-plain", Wire(GOOD, headers={"Content-Encoding": "gzip"})),
    Odd("gzip-cut-at-its-sum", replace(zipped(Wire(GOOD)), body=zipped(Wire(GOOD)).body[:-6])),
    Odd("chunked", Wire(GOOD, framing="chunked")),
    Odd("no-length", Wire(GOOD, framing="close")),
    Odd("closed-early-after-the-json", Wire(GOOD, beyond=10)),
    Odd("chunked-without-end", Wire(GOOD, framing="chunked", beyond=1)),
    # parts of pictures: evidence
    Odd("half-png-max-tokens", js(answer(blob(HALF), finish="MAX_TOKENS")), **_kept()),
    Odd("cut-in-the-base64", Wire(GOOD[: GOOD.index(b'"data"') + 100]), **_kept()),
    Odd("closed-in-the-base64", Wire(GOOD[: GOOD.index(b'"data"') + 100], beyond=500), **_kept()),
    Odd("flipped-bit", js(answer(blob(PNG[:60] + bytes([PNG[60] ^ 1]) + PNG[61:]))), **_kept()),
    Odd("half-jpeg", js(answer(blob(a_picture("JPEG")[:300], "image/jpeg"))), **_kept()),
    Odd("half-avif", js(answer(blob(a_picture("AVIF")[:-40], "image/avif"))), **_kept()),
    Odd("half-heic", js(answer(blob(a_heic()[:-40], "image/heic"))), **_kept()),
    Odd("no-picture-bytes", js(answer(blob(b"certainly no picture, but bytes of something"))), **_kept()),
    Odd("by-address", js(answer({"fileData": {"mimeType": "image/png", "fileUri": "https://h/f/1"}})), **_kept()),
    # nothing of a picture: asked again, once
    Odd("text-only", js(TEXT_ONLY), **_again(usd="0.003005")),
    Odd("null", Wire(b"null"), **_again()),
    Odd("empty", Wire(b""), **_again()),
    Odd("empty-object", Wire(b"{}"), **_again()),
    Odd("no-candidates", js({"candidates": []}), **_again()),
    Odd("empty-data", js({**answer(coded("")), "usageMetadata": {}}), **_again()),
    Odd("tokens-but-no-picture", js(answer({"text": "Here is your picture:"})), **_again(charged=True)),
    Odd("not-json", typed("text/plain", b"upstream connect error"), **_again("Unknown", charged=True)),
    Odd("binary", Wire(bytes(range(256)) * 4), **_again("Unknown", charged=True)),
    Odd("cut-before-the-picture", Wire(GOOD[:40]), **_again("Unknown", charged=True)),
    Odd("error-500", js(error(500, "INTERNAL")), **_again("Unknown", charged=True)),
    # refusals
    Odd("blocked", js({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}), BLOCKED, kind="PromptBlocked"),
    Odd("image-safety", js({**answer(finish="IMAGE_SAFETY"), "usageMetadata": {"promptTokenCount": 9}}), BLOCKED,
        kind="ImageBlocked"),
    Odd("image-safety-once-made", js(answer(finish="IMAGE_SAFETY")), BLOCKED, kind="ImageBlocked", charged=True),
)  # fmt: skip
# Errors in a 200, each in a batch of its own: they make the model wait, or halt the batch.
PASSING: dict[str, Wire] = {
    "unavailable": js(error(503, "UNAVAILABLE", "The model is overloaded.")),
    "unavailable-in-an-array": js([error(503, "UNAVAILABLE", "The model is overloaded.")]),
    "exhausted": js(error(429, "RESOURCE_EXHAUSTED", "m", details=[{"retryDelay": "0.1s"}])),
    "exhausted-by-name": js({"error": {"status": "RESOURCE_EXHAUSTED", "message": "Please retry in 100ms."}}),
}
PAGES: dict[str, Wire] = {
    "sign-in": typed("text/html", b"<!DOCTYPE html>\n<html><head><title>Sign in &amp; go</title></head></html>"),
    "page-as-json": Wire(b"\n  <html lang=en><body><img src='data:image/png;base64," + b64(PNG).encode() + b"'>"),
}
