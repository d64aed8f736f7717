"""Omni's interactions over real HTTP, at a server that is not ours: what is sent, and what each reply means."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given as drawn
from hypothesis import strategies as st

from callsheet import errors
from callsheet.models import load_catalogue
from callsheet.providers import Providers, open_providers
from callsheet.providers.error_codes import name_code
from callsheet.providers.interaction_replies import interaction_result
from callsheet.providers.operations import find_name
from callsheet.providers.protocol import InputImage, InputVideo, VideoReady, VideoRequest
from callsheet.providers.reply_spool import Reply as KeptReply
from callsheet.providers.retry_policy import RetryDecision, decide_retry
from callsheet.providers.video_replies import submitted_name
from callsheet.settings import Settings
from tests.support.wire_server import KEY, Reply, Server

OMNI = "gemini-omni-1.2-flash"
# What begins as a video does; a provider does not look further.
CLIP = b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 20
IMAGE = InputImage(b"png", "image/png")
CREATED = {"id": "v1_abc", "object": "interaction", "status": "in_progress", "steps": []}
ROUTES: dict[str, dict[str, Any]] = {
    "gemini": {"gemini_api_key": KEY},
    "project": {"google_cloud_project": "p", "google_cloud_location": "us-central1"},
    "express": {"agent_platform_api_key": KEY},
    "both": {"gemini_api_key": KEY, "google_cloud_project": "p"},
}
ROOTS = {
    "gemini": "/v1/interactions",
    "both": "/v1/interactions",
    "express": "/v1beta1/interactions",
    "project": "/v1beta1/projects/p/locations/global/interactions",
}


@contextlib.asynccontextmanager
async def omni(name: str, home: Path, **given: Any) -> AsyncIterator[tuple[Providers, Server]]:
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    settings = Settings(home=home, gemini_base_url=server.url, vertex_base_url=server.url, **ROUTES[name], **given)
    try:
        opened = open_providers(settings, mode="live", rehearsal_url=None, catalogue=load_catalogue())
        async with opened as providers:
            yield providers, server
    finally:
        listening.close()


def completed(*content: Any, **more: Any) -> dict[str, Any]:
    steps = [
        {"type": "user_input", "content": [{"type": "video", "uri": "https://host/files/sent"}]},
        {"type": "thought", "summary": [{"type": "text", "text": "hm"}]},
        {"type": "model_output", "content": list(content)},
    ]
    return {"id": "v1_abc", "object": "interaction", "status": "completed", "steps": steps, **more}


@pytest.mark.parametrize("name", ROUTES)
async def test_a_submission_is_one_post_to_the_routes_own_address_with_what_was_asked(
    name: str, tmp_path: Path
) -> None:
    request = VideoRequest(
        OMNI,
        "It sails",
        first_frame=IMAGE,
        last_frame=InputImage(b"jpg", "image/jpeg"),
        aspect_ratio="9:16",
        resolution="720p",
        duration_s=8,
        seed=7,
        labels=(("callsheet_job", "j"),),
    )
    async with omni(name, tmp_path) as (providers, server):
        server.script = [Reply(CREATED)]
        assert await providers.videos_for(OMNI).submit(request) == "interactions/v1_abc"
    (seen,) = server.seen
    key, token = seen.headers.get("x-goog-api-key"), seen.headers.get("authorization")
    assert (seen.method, seen.path) == ("POST", ROOTS[name])
    assert (key, token) == ((None, "Bearer anonymous") if name == "project" else (KEY, None))
    assert seen.json == {
        "model": OMNI,
        "background": True,
        "store": True,
        "input": [
            {
                "type": "user_input",
                "content": [
                    {"type": "image", "data": "cG5n", "mime_type": "image/png"},
                    {"type": "image", "data": "anBn", "mime_type": "image/jpeg"},
                    {"type": "text", "text": "It sails"},
                ],
            }
        ],
        "response_format": {
            "type": "video",
            "aspect_ratio": "9:16",
            "resolution": "720p",
            "duration": "8s",
            "delivery": "uri" if ROOTS[name].startswith("/v1/") else "inline",
        },
        "generation_config": {"video_config": {"task": "image_to_video"}, "seed": 7},
        "labels": {"callsheet_job": "j"},
    }


@pytest.mark.parametrize(
    ("inputs", "task"),
    [
        ({}, "text_to_video"),
        ({"first_frame": IMAGE}, "image_to_video"),
        ({"first_frame": IMAGE, "last_frame": IMAGE}, "image_to_video"),
        ({"references": (IMAGE, IMAGE)}, "reference_to_video"),
        ({"source_video": InputVideo(data=b"v")}, "edit"),
        ({"source_video": InputVideo(data=b"v"), "references": (IMAGE,)}, "edit"),
        ({"source_video": InputVideo(uri="https://host/files/a"), "extend": True}, "extend"),
        ({"extend": True}, ""),
        ({"last_frame": IMAGE}, ""),
        ({"references": (IMAGE,), "first_frame": IMAGE}, ""),
        ({"source_video": InputVideo(data=b"v"), "first_frame": IMAGE}, ""),
        ({"source_video": InputVideo(data=b"v"), "extend": True, "references": (IMAGE,)}, ""),
        ({"source_video": InputVideo()}, ""),
        ({"source_video": InputVideo(uri="gs://b/a.mp4")}, ""),
    ],
)
async def test_the_inputs_make_the_task_and_what_none_takes_is_refused_unsent(
    inputs: Mapping[str, Any], task: str, tmp_path: Path
) -> None:
    async with omni("gemini", tmp_path) as (providers, server):
        server.script = [Reply(CREATED)]
        call = providers.videos_for(OMNI).submit(VideoRequest(OMNI, "x", **inputs))
        if not task:
            with pytest.raises(errors.Rejected) as refused:
                await call
            assert (refused.value.reason, server.seen) == ("NOT_CARRIED", [])
            return
        await call
        assert server.seen[0].json["generation_config"]["video_config"]["task"] == task


async def test_a_place_in_a_bucket_is_asked_for_on_agent_platform_alone(tmp_path: Path) -> None:
    request = VideoRequest(OMNI, "x", output_uri="gs://b/p/")
    async with omni("project", tmp_path) as (providers, server):
        server.script = [Reply(CREATED)]
        await providers.videos_for(OMNI).submit(request)
        assert server.seen[0].json["response_format"] == {"type": "video", "delivery": "uri", "gcs_uri": "gs://b/p/"}
    async with omni("gemini", tmp_path) as (providers, server):
        with pytest.raises(errors.Rejected, match="bucket"):
            await providers.videos_for(OMNI).submit(request)
        assert not server.seen


async def test_what_must_not_be_seen_goes_last_in_the_prompt(tmp_path: Path) -> None:
    async with omni("gemini", tmp_path) as (providers, server):
        server.script = [Reply(CREATED)]
        await providers.videos_for(OMNI).submit(VideoRequest(OMNI, "A boat", negative_prompt="rain, fog"))
        assert server.seen[0].json["input"][0]["content"] == [{"type": "text", "text": "A boat\n\nAvoid: rain, fog"}]


# --- the reply to a submission

NAMES: list[tuple[Any, str]] = [
    (CREATED, "interactions/v1_abc"),
    ({"interaction": CREATED}, "interactions/v1_abc"),
    ([CREATED], "interactions/v1_abc"),
    ({"id": "v1_abc", "status": "queued"}, "v1_abc"),
    ({"name": "projects/p/locations/global/interactions/v1_abc"}, "projects/p/locations/global/interactions/v1_abc"),
    ({**CREATED, "id": "interactions/v1_abc"}, "interactions/v1_abc"),
    ({**CREATED, "id": "v1_abc=="}, "interactions/v1_abc=="),
    ({**CREATED, "status": "failed", "error": {"code": 429, "message": "busy"}}, "interactions/v1_abc"),
    (completed({"type": "text", "text": "I cannot"}), "interactions/v1_abc"),
]


@pytest.mark.parametrize(("body", "name"), NAMES)
async def test_an_interaction_is_followed_by_whatever_names_it(body: Any, name: str, tmp_path: Path) -> None:
    async with omni("gemini", tmp_path) as (providers, server):
        server.script = [Reply(body), Reply({**CREATED, "status": "queued"})]
        provider = providers.videos_for(OMNI)
        assert await provider.submit(VideoRequest(OMNI, "x")) == name
        assert await provider.poll(name) is None
        assert server.seen[1].path == f"/v1/interactions/v1_abc{'==' if '==' in name else ''}?stream=false"
        assert server.posts == 1


@pytest.mark.parametrize(
    ("step", "cls"),
    [
        ("drop", errors.Unknown),
        ("reset", errors.Unknown),
        (Reply({"error": {"code": "rate_limit_exceeded", "message": "slow down"}}), errors.RateLimited),
        (Reply({"error": {"code": "https://errors.dev/invalid_request", "message": "no"}}), errors.Rejected),
        (Reply({"error": {"code": "overloaded", "message": "busy"}}, 503), errors.Overloaded),
        (Reply({"error": {"code": "internal_error", "message": "oh"}}, 500), errors.Unknown),
        (Reply({"error": {"message": "API key not valid."}}, 400), errors.Unauthorised),
        (Reply({"error": {"code": 400, "message": "Your request violates our usage guidelines"}}, 400), errors.Blocked),
        (Reply({"error": {"code": 404, "message": "model", "status": "NOT_FOUND"}}, 404), errors.ModelNotFound),
        (Reply(b"<html><title>Sign in</title>"), errors.Unknown),
        (Reply({"status": "in_progress", "object": "interaction"}), errors.Unknown),
        (Reply(b""), errors.Unknown),
    ],
)
async def test_a_submission_without_a_name_is_judged_once_and_never_sent_again(
    step: Any, cls: type[errors.ProviderError], tmp_path: Path
) -> None:
    async with omni("gemini", tmp_path) as (providers, server):
        server.script = [step]
        with pytest.raises(cls):
            await providers.videos_for(OMNI).submit(VideoRequest(OMNI, "x"))
        assert server.posts == 1


@pytest.mark.parametrize("is_whole", [False, True])
@pytest.mark.parametrize(("body", "name"), NAMES)
def test_a_reply_cut_anywhere_gives_the_whole_name_or_is_in_doubt(body: Any, name: str, is_whole: bool) -> None:
    """A part of a name would be asked about for ever. Read again after a kill a reply seems to have come whole."""
    sent = json.dumps(body).encode()
    for end in range(1, len(sent)):
        with contextlib.suppress(errors.Unknown):
            assert submitted_name(KeptReply(200, {}, sent[:end], is_whole), "x") == name


# --- polls

URI = "https://generativelanguage.googleapis.com/v1beta/files/vid123:download?alt=media"
VIDEO = {"type": "video", "mime_type": "video/mp4", "uri": URI}
TOLD = {"output_tokens_by_modality": [{"modality": "video", "tokens": 32000}, {"modality": "TEXT", "tokens": "7"}]}


@pytest.mark.parametrize(
    "document",
    [
        completed(VIDEO),
        {**completed(VIDEO), "status": "COMPLETED"},
        {**completed(VIDEO), "status": "idle"},
        {**completed(VIDEO), "status": "incomplete"},
        {**completed(VIDEO), "status": "budget_exceeded"},
        {**completed(VIDEO), "status": "requires_continuation"},
        {**completed(VIDEO), "status": "something_new"},
        {name: value for name, value in completed(VIDEO).items() if name != "status"},
        completed({"type": "text", "text": "Here it is."}, VIDEO),
        completed(VIDEO, errors=[{"code": "warning", "message": "slow"}]),
        {"interaction": completed(VIDEO)},
        [{"event_type": "interaction.start"}, {"interaction": completed(VIDEO)}],
        {"id": "v1_abc", "status": "completed", "outputs": [VIDEO]},
        {"id": "v1_abc", "status": "completed", "outputVideo": VIDEO},
        {"id": "v1_abc", "status": "completed", "video": {"url": URI}},
        {"id": "v1_abc", "status": "completed", "steps": {"type": "model_output", "content": VIDEO}},
        completed({"mimeType": "video/mp4", "fileData": {"fileUri": URI}}),
    ],
)
def test_a_video_counts_wherever_it_lies_and_whatever_the_status(document: Any) -> None:
    assert interaction_result(document) == VideoReady(uri=URI)


def test_the_last_video_is_the_result_and_what_was_sent_is_none() -> None:
    first = {"type": "video", "data": base64.b64encode(b"draft").decode()}
    ready = interaction_result(completed(first, VIDEO, usage=TOLD))
    assert ready is not None
    assert (ready.uri, ready.others) == (URI, (VideoReady(data=b"draft"),))
    assert ready.tokens == {"output_video": 32000, "output_text": 7}
    with pytest.raises(errors.NoVideo):  # the sent one is among the steps
        interaction_result(completed())


@pytest.mark.parametrize("status", ["queued", "in_progress", "IN_PROGRESS", "idle", "something_new", ""])
def test_an_interaction_that_has_not_ended_runs_on(status: str) -> None:
    assert interaction_result({"id": "v1_abc", "object": "interaction", "status": status, "steps": []}) is None


ENDS: list[tuple[Any, type[errors.ProviderError], str, RetryDecision]] = [
    (completed({"type": "text", "text": "I cannot make that."}), errors.VideoFiltered, "REFUSED", RetryDecision.BLOCK),
    (completed(), errors.NoVideo, "", RetryDecision.FAIL),
    ({**CREATED, "status": "failed"}, errors.OperationFailed, "UNKNOWN", RetryDecision.FAIL),
    ({**CREATED, "status": "cancelled"}, errors.OperationFailed, "CANCELLED", RetryDecision.FAIL),
    ({**CREATED, "status": "incomplete"}, errors.OperationFailed, "INCOMPLETE", RetryDecision.FAIL),
    ({**CREATED, "status": "budget_exceeded"}, errors.OperationFailed, "BUDGET_EXCEEDED", RetryDecision.FAIL),
    ({**CREATED, "status": "requires_action"}, errors.OperationFailed, "REQUIRES_ACTION", RetryDecision.FAIL),
    ({**CREATED, "status": "requires_continuation"}, errors.OperationFailed, "REQUIRES_CONTIN", RetryDecision.FAIL),
    (
        {**CREATED, "status": "failed", "error": {"code": "service_unavailable", "message": "busy"}},
        errors.OperationFailed,
        "UNAVAILABLE",
        RetryDecision.RETRY,
    ),
    (
        {**CREATED, "status": "failed", "errors": [{"code": "https://e.dev/errors/resource-exhausted"}]},
        errors.OperationFailed,
        "RESOURCE_EXHAUSTED",
        RetryDecision.RETRY,
    ),
    (
        {**CREATED, "steps": [{"type": "model_output", "error": {"code": 13, "message": "oh"}}], "status": "failed"},
        errors.OperationFailed,
        "INTERNAL",
        RetryDecision.RETRY,
    ),
    (
        {**CREATED, "status": "failed", "error": {"code": "503", "message": "busy"}},
        errors.OperationFailed,
        "UNAVAILABLE",
        RetryDecision.RETRY,
    ),
    (
        {**CREATED, "status": "failed", "error": {"code": "content_policy_violation", "message": "no"}},
        errors.VideoFiltered,
        "REFUSED",
        RetryDecision.BLOCK,
    ),
    (
        {**CREATED, "status": "failed", "error": "It violates our usage guidelines. Support codes: 123"},
        errors.VideoFiltered,
        "123",
        RetryDecision.BLOCK,
    ),
]


@pytest.mark.parametrize(("document", "cls", "reason", "verdict"), ENDS)
def test_an_end_without_a_video_has_its_class_reason_and_verdict(
    document: Any, cls: type[errors.ProviderError], reason: str, verdict: RetryDecision
) -> None:
    with pytest.raises(cls) as ended:
        interaction_result(document)
    assert ended.value.reason.startswith(reason)
    assert not ended.value.charged
    assert decide_retry("video", ended.value, 0) is verdict


def test_a_failure_whose_video_is_billed_is_charged_and_not_sent_again() -> None:
    failed = {**CREATED, "status": "failed", "usage": TOLD, "error": {"code": "internal_error", "message": "oh"}}
    with pytest.raises(errors.OperationFailed, match="billed") as ended:
        interaction_result(failed)
    assert (ended.value.charged, ended.value.tokens["output_video"]) == (True, 32000)
    assert decide_retry("video", ended.value, 0) is RetryDecision.FAIL


def test_a_completed_interaction_that_is_billed_and_shows_no_video_is_looked_at_again() -> None:
    with pytest.raises(errors.Unreachable, match="no video yet"):
        interaction_result(completed({"type": "text", "text": "Here"}, usage=TOLD))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "status",
                    "steps",
                    "content",
                    "type",
                    "video",
                    "uri",
                    "data",
                    "error",
                    "errors",
                    "usage",
                    "id",
                    "outputs",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@drawn(json_values)
def test_whatever_json_comes_is_a_video_nothing_yet_or_an_error_of_ours(document: Any) -> None:
    try:
        found = interaction_result(document)
    except errors.ProviderError as error:
        told = str(error)
    else:
        told = "still running" if found is None else found.uri or found.data
    assert told


@drawn(st.text(max_size=40))
def test_any_code_has_a_name_of_one_word(code: str) -> None:
    assert name_code(code).replace("_", "").isalnum() or name_code(code) == ""


# --- over HTTP


async def test_an_interaction_is_done_when_its_file_is_there(tmp_path: Path) -> None:
    clip = CLIP
    async with omni("gemini", tmp_path) as (providers, server):
        provider, done = providers.videos_for(OMNI), Reply(completed(VIDEO, usage=TOLD))
        server.script = [done, Reply({"state": "PROCESSING"}), done, Reply({"name": "files/vid123", "state": "ACTIVE"})]
        assert await provider.poll("interactions/v1_abc") is None
        ready = await provider.poll("interactions/v1_abc")
        assert ready is not None
        assert ready.record["status"] == "completed"
        server.script = [Reply(clip, headers={"Content-Type": "video/mp4"}), Reply({"sizeBytes": str(len(clip))})]
        await provider.download(ready, tmp_path / "out.mp4")
        assert (tmp_path / "out.mp4").read_bytes() == clip
        assert [seen.path for seen in server.seen[-2:]] == [
            "/v1beta/files/vid123:download?alt=media",
            "/v1beta/files/vid123",
        ]


@pytest.mark.parametrize("told", [Reply(b"", 404), Reply(b"", 500), Reply(b"<html>"), Reply({"state": "NEW"}), "drop"])
async def test_a_file_about_which_nothing_is_known_is_left_to_the_download(told: Any, tmp_path: Path) -> None:
    async with omni("gemini", tmp_path) as (providers, server):
        server.script = [Reply(completed(VIDEO)), told]
        assert await providers.videos_for(OMNI).poll("v1_abc") == VideoReady(uri=URI)


async def test_bytes_in_the_answer_are_taken_as_they_are(tmp_path: Path) -> None:
    clip = CLIP
    inline = {"type": "video", "data": "data:video/mp4;base64," + base64.b64encode(clip).decode(), "uri": URI}
    async with omni("express", tmp_path) as (providers, server):
        server.script = [Reply(completed(inline))]
        provider = providers.videos_for(OMNI)
        ready = await provider.poll("v1_abc")
        assert ready is not None
        await provider.download(ready, tmp_path / "out.mp4")
        assert ((tmp_path / "out.mp4").read_bytes(), len(server.seen)) == (clip, 1)


async def test_a_bad_request_on_a_poll_is_trouble_at_first_and_the_end_when_it_stays(tmp_path: Path) -> None:
    refused = Reply({"error": {"code": 400, "message": "Request contains an invalid argument."}}, 400)
    async with omni("gemini", tmp_path) as (providers, server):
        provider = providers.videos_for(OMNI)
        server.script = [*[refused] * 4, Reply(CREATED), *[refused] * 5]
        for _ in range(4):
            with pytest.raises(errors.Unreachable):
                await provider.poll("v1_abc")
        assert await provider.poll("v1_abc") is None
        for _ in range(4):
            with pytest.raises(errors.Unreachable):
                await provider.poll("v1_abc")
        with pytest.raises(errors.OperationExpired):
            await provider.poll("v1_abc")


@pytest.mark.parametrize(
    ("step", "cls"),
    [
        (Reply({"error": {"code": 400, "message": "Invalid interaction name"}}, 400), errors.OperationExpired),
        (Reply({"error": {"code": 404, "message": "Not found", "status": "NOT_FOUND"}}, 404), errors.OperationExpired),
        (Reply(b"nginx", 404), errors.Unreachable),
        (Reply({"error": {"code": 403, "message": "No", "status": "PERMISSION_DENIED"}}, 403), errors.Unauthorised),
        (Reply({"error": {"code": "rate_limit_exceeded", "message": "slow"}}, 429), errors.RateLimited),
        (Reply({"error": {"code": 503, "message": "overloaded"}}), errors.Overloaded),
        (Reply({"error": {"code": 400, "message": "Invalid argument"}}), errors.Unreachable),
        (Reply({"error": {"code": 400, "message": "Invalid interaction name"}}), errors.OperationExpired),
        (Reply({**CREATED, "status": "failed", "error": {"code": 429, "message": "busy"}}), errors.OperationFailed),
        (Reply({"id": "v1_a", "status": "failed", "error": {"code": 429, "message": "no"}}), errors.OperationFailed),
        (Reply(b"<html><title>Sign in</title>"), errors.Unreachable),
        (Reply([]), errors.Unreachable),
        (Reply({"hello": "world"}), errors.Unreachable),
        (Reply(json.dumps(completed(VIDEO)).encode()[:-40], declared=5000), errors.Unreachable),
        ("drop", errors.Unreachable),
    ],
)
async def test_a_poll_that_goes_wrong_is_no_news_of_the_interaction(
    step: Any, cls: type[errors.ProviderError], tmp_path: Path
) -> None:
    async with omni("gemini", tmp_path) as (providers, server):
        server.script = [step]
        with pytest.raises(cls):
            await providers.videos_for(OMNI).poll("v1_abc")


async def test_an_interaction_is_cancelled_by_its_name(tmp_path: Path) -> None:
    async with omni("project", tmp_path) as (providers, server):
        provider: Any = providers.videos_for(OMNI)
        server.script = [Reply({**CREATED, "status": "cancelled"}), Reply(b"nginx", 404)]
        await provider.cancel("projects/p/locations/global/interactions/v1_abc")
        assert (server.seen[0].method, server.seen[0].path) == ("POST", f"{ROOTS['project']}/v1_abc/cancel")
        with pytest.raises(errors.ProviderError):
            await provider.cancel("v1_abc")


@pytest.mark.parametrize("name", ["../files/x", "a b", "https://evil/interactions/x", "interactions/..", ""])
async def test_a_name_that_leads_elsewhere_is_not_asked_for(name: str, tmp_path: Path) -> None:
    async with omni("gemini", tmp_path) as (providers, server):
        with pytest.raises(errors.ProviderError):
            await providers.videos_for(OMNI).poll(name)
        assert not server.seen


@drawn(st.text(max_size=30))
def test_any_id_of_an_interaction_is_found_again_or_refused(found: str) -> None:
    body = json.dumps({**CREATED, "id": found}).encode()
    with contextlib.suppress(errors.Unknown):
        assert submitted_name(KeptReply(200, {}, body), "x") == f"interactions/{found.rpartition('interactions/')[2]}"
    assert find_name([{"object": "interaction"}]) is None


# --- Google's own credentials


async def test_a_file_that_holds_no_credentials_is_told_and_nothing_is_sent(tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text("{}")
    given = {"google_application_credentials": tmp_path / "key.json"}
    async with omni("project", tmp_path, **given) as (providers, server):
        with pytest.raises(errors.Unauthorised, match="not a credentials file of Google"):
            await providers.videos_for(OMNI).submit(VideoRequest(OMNI, "x"))
        assert not server.seen


@pytest.fixture(scope="module")
def key_file() -> dict[str, str]:
    """The key of a service account, without the address of its tokens."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    told = {"type": "service_account", "client_email": "robot@p.iam.gserviceaccount.com", "private_key_id": "1"}
    return {**told, "private_key": key.private_bytes(serialization.Encoding.PEM, *form).decode()}


