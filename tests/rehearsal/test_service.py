"""The rehearsal service's rules over HTTP, in process, with a clock that is set by hand."""

from __future__ import annotations

import base64
import contextlib
import io
from datetime import UTC, datetime, timedelta

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet.errors import SettingsError
from callsheet.rehearsal import errors, faults, render_image, request_parts, requests
from callsheet.rehearsal.config import Quota, load_config
from callsheet.rehearsal.render_image import PictureSpec
from callsheet.rehearsal.service import day_end, day_start
from tests.support.rehearsal_app import TOKEN, error, service

IMAGE = "gemini-3.1-flash-image"
VEO = "veo-3.1-generate-preview"
VERTEX = "/v1beta1/projects/p/locations/us-central1/publishers/google/models/"
VERTEX_IMAGE = f"/v1beta1/projects/p/locations/global/publishers/google/models/{IMAGE}"
VERTEX_VEO = VERTEX + "veo-3.1-fast-generate-001"


def picture_body(prompt="a cup", **config):
    generation = {"responseModalities": ["IMAGE"], "imageConfig": {"imageSize": "512", **config}}
    return {"contents": [{"role": "user", "parts": [{"text": prompt}]}], "generationConfig": generation}


async def picture(client, prompt="a cup", model=IMAGE, **config):
    return await client.post(f"/v1/models/{model}:generateContent", json=picture_body(prompt, **config))


def veo_body(prompt="waves", instance=None, **parameters):
    return {"instances": [{"prompt": prompt, **(instance or {})}], "parameters": {"durationSeconds": 4, **parameters}}


async def veo(client, prompt="waves", instance=None, **parameters):
    url = f"/v1beta/models/{VEO}:predictLongRunning"
    return await client.post(url, json=veo_body(prompt, instance, **parameters))


async def accepted(client):
    return (await client.get("/rehearsal/counts")).json()["accepted"]


@pytest.mark.parametrize("version", ["v1", "v1beta", "v1beta1", "v1alpha"])
async def test_every_version_answers_with_a_picture_as_the_live_service_does(tmp_path, version):
    async with service(tmp_path) as client:
        reply = await client.post(f"/{version}/models/{IMAGE}:generateContent", json=picture_body(aspectRatio="16:9"))
    body = reply.json()
    blob = body["candidates"][0]["content"]["parts"][0]["inlineData"]
    assert blob["mimeType"] == "image/png"
    assert render_image.open_picture(base64.b64decode(blob["data"])).size == (688, 384)
    assert body["candidates"][0]["finishReason"] == "STOP"
    assert body["usageMetadata"]["candidatesTokensDetails"] == [{"modality": "IMAGE", "tokenCount": 747}]
    assert body["modelVersion"] == IMAGE
    assert body["responseId"]


async def test_snake_case_and_camel_case_ask_for_the_same(tmp_path):
    body = {
        "contents": {"parts": [{"text": "a"}, {"inline_data": {"mime_type": "image/png", "data": ""}}]},
        "generation_config": {"image_config": {"aspect_ratio": "16:9", "image_size": "2K"}, "seed": 7},
    }
    ask = requests.image_ask(IMAGE, "gemini_api", body)
    assert (ask.aspect_ratio, ask.size, ask.seed, ask.references) == ("16:9", "2K", 7, (b"",))


async def test_the_stream_is_one_event_and_tokens_are_counted_for_free(tmp_path):
    async with service(tmp_path) as client:
        stream = await client.post(f"/v1/models/{IMAGE}:streamGenerateContent?alt=sse", json=picture_body())
        tokens = await client.post(
            f"/v1/models/{IMAGE}:countTokens", json={"contents": [{"parts": [{"text": "abcd"}]}]}
        )
        listed = (await client.get("/v1/models")).json()["models"]
        one = (await client.get(f"/v1/models/{IMAGE}")).json()
        assert (await accepted(client)) == {"image": 1, "video": 0}
    assert stream.content.startswith(b'data: {"candidates"')
    assert stream.content.endswith(b"\r\n\r\n")
    assert tokens.json()["totalTokens"] == 1
    assert one in listed


