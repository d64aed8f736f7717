"""One contract for all ways to a model: the providers against the rehearsal service, with its failures."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from callsheet import errors
from callsheet.models import load_catalogue
from callsheet.providers import Providers, open_providers
from callsheet.providers.protocol import ImageRequest, InputImage, VideoReady, VideoRequest
from callsheet.rehearsal.app import create_app
from callsheet.rehearsal.config import LatencyConfig, RehearsalConfig
from callsheet.rehearsal.connections import Connections
from callsheet.settings import Settings

IMAGE, AGENT_VIDEO, GEMINI_VIDEO = "gemini-3.1-flash-image", "veo-3.1-fast-generate-001", "veo-3.1-generate-preview"
EXPRESS = "with an express key"
# Every way to a video: Agent Platform by project and by express key, and the Gemini API.
WAYS = [("rehearsal", AGENT_VIDEO), (EXPRESS, AGENT_VIDEO), ("rehearsal", GEMINI_VIDEO)]


@dataclass
class House:
    """The service, and providers that talk to it."""

    url: str
    http: httpx2.AsyncClient

    async def play(self, fault: str, kind: str, **rule: Any) -> None:
        script = {"rules": [{"fault": fault, "match": {"kind": kind}, "times": 1, **rule}]}
        reply = await self.http.post(f"{self.url}/rehearsal/script", json=script)
        assert reply.status_code == 200, reply.text

    async def accepted(self) -> int:
        counts = (await self.http.get(f"{self.url}/rehearsal/counts")).json()
        return len(counts["submissions"])

    @contextlib.asynccontextmanager
    async def providers(self, way: str = "rehearsal") -> AsyncIterator[Providers]:
        given: dict[str, Any] = {"image_timeout_s": 5.0}
        if way == EXPRESS:
            given |= {"agent_platform_api_key": "express", "vertex_base_url": self.url}
        async with open_providers(
            Settings(**given),
            mode="live" if way == EXPRESS else "rehearsal",
            rehearsal_url=None if way == EXPRESS else self.url,
            catalogue=load_catalogue(),
            video_reply_s=5.0,
        ) as providers:
            yield providers


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_CLOUD_PROJECT", "STORAGE_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)
    connections = Connections()
    config = RehearsalConfig(state_dir=tmp_path / "service", factor=10_000, latency=LatencyConfig(image=1, video=60))
    app = create_app(config, connections)
    server = uvicorn.Server(uvicorn.Config(app, port=0, http=connections.protocol(), log_level="warning"))
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx2.AsyncClient(trust_env=False) as http:
        yield House(f"http://127.0.0.1:{port}", http)
    server.should_exit = True
    await running


async def finished(providers: Providers, model: str, operation: str) -> VideoReady:
    async with asyncio.timeout(20):
        while (video := await providers.videos_for(model).poll(operation)) is None:  # noqa: ASYNC110 - polling is the protocol
            await asyncio.sleep(0.02)
    return video


@pytest.mark.parametrize("way", ["rehearsal", EXPRESS])
async def test_a_picture_is_made(house: House, way: str) -> None:
    async with house.providers(way) as providers:
        made = await providers.images_for(IMAGE).make(ImageRequest(IMAGE, "a cat", "16:9", "1K", seed=1))
        edit = ImageRequest(IMAGE, "a dog", references=(InputImage(made.data, made.mime_type),))
        edited = await providers.images_for(IMAGE).make(edit)
    assert made.mime_type.startswith("image/")
    assert edited.data != made.data
    assert made.tokens["output_image"] > 0
    assert await house.accepted() == 2


@pytest.mark.parametrize(("way", "model"), WAYS)
async def test_a_video_is_made_from_a_frame_and_fetched(house: House, way: str, model: str, tmp_path: Path) -> None:
    async with house.providers(way) as providers:
        frame = await providers.images_for(IMAGE).make(ImageRequest(IMAGE, "a cat", "16:9", "1K"))
        request = VideoRequest(
            model,
            "it runs",
            first_frame=InputImage(frame.data, frame.mime_type),
            aspect_ratio="16:9",
            resolution="720p",
            duration_s=4,
            labels=(("callsheet_job", "1"),),
        )
        provider = providers.videos_for(model)
        operation = await provider.submit(request)
    async with house.providers(way) as providers:  # another process, which knows no more than the name
        video = await finished(providers, model, operation)
        await providers.videos_for(model).download(video, tmp_path / "clip.mp4")
    assert (tmp_path / "clip.mp4").read_bytes()[4:8] == b"ftyp"
    assert await house.accepted() == 2


REFUSED = [
    ("429-minute", errors.RateLimited),
    ("429-day", errors.RateLimited),
    ("429-bare", errors.RateLimited),
    ("503", errors.Overloaded),
    ("html-503", errors.Overloaded),
    ("array-503", errors.Overloaded),
    ("500", errors.Unknown),
    ("502", errors.Unknown),
    ("504", errors.Unknown),
    ("drop-before", errors.Unknown),
]


@pytest.mark.long
@pytest.mark.parametrize(("fault", "error"), REFUSED)
async def test_what_is_not_accepted_has_its_class_and_is_not_sent_again(
    house: House, fault: str, error: type[errors.ProviderError]
) -> None:
    async with house.providers() as providers:
        for kind, model in (("image", IMAGE), ("video", AGENT_VIDEO), ("video", GEMINI_VIDEO)):
            await house.play(fault, kind)
            with pytest.raises(error) as caught:
                await ask(providers, kind, model)
            if fault.startswith("429-") and isinstance(caught.value, errors.RateLimited):
                assert caught.value.per == fault.removeprefix("429-").replace("bare", "")
                assert (caught.value.limit, caught.value.retry_after_s is None) == (
                    (None, True) if fault == "429-bare" else (10, False)
                )
    assert await house.accepted() == 0


@pytest.mark.parametrize("fault", ["drop-after", "500"])
async def test_what_was_accepted_without_an_answer_is_unknown(house: House, fault: str) -> None:
    rule = {"accepted": True} if fault == "500" else {}
    async with house.providers() as providers:
        for kind, model in (("image", IMAGE), ("video", AGENT_VIDEO), ("video", GEMINI_VIDEO)):
            await house.play(fault, kind, **rule)
            with pytest.raises(errors.Unknown):
                await ask(providers, kind, model)
    assert await house.accepted() == 3


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("block", errors.PromptBlocked),
        ("finish", errors.ImageBlocked),
        ("text-only", errors.NoImage),
        ("no-image", errors.NoImage),
    ],
)
async def test_a_reply_without_a_picture_has_its_class(house: House, fault: str, error: type[Exception]) -> None:
    await house.play(fault, "image")
    async with house.providers() as providers:
        with pytest.raises(error):
            await ask(providers, "image", IMAGE)


@pytest.mark.parametrize(("way", "model"), WAYS)
async def test_an_operation_without_a_video_has_its_class(house: House, way: str, model: str) -> None:
    expected = {
        "rai": errors.VideoFiltered,
        "rai-audio": errors.VideoFiltered,
        "empty": errors.NoVideo,
        "op-error": errors.OperationFailed,
        "expired": errors.OperationExpired,
    }
    found = {}
    async with house.providers(way) as providers:
        for fault in expected:
            await house.play(fault, "poll" if fault == "expired" else "video")
            operation = await ask(providers, "video", model)
            with pytest.raises(errors.ProviderError) as caught:
                await finished(providers, model, operation)
            found[fault] = caught.value
    assert {fault: type(error) for fault, error in found.items()} == expected
    assert [fault for fault, error in found.items() if getattr(error, "audio", False)] == ["rai-audio"]


async def test_a_truncated_download_is_told_and_can_be_repeated(house: House, tmp_path: Path) -> None:
    target = tmp_path / "clip.mp4"
    async with house.providers() as providers:
        provider = providers.videos_for(GEMINI_VIDEO)
        video = await finished(providers, GEMINI_VIDEO, await ask(providers, "video", GEMINI_VIDEO))
        await house.play("truncate", "download")
        with pytest.raises(errors.DownloadFailed):
            await provider.download(video, target)
        assert not target.exists()
        await provider.download(video, target)
    assert target.read_bytes()[4:8] == b"ftyp"


async def test_a_bad_key_is_told(house: House) -> None:
    async with open_providers(
        Settings(
            agent_platform_api_key="invalid",
            gemini_api_key="invalid",
            vertex_base_url=house.url,
            gemini_base_url=house.url,
        ),
        mode="live",
        rehearsal_url=None,
        catalogue=load_catalogue(),
    ) as providers:
        for kind, model in (("image", IMAGE), ("video", AGENT_VIDEO), ("video", GEMINI_VIDEO)):
            with pytest.raises(errors.Unauthorised):
                await ask(providers, kind, model)
    assert await house.accepted() == 0


async def ask(providers: Providers, kind: str, model: str) -> Any:
    """The plainest paid request of a kind."""
    if kind == "image":
        return await providers.images_for(model).make(ImageRequest(model, "a cat", "1:1", "1K"))
    request = VideoRequest(model, "it runs", aspect_ratio="16:9", resolution="720p", duration_s=4)
    return await providers.videos_for(model).submit(request)
