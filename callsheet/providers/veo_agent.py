"""Veo on Agent Platform through google-genai.

predictLongRunning, and fetchPredictOperation by the bare name.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from urllib.parse import quote

from google import genai
from google.genai import types

from callsheet.providers.fetch import VideoFetch
from callsheet.providers.http_errors import Phase
from callsheet.providers.operations import check_name, name_path
from callsheet.providers.plain_client import NO_SECRETS, Secrets
from callsheet.providers.protocol import MAX_SOURCE_BYTES, InputImage, InputVideo, VideoReady, VideoRequest, not_carried
from callsheet.providers.reply_spool import Keeper
from callsheet.providers.sent_tracking import SdkRequest, received
from callsheet.providers.veo_gemini import extended_video, typed_references
from callsheet.providers.video_replies import MAX_POLL_BYTES, polled_video, submitted_name


class VeoAgentPlatform:
    """A VideoProvider over two SDK clients.

    `submit` opens a connection for each request, `poll` keeps them. A fresh connection cannot have been closed by the
    server while idle, so a submission that fails before its first byte is known not to have been accepted.
    """

    def __init__(
        self,
        submit: genai.Client,
        poll: genai.Client,
        *,
        model: str,
        files: VideoFetch,
        secrets: Secrets = NO_SECRETS,
    ) -> None:
        self._submit = submit
        self._poll = poll
        self._model = model
        self._files = files
        self._secrets = secrets

    max_source_bytes, reads_buckets = MAX_SOURCE_BYTES, True

    async def submit(self, request: VideoRequest, keeper: Keeper | None = None) -> str:
        """Send the request once and return the operation's name.

        The reply is durable before it is read.
        """
        what = f"a video by {request.model}"

        async def send() -> object:
            return await self._submit.aio.models.generate_videos(
                model=request.model, source=source(request), config=config(request)
            )

        read = partial(submitted_name, what=what)
        return await received(send, read, SdkRequest(Phase.SUBMIT, what, self._secrets), keeper)

    async def poll(self, operation: str) -> VideoReady | None:
        """Return the video when done, None while it runs.

        A job that was adopted by the object it wrote has that object's gs:// name for an operation: done when it is
        there.
        """
        if operation.startswith("gs://"):
            return await self._files.ready(operation)
        what = f"operation {operation[:200]}"

        async def send() -> object:
            known = types.GenerateVideosOperation()
            known.name = routable(check_name(operation), self._model)
            options = types.HttpOptions(extra_body={"operationName": operation})
            return await self._poll.aio.operations.get(known, config=types.GetOperationConfig(http_options=options))

        read = partial(polled_video, what=what)
        return await received(send, read, SdkRequest(Phase.POLL, what, self._secrets), limit=MAX_POLL_BYTES)

    async def download(self, video: VideoReady, target: Path) -> None:
        """Write the video to `target`, from the reply, its bucket or an address."""
        await self._files.fetch(video, target)


def routable(name: str, model: str) -> str:
    """Return the operation name whose part before `/operations/` is to be asked.

    The SDK asks `{resource}:fetchPredictOperation`. Names that start at `models/` (as an express key may get them)
    lack the publisher, and those of gateways may name no model at all; the operation name itself is sent as it was
    received.
    """
    path = name_path(name)
    resource, found, _ = path.rpartition("/operations/")
    if not found or "models/" not in resource:
        return f"publishers/google/models/{quote(model, safe='')}/operations/-"
    return f"publishers/google/{path}" if path.startswith("models/") else path


def source(request: VideoRequest) -> types.GenerateVideosSource:
    """Return prompt and first frame, or prompt and the video that is made longer."""
    longer = extended_video(request)
    video = _build_video(longer) if longer else None
    return types.GenerateVideosSource(prompt=request.prompt, image=_build_image(request.first_frame), video=video)


def config(request: VideoRequest) -> types.GenerateVideosConfig:
    """Return the parameters that are given; one video."""
    return types.GenerateVideosConfig(
        number_of_videos=1,
        last_frame=_build_image(request.last_frame),
        reference_images=[_build_reference(image, kind) for kind, image in typed_references(request)] or None,
        negative_prompt=request.negative_prompt,
        aspect_ratio=request.aspect_ratio,
        resolution=request.resolution,
        duration_seconds=request.duration_s,
        seed=request.seed,
        person_generation=request.person_generation,
        output_gcs_uri=request.output_uri,
        generate_audio=request.audio,
        enhance_prompt=request.enhance_prompt,
        labels=dict(request.labels) or None,
    )


def _build_reference(image: InputImage, kind: str) -> types.VideoGenerationReferenceImage:
    return types.VideoGenerationReferenceImage(
        image=_build_image(image), reference_type=types.VideoGenerationReferenceType(kind)
    )


def _build_video(video: InputVideo) -> types.Video:
    if (video.uri or "").startswith("gs://"):
        return types.Video(uri=video.uri, mime_type=video.mime_type)
    if video.data is None:
        raise not_carried("source_video", video.uri, "Agent Platform takes a video of a bucket, or its bytes")
    return types.Video(video_bytes=video.data, mime_type=video.mime_type)


def _build_image(image: InputImage | None) -> types.Image | None:
    return types.Image(image_bytes=image.data, mime_type=image.mime_type) if image else None