async def test_keys_and_tokens_are_checked_as_live(tmp_path):
    async with service(tmp_path) as client:
        url, vertex = f"/v1/models/{IMAGE}:generateContent", f"{VERTEX_IMAGE}:generateContent"
        client.headers.pop("x-goog-api-key")
        none = await client.post(url, json=picture_body())
        bad = await client.post(url, json=picture_body(), headers={"x-goog-api-key": "an-invalid-key"})
        no_token = await client.post(vertex, json=picture_body())
        bad_token = await client.post(vertex, json=picture_body(), headers={"Authorization": "Bearer invalid"})
        good = await client.post(vertex, json=picture_body(), headers=TOKEN)
        assert (await accepted(client))["image"] == 1
    assert (none.status_code, error(none)["status"]) == (403, "PERMISSION_DENIED")
    assert (bad.status_code, error(bad)["details"][0]["reason"]) == (400, "API_KEY_INVALID")
    assert (no_token.status_code, error(no_token)["details"][0]["reason"]) == (401, "CREDENTIALS_MISSING")
    assert (bad_token.status_code, good.status_code) == (401, 200)


async def test_unknown_fields_are_named_with_their_place(tmp_path):
    async with service(tmp_path) as client:
        reply = await picture(client, size="1K")
        vertex_only = await picture(client, personGeneration="ALLOW_ADULT")
        top = await client.post(f"/v1/models/{IMAGE}:generateContent", json={"prompt": "x"})
    message = (
        "Invalid JSON payload received. Unknown name \"size\" at 'generation_config.image_config': Cannot find field."
    )
    assert (reply.status_code, error(reply)["message"]) == (400, message)
    violation = {"field": "generation_config.image_config", "description": message}
    assert error(reply)["details"][0]["fieldViolations"] == [violation]
    assert "personGeneration" in error(vertex_only)["message"]
    assert error(top)["message"] == 'Invalid JSON payload received. Unknown name "prompt": Cannot find field.'


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"resolution": "1080p", "durationSeconds": 6}, "1080p is not supported for a duration of 6 seconds."),
        ({"generateAudio": True}, "`generateAudio` isn't supported by this model."),
        ({"storageUri": "gs://b/o"}, "`storageUri` isn't supported by this model."),
        ({"personGeneration": "dont_allow"}, "dont_allow for personGeneration is currently not supported."),
        ({"durationSeconds": 5}, "durationSeconds 5 is out of bound for this model."),
        ({"aspectRatio": "1:1"}, "Request contains an invalid argument."),
        ({"sampleCount": 2}, "`sampleCount` must be between 1 and 1."),
    ],
)
async def test_illegal_videos_are_refused_with_the_live_texts(tmp_path, parameters, message):
    async with service(tmp_path) as client:
        reply = await veo(client, **parameters)
        assert (await accepted(client))["video"] == 0
    assert (reply.status_code, error(reply)["status"], error(reply)["message"]) == (400, "INVALID_ARGUMENT", message)


async def test_illegal_pictures_missing_models_and_broken_bodies(tmp_path):
    async with service(tmp_path) as client:
        size = await picture(client, imageSize="8K")
        unknown = await picture(client, model="gemini-9-image")
        imagen = await client.post("/v1beta/models/imagen-4.0-generate-001:predict", json={"instances": []})
        vertex = await client.post(f"{VERTEX}nope:generateContent", json=picture_body(), headers=TOKEN)
        garbage = await client.post(f"/v1/models/{IMAGE}:generateContent", content=b"{nope")
        nothing = await client.get("/v2/models")
        assert (await accepted(client)) == {"image": 0, "video": 0}
    assert error(size)["message"] == "Request contains an invalid argument."
    assert [reply.status_code for reply in (unknown, imagen, vertex, garbage, nothing)] == [404, 404, 404, 400, 404]
    assert "is not found for API version v1" in error(unknown)["message"]
    assert (
        "Publisher model `projects/p/locations/us-central1/publishers/google/models/nope`" in error(vertex)["message"]
    )


async def test_retired_models_are_served_unless_retirement_is_strict(tmp_path):
    async with service(tmp_path / "a") as client:
        assert (await veo(client)).status_code == 200
    async with service(tmp_path / "b", strict_retirement=True) as client:
        assert (await veo(client)).status_code == 404


