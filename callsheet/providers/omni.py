"""Omni, through interactions over plain HTTPS, on both platforms.

Not through google-genai: its interactions send a failed POST again by default (3.6.1, measured 2026-11-30). Background
interactions, polled by their id; a video of more than 4 MB is a file, which may be there later than its interaction.

The JSON has the shapes captured with google-genai 3.6.1 on 2026-11-30. The prompt is the person's own; what must not be
seen goes last in it, for there is no field for that.
"""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import httpx2

from callsheet.errors import OperationExpired, Rejected, Unauthorised, Unreachable
from callsheet.models.schema import Platform
from callsheet.providers.access import Access, Way
from callsheet.providers.fetch import VideoFetch
from callsheet.providers.http_errors import Phase
from callsheet.providers.https_exchange import FixedRequestSigner, GoogleRequestSigner, RequestSigner, exchange
from callsheet.providers.interaction_replies import MOST_BAD_REQUESTS, interaction_result
from callsheet.providers.operations import check_name
from callsheet.providers.plain_client import Secrets, base_url, secrets_of
from callsheet.providers.protocol import (
    MAX_SOURCE_BYTES,
    InputImage,
    InputVideo,
    VideoReady,
    VideoRequest,
    fold_negative,
    not_carried,
)
from callsheet.providers.reply_spool import Keeper
from callsheet.providers.sent_tracking import guarded, httpx2_watch
from callsheet.providers.video_replies import MAX_POLL_BYTES, polled_video, submitted_name

# What an id that is not known is answered with, with status 400.
_UNKNOWN = "invalid interaction name"
Task = Literal["text_to_video", "image_to_video", "reference_to_video", "edit", "extend"]


@dataclass(frozen=True, slots=True)
class InteractionsRoute:
    """Where interactions are, and how requests to them are signed.

    `root` is the address before `/interactions`, without a slash at its end. A submission may wait `timeout_s` for its
    reply.
    """

    root: str
    platform: Platform
    signer: RequestSigner
    secrets: Secrets
    timeout_s: float


def interactions_route(way: Way, access: Access, adc: Path | None, timeout_s: float) -> InteractionsRoute:
    """Return the route of a way.

    Agent Platform serves interactions from `global` (Google's notebooks, 2026-11). `adc` is the file of Google's
    credentials, None where its library finds them.
    """
    signature = access.signature(way)
    signer = FixedRequestSigner(signature) if signature or way is not Way.PROJECT else GoogleRequestSigner(adc)
    url = base_url(way, replace(access, location="global"))
    root = {
        Way.GEMINI: f"{url}v1",
        Way.EXPRESS: f"{url}v1beta1",
        Way.PROJECT: f"{url}v1beta1/projects/{quote(access.project or '', safe=':')}/locations/global",
    }
    return InteractionsRoute(root[way], way.platform, signer, secrets_of(access, way), timeout_s)


class OmniInteractions:
    """A VideoProvider over interactions.

    `fresh` opens a connection for each submission, `kept` is for polls: a connection that the server closed while idle
    would make a submission `Unknown`.
    """

    def __init__(
        self, route: InteractionsRoute, fresh: httpx2.AsyncClient, kept: httpx2.AsyncClient, files: VideoFetch
    ) -> None:
        self._route = route
        self._fresh = fresh
        self._kept = kept
        self._files = files
        self._refused: Counter[str] = Counter()

    max_source_bytes = MAX_SOURCE_BYTES

    @property
    def reads_buckets(self) -> bool:
        """Return whether it reads videos of buckets, and not files of its own."""
        return self._route.platform == "agent_platform"

    async def submit(self, request: VideoRequest, keeper: Keeper | None = None) -> str:
        """Send the request once and return the interaction's name.

        The reply is durable before it is read.
        """
        what = f"a video by {request.model}"

        async def send() -> str:
            body = payload(request, self._route.platform)
            post = await self._build_request(self._fresh, "POST", f"{self._route.root}/interactions", body)
            reply = await exchange(self._fresh, post, wait_s=self._route.timeout_s, keeper=keeper)
            return await asyncio.to_thread(submitted_name, reply, what)

        return await guarded(send, Phase.SUBMIT, what, self._route.secrets)

    async def poll(self, operation: str) -> VideoReady | None:
        """Return the video when it is done and its file is there, None until then."""
        if operation.startswith("gs://"):
            return await self._files.ready(operation)

        async def look() -> VideoReady | None:
            ready = await self._read(operation)
            return ready if ready is None or await self._files.is_there(ready) else None

        return await guarded(look, Phase.POLL, _name(operation), self._route.secrets)

    async def cancel(self, operation: str) -> None:
        """Cancel an interaction that runs; one that has ended stays as it is."""

        async def send() -> None:
            post = await self._build_request(self._kept, "POST", f"{self._address(operation)}/cancel")
            reply = await exchange(self._kept, post, wait_s=self._route.timeout_s, limit=MAX_POLL_BYTES)
            await asyncio.to_thread(polled_video, reply, _name(operation), lambda *_: None)

        await guarded(send, Phase.POLL, _name(operation), self._route.secrets)

    async def download(self, video: VideoReady, target: Path) -> None:
        """Write the video to `target`, from the reply, the provider's files or a bucket."""
        await self._files.fetch(video, target)

    async def _read(self, operation: str) -> VideoReady | None:
        get = await self._build_request(self._kept, "GET", f"{self._address(operation)}?stream=false")
        reply = await exchange(self._kept, get, wait_s=self._route.timeout_s, limit=MAX_POLL_BYTES)
        try:
            ready = await asyncio.to_thread(polled_video, reply, _name(operation), interaction_result)
        except Rejected as error:
            if error.status == 400:
                raise self._judge_refusal(operation, error) from None
            raise
        self._refused.pop(operation, None)
        return ready

    def _judge_refusal(self, operation: str, error: Rejected) -> Exception:
        """Return what a 400 on a poll means: trouble at first, the end when it stays.

        An id that is said to be unknown is gone, as with 404; the poller looks again all the same.
        """
        self._refused[operation] += 1
        is_unknown = _UNKNOWN in str(error).lower()
        if not is_unknown and self._refused[operation] < MOST_BAD_REQUESTS:
            return Unreachable(str(error), reason=error.reason, status=error.status)
        if isinstance(error, Unauthorised):
            return error
        return OperationExpired(str(error), reason=error.reason, status=error.status)

    def _address(self, operation: str) -> str:
        return f"{self._route.root}/interactions/{quote(interaction_id(operation), safe=':@!$()*+,;=~')}"

    async def _build_request(
        self, client: httpx2.AsyncClient, method: str, url: str, body: object = None
    ) -> httpx2.Request:
        headers = {**await self._route.signer.headers(), "Accept-Encoding": "gzip, deflate"}  # what reply_body reads
        return client.build_request(method, url, json=body, headers=headers, extensions={"trace": httpx2_watch})


