"""Veo on the Gemini API over plain HTTPS: google-genai 3 dropped it there, gateways and the REST routes have it.

Routes and JSON as captured with google-genai 2.34.0 on 2026-11-21. Keys only; no seed, labels or output bucket.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2

from callsheet.errors import DownloadFailed, Unknown
from callsheet.providers.carrying import not_carried
from callsheet.providers.http_errors import Phase, from_reply
from callsheet.providers.https_download import HttpsDownload
from callsheet.providers.operations import checked_name, video_result
from callsheet.providers.protocol import InputImage, VideoReady, VideoRequest
from callsheet.providers.rehearsal_gate import RehearsalGate
from callsheet.providers.routes import is_loopback
from callsheet.providers.sdk_clients import KEEPALIVE_S, tls_context
from callsheet.providers.secrets import Secrets
from callsheet.providers.video_files import write_video
from callsheet.providers.wire import guarded, httpx2_watch

API_VERSION = "v1beta"


class VeoGemini:
    """A VideoProvider with an API key at `base_url` (which ends with a slash). Close it with `aclose`.

    `labels` are sent in rehearsals only: the Gemini API refuses them for videos. The requests of a rehearsal go
    through its `gate`.
    """

    def __init__(
        self, base_url: str, key: str, *, timeout_s: float, labels: bool = False, gate: RehearsalGate | None = None
    ) -> None:
        self._root = f"{base_url}{API_VERSION}"
        self._headers = {"x-goog-api-key": key}
        self._secrets = Secrets((key,))
        self._timeout_s = timeout_s
        self._labels = labels
        # Submissions never reuse a connection: one that the server closed while idle would make them `Unknown`.
        self._fresh = _client(base_url, timeout_s, httpx2.Limits(max_keepalive_connections=0), gate)
        self._kept = _client(base_url, timeout_s, httpx2.Limits(keepalive_expiry=KEEPALIVE_S), gate)
        self._files = HttpsDownload(self._kept, base_url, self._headers, self._secrets)

    async def submit(self, request: VideoRequest) -> str:
        """The operation's name. The request is sent once."""
        what = f"a video by {request.model}"

        async def send() -> object:
            url = f"{self._root}/models/{_model(request.model)}:predictLongRunning"
            return await self._exchange(self._fresh, "POST", url, Phase.SUBMIT, what, self._payload(request))

        body = await guarded(send, Phase.SUBMIT, what, self._secrets)
        name = body.get("name") if isinstance(body, Mapping) else None
        if not isinstance(name, str) or not name:
            raise Unknown(f"The submission of {what} was answered without an operation name; see `callsheet resolve`.")
        return name

    async def poll(self, operation: str) -> VideoReady | None:
        """The video when done, None while it runs."""
        what = f"operation {operation[:200]}"

        async def fetch() -> VideoReady | None:
            url = f"{self._root}/{checked_name(operation)}"
            return video_result(await self._exchange(self._kept, "GET", url, Phase.POLL, what, None), what)

        return await guarded(fetch, Phase.POLL, what, self._secrets)

    async def download(self, video: VideoReady, target: Path) -> None:
        """Stream the video to `target`, from the reply itself or from the provider's files."""
        if video.data is not None:
            await write_video(video.data, target)
        elif video.uri:
            await self._files.fetch(video.uri, target)
        else:
            raise DownloadFailed("The operation names no file to fetch the video from. Poll it again: that is free.")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._fresh.aclose()
        await self._kept.aclose()

    def _payload(self, request: VideoRequest) -> dict[str, object]:
        return payload(request) | ({"labels": dict(request.labels)} if self._labels else {})

    async def _exchange(
        self, client: httpx2.AsyncClient, method: str, url: str, phase: Phase, what: str, body: object
    ) -> object:
        extensions: dict[str, Any] = {"trace": httpx2_watch}
        async with asyncio.timeout(self._timeout_s):
            reply = await client.request(method, url, json=body, headers=self._headers, extensions=extensions)
        if reply.status_code != 200:
            raise from_reply(
                reply.status_code,
                reply.content,
                phase,
                what=what,
                retry_after=reply.headers.get("Retry-After"),
            )
        return json.loads(reply.content)


def payload(request: VideoRequest) -> dict[str, object]:
    """The request's JSON: only what is given. Rejected for what the Gemini API does not take (seed, storageUri)."""
    for field, value in (("seed", request.seed), ("output_uri", request.output_uri)):
        if value is not None:
            raise not_carried(field, value, "the Gemini API takes it for no video; Agent Platform does")
    instance: dict[str, object] = {"prompt": request.prompt}
    if request.first_frame:
        instance["image"] = _image(request.first_frame)
    if request.last_frame:
        instance["lastFrame"] = _image(request.last_frame)
    if request.references:
        instance["referenceImages"] = [{"image": _image(r), "referenceType": "ASSET"} for r in request.references]
    parameters = {
        "sampleCount": 1,
        "durationSeconds": request.duration_s,
        "aspectRatio": request.aspect_ratio,
        "resolution": request.resolution,
        "personGeneration": request.person_generation,
        "negativePrompt": request.negative_prompt,
    }
    return {"instances": [instance], "parameters": {name: v for name, v in parameters.items() if v is not None}}


def _image(image: InputImage) -> dict[str, str]:
    return {"bytesBase64Encoded": base64.b64encode(image.data).decode(), "mimeType": image.mime_type}


def _model(model: str) -> str:
    if not model.replace("-", "").replace(".", "").replace("_", "").isalnum():
        raise ValueError(f"not a model id: {model[:80]!r}")
    return model


def _client(base_url: str, timeout_s: float, limits: httpx2.Limits, gate: RehearsalGate | None) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        verify=tls_context(),
        timeout=timeout_s,
        limits=limits,
        follow_redirects=False,
        trust_env=not is_loopback(base_url),
        event_hooks=gate.httpx2_hooks if gate else None,
    )
