"""The routes: Google's for every API version alike, and the service's own.

The service's own are under /rehearsal, and Google's are there again. Any API key or bearer token may call, except those
that play a bad one.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers, QueryParams
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from callsheet.rehearsal import (
    admin_routes,
    bucket_delivery,
    content_routes,
    errors,
    free_routes,
    interaction_asks,
    interaction_routes,
    model_rules,
    requests,
    video_routes,
)
from callsheet.rehearsal.config import RehearsalConfig
from callsheet.rehearsal.connections import Connections
from callsheet.rehearsal.content_routes import answer_question
from callsheet.rehearsal.errors import RefusedError
from callsheet.rehearsal.free_routes import count_tokens, describe_model, list_models
from callsheet.rehearsal.service import Service, answer_refusal
from callsheet.rehearsal_proof import CHALLENGE, PROOF, ROOT, proof_of
from callsheet.web_guard import OwnPagesOnly

_POLL = "fetchPredictOperation"
VERSIONS = ("v1", "v1beta", "v1beta1", "v1alpha")
# Inline limit since 2026-01-08: ai.google.dev/gemini-api/docs/changelog.
MAX_BODY = 100 * 1024 * 1024
# A resource path: on the Agent Platform with publisher, on the Gemini API without.
_MODEL = re.compile(
    r"(?P<resource>(?P<platform>(?:projects/[^/]+/locations/(?P<location>[^/]+)/)?publishers/google/)?models/(?P<model>[\w.-]{1,100}))"
    r"(?P<rest>:\w+|/operations/[\w-]{1,100})?"
)
_INTERACTION = re.compile(
    r"(?:projects/[^/]+/locations/(?P<location>[^/]+)/)?interactions(?:/(?P<id>[\w.=:@-]{1,200})(?P<cancel>/cancel)?)?"
)
_FILE = re.compile(r"files/(?P<id>[^/:]{1,100})(?P<download>:download)?")


class RehearsalApp(Starlette):
    """The application, whose every reply proves where it came from.

    Web pages get none of the proof.
    """

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._guarded = OwnPagesOnly(super().__call__)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the proof of the request's challenge, whatever the answer is."""
        proof = proof_of(Headers(scope=scope).get(CHALLENGE, "")) if scope["type"] == "http" else ""

        async def prove(message: Message) -> None:
            if proof and message["type"] == "http.response.start":
                headers = [*message.get("headers", []), (PROOF.lower().encode(), proof.encode())]
                message = {**message, "headers": headers}
            await send(message)

        await self._guarded(scope, receive, prove)