@pytest.mark.parametrize(
    ("marker", "expected", "usd"),
    [
        ("[[block:PROHIBITED_CONTENT]]", {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}, 0),
        ("[[finish:IMAGE_SAFETY]]", {"finishReason": "IMAGE_SAFETY"}, 0),
        ("[[no-image]]", {"finishReason": "NO_IMAGE"}, 0),
        ("[[text-only]]", {"finishReason": "STOP"}, 0.000047),
        ("[[empty]]", {}, 0),
    ],
)
async def test_markers_give_replies_without_a_picture_that_cost_their_text_alone(tmp_path, marker, expected, usd):
    async with service(tmp_path) as client:
        body = (await picture(client, f"a {marker} b")).json()
        counts = (await client.get("/rehearsal/counts")).json()
    found = body.get("candidates", [{}])[0] | body
    assert {name: found[name] for name in expected} == expected
    assert "inlineData" not in str(body)
    assert ("candidates" in body) == ("finishReason" in expected)
    assert (counts["accepted"]["image"], counts["charged_usd"]) == (1, pytest.approx(usd))


async def test_a_video_runs_then_is_fetched_by_file_and_counts_when_done(tmp_path):
    async with service(tmp_path) as client:
        name = (await veo(client)).json()["name"]
        running = (await client.get(f"/v1beta/{name}")).json()
        before = (await client.get("/rehearsal/counts")).json()["charged_usd"]
        client.clock.time += timedelta(minutes=6)
        done = (await client.get(f"/v1beta/{name}")).json()
        uri = done["response"]["generateVideoResponse"]["generatedSamples"][0]["video"]["uri"]
        path = uri.removeprefix("https://generativelanguage.googleapis.com/v1beta")
        whole = await client.get(f"/v1{path}")
        part = await client.get(f"/v1{path}", headers={"Range": "bytes=10-19"})
        rest = await client.get(f"/v1{path}", headers={"Range": f"bytes={len(whole.content)}-"})
        resource = (await client.get(f"/v1{path.partition(':')[0]}")).json()
        counts = (await client.get("/rehearsal/counts?full=1")).json()
    assert name.startswith(f"models/{VEO}/operations/")
    assert running == {"name": name}
    assert path.partition(":")[0].removeprefix("/files/").isalnum()
    assert whole.headers["content-length"] == str(len(whole.content)) == resource["sizeBytes"]
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(whole.content)}"
    assert rest.status_code == 416
    assert (before, counts["charged_usd"]) == (0, pytest.approx(4 * 0.40))
    assert counts["submissions"][0]["operation"] == name
    with av.open(io.BytesIO(whole.content)) as container:
        assert container.duration == 4_000_000


@pytest.mark.parametrize("form", ["bytesBase64Encoded", "inlineData"])
async def test_both_ways_of_sending_a_first_frame_are_taken(tmp_path, form):
    data = base64.b64encode(render_image.render(PictureSpec("x", 64, 64))).decode()
    blob = {"mimeType": "image/png", "data": data}
    image = {"inlineData": blob} if form == "inlineData" else {"bytesBase64Encoded": data, "mimeType": "image/png"}
    async with service(tmp_path) as client:
        assert (await veo(client, instance={"image": image, "lastFrame": image}, durationSeconds=8)).status_code == 200
        submission = (await client.get("/rehearsal/counts")).json()["submissions"][0]
        broken = await veo(client, instance={"image": {"bytesBase64Encoded": "AAAA", "mimeType": "image/png"}})
    assert len(submission["first_frame_sha256"]) == 64
    assert broken.status_code == 400


@pytest.mark.parametrize(
    ("marker", "expected"),
    [
        ("[[rai:58061214]]", "Support codes: 58061214"),
        ("[[rai-audio]]", "issue with the audio"),
        ("[[empty]]", "'response': {}"),
        ("[[op-error]]", "'code': 13"),
    ],
)
async def test_markers_end_operations_without_a_video_and_without_a_charge(tmp_path, marker, expected):
    async with service(tmp_path) as client:
        name = (await veo(client, f"waves {marker}")).json()["name"]
        client.clock.time += timedelta(minutes=6)
        done = (await client.get(f"/v1beta/{name}")).json()
        counts = (await client.get("/rehearsal/counts")).json()
    assert done["done"] is True
    assert expected in str(done)
    assert "generatedSamples" not in str(done)
    assert (counts["accepted"]["video"], counts["charged_usd"]) == (1, 0)


