"""google-genai, unchanged, against the rehearsal service in a process of its own; and every fault over real sockets."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json

import av
import httpx2
import pytest
from google import genai
from google.genai import errors, types
from google.oauth2.credentials import Credentials
from PIL import Image

from callsheet.rehearsal.config import RehearsalConfig
from callsheet.rehearsal.process import RehearsalProcess

# What the module makes once is made in one process.
pytestmark = pytest.mark.xdist_group("rehearsal_sdk")

IMAGE = "gemini-3.1-flash-image"
VEO = "veo-3.1-fast-generate-001"
OLD_VEO = "veo-3.1-generate-preview"
# A minute of the service in 10 ms.
FACTOR = 6000.0
GENERATE = f"/v1/models/{IMAGE}:generateContent"
BODY = {"contents": [{"parts": [{"text": "a cup"}]}], "generationConfig": {"imageConfig": {"imageSize": "512"}}}
SUBMIT = f"/v1beta/models/{OLD_VEO}:predictLongRunning"
VIDEO = {"instances": [{"prompt": "waves"}], "parameters": {"durationSeconds": 4}}


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    config = RehearsalConfig(state_dir=tmp_path_factory.mktemp("rehearsal"), factor=FACTOR)
    process = RehearsalProcess.start(config)
    yield process.running
    process.stop()


@pytest.fixture
def raw(service):
    with httpx2.Client(base_url=service.base_url, headers={"x-goog-api-key": "k"}, timeout=20) as client:
        yield client
        client.post("/rehearsal/script", json={"rules": []})


def options(service, **given):
    retry = types.HttpRetryOptions(attempts=1)
    return types.HttpOptions(base_url=service.base_url, timeout=20_000, retry_options=retry, **given)


@pytest.fixture(scope="module")
def by_key(service):
    return genai.Client(api_key="k", http_options=options(service))


@pytest.fixture(scope="module")
def by_project(service):
    return of_project(service, "us-central1")


@pytest.fixture(scope="module")
def by_project_globally(service):
    return of_project(service, "global")


def of_project(service, location):
    return genai.Client(
        enterprise=True,
        project="p",
        location=location,
        credentials=Credentials("token"),
        http_options=options(service),
    )


@pytest.fixture(scope="module")
def express(service):
    return genai.Client(enterprise=True, api_key="k", http_options=options(service))


def play(raw, fault, kind="image", **rule):
    reply = raw.post(
        "/rehearsal/script", json={"rules": [{"fault": fault, "match": {"kind": kind}, "times": 1, **rule}]}
    )
    assert reply.status_code == 200, reply.text


def picture_in(reply):
    return base64.b64decode(reply.json()["candidates"][0]["content"]["parts"][0]["inlineData"]["data"])


def accepted(raw, kind="image"):
    return raw.get("/rehearsal/counts").json()["accepted"][kind]


def generate(client, model=IMAGE, **config):
    image = types.ImageConfig(aspect_ratio="9:16", **config)
    wanted = types.GenerateContentConfig(response_modalities=["IMAGE"], image_config=image, labels={"job": "j1"})
    return client.models.generate_content(model=model, contents="a cat", config=wanted)


async def finished(client, operation):
    async with asyncio.timeout(20):
        while not operation.done:
            await asyncio.sleep(0.02)
            operation = await client.aio.operations.get(operation)
    return operation


@pytest.mark.parametrize("way", ["by_key", "by_project_globally", "express"])
def test_the_sdk_gets_pictures_on_every_route(way, request, raw):
    before = accepted(raw)
    reply = generate(request.getfixturevalue(way), image_size="512")
    assert reply.parts[0].inline_data.mime_type == "image/png"
    assert Image.open(io.BytesIO(reply.parts[0].inline_data.data)).size == (384, 688)
    assert reply.usage_metadata.candidates_tokens_details[0].token_count == 747
    assert reply.response_id
    assert accepted(raw) == before + 1
    last = raw.get("/rehearsal/counts?full=1").json()["submissions"][-1]
    assert (last["kind"], last["labels"], last["model"]) == ("image", {"job": "j1"}, IMAGE)


def test_lite_and_nano_banana_answer_in_jpeg(by_key):
    for model in ("gemini-3.1-flash-lite-image", "gemini-nano-banana-2.1"):
        blob = generate(by_key, model).parts[0].inline_data
        assert blob.mime_type == "image/jpeg"
        assert Image.open(io.BytesIO(blob.data)).format == "JPEG"


@pytest.mark.parametrize("way", ["by_project", "express"])
async def test_the_sdk_makes_a_video_of_a_frame_on_agent_platform(way, request):
    client = request.getfixturevalue(way)
    frame = io.BytesIO()
    Image.new("RGB", (720, 1280), (200, 60, 30)).save(frame, "JPEG")
    source = types.GenerateVideosSource(
        prompt="slow push in", image=types.Image(image_bytes=frame.getvalue(), mime_type="image/jpeg")
    )
    config = types.GenerateVideosConfig(aspect_ratio="9:16", duration_seconds=4, resolution="720p", number_of_videos=1)
    operation = await client.aio.models.generate_videos(model=VEO, source=source, config=config)
    assert not operation.done
    resumed = types.GenerateVideosOperation(name=operation.name)
    data = (await finished(client, resumed)).response.generated_videos[0].video.video_bytes
    with av.open(io.BytesIO(data)) as container:
        first = next(container.decode(video=0)).to_image()
    assert first.size == (720, 1280)
    assert first.resize((1, 1)).getpixel((0, 0)) == pytest.approx((200, 60, 30), abs=6)


async def test_the_sdk_polls_and_downloads_a_gemini_api_video(by_key, raw):
    name = raw.post(SUBMIT, json=VIDEO).json()["name"]
    done = await finished(by_key, types.GenerateVideosOperation(name=name))
    data = by_key.files.download(file=done.response.generated_videos[0].video)
    with av.open(io.BytesIO(data)) as container:
        assert container.duration == 4_000_000


def test_the_sdk_raises_its_own_errors(by_key, by_project, service):
    with pytest.raises(errors.ClientError) as size:
        generate(by_key, image_size="8K")
    assert (size.value.code, size.value.status) == (400, "INVALID_ARGUMENT")
    with pytest.raises(errors.ClientError) as model:
        generate(by_project, "no-such-model")
    assert model.value.code == 404
    with pytest.raises(errors.ClientError, match="API key not valid"):
        generate(genai.Client(api_key="invalid", http_options=options(service)))


@pytest.mark.parametrize(
    ("fault", "code", "status"),
    [
        ("429-minute", 429, "RESOURCE_EXHAUSTED"),
        ("429-day", 429, "RESOURCE_EXHAUSTED"),
        ("429-bare", 429, "RESOURCE_EXHAUSTED"),
        ("500", 500, "INTERNAL"),
        ("503", 503, "UNAVAILABLE"),
        ("504", 504, "DEADLINE_EXCEEDED"),
    ],
)
def test_errors_come_before_acceptance_and_the_next_try_is_served(raw, by_key, fault, code, status):
    before = accepted(raw)
    play(raw, fault)
    with pytest.raises(errors.APIError) as caught:
        generate(by_key, image_size="512")
    assert (caught.value.code, caught.value.status) == (code, status)
    assert accepted(raw) == before
    assert raw.post(GENERATE, json=BODY).status_code == 200


def test_a_daily_429_tells_quota_and_delay_only_in_the_body(raw):
    play(raw, "429-day", limit=250)
    reply = raw.post(GENERATE, json=BODY)
    details = reply.json()["error"]["details"]
    assert details[1]["violations"][0]["quotaId"] == "GenerateRequestsPerDayPerProjectPerModel"
    assert details[1]["violations"][0]["quotaValue"] == "250"
    assert details[2]["retryDelay"].endswith("s")
    assert "retry-after" not in reply.headers
    play(raw, "429-bare")
    assert "details" not in raw.post(GENERATE, json=BODY).json()["error"]


def test_front_end_errors_are_html_or_a_list(raw):
    for fault, status in (("html-503", 503), ("502", 502)):
        play(raw, fault)
        reply = raw.post(GENERATE, json=BODY)
        assert (reply.status_code, reply.headers["content-type"].split(";")[0]) == (status, "text/html")
        assert reply.text.startswith("<!DOCTYPE html>")
    play(raw, "array-503")
    assert raw.post(GENERATE, json=BODY).json()[0]["error"]["code"] == 503


def test_an_error_may_follow_acceptance(raw):
    before = accepted(raw)
    play(raw, "500", accepted=True)
    assert raw.post(GENERATE, json=BODY).status_code == 500
    assert accepted(raw) == before + 1


@pytest.mark.parametrize(("fault", "more"), [("drop-before", 0), ("drop-after", 1)])
def test_dropped_connections_reach_the_caller_and_only_one_is_accepted(raw, by_key, fault, more):
    before = accepted(raw)
    play(raw, fault)
    with pytest.raises(httpx2.TransportError):
        raw.post(GENERATE, json=BODY)
    assert accepted(raw) == before + more
    play(raw, fault)
    with pytest.raises(httpx2.TransportError):
        generate(by_key, image_size="512")
    assert accepted(raw) == before + 2 * more


@pytest.mark.parametrize(("fault", "more"), [("stall-before", 0), ("stall", 1)])
def test_a_stalled_reply_outlasts_the_caller(raw, service, fault, more):
    before = accepted(raw)
    play(raw, fault, seconds=FACTOR * 2)
    with pytest.raises(httpx2.ReadTimeout):
        raw.post(GENERATE, json=BODY, timeout=0.3)
    assert accepted(raw) == before + more


def test_a_truncated_picture_breaks_off_and_a_flipped_one_differs(raw):
    play(raw, "truncate")
    with pytest.raises(httpx2.RemoteProtocolError):
        raw.post(GENERATE, json=BODY)
    seeded = BODY | {"generationConfig": BODY["generationConfig"] | {"seed": 9}}
    play(raw, "flip")
    flipped, whole = (picture_in(raw.post(GENERATE, json=seeded)) for _ in range(2))
    assert len(flipped) == len(whole)
    assert sum(a != b for a, b in zip(flipped, whole, strict=True)) == 1
    with pytest.raises((OSError, SyntaxError)):
        Image.open(io.BytesIO(flipped)).load()


@pytest.mark.parametrize(
    ("fault", "part"),
    [
        ("block", "blockReason"),
        ("finish", "IMAGE_SAFETY"),
        ("no-image", "NO_IMAGE"),
        ("text-only", '"text"'),
        ("empty", ""),
    ],
)
def test_scripted_replies_without_a_picture(raw, fault, part):
    play(raw, fault)
    body = raw.post(GENERATE, json=BODY).json()
    assert part in json.dumps(body)
    assert "inlineData" not in json.dumps(body)


async def done_video(raw, by_key):
    operation = types.GenerateVideosOperation(name=raw.post(SUBMIT, json=VIDEO).json()["name"])
    return await finished(by_key, operation)


@pytest.mark.parametrize("fault", ["rai", "rai-audio", "empty", "op-error"])
async def test_scripted_operations_end_without_a_video(raw, by_key, fault):
    play(raw, fault, kind="video", reason="64151117")
    done = await done_video(raw, by_key)
    assert (done.error is not None) == (fault == "op-error")
    if fault.startswith("rai"):
        assert done.response.rai_media_filtered_count == 1
        assert ("64151117" in done.response.rai_media_filtered_reasons[0]) == (fault == "rai")
    else:
        assert done.response is None


async def test_faults_of_polls_and_downloads_cost_nothing(raw, by_key):
    before = accepted(raw, "video")
    done = await done_video(raw, by_key)
    path = f"/v1beta/{done.name}"
    for fault in ("503", "expired"):
        play(raw, fault, kind="poll")
        assert raw.get(path).status_code == (503 if fault == "503" else 404)
        assert raw.get(path).json()["done"] is True
    url = "/v1/" + done.response.generated_videos[0].video.uri.partition("/v1beta/")[2]
    whole = raw.get(url).content
    for fault in ("truncate", "drop-before"):
        play(raw, fault, kind="download")
        with pytest.raises(httpx2.TransportError):
            raw.get(url)
    play(raw, "short", kind="download")
    assert len(raw.get(url).content) == len(whole) // 2
    play(raw, "flip", kind="download")
    assert len(raw.get(url).content) == len(whole) != raw.get(url).content
    assert raw.get(url).content == whole
    assert accepted(raw, "video") == before + 1


async def test_many_at_once_are_each_accepted_exactly_once(service, raw):
    prompt = "one of many"
    limits = httpx2.Limits(max_connections=16)
    async with httpx2.AsyncClient(base_url=service.base_url, headers={"x-goog-api-key": "k"}, limits=limits) as client:
        body = BODY | {"contents": [{"parts": [{"text": prompt}]}]}
        replies = await asyncio.gather(*(client.post(GENERATE, json=body, timeout=30) for _ in range(24)))
    assert {reply.status_code for reply in replies} == {200}
    assert len({reply.json()["responseId"] for reply in replies}) == 24
    counted = raw.get("/rehearsal/counts").json()["by_prompt_sha"]
    assert counted[hashlib.sha256(prompt.encode()).hexdigest()] == 24


def test_a_wrong_script_is_refused_and_the_old_one_stays(raw):
    play(raw, "503")
    assert raw.post("/rehearsal/script", json={"rules": [{"fault": "nonsense"}]}).status_code == 400
    assert raw.post(GENERATE, json=BODY).status_code == 503