def create_app(config: RehearsalConfig, connections: Connections | None = None) -> Starlette:
    """Create the application with its state in `config.state_dir`.

    No other process may use that directory meanwhile.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        service = Service(config, connections or Connections())
        app.state.service = service
        bucket_delivery.resume(service)
        yield
        await service.close()

    google = [
        Route(f"{root}/{{version}}/{{path:path}}", _serve_google, methods=["GET", "POST"]) for root in (f"/{ROOT}", "")
    ]
    routes = [*admin_routes.ROUTES, *google]
    handlers = {RefusedError: _refuse, ClientDisconnect: _answer_nobody}
    return RehearsalApp(routes=routes, lifespan=lifespan, exception_handlers=handlers)


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)  # noqa: S101 - registered for this class only
    return answer_refusal(error)


async def _answer_nobody(request: Request, error: Exception) -> Response:
    """Return an empty answer: nobody is there to read one."""
    return Response(status_code=499)


async def _serve_google(request: Request) -> Response:
    """Serve all of Google's routes at one entry.

    Their custom verbs (`models/m:predict`) do not fit route patterns.
    """
    version, path = request.path_params["version"], request.path_params["path"]
    service: Service = request.app.state.service
    if version not in VERSIONS:
        raise errors.not_found()
    model, file = _MODEL.fullmatch(path), _FILE.fullmatch(path)
    is_platform = bool(model and model["platform"]) or path.startswith("projects/")
    check_caller(request.headers, request.query_params, agent_platform=is_platform)
    if (interaction := _INTERACTION.fullmatch(path)) is not None:
        return await _serve_interaction(service, request, version, interaction)
    if file and request.method == "GET":
        _note(service, "files.download" if file["download"] else "files.get")
        if file["download"]:
            return await free_routes.download(service, file["id"], request)
        return await free_routes.resource(service, file["id"])
    if path == "models" and request.method == "GET":
        _note(service, "models.list")
        return JSONResponse(list_models(service.catalogue))
    if model is None:
        raise errors.not_found()
    return await _find_model(service, request, version, model)


async def _serve_interaction(service: Service, request: Request, version: str, match: re.Match[str]) -> Response:
    verb = "cancel" if match["cancel"] else "get" if match["id"] else "create"
    if (request.method == "GET") != (verb == "get"):
        raise errors.not_found()
    _note(service, f"interactions.{verb}")
    if verb == "get":
        return await interaction_routes.get(service, match["id"])
    if verb == "cancel":
        return await interaction_routes.cancel(service, match["id"])
    surface = interaction_routes.choose_surface(version, match[0])
    body = requests.parse_json(await _read_body(request))
    ask = interaction_asks.interaction_ask(surface, body)
    if not model_rules.is_served_in(service.catalogue, ask.video.model, match["location"]):
        raise errors.no_model(ask.video.model, version, "interactions")
    return await interaction_routes.create(service, ask)


async def _find_model(service: Service, request: Request, version: str, match: re.Match[str]) -> Response:
    rest = match["rest"] or ""
    verb = "operations.get" if rest.startswith("/operations/") else rest.removeprefix(":") or "models.get"
    _note(service, verb)
    if request.method == "GET":
        if verb == "operations.get":
            return await video_routes.poll(service, match["resource"] + rest)
        return JSONResponse(describe_model(service.catalogue, match["model"], version))
    data = requests.parse_json(await _read_body(request))
    surface: requests.Surface = "agent_platform" if match["platform"] else "gemini_api"
    missing = _build_missing(match, version, verb)
    if not model_rules.is_served_in(service.catalogue, match["model"], match["location"]) and verb != _POLL:
        raise missing
    if verb in ("generateContent", "streamGenerateContent"):
        ask = requests.image_ask(match["model"], surface, data)
        known = service.catalogue.find(ask.model)
        is_question = known is not None and known.kind == "look"
        answer = answer_question if is_question else content_routes.answer_with_picture
        reply = await answer(service, ask, missing)
        return _wrap_as_event(reply) if verb == "streamGenerateContent" else reply
    if verb == "countTokens":
        return JSONResponse(count_tokens(requests.image_ask(match["model"], surface, data)))
    if verb == "predictLongRunning":
        return await video_routes.submit(
            service, requests.video_ask(match["model"], surface, data), match["resource"], missing
        )
    if verb == _POLL:
        return await video_routes.poll(service, str(data.get("operationName") or data.get("operation_name") or ""))
    raise missing


def _build_missing(match: re.Match[str], version: str, verb: str) -> RefusedError:
    if match["platform"]:
        return errors.no_publisher_model(match["resource"])
    return errors.no_model(match["model"], version, verb)


def _note(service: Service, verb: str) -> None:
    """Count a request by its method, in this process; acceptance is counted on disk."""
    service.requests[verb] = service.requests.get(verb, 0) + 1


async def _read_body(request: Request) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY:
            raise errors.too_large(MAX_BODY)
        chunks.append(chunk)
    return b"".join(chunks)


def _wrap_as_event(reply: Response) -> Response:
    """Return the whole reply as the one event of a stream."""
    if type(reply) not in (Response, JSONResponse):
        return reply
    return Response(b"data: " + bytes(reply.body) + b"\r\n\r\n", media_type="text/event-stream")


def check_caller(headers: Headers, query: QueryParams, *, agent_platform: bool) -> None:
    """Raise the refusal the live service would give.

    A key or token that contains "invalid" is a wrong one.
    """
    key = headers.get("x-goog-api-key") or query.get("key") or ""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    if key:
        if "invalid" in key.lower():
            raise errors.bad_key()
        return
    if not bearer:
        raise errors.no_token() if agent_platform else errors.no_key()
    if "invalid" in bearer.lower():
        raise errors.bad_token()
