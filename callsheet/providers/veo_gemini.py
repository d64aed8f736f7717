"""Veo on the Gemini API over plain HTTPS.

google-genai 3 dropped it there, gateways and the REST routes have it. Routes and JSON as captured with google-genai
2.34.0 on 2026-11-21. Keys only; no seed, labels or output bucket.
"""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import httpx2

from callsheet.providers.fetch import VideoFetch
from callsheet.providers.http_errors import Phase
from callsheet.providers.https_download import HttpsDownload
from callsheet.providers.https_exchange import exchange
from callsheet.providers.operations import name_path
from callsheet.providers.output_bucket import BucketReader
from callsheet.providers.plain_client import ApiKey, Secrets, plain_client
from callsheet.providers.protocol import InputImage, InputVideo, VideoReady, VideoRequest, not_carried
from callsheet.providers.rehearsal_gate import RehearsalGate
from callsheet.providers.reply_spool import Keeper
from callsheet.providers.sent_tracking import guarded, httpx2_watch
from callsheet.providers.video_replies import MAX_POLL_BYTES, polled_video, submitted_name

API_VERSION = "v1beta"


class VeoGemini:
    """A VideoProvider with an API key at `base_url`. Close it with `aclose`.

    `base_url` ends with a slash. With the `gate` of a rehearsal all requests go through it, labels are sent (the Gemini
    API refuses them), and nothing is fetched from other hosts than the base URL's.
    """

    def __init__(
        self,
        base_url: str,
        key: ApiKey,
        *,
        timeout_s: float,
        bucket: BucketReader,
        gate: RehearsalGate | None = None,
    ) -> None:
        self._root = f"{base_url}{API_VERSION}"
        self._headers = {"x-goog-api-key": key.value}
        self._secrets = Secrets((key.value,), key.variable)
        self._timeout_s = timeout_s
        self._labels = gate is not None
        # Submissions never reuse a connection: one that the server closed while idle would make them `Unknown`.
        self._fresh = plain_client(base_url, timeout_s, gate, fresh=True)
        self._kept = plain_client(base_url, timeout_s, gate)
        download = HttpsDownload(self._kept, base_url, self._headers, self._secrets, foreign=gate is None)
        self._files = VideoFetch(download, bucket)

    max_source_bytes, reads_buckets = 0, False

    async def submit(self, request: VideoRequest, keeper: Keeper | None = None) -> str:
        """Send the request once and return the operation's name.

        The reply is durable before it is read.
        """
        what = f"a video by {request.model}"

        async def send() -> str:
            url = f"{self._root}/models/{_check_model(request.model)}:predictLongRunning"
            post = self._build_request(self._fresh, "POST", url, body=self._build_payload(request))
            reply = await exchange(self._fresh, post, wait_s=self._timeout_s, keeper=keeper)
            return await asyncio.to_thread(submitted_name, reply, what)

        return await guarded(send, Phase.SUBMIT, what, self._secrets)

    async def poll(self, operation: str) -> VideoReady | None:
        """Return the video when done, None while it runs."""
        if operation.startswith("gs://"):
            return await self._files.ready(operation)
        what = f"operation {operation[:200]}"

        async def fetch() -> VideoReady | None:
            url = f"{self._root}/{name_path(operation)}"
            get = self._build_request(self._kept, "GET", url)
            reply = await exchange(self._kept, get, wait_s=self._timeout_s, limit=MAX_POLL_BYTES)
            return await asyncio.to_thread(polled_video, reply, what)

        return await guarded(fetch, Phase.POLL, what, self._secrets)

    async def download(self, video: VideoReady, target: Path) -> None:
        """Stream the video to `target`, from the reply or from the provider's files."""
        await self._files.fetch(video, target)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._fresh.aclose()
        await self._kept.aclose()

    def _build_payload(self, request: VideoRequest) -> dict[str, object]:
        return payload(request) | ({"labels": dict(request.labels)} if self._labels else {})

    def _build_request(
        self, client: httpx2.AsyncClient, method: str, url: str, *, body: object = None
    ) -> httpx2.Request:
        headers = {**self._headers, "Accept-Encoding": "gzip, deflate"}  # what reply_body uncompresses
        extensions: dict[str, Any] = {"trace": httpx2_watch}
        return client.build_request(method, url, json=body, headers=headers, extensions=extensions)


def payload(request: VideoRequest) -> dict[str, object]:
    """Return the request's JSON: only what is given.

    Raises Rejected for what the Gemini API does not take (seed, storageUri).
    """
    for field, value in (("seed", request.seed), ("output_uri", request.output_uri), ("audio", request.audio)):
        if value is not None:
            raise not_carried(field, value, "the Gemini API takes it for no video; Agent Platform does")
    instance: dict[str, object] = {"prompt": request.prompt}
    if (source := extended_video(request)) is not None:
        if source.uri is None:
            raise not_carried("source_video", "of bytes", "the Gemini API extends only a video that it made and has")
        instance["video"] = {"uri": source.uri}
    if request.first_frame:
        instance["image"] = _encode_image(request.first_frame)
    if request.last_frame:
        instance["lastFrame"] = _encode_image(request.last_frame)
    if kept_to := typed_references(request):
        instance["referenceImages"] = [{"image": _encode_image(one), "referenceType": kind} for kind, one in kept_to]
    parameters = {
        "sampleCount": 1,
        "durationSeconds": request.duration_s,
        "aspectRatio": request.aspect_ratio,
        "resolution": request.resolution,
        "personGeneration": request.person_generation,
        "negativePrompt": request.negative_prompt,
        "enhancePrompt": request.enhance_prompt,
    }
    return {"instances": [instance], "parameters": {name: v for name, v in parameters.items() if v is not None}}


def typed_references(request: VideoRequest) -> list[tuple[str, InputImage]]:
    """Return the pictures that a video keeps to, each with Veo's word for how."""
    assets = [("ASSET", image) for image in request.references]
    return assets + [("STYLE", image) for image in request.style_references]


def extended_video(request: VideoRequest) -> InputVideo | None:
    """Return the video that Veo makes longer, None for one that is made anew.

    Raises Rejected for what Veo does not do with a video: changing it, or making it longer by a frame.
    """
    source, frames = request.source_video, bool(request.first_frame or request.last_frame or typed_references(request))
    if source is not None and not request.extend:
        raise not_carried("source_video", source.uri or source.mime_type, "Veo makes videos longer, and edits none")
    if request.extend and (source is None or frames):
        raise not_carried("extend", True, "Veo makes a video longer by its prompt alone")
    return source


def _encode_image(image: InputImage) -> dict[str, str]:
    return {"bytesBase64Encoded": base64.b64encode(image.data).decode(), "mimeType": image.mime_type}


def _check_model(model: str) -> str:
    if not model.replace("-", "").replace(".", "").replace("_", "").isalnum():
        raise ValueError(f"not a model id: {model[:80]!r}")
    return model
