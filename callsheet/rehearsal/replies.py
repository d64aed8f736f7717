"""Replies as JSON, in the live services' shapes.

Pictures, text, blocked prompts and operations.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence

from callsheet.rehearsal.errors import JsonObject
from callsheet.rehearsal.requests import Surface

# The SDK takes the id from this URI and downloads it from its own base URL; other forms break it (google-genai 3.4.0).
FILES = "https://generativelanguage.googleapis.com/v1beta/files/"
# Tokens of thought behind each picture: image models think by default (2026-11); the number is ours.
THOUGHTS = 180
GEMINI_VIDEO = "type.googleapis.com/google.ai.generativelanguage.v1beta.PredictLongRunningResponse"
PLATFORM_VIDEO = "type.googleapis.com/cloud.ai.large_models.vision.GenerateVideoResponse"


def prompt_tokens(prompt: str, pictures: int) -> int:
    """Return a plausible count: four characters a token, 258 a picture."""
    return max(1, len(prompt) // 4) + 258 * pictures


def thoughts_at(level: str | None) -> int:
    """Return the tokens of thought at a level of thinking."""
    return {"minimal": THOUGHTS // 4, "high": 4 * THOUGHTS}.get(level or "", THOUGHTS)


def picture_usage(prompt: str, pictures: int, tokens: int, thoughts: int = THOUGHTS) -> JsonObject:
    """Return the usage of a reply with one picture of `tokens`, with its thoughts."""
    usage = _build_usage(prompt, pictures, "IMAGE", tokens)
    total = prompt_tokens(prompt, pictures) + tokens + thoughts
    return usage | {"thoughtsTokenCount": thoughts, "totalTokenCount": total}


def picture(encoded: str, *, mime_type: str, model: str, response_id: str, usage: JsonObject) -> bytes:
    """Return a candidate with one picture, given in base64.

    Built by hand: it is not copied through an encoder.
    """
    head = '{"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"' + mime_type + '","data":"'
    tail = {"usageMetadata": usage, "modelVersion": model, "responseId": response_id}
    closing = '"}}],"role":"model"},"finishReason":"STOP","index":0}],' + json.dumps(tail)[1:]
    return b"".join((head.encode(), encoded.encode("ascii"), closing.encode()))


def answer(text: str, *, model: str, response_id: str, tokens: tuple[int, int]) -> JsonObject:
    """Return a reply of text; `tokens` are those of the question and of the answer."""
    content: JsonObject = {"parts": [{"text": text}], "role": "model"}
    candidate: JsonObject = {"content": content, "finishReason": "STOP", "index": 0}
    usage: JsonObject = {
        "promptTokenCount": tokens[0],
        "candidatesTokenCount": tokens[1],
        "totalTokenCount": sum(tokens),
    }
    return _build_reply([candidate], usage, model, response_id)


def text_only(text: str, *, model: str, response_id: str, prompt: str) -> JsonObject:
    """Return a reply of words without a picture; it is billed for its text."""
    content: JsonObject = {"parts": [{"text": text}], "role": "model"}
    candidate: JsonObject = {"content": content, "finishReason": "STOP", "index": 0}
    return _build_reply([candidate], _build_usage(prompt, 0, "TEXT", len(text) // 4), model, response_id)


def end_candidate(reason: str, *, model: str, response_id: str, prompt: str) -> JsonObject:
    """Return a candidate without content whose finishReason says why."""
    message = "Unable to show the generated image. It may violate the provider's policies. Try rephrasing the prompt."
    candidate: JsonObject = {"finishReason": reason, "index": 0, "finishMessage": message, "content": {}}
    if reason == "STOP":
        candidate.pop("finishMessage")
    return _build_reply([candidate], _build_usage(prompt, 0, "TEXT", 0), model, response_id)


def blocked(reason: str, *, model: str, response_id: str, prompt: str) -> JsonObject:
    """Return the refusal of a prompt before generation: no candidates at all."""
    reply = _build_reply(None, _build_usage(prompt, 0, "TEXT", 0), model, response_id)
    return {"promptFeedback": {"blockReason": reason}, **reply}


def empty(*, model: str, response_id: str, prompt: str) -> JsonObject:
    """Return a reply with neither candidates nor feedback."""
    return _build_reply(None, _build_usage(prompt, 0, "TEXT", 0), model, response_id)


def pending(name: str) -> JsonObject:
    """Return an operation that runs: `done` is absent."""
    return {"name": name}


def failed(name: str, code: int, message: str) -> JsonObject:
    """Return an operation that ended with an error; `code` is a google.rpc code."""
    return {"name": name, "done": True, "error": {"code": code, "message": message}}


def filtered(name: str, surface: Surface, reason: str) -> JsonObject:
    """Return an operation whose video Veo's filter removed."""
    return _build_done(name, surface, {"raiMediaFilteredCount": 1, "raiMediaFilteredReasons": [reason]})


