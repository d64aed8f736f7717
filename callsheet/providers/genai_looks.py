"""Looks at pictures through google-genai's generate_content, on the Gemini API and on Agent Platform."""

from __future__ import annotations

from functools import partial

from google import genai
from google.genai import types

from callsheet.providers.http_errors import Phase
from callsheet.providers.outcomes import read_look
from callsheet.providers.protocol import LookRequest, LookResult
from callsheet.providers.secrets import NO_SECRETS, Secrets
from callsheet.providers.wire import received
from callsheet.replies import Keeper


class GenaiLooks:
    """A LookProvider over one SDK client (see sdk_clients: it sends each request once).

    `labels` is off where gateways that speak the Gemini API's protocol may reject them as an unknown field.
    """

    def __init__(self, client: genai.Client, *, labels: bool, secrets: Secrets = NO_SECRETS) -> None:
        self._client = client
        self._labels = labels
        self._secrets = secrets

    async def look(self, request: LookRequest, keeper: Keeper | None = None) -> LookResult:
        """The answer, or a ProviderError. The request is sent once; the reply is durable before it is read."""
        what = f"a look by {request.model}"

        async def send() -> object:
            return await self._client.aio.models.generate_content(
                model=request.model, contents=_contents(request), config=self._config(request)
            )

        read = partial(read_look, what=what)
        return await received(send, read, Phase.SUBMIT, what, self._secrets, keeper)

    def _config(self, request: LookRequest) -> types.GenerateContentConfig:
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


def _contents(request: LookRequest) -> types.Content:
    """The pictures in their order, then the question."""
    pictures = [types.Part.from_bytes(data=picture.data, mime_type=picture.mime_type) for picture in request.pictures]
    return types.Content(role="user", parts=[*pictures, types.Part(text=request.prompt)])
