"""Pictures and looks through google-genai, on both platforms: client and requests.

The platforms are the Gemini API and Agent Platform. Google's clients are built so that nothing is sent twice, and
nothing comes from the environment unless it is configured. Why each option is there (google-genai 3.4.0 and aiohttp
3.14, measured 2026-11-21):
- `attempts=1`: by default the SDK sends a paid POST again after a dropped connection.
- `allow_redirects=False`: aiohttp would repeat a POST, with the key, wherever a 307 points.
- base URL, API version, project and location are always explicit: else the SDK reads its own variables.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

import aiohttp
from google import genai
from google.genai import types
from google.oauth2.credentials import Credentials

from callsheet.errors import BadImage
from callsheet.providers.access import Access, Way, is_loopback
from callsheet.providers.fetch import PictureFetch
from callsheet.providers.http_errors import Phase
from callsheet.providers.outcomes import BY_ADDRESS, read_look, read_picture
from callsheet.providers.plain_client import KEEPALIVE_S, NO_SECRETS, Secrets, base_url, tls_context
from callsheet.providers.protocol import ImageRequest, ImageResult, LookRequest, LookResult, not_carried
from callsheet.providers.rehearsal_gate import RehearsalGate
from callsheet.providers.reply_spool import Keeper, Reply
from callsheet.providers.sent_tracking import SdkRequest, WatchedResponse, aiohttp_watch, received


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
    """Return the references in their order, then the prompt.

    So prompts may speak of "the first image", and what many requests begin with is read once (implicit caching).
    """
    references = (types.Part.from_bytes(data=image.data, mime_type=image.mime_type) for image in request.references)
    return types.Content(role="user", parts=[*references, types.Part(text=request.prompt)])


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
        system_instruction=request.system_instruction,
        safety_settings=[
            types.SafetySetting(category=types.HarmCategory(category), threshold=types.HarmBlockThreshold(threshold))
            for category, threshold in request.safety
        ]
        or None,
        thinking_config=_build_thinking(request.thinking),
        # Both are on by default and would send further requests behind one call.
        automatic_continuation=False,
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )


def _build_thinking(level: str | None) -> types.ThinkingConfig | None:
    return types.ThinkingConfig(thinking_level=types.ThinkingLevel(level.upper())) if level else None


def open_session(url: str, *, fresh: bool, gate: RehearsalGate | None = None) -> aiohttp.ClientSession:
    """Open a watched session for `url`; `fresh` connects anew for each request.

    Proxies are used except on loopback. The requests of a rehearsal go through its `gate`.
    """
    tls = tls_context() if url.startswith("https:") else True
    if fresh:
        connector = aiohttp.TCPConnector(limit=0, force_close=True, ssl=tls)
    else:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_S, ssl=tls)
    return aiohttp.ClientSession(
        connector=connector,
        trace_configs=[aiohttp_watch()],
        trust_env=not is_loopback(url),
        read_bufsize=1 << 20,
        # Bodies are kept as they come, and uncompressed by ours: only what it can read is asked for.
        response_class=WatchedResponse,
        auto_decompress=False,
        headers={"Accept-Encoding": "gzip, deflate"},
        middlewares=[gate.aiohttp_middleware] if gate else [],
    )


def open_client(way: Way, access: Access, session: aiohttp.ClientSession, timeout_s: float) -> genai.Client:
    """Open a client that sends each request once over `session`.

    It waits at most `timeout_s` for the whole reply.
    """
    url = base_url(way, access)
    options = types.HttpOptions(
        base_url=url,
        api_version="v1" if way is Way.GEMINI else "v1beta1",
        timeout=int(timeout_s * 1000),
        retry_options=types.HttpRetryOptions(attempts=1),
        aiohttp_client=session,
        client_args={"verify": tls_context()},
        async_client_args={"verify": tls_context(), "ssl": tls_context(), "allow_redirects": False},
    )
    if way is Way.PROJECT:
        token = access.static_token
        return genai.Client(
            enterprise=True,
            project=access.project,
            location=access.location,
            credentials=Credentials(token=token.get_secret_value()) if token else None,  # type: ignore[no-untyped-call]
            http_options=options,
        )
    key = access.gemini_key if way is Way.GEMINI else access.express_key
    return genai.Client(
        enterprise=way is Way.EXPRESS, api_key=key.get_secret_value() if key else None, http_options=options
    )