def nothing(name: str) -> JsonObject:
    """Return an operation that is done with neither video nor reason."""
    return {"name": name, "done": True, "response": {}}


def by_uri(name: str, ids: Sequence[str]) -> JsonObject:
    """Return a Gemini API operation with videos to download."""
    return _build_done(name, "gemini_api", {"generatedSamples": [{"video": {"uri": file_uri(each)}} for each in ids]})


def inline(name: str, clips: Sequence[bytes]) -> JsonObject:
    """Return an Agent Platform operation with its videos inside."""
    videos = [{"bytesBase64Encoded": base64.b64encode(clip).decode(), "mimeType": "video/mp4"} for clip in clips]
    return _build_done(name, "agent_platform", {"videos": videos})


def in_bucket(name: str, uris: Sequence[str]) -> JsonObject:
    """Return an operation whose videos were written to the request's storageUri.

    Of the Agent Platform.
    """
    return _build_done(name, "agent_platform", {"videos": [{"gcsUri": uri, "mimeType": "video/mp4"} for uri in uris]})


def file_uri(file_id: str) -> str:
    """Return the address that a Gemini API video has in a reply."""
    return f"{FILES}{file_id}:download?alt=media"


def file_resource(file_id: str, data: bytes, created: str, expires: str) -> JsonObject:
    """Return the Files API resource of a video.

    `sha256Hash` is base64 of the hex digest, as that API has it.
    """
    return {
        "name": f"files/{file_id}",
        "mimeType": "video/mp4",
        "sizeBytes": str(len(data)),
        "createTime": created,
        "updateTime": created,
        "expirationTime": expires,
        "sha256Hash": base64.b64encode(hashlib.sha256(data).hexdigest().encode()).decode(),
        "uri": FILES + file_id,
        "downloadUri": file_uri(file_id),
        "state": "ACTIVE",
        "source": "GENERATED",
    }


def _build_done(name: str, surface: Surface, result: JsonObject) -> JsonObject:
    if surface == "agent_platform":
        return {"name": name, "done": True, "response": {"@type": PLATFORM_VIDEO, **result}}
    return {"name": name, "done": True, "response": {"@type": GEMINI_VIDEO, "generateVideoResponse": result}}


def _build_reply(candidates: list[JsonObject] | None, usage: JsonObject, model: str, response_id: str) -> JsonObject:
    head: JsonObject = {} if candidates is None else {"candidates": candidates}
    return {**head, "usageMetadata": usage, "modelVersion": model, "responseId": response_id}


def _build_usage(prompt: str, pictures: int, modality: str, tokens: int) -> JsonObject:
    words, seen = prompt_tokens(prompt, 0), 258 * pictures
    details: list[JsonObject] = [{"modality": "TEXT", "tokenCount": words}]
    if pictures:
        details.append({"modality": "IMAGE", "tokenCount": seen})
    usage: JsonObject = {
        "promptTokenCount": words + seen,
        "totalTokenCount": words + seen + tokens,
        "promptTokensDetails": details,
    }
    if tokens:
        usage["candidatesTokenCount"] = tokens
        usage["candidatesTokensDetails"] = [{"modality": modality, "tokenCount": tokens}]
    return usage
