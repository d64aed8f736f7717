"""Rehearsal clips that are made longer, over HTTP: by what each route takes, refused by the model's rules."""

from __future__ import annotations

import base64
import hashlib
import io
from datetime import timedelta
from pathlib import Path
from typing import Any

import av
import pytest

from callsheet.rehearsal import render_video
from callsheet.rehearsal.clip_files import extend_video, probe_source
from tests.support.rehearsal_app import error, service

OMNI, VEO, VEO_GEMINI = "gemini-omni-1.2-flash", "veo-3.1-fast-generate-001", "veo-3.1-fast-generate-preview"
AGENT = f"/v1beta1/projects/p/locations/us-central1/publishers/google/models/{VEO}"


@pytest.fixture(scope="module")
def clip() -> bytes:
    return render_video.render(render_video.ClipWish("a kite", 640, 360, 4))


def count_frames(data: bytes) -> int:
    with av.open(io.BytesIO(data)) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.mark.parametrize("audio", [True, False])
def test_a_longer_clip_begins_with_the_source_and_plays_to_its_end(audio: bool) -> None:
    source = render_video.render(render_video.ClipWish("a kite", 360, 640, 3, audio=audio))
    longer = extend_video(extend_video(source, 7, "a"), 10, "b")
    probe = probe_source(longer)
    assert probe is not None
    assert (probe.width, probe.height, probe.seconds, count_frames(longer)) == (360, 640, 20.0, 480)
    assert extend_video(source, 7, "a") == extend_video(source, 7, "a") != extend_video(source, 7, "c")
    with av.open(io.BytesIO(longer)) as container:
        assert [stream.type for stream in container.streams] == (["video", "audio"] if audio else ["video"])


@pytest.mark.parametrize("data", [b"", b"no video", b"\x00" * 4096])
def test_bytes_that_are_no_video_are_none(data: bytes) -> None:
    assert probe_source(data) is None


def interaction(data: bytes, **wanted: Any) -> dict[str, Any]:
    video = {"type": "video", "data": base64.b64encode(data).decode(), "mime_type": "video/mp4"}
    return {
        "model": OMNI,
        "background": True,
        "input": [{"type": "user_input", "content": [video, {"type": "text", "text": "It climbs"}]}],
        "response_format": {"type": "video", "delivery": "uri", "resolution": "360p", "duration": "10s"} | wanted,
        "generation_config": {"video_config": {"task": "extend"}},
    }


async def test_an_interaction_that_extends_gives_the_longer_clip_and_bills_what_is_added(
    tmp_path: Path, clip: bytes
) -> None:
    async with service(tmp_path, latency={"video": 1}) as client:
        created = (await client.post("/v1/interactions", json=interaction(clip))).json()
        client.clock.time += timedelta(seconds=60)
        while (shown := (await client.get(f"/v1/interactions/{created['id']}")).json())["status"] == "in_progress":
            pass
        assert shown["usage"]["output_tokens_by_modality"] == [{"modality": "video", "tokens": 10 * 1314}]
        (video,) = shown["steps"][0]["content"]
        made = await client.get("/v1beta/" + video["uri"].partition("/v1beta/")[2])
        assert count_frames(made.content) == 14 * 24


@pytest.mark.parametrize(("wanted", "seconds", "status"), [({}, 4, 200), ({"duration": "6s"}, 6, 200), ({}, 34, 400)])
async def test_an_edit_is_as_long_as_its_source_unless_asked_otherwise(
    tmp_path: Path, clip: bytes, wanted: dict[str, Any], seconds: int, status: int
) -> None:
    asked = interaction(extend_video(clip, 30, "long") if status == 400 else clip)
    asked["generation_config"]["video_config"]["task"] = "edit"
    del asked["response_format"]["duration"]
    asked["response_format"] |= wanted
    async with service(tmp_path, latency={"video": 1}) as client:
        created = await client.post("/v1/interactions", json=asked)
        assert created.status_code == status
        if status != 200:
            return
        client.clock.time += timedelta(seconds=60)
        place = f"/v1/interactions/{created.json()['id']}"
        while (shown := (await client.get(place)).json())["status"] == "in_progress":
            pass
        assert shown["usage"]["output_tokens_by_modality"] == [{"modality": "video", "tokens": seconds * 1314}]


@pytest.mark.parametrize(
    ("seconds", "wanted", "words"),
    [
        (4, {"duration": "8s"}, "out of bound"),
        (4, {"resolution": "8k"}, "8k is not supported for video extension"),
        (34, {}, "too long"),
        (0, {}, "Unable to process input video"),
    ],
)
async def test_an_extension_that_breaks_the_models_rules_is_refused(
    tmp_path: Path, clip: bytes, seconds: int, wanted: dict[str, Any], words: str
) -> None:
    data = {0: b"no video", 4: clip}.get(seconds) or extend_video(clip, seconds - 4, "long")
    async with service(tmp_path) as client:
        refused = await client.post("/v1/interactions", json=interaction(data, **wanted))
    assert (refused.status_code, words in error(refused)["message"]) == (400, True)


def prediction(video: dict[str, Any], **parameters: Any) -> dict[str, Any]:
    return {"instances": [{"prompt": "It climbs", "video": video}], "parameters": parameters}


async def test_agent_platform_extends_by_bytes_and_the_gemini_api_only_what_it_made(
    tmp_path: Path, clip: bytes
) -> None:
    sent = {"bytesBase64Encoded": base64.b64encode(clip).decode(), "mimeType": "video/mp4"}
    async with service(tmp_path, latency={"video": 1}) as client:
        begun = await client.post(f"{AGENT}:predictLongRunning", json=prediction(sent, resolution="720p"))
        client.clock.time += timedelta(seconds=60)
        ask = {"operationName": begun.json()["name"]}
        while not (done := (await client.post(f"{AGENT}:fetchPredictOperation", json=ask)).json()).get("done"):
            pass
        made = base64.b64decode(done["response"]["videos"][0]["bytesBase64Encoded"])
        assert count_frames(made) == 11 * 24
        submit = f"/v1beta/models/{VEO_GEMINI}:predictLongRunning"
        begun = await client.post(submit, json={"instances": [{"prompt": "A kite"}], "parameters": {}})
        client.clock.time += timedelta(seconds=60)
        while not (done := (await client.get(f"/v1beta/{begun.json()['name']}")).json()).get("done"):
            pass
        uri = done["response"]["generateVideoResponse"]["generatedSamples"][0]["video"]["uri"]
        assert (await client.post(submit, json=prediction({"uri": uri}))).status_code == 200
        for video, parameters in (
            ({"uri": uri.replace("/files/", "/files/0")}, {}),
            (sent, {}),
            ({"uri": uri}, {"resolution": "1080p"}),
            ({"uri": uri}, {"personGeneration": "allow_adult"}),
        ):
            assert (await client.post(submit, json=prediction(video, **parameters))).status_code == 400
        client.clock.time += timedelta(days=3)
        assert (await client.post(submit, json=prediction({"uri": uri}))).status_code == 400
    assert hashlib.sha256(clip).hexdigest() in {path.name for path in (tmp_path / "inputs").iterdir()}