async def test_operation_and_file_are_gone_after_two_days(tmp_path):
    async with service(tmp_path) as client:
        name = (await veo(client)).json()["name"]
        client.clock.time += timedelta(days=1)
        done = (await client.get(f"/v1beta/{name}")).json()
        file_id = done["response"]["generateVideoResponse"]["generatedSamples"][0]["video"]["uri"].split("/")[-1]
        client.clock.time += timedelta(days=1, minutes=6)
        gone = [
            await client.get(f"/v1beta/{name}"),
            await client.get(f"/v1beta/files/{file_id}", params={"alt": "media"}),
        ]
    assert [reply.status_code for reply in gone] == [404, 404]
    assert error(gone[0])["message"] == "Requested entity was not found."
    assert not list((tmp_path / "clips").iterdir())


async def test_agent_platform_returns_bytes_and_without_an_endpoint_refuses_a_bucket(tmp_path):
    async with service(tmp_path) as client:
        body = veo_body(sampleCount=2, generateAudio=False)
        name = (await client.post(f"{VERTEX_VEO}:predictLongRunning", json=body, headers=TOKEN)).json()["name"]
        bucket = veo_body(storageUri="gs://bucket/prefix/")
        other = (await client.post(f"{VERTEX_VEO}:predictLongRunning", json=bucket, headers=TOKEN)).json()["name"]
        client.clock.time += timedelta(minutes=6)
        fetch = f"{VERTEX_VEO}:fetchPredictOperation"
        done = (await client.post(fetch, json={"operationName": name}, headers=TOKEN)).json()
        refused = (await client.post(fetch, json={"operation_name": other}, headers=TOKEN)).json()
    clips = [base64.b64decode(video["bytesBase64Encoded"]) for video in done["response"]["videos"]]
    assert len(set(clips)) == 2
    assert refused["error"]["code"] == 9
    assert "gcs_endpoint" in refused["error"]["message"]


async def test_requests_per_minute_slide_on_the_services_clock(tmp_path):
    async with service(tmp_path, quotas={IMAGE: Quota(rpm=2)}, latency={"image": 0}) as client:
        statuses = [(await picture(client, f"p{n}")).status_code for n in range(3)]
        refused = await picture(client)
        other = await picture(client, model="gemini-3-pro-image", imageSize="1K")
        client.clock.time += timedelta(seconds=61)
        later = await picture(client)
        assert (await accepted(client))["image"] == 4
    assert (statuses, other.status_code, later.status_code) == ([200, 200, 429], 200, 200)
    details = {detail["@type"].rpartition(".")[2]: detail for detail in error(refused)["details"]}
    violation = details["QuotaFailure"]["violations"][0]
    assert violation["quotaId"] == "GenerateRequestsPerMinutePerProjectPerModel"
    assert (violation["quotaValue"], violation["quotaDimensions"]["model"]) == ("2", IMAGE)
    assert details["RetryInfo"]["retryDelay"] == "60s"
    assert "retry-after" not in refused.headers


async def test_requests_per_day_end_at_midnight_pacific_also_after_a_restart(tmp_path):
    quotas = {"*": Quota(rpd=1)}
    async with service(tmp_path, quotas=quotas) as client:
        assert (await veo(client)).status_code == 200
    async with service(tmp_path, quotas=quotas) as client:
        refused = await veo(client)
        client.clock.time = datetime(2026, 11, 22, 7, 59, tzinfo=UTC)
        still = await veo(client)
        client.clock.time = datetime(2026, 11, 22, 8, 0, 1, tzinfo=UTC)
        assert (await veo(client)).status_code == 200
    message = error(refused)["message"]
    assert (refused.status_code, still.status_code) == (429, 429)
    assert "predict_long_running_requests_per_model_per_day, limit: 1, model: veo-3.1-generate-preview" in message
    assert "Please retry in 22h" in message


def test_the_pacific_day_has_23_and_25_hours_when_the_clocks_change():
    spring, autumn = datetime(2026, 3, 8, 20, tzinfo=UTC), datetime(2026, 11, 1, 20, tzinfo=UTC)
    assert day_end(spring) - day_start(spring) == timedelta(hours=23)
    assert day_end(autumn) - day_start(autumn) == timedelta(hours=25)


