"""Routes that cost nothing: files, models, and the size of a prompt.

The Files API of the Gemini API, as far as videos need it: the resource and the bytes.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from callsheet.models import Catalogue, Model
from callsheet.rehearsal import errors, replies
from callsheet.rehearsal.clip_files import clip, expired, file_ids, is_processed
from callsheet.rehearsal.connections import CutShort
from callsheet.rehearsal.content_routes import flipped
from callsheet.rehearsal.errors import JsonObject
from callsheet.rehearsal.requests import ImageAsk
from callsheet.rehearsal.service import Service
from callsheet.rehearsal.state import Operation

_FILE_ID = re.compile(r"[0-9a-f]{16}[0-9]")
_RANGE = re.compile(r"bytes=(\d{1,12})-(\d{0,12})")
_METHODS = {"generate_content": ["generateContent", "countTokens"], "predict_long_running": ["predictLongRunning"]}


async def resource(service: Service, file_id: str) -> Response:
    """Return `files/{id}` with size, hash and expiry."""
    operation = _find_owner(service, file_id)
    created, gone = operation.due, operation.due + service.config.retention_s
    if is_processed(service, operation):
        return JSONResponse({"name": f"files/{file_id}", "mimeType": "video/mp4", "state": "PROCESSING"})
    data = await clip(service, operation, file_id)
    return JSONResponse(replies.file_resource(file_id, data, _format_time(created), _format_time(gone)))


async def download(service: Service, file_id: str, request: Request) -> Response:
    """Return the bytes of a video, whole or the requested range."""
    operation = _find_owner(service, file_id)
    rule = service.fault("download", operation.model)
    for play in (service.before, service.after):
        if (dropped := await play(rule, "video", operation.model)) is not None:
            return dropped
    if is_processed(service, operation):
        raise errors.not_active(file_id)
    fault = rule.fault if rule is not None else ""
    if fault == "expired":
        raise errors.not_found()
    data = await clip(service, operation, file_id)
    if fault == "flip":
        data = flipped(data)
    if fault == "short":
        data = data[: len(data) // 2]
    reply = _reply_with_range(data, request.headers.get("range", ""))
    return CutShort(reply, service.connections) if fault == "truncate" else reply


def _find_owner(service: Service, file_id: str) -> Operation:
    """Return the operation whose file it is, when that is done and kept.

    An unfinished one has no file yet.
    """
    operation = service.state.operation_by_id(file_id[:-1]) if _FILE_ID.fullmatch(file_id) else None
    if operation is None or operation.outcome != "made" or file_id not in file_ids(operation):
        raise errors.not_found()
    if service.now_s() < operation.due:
        raise errors.not_found()
    if expired(service, operation):
        service.media.forget_clip(file_id)
        raise errors.not_found()
    return operation


def _reply_with_range(data: bytes, wanted: str) -> Response:
    headers = {"Accept-Ranges": "bytes"}
    match = _RANGE.fullmatch(wanted)
    if match is None:
        return Response(data, media_type="video/mp4", headers=headers)
    first = int(match[1])
    last = min(int(match[2] or len(data) - 1), len(data) - 1)
    if first > last:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{len(data)}"})
    headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
    return Response(data[first : last + 1], 206, media_type="video/mp4", headers=headers)


def _format_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def list_models(catalogue: Catalogue) -> JsonObject:
    """Return the models this service serves."""
    return {"models": [_build_resource(each) for each in catalogue.models() if each.surface in _METHODS]}


def describe_model(catalogue: Catalogue, model_id: str, version: str) -> JsonObject:
    """Return one model, or raise the 404 of the live service."""
    found = catalogue.find(model_id)
    if found is None or found.surface not in _METHODS:
        raise errors.no_model(model_id, version, "GetModel")
    return _build_resource(found)


def count_tokens(ask: ImageAsk) -> JsonObject:
    """Return a plausible count of the prompt's tokens."""
    count = replies.prompt_tokens(ask.prompt, len(ask.references))
    return {"totalTokens": count, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": count}]}


def _build_resource(each: Model) -> JsonObject:
    return {
        "name": f"models/{each.id}",
        "displayName": each.name,
        "inputTokenLimit": each.prompt_tokens or 0,
        "supportedGenerationMethods": _METHODS[each.surface],
    }