@pytest.mark.parametrize("is_granted", [True, False])
async def test_a_project_signs_with_a_token_of_its_credentials_or_sends_nothing(
    is_granted: bool, key_file: dict[str, str], tmp_path: Path
) -> None:
    granted = Reply({"access_token": "token-1", "expires_in": 3600, "token_type": "Bearer"})
    mine = tmp_path / "key.json"
    mine.write_text("{}")
    async with omni("project", tmp_path, google_application_credentials=mine) as (providers, server):
        mine.write_text(json.dumps(key_file | {"token_uri": f"{server.url}/token"}))
        provider = providers.videos_for(OMNI)
        if is_granted:
            server.script = [granted, Reply(CREATED), Reply(CREATED)]
            assert await provider.poll(await provider.submit(VideoRequest(OMNI, "x"))) is None
            assert [seen.path.partition("?")[0] for seen in server.seen[1:]] == [
                ROOTS["project"],
                f"{ROOTS['project']}/v1_abc",
            ]
            assert {seen.headers["authorization"] for seen in server.seen[1:]} == {"Bearer token-1"}
            return
        server.script = [Reply({"error": "invalid_grant", "error_description": "no"}, 400)]
        with pytest.raises(errors.Unauthorised, match="No access token"):
            await provider.submit(VideoRequest(OMNI, "x"))
        assert {seen.path for seen in server.seen} == {"/token"}
