"""The rehearsal service with a gateway's habits at videos: odd names of operations, odd ends of them, odd downloads.

What they mean is in tests/support/odd_videos.py, case by case; here they meet kills. Trouble that passes comes once
for an operation or a file, so that a video which was paid for can always be had in the end.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from callsheet.rehearsal import app, free_routes, video_routes
from callsheet.rehearsal.clip_files import clip, file_ids
from callsheet.rehearsal.connections import Connections
from callsheet.rehearsal.replies import FILES
from callsheet.rehearsal.requests import VideoAsk
from callsheet.rehearsal.service import Service
from tests.support.odd_videos import DOWN, PAGE

OPAQUE = re.compile(r"(?:publishers/google/)?task_([\w-]+=*)")
DENIED = {"error": {"code": 403, "message": "You do not have permission, or it may not exist.", "status": "DENIED"}}
MISSING = {"error": {"code": 404, "message": "Not found.", "status": "NOT_FOUND"}}
DRIPPED, DRIP_S = 40, 0.02

Document = dict[str, Any]


def real_name(name: str | None) -> str | None:
    """The service's own name of an operation, from any that it was told under."""
    if found := OPAQUE.fullmatch(name or ""):
        return base64.urlsafe_b64decode(found[1]).decode()
    return name and re.sub(r"^v1beta\d?/", "", name)


def _opaque(name: str) -> str:
    # Padding as in names that were seen: it ends in "==", or in "=".
    return "task_" + base64.urlsafe_b64encode(name.encode()).decode()


NAMES: tuple[Callable[[str], Any], ...] = (
    lambda name: {"name": name},
    lambda name: {"name": _opaque(name)},
    lambda name: {"name": f"v1beta/{name}"},
    lambda name: {"name": f"https://generativelanguage.googleapis.com/v1beta/{name}"},
    lambda name: {"operation": {"name": name}},
    lambda name: {"response": {"name": name}, "error": {}},
    lambda name: [{"name": name}],
    lambda name: {"operationName": name},
    lambda name: {"code": 0, "data": {"task_id": _opaque(name)}},
    lambda name: b"\xef\xbb\xbf" + json.dumps({"name": name}).encode(),
    lambda name: f"data: {json.dumps({'name': name})}\n\ndata: [DONE]\n".encode(),
)


def _videos(*videos: Any) -> Document:
    return {"done": True, "response": {"videos": list(videos)}}


# Of an operation that is done: from its name, its file's id and its bytes in base64.
ENDS: tuple[Callable[[str, str, str], Any], ...] = (
    lambda name, file, data: _videos({"bytesBase64Encoded": data, "mimeType": "video/mp4"}),
    lambda name, file, data: _videos({"uri": f"files/{file}"}),
    lambda name, file, data: _videos({"videoBytes": f"data:video/mp4;base64,{data}"}),
    lambda name, file, data: {**_videos({"uri": f"{FILES}{file}:download"}), "done": "true"},
    lambda name, file, data: _videos(f"{FILES}{file}"),
    lambda name, file, data: _videos({"uri": f"data:video/mp4;base64,{data}"}),
    lambda name, file, data: [{"name": name, **_videos({"gcsUri": f"{FILES}{file}:download?alt=media"})}],
    lambda name, file, data: _videos({"inlineData": {"data": data, "mimeType": "video/mp4"}}),
    lambda name, file, data: {"name": name, "response": {"videos": [{"uri": f"{FILES}{file}"}]}},
    lambda name, file, data: {"id": name, "status": "completed", "output": {"video_url": f"{FILES}{file}"}},
    lambda name, file, data: {"generate_video_response": {"generated_samples": [{"video": {"uri": f"files/{file}"}}]}},
    lambda name, file, data: _videos({"bytesBase64Encoded": "\n".join((data[:76], data[76:])), "uri": f"files/{file}"}),
)
# What a look meets once before an end, and a download before its file: None for nothing.
AT_LOOKS: tuple[Response | None, ...] = (
    None,
    JSONResponse(DOWN),
    Response(PAGE, media_type="text/html"),
    None,
    Response(b'{"name": "cut o'),
    JSONResponse(DENIED, 403),
)
AT_DOWNLOADS: tuple[Response | None, ...] = (
    JSONResponse(DENIED, 403),
    None,
    JSONResponse(DOWN),
    Response(PAGE, media_type="text/html"),
    None,
    JSONResponse(MISSING, 404),
)