async def test_the_same_request_is_a_new_take_each_time_unless_it_has_a_seed(tmp_path):
    async with service(tmp_path) as client:
        free = {
            (await picture(client)).json()["candidates"][0]["content"]["parts"][0]["inlineData"]["data"] for _ in "12"
        }
        body = picture_body()
        body["generationConfig"]["seed"] = 5
        url = f"/v1/models/{IMAGE}:generateContent"
        replies = [(await client.post(url, json=body)).json() for _ in "12"]
    seeded = {reply["candidates"][0]["content"]["parts"][0]["inlineData"]["data"] for reply in replies}
    assert len(free) == 2
    assert len({reply["responseId"] for reply in replies}) == 2
    assert len(seeded) == 1


async def test_prerendered_pictures_are_shared_but_replies_stay_distinct(tmp_path):
    async with service(tmp_path, prerender=True) as client:
        replies = [(await picture(client, f"p{n}")).json() for n in range(14)]
    data = {reply["candidates"][0]["content"]["parts"][0]["inlineData"]["data"] for reply in replies}
    assert len(data) == 6
    assert len({reply["responseId"] for reply in replies}) == 14


def rules(*given):
    return faults.parse_script({"rules": list(given)}, "test")


class Counts(dict):
    def increment(self, name):
        self[name] = self.get(name, 0) + 1
        return self[name]


def played(script, prompts, kind="image"):
    counts = Counts()
    return [faults.choose(script, counts, kind, IMAGE, prompt) is not None for prompt in prompts]


def test_rules_take_the_requests_they_name():
    assert played(rules({"fault": "503", "match": {"nth": [1, 3]}}), "aaaa") == [True, False, True, False]
    assert played(rules({"fault": "503", "match": {"every": 2}}), "aaaa") == [False, True, False, True]
    assert played(rules({"fault": "503", "match": {"first": 1, "per": "prompt"}}), "abab") == [True, True, False, False]
    assert played(rules({"fault": "503", "times": 1}), "aaa") == [True, False, False]
    assert played(rules({"fault": "503", "match": {"prompt": "^b"}}), "abc") == [False, True, False]
    assert played(rules({"fault": "503", "match": {"kind": "video"}}), "a") == [False]
    half = played(rules({"fault": "503", "match": {"probability": 0.5, "seed": 1}}), "a" * 400)
    assert half == played(rules({"fault": "503", "match": {"probability": 0.5, "seed": 1}}), "a" * 400)
    assert 150 < sum(half) < 250


def test_a_hostile_pattern_is_matched_in_linear_time():
    assert played(rules({"fault": "503", "match": {"prompt": "^(a+)+$"}}), ["a" * 3999 + "b"]) == [False]


@pytest.mark.parametrize(
    "given", [{"fault": "no-such"}, {"fault": "503", "match": {"prompt": "("}}, {"fault": "503", "x": 1}]
)
def test_a_wrong_script_is_a_settings_error(given):
    with pytest.raises(SettingsError, match=r"rules\.0"):
        rules(given)


def test_settings_come_from_yaml_with_options_on_top(tmp_path):
    file = tmp_path / "rehearsal.yaml"
    file.write_text("factor: 10\nquotas:\n  '*': {rpm: 5}\n")
    config = load_config(file, state_dir=tmp_path, factor=20.0)
    assert (config.factor, config.quota("any").rpm) == (20.0, 5)
    file.write_text("factr: 10\n")
    with pytest.raises(SettingsError, match="factr"):
        load_config(file, state_dir=tmp_path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["contents", "parts", "text", "inlineData", "data", "generationConfig", "imageConfig", "seed"]
            )
            | st.sampled_from(["instances", "parameters", "prompt", "image", "labels", "durationSeconds", "lastFrame"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(json_values.filter(lambda value: isinstance(value, dict)))
def test_any_json_is_understood_or_refused(body):
    for parse in (requests.image_ask, requests.video_ask):
        with contextlib.suppress(errors.RefusedError):
            assert parse("m", "gemini_api", body).model == "m"


@given(st.from_regex(r"[a-z]{1,5}([A-Z][a-z]{1,4}){0,3}", fullmatch=True))
def test_names_survive_a_change_of_case(name):
    assert request_parts.camel(request_parts.snake(name)) == name
