"""The rehearsal service's interactions over HTTP, in process, with a clock that is set by hand."""

from __future__ import annotations

import base64
import io
from datetime import timedelta
from pathlib import Path
from typing import Any

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet.rehearsal import errors
from callsheet.rehearsal.clip_files import LATE_S, LATE_SHARE
from callsheet.rehearsal.interaction_asks import interaction_ask
from tests.support.pictures import a_png
from tests.support.rehearsal_app import TOKEN, error, service

OMNI = "gemini-omni-1.2-flash"
AGENT = "/v1beta1/projects/p/locations/global/interactions"
IMAGE = {"type": "image", "data": base64.b64encode(a_png()).decode(), "mime_type": "image/png"}
VIDEO = {"type": "video", "uri": "https://host/files/a", "mime_type": "video/mp4"}


def body(*content: Any, prompt: str = "waves", task: str | None = None, **wanted: Any) -> dict[str, Any]:
    given = {"type": "video", "delivery": "uri", "duration": "4s", "resolution": "360p", **wanted}
    config = {"video_config": {"task": task}} if task else {}
    return {
        "model": OMNI,
        "background": True,
        "input": [{"type": "user_input", "content": [*content, {"type": "text", "text": prompt}]}],
        "response_format": {name: value for name, value in given.items() if value is not None},
        "generation_config": config,
        "labels": {"job": "j"},
    }


async def ended(client: Any, interaction_id: str) -> dict[str, Any]:
    """The interaction when its clip is made: on a busy machine that may take longer than an answer waits."""
    while True:
        shown: dict[str, Any] = (await client.get(f"/v1/interactions/{interaction_id}?stream=false")).json()
        if shown["status"] != "in_progress":
            return shown


async def test_an_interaction_runs_is_completed_with_usage_and_its_file_is_fetched(tmp_path: Path) -> None:
    async with service(tmp_path, latency={"video": 40}) as client:
        created = (await client.post("/v1/interactions", json=body())).json()
        assert (created["object"], created["status"]) == ("interaction", "in_progress")
        shown = await client.get(f"/v1/interactions/{created['id']}")
        assert (shown.json()["status"], shown.json()["steps"]) == ("in_progress", [])
        client.clock.time += timedelta(seconds=60)
        done = await ended(client, created["id"])
        assert done["usage"]["output_tokens_by_modality"] == [{"modality": "video", "tokens": 4 * 1314}]
        (video,) = done["steps"][0]["content"]
        file = "/v1beta/" + video["uri"].partition("/v1beta/")[2]
        assert (await client.get(file.partition(":")[0])).json()["state"] == "ACTIVE"
        with av.open(io.BytesIO((await client.get(file)).content)) as media:
            picture = media.streams.video[0]
            assert (picture.width, picture.height, round(float(picture.duration * picture.time_base))) == (640, 360, 4)
        counts = (await client.get("/rehearsal/counts?full=1")).json()
        assert counts["charged_usd"] == pytest.approx((4 * 1314 * 17.5 + 1.5) / 1e6, abs=1e-6)
        assert counts["submissions"][0]["operation"].startswith("interactions/v1_")


async def test_some_files_come_later_than_their_interactions_and_give_no_bytes_until_then(tmp_path: Path) -> None:
    async with service(tmp_path, latency={"video": 0}) as client:
        ids = [(await client.post("/v1/interactions", json=body())).json()["id"][3:] for _ in range(40)]
        late = [one for one in ids if int(one[0], 16) < LATE_SHARE * 16]
        for one in late[:1]:
            assert (await client.get(f"/v1/files/{one}0")).json()["state"] == "PROCESSING"
            refused = await client.get(f"/v1/files/{one}0:download?alt=media")
            assert (refused.status_code, error(refused)["status"]) == (400, "FAILED_PRECONDITION")
            client.clock.time += timedelta(seconds=LATE_S)
            assert (await client.get(f"/v1/files/{one}0")).json()["state"] == "ACTIVE"


@pytest.mark.parametrize(
    ("content", "task", "wanted", "status"),
    [
        ((), "text_to_video", {}, 200),
        ((IMAGE,), "image_to_video", {}, 200),
        ((IMAGE, IMAGE), "image_to_video", {"duration": "10s"}, 200),
        ((IMAGE, IMAGE), "image_to_video", {"duration": "11s"}, 400),
        ((IMAGE,) * 6, "reference_to_video", {}, 200),
        ((IMAGE,) * 7, "reference_to_video", {}, 400),
        ((VIDEO,), "edit", {}, 400),  # of another host; see test_extend_video.py
        ((VIDEO, IMAGE), "edit", {}, 400),
        ((VIDEO,), "extend", {"duration": "10s"}, 400),  # of another host; see test_extend_video.py
        ((VIDEO, IMAGE), "extend", {}, 400),
        ((), "edit", {}, 400),
        ((IMAGE,), "text_to_video", {}, 400),
        ((IMAGE,) * 3, "image_to_video", {}, 400),
        ((), "dance", {}, 400),
        ((), None, {"duration": 8}, 400),
        ((), None, {"duration": "16s"}, 400),
        ((), None, {"duration": "2s"}, 400),
        ((), None, {"resolution": "8k"}, 400),
        ((), None, {"aspect_ratio": "1:1"}, 400),
        ((), None, {"delivery": "post"}, 400),
        ((), None, {"gcs_uri": "gs://b/p/"}, 400),
        ((), None, {"fps": 24}, 400),
        ((), None, {"type": "audio"}, 400),
        (({"type": "image", "data": "AAAA"},), "image_to_video", {}, 400),
    ],
)
async def test_what_omni_does_not_take_is_refused(
    content: tuple[Any, ...], task: str | None, wanted: dict[str, Any], status: int, tmp_path: Path
) -> None:
    async with service(tmp_path) as client:
        reply = await client.post("/v1/interactions", json=body(*content, task=task, **wanted))
        assert (reply.status_code, (await client.get("/rehearsal/counts")).json()["accepted"]["video"]) == (
            status,
            int(status == 200),
        )


