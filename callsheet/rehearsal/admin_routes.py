"""The service's own routes: status, counts, failure script, and leases.

A lease keeps the service running.
"""

from __future__ import annotations

import asyncio
import os
from importlib.metadata import version

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from callsheet.errors import SettingsError
from callsheet.rehearsal import errors, faults, requests
from callsheet.rehearsal.service import Service
from callsheet.rehearsal_proof import NAME

PAGE = 500


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


async def _show_status(request: Request) -> Response:
    service = _service(request)
    return JSONResponse(
        {
            "service": NAME,
            "version": version("callsheet"),
            "pid": os.getpid(),
            "factor": service.clock.factor,
            "origin": service.clock.origin.isoformat(),
            "now": service.clock.now().isoformat(),
            "leases": service.leases,
            "latency": service.config.latency.model_dump(),
            "settings": service.config.fingerprint(),
        }
    )


async def _show_counts(request: Request) -> Response:
    """Return what was ever accepted.

    `?full=1` lists all submissions, otherwise a page after number `?after=`.
    """
    service, query = _service(request), request.query_params
    now = service.now_s()
    after = int(query["after"]) if query.get("after", "").isdecimal() else 0
    limit = -1 if query.get("full") == "1" else PAGE
    return JSONResponse(
        {
            "accepted": service.state.accepted(),
            "requests": service.requests,
            "charged_usd": service.state.charged_usd(now),
            "by_prompt_sha": service.state.by_prompt(),
            "submissions": list(service.state.submissions(after, limit, now)),
        }
    )


async def _show_evidence(request: Request) -> Response:
    """Return what was accepted with exactly these labels: `{"labels": {...}}`.

    What was not by now never will be. Google has nothing like it. It is a POST because it closes the labels: a request
    that is still on its way, its sender long gone, would otherwise make the answer wrong a moment later.
    """
    service = _service(request)
    labels = requests.labels(requests.parse_json(await request.body()))
    if not labels:
        raise errors.invalid("`labels` has to name at least one label.")
    return JSONResponse({"submissions": service.state.close_labels(labels, service.now_s())})


async def _replace_script(request: Request) -> Response:
    """Replace the failure script by the one in the body (JSON)."""
    try:
        script = faults.parse_script(requests.parse_json(await request.body()), "of the request")
    except SettingsError as error:
        return JSONResponse({"error": str(error)}, 400)
    _service(request).replace_script(script)
    return JSONResponse({"rules": len(script.rules)})


class _Lease(Response):
    """A reply that does not end: the service runs while its connection is open."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the lease until the caller goes away or the service ends."""
        self._service.leases += 1
        try:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"\n", "more_body": True})
            gone = asyncio.create_task(_disconnect(receive))
            ending = asyncio.create_task(self._service.stopping.wait())
            await asyncio.wait((gone, ending), return_when=asyncio.FIRST_COMPLETED)
            gone.cancel()
            ending.cancel()
        finally:
            self._service.leases -= 1


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _lease(request: Request) -> Response:
    return _Lease(_service(request))


ROUTES = [
    Route("/rehearsal/status", _show_status),
    Route("/rehearsal/counts", _show_counts),
    Route("/rehearsal/evidence", _show_evidence, methods=["POST"]),
    Route("/rehearsal/script", _replace_script, methods=["POST"]),
    Route("/rehearsal/lease", _lease),
]
