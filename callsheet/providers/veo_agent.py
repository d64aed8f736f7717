"""Veo on Agent Platform through google-genai: predictLongRunning, and fetchPredictOperation by the bare name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from google import genai
from google.genai import types

from callsheet.errors import DownloadFailed, Unknown
from callsheet.providers.bucket_download import BucketReader
from callsheet.providers.http_errors import Phase
from callsheet.providers.operations import checked_name, video_result
from callsheet.providers.protocol import InputImage, VideoReady, VideoRequest
from callsheet.providers.secrets import NO_SECRETS, Secrets
from callsheet.providers.video_files import write_video
from callsheet.providers.wire import guarded


class VeoAgentPlatform:
    """A VideoProvider over two SDK clients: `submit` opens a connection for each request, `poll` keeps them.

    A fresh connection cannot have been closed by the server while idle, so a submission that fails before its first
    byte is known not to have been accepted.
    """

    def __init__(
        self, submit: genai.Client, poll: genai.Client, *, bucket: BucketReader, secrets: Secrets = NO_SECRETS
    ) -> None:
        self._submit = submit
        self._poll = poll
        self._bucket = bucket
        self._secrets = secrets

    async def submit(self, request: VideoRequest) -> str:
        """The operation's name. The request is sent once."""
        what = f"a video by {request.model}"
        operation = await guarded(
            lambda: self._submit.aio.models.generate_videos(
                model=request.model, source=source(request), config=config(request)
            ),
            Phase.SUBMIT,
            what,
            self._secrets,
        )
        if not operation.name:
            raise Unknown(f"The submission of {what} was accepted without an operation name; see `callsheet resolve`.")
        return operation.name

    async def poll(self, operation: str) -> VideoReady | None:
        """The video when done, None while it runs.

        A job that was adopted by the object it wrote has that object's gs:// name for an operation: done when it is
        there.
        """
        if operation.startswith("gs://"):
            return VideoReady(uri=operation) if await self._bucket.holds(operation) else None
        what = f"operation {operation[:200]}"

        async def fetch() -> VideoReady | None:
            known = _Reply()
            known.name = routable(checked_name(operation))
            options = types.HttpOptions(extra_body={"operationName": operation})
            config = types.GetOperationConfig(http_options=options)
            return video_result((await self._poll.aio.operations.get(known, config=config)).body, what)

        return await guarded(fetch, Phase.POLL, what, self._secrets)

    async def download(self, video: VideoReady, target: Path) -> None:
        """Write the video to `target`, from the reply itself or from its bucket."""
        if video.data is not None:
            await write_video(video.data, target)
        elif (video.uri or "").startswith("gs://"):
            await self._bucket.fetch(video.uri or "", target)
        else:
            raise DownloadFailed("The operation names no gs:// object to fetch the video from. Poll it again.")


class _Reply(types.Operation):
    """Keeps a polled operation as the JSON that came, so that one reader serves both platforms."""

    body: object = None

    @classmethod
    def from_api_response(cls, api_response: Any, is_vertex_ai: bool = False) -> Self:
        """The reply as it came."""
        reply = cls()
        reply.body = api_response
        return reply


def routable(name: str) -> str:
    """The operation name whose part before `/operations/` is the resource to ask.

    The SDK asks `{resource}:fetchPredictOperation`. Names that start at `models/` (as an express key may get them)
    lack the publisher; the operation name itself is sent as it was received.
    """
    return f"publishers/google/{name}" if name.startswith("models/") else name


def source(request: VideoRequest) -> types.GenerateVideosSource:
    """Prompt and first frame."""
    return types.GenerateVideosSource(prompt=request.prompt, image=_image(request.first_frame))


def config(request: VideoRequest) -> types.GenerateVideosConfig:
    """The parameters that are given; one video."""
    return types.GenerateVideosConfig(
        number_of_videos=1,
        last_frame=_image(request.last_frame),
        reference_images=[_reference(image) for image in request.references] or None,
        negative_prompt=request.negative_prompt,
        aspect_ratio=request.aspect_ratio,
        resolution=request.resolution,
        duration_seconds=request.duration_s,
        seed=request.seed,
        person_generation=request.person_generation,
        output_gcs_uri=request.output_uri,
        labels=dict(request.labels) or None,
    )


def _reference(image: InputImage) -> types.VideoGenerationReferenceImage:
    return types.VideoGenerationReferenceImage(
        image=_image(image), reference_type=types.VideoGenerationReferenceType.ASSET
    )


def _image(image: InputImage | None) -> types.Image | None:
    return types.Image(image_bytes=image.data, mime_type=image.mime_type) if image else None
