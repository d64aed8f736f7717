"""Pictures and looks through google-genai's generate_content, on both platforms.

The platforms are the Gemini API and Agent Platform.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

from google import genai
from google.genai import types

from callsheet.errors import BadImage
from callsheet.providers.http_errors import Phase
from callsheet.providers.outcomes import BY_ADDRESS, read_look, read_picture
from callsheet.providers.picture_fetch import PictureFetch
from callsheet.providers.protocol import ImageRequest, ImageResult, LookRequest, LookResult, not_carried
from callsheet.providers.reply_spool import Keeper, Reply
from callsheet.providers.secrets import NO_SECRETS, Secrets
from callsheet.providers.sent_tracking import SdkRequest, received


class GenaiLooks:
    """A LookProvider over one SDK client, which sends each request once.

    See sdk_clients. `labels` is off where gateways that speak the Gemini API's protocol may reject them as an unknown
    field.
    """

    def __init__(self, client: genai.Client, *, labels: bool, secrets: Secrets = NO_SECRETS) -> None:
        self._client = client
        self._labels = labels
        self._secrets = secrets

    async def look(self, request: LookRequest, keeper: Keeper | None = None) -> LookResult:
        """Send the question once and return the answer; raises a ProviderError.

        The reply is durable before it is read.
        """
        what = f"a look by {request.model}"

        async def send() -> object:
            return await self._client.aio.models.generate_content(
                model=request.model, contents=_arrange_contents(request), config=self._build_config(request)
            )

        read = partial(read_look, what=what)
        return await received(send, read, SdkRequest(Phase.SUBMIT, what, self._secrets), keeper)

    def _build_config(self, request: LookRequest) -> types.GenerateContentConfig:
        return types.GenerateContentConfig(
            response_mime_type="application/json",
            response_json_schema=dict(request.schema),
            temperature=0,
            max_output_tokens=request.max_tokens,
            labels=dict(request.labels) if self._labels and request.labels else None,
            # Both are on by default and would send further requests behind one call.
            automatic_continuation=False,
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        )


def _arrange_contents(request: LookRequest) -> types.Content:
    """Return the pictures in their order, then the question."""
    pictures = [types.Part.from_bytes(data=picture.data, mime_type=picture.mime_type) for picture in request.pictures]
    return types.Content(role="user", parts=[*pictures, types.Part(text=request.prompt)])


class GenaiImages:
    """An ImageProvider over one SDK client, which sends each request once.

    See sdk_clients. `labels` is off where gateways that speak the Gemini API's protocol may reject them as an unknown
    field. `pictures` fetches those that a reply only names; without it such a reply is a BadImage.
    """

    def __init__(
        self,
        client: genai.Client,
        *,
        agent_platform: bool,
        labels: bool,
        secrets: Secrets = NO_SECRETS,
        pictures: PictureFetch | None = None,
    ) -> None:
        self._client = client
        self._agent_platform = agent_platform
        self._labels = labels
        self._secrets = secrets
        self._pictures = pictures
        self._last: tuple[ImageRequest, types.GenerateContentConfig] | None = None

    def _build_config(self, request: ImageRequest) -> types.GenerateContentConfig:
        """Return the request's parameters, reused from the last request when equal.

        Making them costs 0.1 ms.
        """
        wanted = replace(request, prompt="", references=(), labels=())
        if self._last is None or self._last[0] != wanted:
            self._last = wanted, config(wanted, agent_platform=self._agent_platform)
        if not (self._labels and request.labels):
            return self._last[1]
        return self._last[1].model_copy(update={"labels": dict(request.labels)})

    async def make(self, request: ImageRequest, keeper: Keeper | None = None) -> ImageResult:
        """Send the request once and return the picture; raises a ProviderError.

        The reply is durable before it is read.
        """
        what = f"a picture by {request.model}"

        async def send() -> object:
            return await self._client.aio.models.generate_content(
                model=request.model, contents=contents(request), config=self._build_config(request)
            )

        came: list[Reply] = []

        def read(reply: Reply) -> ImageResult:
            came.append(reply)
            return read_picture(reply, what)

        try:
            return await received(send, read, SdkRequest(Phase.SUBMIT, what, self._secrets), keeper)
        except BadImage as error:
            if error.reason != BY_ADDRESS or self._pictures is None:
                raise
            return await self._pictures.fetch(came[-1], what, error)

    async def read(self, reply: Reply, what: str) -> ImageResult:
        """Return the picture of a kept reply, fetched first where it only names one."""
        if self._pictures is None:
            return await asyncio.to_thread(read_picture, reply, what)
        return await self._pictures.read(reply, what)


def contents(request: ImageRequest) -> types.Content:
    """Return the prompt, then the references in their order.

    So prompts may speak of "the first image".
    """
    references = (types.Part.from_bytes(data=image.data, mime_type=image.mime_type) for image in request.references)
    return types.Content(role="user", parts=[types.Part(text=request.prompt), *references])


def config(request: ImageRequest, *, agent_platform: bool) -> types.GenerateContentConfig:
    """Return the request's parameters, without its labels.

    Raises Rejected for what the Gemini API does not take.
    """
    person = request.person_generation
    if person and not agent_platform:  # the SDK refuses it there (google-genai 3.6.1, measured 2026-11-30)
        raise not_carried("person_generation", person, "the Gemini API takes it for no picture; Agent Platform does")
    return types.GenerateContentConfig(
        response_modalities=["IMAGE"],
        image_config=types.ImageConfig(
            aspect_ratio=request.aspect_ratio,
            image_size=request.size,
            person_generation=person.upper() if person else None,
        ),
        seed=request.seed,
        # Both are on by default and would send further requests behind one call.
        automatic_continuation=False,
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