def interaction_id(name: str) -> str:
    """Return the id in an interaction's name, whatever stands before it.

    Raises ValueError for what would lead a URL elsewhere.
    """
    return check_name(name).strip("/").rpartition("interactions/")[2]


def _name(operation: str) -> str:
    return f"interaction {operation.removeprefix('interactions/')[:200]}"


def choose_task(request: VideoRequest) -> Task:
    """Return the task that the inputs of a request make it.

    Raises Rejected for inputs of which no task takes all.
    """
    frames, references = bool(request.first_frame or request.last_frame), bool(request.references)
    if request.extend and (request.source_video is None or frames or references):
        raise not_carried("extend", True, "Omni makes a video longer by its prompt alone")
    if request.source_video is not None:
        if frames:
            raise not_carried("first_frame", "beside a video", "Omni edits a video, or begins with a picture")
        return "extend" if request.extend else "edit"
    if references:
        if frames:
            raise not_carried("references", len(request.references), "Omni begins with a picture, or keeps to pictures")
        return "reference_to_video"
    if request.last_frame and not request.first_frame:
        raise not_carried("last_frame", "alone", "it would be taken for the first frame")
    return "image_to_video" if frames else "text_to_video"


def payload(request: VideoRequest, platform: Platform) -> dict[str, object]:
    """Return the request's JSON: only what is given.

    Raises Rejected for what Omni cannot carry on this platform.
    """
    task = choose_task(request)
    _refuse(request, platform)
    pictures = [one for one in (request.first_frame, request.last_frame, *request.references) if one is not None]
    content: list[dict[str, object]] = [_encode_image(one) for one in pictures]
    if request.source_video is not None:
        content.append(_encode_video(request.source_video, platform))
    if text := fold_negative(request.prompt, request.negative_prompt):
        content.append({"type": "text", "text": text})
    config: dict[str, object] = {"video_config": {"task": task}}
    if request.seed is not None:
        config["seed"] = request.seed
    body: dict[str, object] = {
        "model": request.model,
        "background": True,
        "store": True,
        "input": [{"type": "user_input", "content": content}],
        "response_format": _build_format(request, platform),
        "generation_config": config,
    }
    return body | ({"labels": dict(request.labels)} if request.labels else {})


def _refuse(request: VideoRequest, platform: Platform) -> None:
    if request.person_generation is not None:
        why = "Omni has no field about people: say it in the prompt"
        raise not_carried("person_generation", request.person_generation, why)
    for field, value in (("audio", request.audio), ("enhance_prompt", request.enhance_prompt)):
        if value is not None:
            raise not_carried(field, value, "Omni has no field for it")
    if request.style_references:
        why = "Omni is not told which picture is a style: say it in the prompt"
        raise not_carried("style_references", len(request.style_references), why)
    if request.output_uri is not None and platform == "gemini_api":
        raise not_carried("output_uri", request.output_uri, "the Gemini API writes to no bucket; Agent Platform does")


def _build_format(request: VideoRequest, platform: Platform) -> dict[str, object]:
    """Return how the video is to be.

    Inline it has at most 4 MB; Agent Platform writes others to a bucket only.
    """
    by_uri = platform == "gemini_api" or request.output_uri is not None
    wanted = {
        "aspect_ratio": request.aspect_ratio,
        "resolution": request.resolution,
        "duration": f"{request.duration_s}s" if request.duration_s is not None else None,
        "delivery": "uri" if by_uri else "inline",
        "gcs_uri": request.output_uri,
    }
    return {"type": "video", **{name: value for name, value in wanted.items() if value is not None}}


def _encode_image(image: InputImage) -> dict[str, object]:
    return {"type": "image", "data": base64.b64encode(image.data).decode(), "mime_type": image.mime_type}


def _encode_video(video: InputVideo, platform: Platform) -> dict[str, object]:
    """Return the video by its bytes, else by an address that the platform reads."""
    if video.data is not None:
        return {"type": "video", "data": base64.b64encode(video.data).decode(), "mime_type": video.mime_type}
    is_object = (video.uri or "").startswith("gs://")
    if not video.uri or is_object != (platform == "agent_platform"):
        takes = "objects of buckets (gs://)" if platform == "agent_platform" else "files of its own (https)"
        raise not_carried("source_video", video.uri or "", f"this platform reads {takes}, or bytes")
    return {"type": "video", "uri": video.uri, "mime_type": video.mime_type}