@pytest.mark.parametrize(
    "change",
    [
        {"model": "veo-3.1-generate-001"},
        {"model": "unknown"},
        {"system_instruction": "x"},
        {"safety_settings": []},
        {"store": False},
        {"negative_prompt": "x"},
        {"input": []},
        {"generation_config": {"seed": "7"}},
        {"generation_config": {"temperature": 1}},
    ],
)
async def test_a_model_or_field_that_is_not_there_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    async with service(tmp_path) as client:
        assert (await client.post("/v1/interactions", json=body() | change)).status_code in (400, 404)
        omni = {"instances": [{"prompt": "x"}]}
        assert (await client.post(f"/v1beta/models/{OMNI}:predictLongRunning", json=omni)).status_code == 404


async def test_agent_platform_wants_a_token_and_a_bucket_for_a_file(tmp_path: Path) -> None:
    async with service(tmp_path) as client:
        assert error(await client.post(AGENT, json=body()))["message"].startswith("`gcs_uri` is required")
        inline = await client.post(AGENT, json=body(delivery="inline"), headers=TOKEN)
        assert inline.status_code == 200
        assert (await client.get(f"{AGENT}/{inline.json()['id']}", headers=TOKEN)).json()["status"] == "in_progress"
        client.headers.pop("x-goog-api-key")
        assert (await client.post(AGENT, json=body())).status_code == 401
        assert (await client.post("/v1/interactions", json=body())).status_code == 403


@pytest.mark.parametrize(
    ("marker", "status", "usd"),
    [
        ("[[rai]]", "completed", True),
        ("[[rai-audio]]", "completed", True),
        ("[[empty]]", "completed", False),
        ("[[op-error]]", "failed", False),
        ("[[op-error:service_unavailable]]", "failed", False),
        ("[[op-error:budget_exceeded]]", "budget_exceeded", False),
        ("[[op-error:incomplete]]", "incomplete", False),
        ("[[op-error:requires_continuation]]", "requires_continuation", False),
    ],
)
async def test_markers_end_interactions_without_a_video(marker: str, status: str, usd: bool, tmp_path: Path) -> None:
    async with service(tmp_path) as client:
        created = (await client.post("/v1/interactions", json=body(prompt=f"waves {marker}"))).json()
        client.clock.time += timedelta(hours=1)
        done = await ended(client, created["id"])
        assert (done["status"], "'type': 'video'" in str(done["steps"])) == (status, False)
        charged = (await client.get("/rehearsal/counts")).json()["charged_usd"]
        assert (0 < charged < 0.01) if usd else charged == 0


async def test_an_interaction_is_cancelled_while_it_runs_and_costs_nothing(tmp_path: Path) -> None:
    async with service(tmp_path) as client:
        first, second = [(await client.post("/v1/interactions", json=body())).json()["id"] for _ in range(2)]
        assert (await client.post(f"/v1/interactions/{first}/cancel")).json()["status"] == "cancelled"
        client.clock.time += timedelta(hours=1)
        assert (await client.post(f"/v1/interactions/{second}/cancel")).json()["status"] != "cancelled"
        charged = (await client.get("/rehearsal/counts")).json()["charged_usd"]
        assert charged == pytest.approx(0.092, abs=1e-3)


async def test_an_unknown_interaction_is_a_bad_request_and_the_file_is_gone_before_it(tmp_path: Path) -> None:
    async with service(tmp_path) as client:
        assert error(await client.get("/v1/interactions/v1_none"))["message"] == "Invalid interaction name."
        created = (await client.post("/v1/interactions", json=body())).json()
        client.clock.time += timedelta(days=3)
        done = await ended(client, created["id"])
        assert done["status"] == "completed"
        file = created["id"].removeprefix("v1_") + "0"
        assert (await client.get(f"/v1/files/{file}")).status_code == 404
        client.clock.time += timedelta(days=60)
        assert (await client.get(f"/v1/interactions/{created['id']}")).status_code == 400


async def test_without_background_the_answer_has_the_video_and_small_ones_come_inline(tmp_path: Path) -> None:
    async with service(tmp_path) as client:
        asked = body(delivery="inline") | {"background": False, "input": "waves"}
        done = (await client.post("/v1/interactions", json=asked)).json()
        done = done if done["steps"] else await ended(client, done["id"])
        (video,) = done["steps"][0]["content"]
        assert base64.b64decode(video["data"])[4:8] == b"ftyp"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["model", "input", "type", "content", "response_format", "generation_config", "duration"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["model", "input", "response_format", "generation_config", "x"]), json_values))
def test_any_json_is_understood_or_refused(given_body: dict[str, Any]) -> None:
    try:
        answer = interaction_ask("gemini_api", given_body).delivery
    except errors.RefusedError as error:
        answer = str(error.code)
    assert answer in {"inline", "uri", "400"}
