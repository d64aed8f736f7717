"""No client, session or transport ever sends a paid POST a second time: a raw server counts what arrives.

Beside tests/providers/test_wire.py, which looks at replies: here are connections that break, and redirects.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from callsheet import errors
from callsheet.models import load_catalogue
from callsheet.providers import Providers, open_providers
from callsheet.providers.protocol import ImageRequest, InputImage, VideoRequest
from callsheet.settings import Settings
from tests.support.pictures import a_png

IMAGE, AGENT_VEO, GEMINI_VEO = "gemini-3.1-flash-image", "veo-3.1-fast-generate-001", "veo-3.1-generate-preview"
MODELS = (IMAGE, AGENT_VEO, GEMINI_VEO)
PNG = a_png()
PICTURE = {
    "candidates": [
        {"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": base64.b64encode(PNG).decode()}}]}}
    ]
}
# Larger than the buffers of a loopback connection, so that sending it takes several writes.
LARGE = InputImage(b"\x89PNG\r\n\x1a\n" + bytes(12_000_000), "image/png")


@dataclass
class Raw:
    """Counts requests by their heads; then does what `plan` says next, and answers with success when it is empty."""

    plan: list[str] = field(default_factory=list)
    posts: list[int] = field(default_factory=list)
    connections: int = 0
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._exchange(reader, writer, self.connections):
                pass
        writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert head.startswith("post "), "only submissions are made here"
        self.posts.append(number)
        length = int(head.split("content-length:")[1].split("\r\n")[0])
        act = self.plan.pop(0) if self.plan else "answer"
        if act == "reset in the body":
            await reader.readexactly(min(length, 100_000))
            return self._reset(writer)
        await reader.readexactly(length)
        if act == "close":
            return False
        if act == "reset":
            return self._reset(writer)
        if act == "stall":
            await asyncio.sleep(5)
            return False
        if act.isdigit():
            fields = "Location: /elsewhere\r\nRetry-After: 0\r\n" if act.startswith("3") else "Retry-After: 0\r\n"
            body = json.dumps({"error": {"code": int(act), "message": "m", "status": "S"}}).encode()
            writer.write(f"HTTP/1.1 {act} X\r\n{fields}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            return True
        body = json.dumps({**PICTURE, "name": f"models/{GEMINI_VEO}/operations/op-1"}).encode()
        writer.write(
            f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        )
        if act == "reset in the reply":
            writer.write(body[: len(body) // 2])
            await writer.drain()
            await asyncio.sleep(0.05)
            return self._reset(writer)
        writer.write(body)
        return True

    def _reset(self, writer: asyncio.StreamWriter) -> bool:
        """Close with RST, as a proxy that dies or a load balancer that forgets the connection does."""
        raw: Any = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        return False


@pytest.fixture
async def raw() -> AsyncIterator[Raw]:
    it = Raw()
    listening = await asyncio.start_server(it.serve, "127.0.0.1", 0, limit=1 << 20)
    it.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    yield it
    listening.close()


@contextlib.asynccontextmanager
async def live(raw: Raw) -> AsyncIterator[Providers]:
    given = Settings(
        gemini_api_key="k", agent_platform_api_key="k", gemini_base_url=raw.url, vertex_base_url=raw.url,
        image_timeout_s=1.0,
    )  # fmt: skip
    async with open_providers(
        given, mode="live", rehearsal_url=None, catalogue=load_catalogue(), video_reply_s=1.0
    ) as providers:
        yield providers


async def send(providers: Providers, model: str, picture: InputImage | None = None) -> object:
    if model == IMAGE:
        return await providers.images_for(model).make(
            ImageRequest(model, "a cat", references=(picture,) if picture else ())
        )
    return await providers.videos_for(model).submit(VideoRequest(model, "it runs", first_frame=picture))


@pytest.mark.long
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("act", ["close", "reset", "reset in the reply", "stall"])
async def test_a_connection_that_breaks_after_the_request_leaves_one_request_in_doubt(
    raw: Raw, model: str, act: str
) -> None:
    raw.plan = [act]
    async with live(raw) as providers:
        # Part of a picture is known to have been paid for.
        part = model == IMAGE and act == "reset in the reply"
        with pytest.raises(errors.BadImage if part else errors.Unknown):
            await send(providers, model)
        await asyncio.sleep(0.1)  # nobody sends it later either
    assert len(raw.posts) == 1


@pytest.mark.parametrize("model", MODELS)
async def test_a_request_that_was_cut_off_halfway_is_in_doubt_and_not_repeated(raw: Raw, model: str) -> None:
    raw.plan = ["reset in the body"]
    async with live(raw) as providers:
        with pytest.raises(errors.Unknown):
            await send(providers, model, LARGE)
    assert len(raw.posts) == 1


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 408, 409, 425, 429, 500, 502, 503, 504])
async def test_no_status_makes_a_client_send_again(raw: Raw, model: str, status: int) -> None:
    raw.plan = [str(status)]
    async with live(raw) as providers:
        with pytest.raises(errors.ProviderError):
            await send(providers, model)
    assert len(raw.posts) == 1


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("act", ["close", "reset"])
async def test_a_connection_that_was_good_before_is_no_reason_to_send_again(raw: Raw, model: str, act: str) -> None:
    """Clients like to repeat what fails on a kept connection: it may just have been idle for too long."""
    raw.plan = ["answer", act]
    async with live(raw) as providers:
        await send(providers, model)
        with pytest.raises(errors.Unknown):
            await send(providers, model)
        assert len(raw.posts) == 2
        await send(providers, model)
    assert len(raw.posts) == 3
    assert raw.posts[:2] == ([1, 1] if model == IMAGE else [1, 2]), "a video's connection is always fresh"


@pytest.mark.parametrize("model", MODELS)
async def test_many_at_once_are_each_sent_once(raw: Raw, model: str) -> None:
    raw.plan = ["close", "503", "reset", "429", "500", "answer"] * 5
    async with live(raw) as providers:
        results = await asyncio.gather(*(send(providers, model) for _ in range(30)), return_exceptions=True)
    assert len(raw.posts) == 30
    assert sum(isinstance(result, errors.Unknown) for result in results) == 15
    assert sum(not isinstance(result, BaseException) for result in results) == 5