def _next(service: Service, ways: tuple[Any, ...], what: str) -> Any:
    """The next way, counted beyond the process."""
    return ways[(service.state.increment(f"bent/{what}") - 1) % len(ways)]


async def _submit(real: Callable[..., Awaitable[Response]], service: Service, ask: VideoAsk, *given: Any) -> Response:
    # A gateway has every model on every route.
    reply = await real(service, replace(ask, surface="agent_platform"), *given)
    if type(reply) is not JSONResponse or reply.status_code != 200:
        return reply
    told = _next(service, NAMES, "names")(json.loads(bytes(reply.body))["name"])
    return Response(told) if isinstance(told, bytes) else JSONResponse(told, 202 if isinstance(told, list) else 200)


async def _poll(real: Callable[..., Awaitable[Response]], service: Service, told: str) -> Response:
    name = real_name(told) or told
    reply = await real(service, name)
    operation = service.state.operation(name)
    if type(reply) is not JSONResponse or b'"done"' not in bytes(reply.body) or operation is None:
        return reply
    if operation.outcome != "made" or operation.storage_uri:
        return reply
    if service.state.increment(f"bent/looks/{name}") == 1 and (trouble := _next(service, AT_LOOKS, "trouble")):
        return trouble
    (file,) = file_ids(operation)
    data = base64.b64encode(await clip(service, operation, file)).decode()
    return JSONResponse(_next(service, ENDS, "ends")(told, file, data))


async def _download(real: Callable[..., Awaitable[Response]], service: Service, file: str, request: Any) -> Response:
    reply = await real(service, file, request)
    if type(reply) is not Response or reply.status_code not in (200, 206):
        return reply
    count = service.state.increment(f"bent/downloads/{file}")
    if count == 1 and (trouble := _next(service, AT_DOWNLOADS, "at downloads")):
        return trouble
    if count == 2:
        return _Dripping(reply, service.connections)
    if count == 3 and reply.status_code == 200:
        headers = {"Content-Range": f"bytes 0-{len(reply.body) - 1}/{len(reply.body)}"}
        return Response(reply.body, 206, headers, "application/octet-stream")
    return reply


class _Dripping(Response):
    """The first bytes of a file one by one, and then a closed connection."""

    def __init__(self, whole: Response, connections: Connections) -> None:
        self._whole, self._connections = whole, connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": self._whole.status_code, "headers": self._whole.raw_headers}
        await send(start)
        for at in range(DRIPPED):
            await send({"type": "http.response.body", "body": bytes(self._whole.body)[at : at + 1], "more_body": True})
            await asyncio.sleep(DRIP_S)
        self._connections.close(scope["client"])


class _Paths:
    """Google's resource paths, and the names of a gateway's own."""

    def __init__(self, known: re.Pattern[str]) -> None:
        self._known = known

    def fullmatch(self, path: str) -> re.Match[str] | None:
        return self._known.fullmatch(real_name(path) or path)


def bend_videos() -> None:
    """Bend what this process answers about videos."""
    video_routes.submit = _around(video_routes.submit, _submit)
    video_routes.poll = _around(video_routes.poll, _poll)
    free_routes.download = _around(free_routes.download, _download)
    app._MODEL = _Paths(app._MODEL)  # type: ignore[assignment]


def _around(real: Callable[..., Awaitable[Response]], bent: Callable[..., Awaitable[Response]]) -> Any:
    async def both(*given: Any) -> Response:
        return await bent(real, *given)

    return both
