"""A paid video is not declared dead, and a download that drips does not go on for ever: with servers of all kinds."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from callsheet.batch.recover import recover_all
from callsheet.batch.resolve import PersonDecision
from callsheet.cli import resolve
from callsheet.clock import Clock
from callsheet.context.batch_state import BatchState
from callsheet.errors import DownloadFailed, DownloadStalled, SettingsError
from callsheet.gcs.access import GoogleAccess
from callsheet.jobs.missing import exit_code
from callsheet.ledger import Job, JobState, Ledger
from callsheet.ledger.records import RETENTION
from callsheet.media.probe import probe_video
from callsheet.providers.output_bucket import BucketReader
from callsheet.providers.plain_client import ApiKey
from callsheet.providers.protocol import VideoReady
from callsheet.providers.veo_gemini import VeoGemini
from callsheet.settings import Settings, load_settings
from tests.support.media_samples import make_clip, picture
from tests.support.odd_video_server import OddServer, Reply, odd_server, ranged
from tests.support.paid_videos import FILE, KEY, OTHER_KEY, POLL, RESOURCE, SHEET, SUBMIT, run, settings_at

NAME = "models/veo-3.1-generate-001/operations/op1"
GONE = {"error": {"code": 404, "message": "Requested entity was not found.", "status": "NOT_FOUND"}}
DENIED = {
    "error": {
        "code": 403,
        "message": "You do not have permission to access the File op1 or it may not exist.",
        "status": "PERMISSION_DENIED",
    }
}
BATCH = "sheet.live"


@pytest.fixture
async def server() -> AsyncIterator[OddServer]:
    async with odd_server() as it:
        yield it


@pytest.fixture
def mp4(tmp_path: Path) -> bytes:
    return make_clip(tmp_path / "made.mp4", frames=96).read_bytes()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    async def rest(state: BatchState, clock: Clock, seconds: float) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(BatchState, "rest", rest)


def done(server: OddServer) -> Reply:
    uri = f"{server.url}/v1beta/files/f1:download?alt=media"
    samples = {"generateVideoResponse": {"generatedSamples": [{"video": {"uri": uri}}]}}
    return Reply({"name": NAME, "done": True, "response": samples})


async def the_job(settings: Settings) -> Job:
    async with await Ledger.open(settings.ledger_url, clock=Clock()) as ledger:
        [job] = await ledger.jobs_of(BATCH)
        return job


async def expire(settings: Settings) -> None:
    """Give the job up as versions before did: at the first 403."""
    async with await Ledger.open(settings.ledger_url, clock=Clock()) as ledger:
        [job] = await ledger.jobs_of(BATCH)
        await ledger.take(job.key)
        await ledger.fail(job.key, JobState.EXPIRED, kind="OperationExpired", reason="403", usd=job.estimated_usd)


def sidecar(settings: Settings) -> dict[str, Any]:
    [path] = (settings.home / "archive").rglob("shot.json")
    return json.loads(path.read_text())


@pytest.mark.parametrize("refusal", [Reply(DENIED, 403), Reply(GONE, 404)], ids=["403", "404"])
@pytest.mark.parametrize("where", [POLL, FILE], ids=["poll", "download"])
async def test_a_video_that_is_not_shown_stays_submitted_until_it_is(
    server: OddServer, tmp_path: Path, mp4: bytes, where: str, refusal: Reply
) -> None:
    server.rules = {SUBMIT: Reply({"name": NAME}), POLL: done(server), where: refusal}
    settings = settings_at(server, tmp_path)
    first = await run(settings, tmp_path)
    assert first["exit_code"] == 4
    job = await the_job(settings)
    assert (job.state, job.spent_usd) == (JobState.SUBMITTED, 0)
    other = settings_at(server, tmp_path, OTHER_KEY)
    assert (await run(other, tmp_path))["exit_code"] == 4
    told = sidecar(settings)["clips"][0]["failure"]["message"]
    [then, now] = [f"key-{hashlib.sha256(key.encode()).hexdigest()[:8]}" for key in (KEY, OTHER_KEY)]
    assert f"submitted with the Gemini API key {then}" in told
    assert now in told
    assert KEY not in told
    assert [one.how for one in await recover_all(other)] == ["withheld"]
    server.rules = {POLL: done(server), FILE: Reply(mp4, kind="video/mp4")}
    assert [one.how for one in await recover_all(settings)] == ["fetched"]
    assert (await the_job(settings)).state is JobState.STORED
    assert len(server.asked("POST")) == 1


EXPRESS = "AQ.an-express-key"


@pytest.mark.long
@pytest.mark.parametrize("has_both", [False, True], ids=["another route alone", "both routes"])
async def test_a_video_is_looked_for_on_the_route_that_it_was_sent_by(
    server: OddServer, tmp_path: Path, mp4: bytes, has_both: bool
) -> None:
    server.rules = {SUBMIT: Reply({"name": NAME}), POLL: Reply(DENIED, 403), FILE: Reply(mp4, kind="video/mp4")}
    first = settings_at(server, tmp_path)
    assert (await run(first, tmp_path))["exit_code"] == 4
    sent = len(server.seen)
    server.rules[POLL] = done(server)
    given: dict[str, Any] = {"agent_platform_api_key": EXPRESS, "vertex_base_url": server.url}
    given |= {"gemini_api_key": KEY, "gemini_base_url": server.url} if has_both else {}
    other = load_settings(home=first.home, **given)
    ended = await run(other, tmp_path)
    assert (ended["exit_code"], (await the_job(first)).state) == ((0, "stored") if has_both else (4, "submitted"))
    assert all(one.headers.get("x-goog-api-key") == KEY for one in server.seen[sent:])
    assert len(server.asked("POST")) == 1
    if has_both:
        return
    assert len(server.seen) == sent
    told = sidecar(first)["clips"][0]["failure"]["message"]
    assert f"was submitted with the Gemini API key key-{hashlib.sha256(KEY.encode()).hexdigest()[:8]}" in told
    assert all(word in told for word in ("set GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL", "not submitted again"))
    [recovered] = await recover_all(other)
    assert (recovered.how, len(server.seen)) == ("withheld", sent)


BAD_KEY = {
    "error": {
        "code": 400,
        "message": "API key not valid. Please pass a valid API key.",
        "status": "INVALID_ARGUMENT",
        "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}],
    }
}
OVERLOADED = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}


@pytest.mark.long
@pytest.mark.parametrize(
    ("refusal", "says"),
    [
        (Reply(BAD_KEY, 400), "_API_KEY was used"),
        (Reply({"error": {"code": 401, "message": "m", "status": "UNAUTHENTICATED"}}, 401), "_API_KEY was used"),
        (Reply(OVERLOADED, 503), "overloaded"),
        (Reply(b"<html><title>Sign in</title></html>", kind="text/html"), "Sign in"),
    ],
    ids=["bad-key", "no-key", "overloaded", "page"],
)
async def test_a_recovery_that_is_not_let_look_leaves_the_video_submitted_and_ends_with_4(
    server: OddServer, tmp_path: Path, refusal: Reply, says: str
) -> None:
    server.rules = {SUBMIT: Reply({"name": NAME}), POLL: done(server), FILE: Reply(DENIED, 403)}
    settings = settings_at(server, tmp_path)
    await run(settings, tmp_path)
    server.rules = {POLL: refusal}
    [one] = await recover_all(settings)
    assert (one.how, exit_code([one])) == ("withheld", 4)
    assert says in one.reason
    assert KEY not in one.reason
    assert (await the_job(settings)).state is JobState.SUBMITTED


async def test_a_recovery_without_a_key_leaves_the_video_submitted_and_ends_with_4(
    server: OddServer, tmp_path: Path
) -> None:
    server.rules = {SUBMIT: Reply({"name": NAME}), POLL: done(server), FILE: Reply(DENIED, 403)}
    await run(settings_at(server, tmp_path), tmp_path)
    [one] = await recover_all(load_settings(home=tmp_path / "home"))
    assert (one.how, exit_code([one])) == ("withheld", 4)
    assert "GEMINI_API_KEY" in one.reason


async def test_a_video_is_expired_only_when_its_retention_is_over(
    server: OddServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.rules = {FILE: Reply(DENIED, 403), SUBMIT: Reply({"name": NAME}), POLL: done(server)}
    settings = settings_at(server, tmp_path)
    await run(settings, tmp_path)
    monkeypatch.setattr("callsheet.ledger.records.RETENTION", timedelta(0))
    assert (await run(settings, tmp_path))["exit_code"] == 3
    job = await the_job(settings)
    assert (job.state, job.spent_usd) == (JobState.EXPIRED, job.estimated_usd)
    assert await recover_all(settings) == [], "it is told once"


@pytest.mark.long
@pytest.mark.parametrize("how", ["run", "recover", "remake"])
async def test_a_video_that_was_given_up_too_early_is_looked_for_again_for_nothing(
    server: OddServer, tmp_path: Path, mp4: bytes, how: str
) -> None:
    server.rules = {FILE: Reply(DENIED, 403), SUBMIT: Reply({"name": NAME}), POLL: done(server)}
    settings = settings_at(server, tmp_path)
    await run(settings, tmp_path)
    await expire(settings)
    server.rules = {POLL: done(server), FILE: Reply(mp4, kind="video/mp4")}
    if how == "recover":
        assert [one.how for one in await recover_all(settings)] == ["fetched"]
    else:
        assert (await run(settings, tmp_path, remake=how == "remake"))["exit_code"] == 0
    job = await the_job(settings)
    assert (job.state, job.spent_usd) == (JobState.STORED, job.estimated_usd)
    assert len(server.asked("POST")) == 1


async def test_a_video_that_was_given_up_when_its_retention_was_over_is_not_looked_for_again(
    server: OddServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert timedelta(days=2) == RETENTION
    server.rules = {FILE: Reply(DENIED, 403), SUBMIT: Reply({"name": NAME}), POLL: done(server)}
    settings = settings_at(server, tmp_path)
    await run(settings, tmp_path)
    monkeypatch.setattr("callsheet.ledger.records.RETENTION", timedelta(0))
    await expire(settings)
    looks = len(server.seen)
    assert (await run(settings, tmp_path))["exit_code"] == 3
    assert await recover_all(settings) == []
    assert len(server.seen) == looks


async def test_an_expired_video_is_reopened_by_a_person_for_a_free_look(
    server: OddServer, tmp_path: Path, mp4: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.rules = {SUBMIT: Reply({"name": NAME}), POLL: done(server), FILE: Reply(DENIED, 403)}
    settings = settings_at(server, tmp_path)
    await run(settings, tmp_path)
    monkeypatch.setattr("callsheet.ledger.records.RETENTION", timedelta(0))
    await run(settings, tmp_path)
    again = PersonDecision("reopen", by="a person")
    with pytest.raises(SettingsError, match="No expired video"):
        await resolve._resolve(settings, ["ffffffff"], None, again, True)
    shown = await resolve._resolve(settings, [(await the_job(settings)).key[:12]], None, again, True)
    assert [job.state for job in shown.decided] == [JobState.SUBMITTED]
    server.rules[FILE] = Reply(mp4, kind="video/mp4")
    assert [one.how for one in await recover_all(settings)] == ["fetched"]
    assert len(server.asked("POST")) == 1


async def test_a_key_that_is_no_good_leaves_the_video_submitted(server: OddServer, tmp_path: Path) -> None:
    bad = {"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT"}}
    server.rules = {SUBMIT: Reply({"name": NAME}), POLL: Reply(bad, 400)}
    settings = settings_at(server, tmp_path)
    assert (await run(settings, tmp_path))["exit_code"] == 4
    assert (await the_job(settings)).state is JobState.SUBMITTED


# --- downloads that drip, break off, or come in parts


async def fetch(server: OddServer, target: Path) -> None:
    bucket = BucketReader(GoogleAccess(), rehearsal=True)
    provider = VeoGemini(f"{server.url}/", ApiKey(KEY), timeout_s=20, bucket=bucket)
    try:
        await provider.download(VideoReady(uri=f"{server.url}/v1beta/files/f1:download?alt=media"), target)
    finally:
        await provider.aclose()


A, B = {"ETag": '"a"'}, {"ETag": '"b"'}
BIG = b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 4000


@pytest.mark.parametrize(
    ("file", "requests"),
    [
        pytest.param(ranged(BIG, cut=700_000), 2, id="broken off, resumed by ETag"),
        pytest.param(ranged(BIG, most=300_000), 4, id="in parts"),
        pytest.param(ranged(BIG, most=len(BIG)), 1, id="whole with 206"),
        pytest.param(lambda asked: Reply(BIG, 206, {}, "video/mp4"), 1, id="206 without a range"),
        pytest.param([Reply(BIG, headers=A, cut=700_000), Reply(BIG)], 2, id="ranges are ignored"),
        pytest.param([Reply(BIG, headers=A, cut=9), Reply(BIG, headers={"ETag": '"b"'})], 2, id="changed"),
        pytest.param([Reply(BIG, headers=A, cut=700_000), Reply(b"", 416), Reply(BIG)], 3, id="no such range"),
        pytest.param(
            [
                Reply(BIG, headers=A, cut=700_000),
                Reply(BIG[5:], 206, {"Content-Range": f"bytes 5-{len(BIG) - 1}/{len(BIG)}"}),
                Reply(BIG),
            ],
            3,
            id="another part than asked for",
        ),
        pytest.param(
            [
                Reply(BIG, headers=A, cut=700_000),
                Reply(BIG[700_000:], 206, {"ETag": '"b"', "Content-Range": f"bytes 700000-{len(BIG) - 1}/{len(BIG)}"}),
                Reply(BIG),
            ],
            3,
            id="a part of another file",
        ),
    ],
)
async def test_a_download_that_breaks_off_is_continued_and_comes_whole(
    server: OddServer, tmp_path: Path, file: Any, requests: int
) -> None:
    server.rules = {FILE: file}
    await fetch(server, tmp_path / "clip.mp4")
    assert (tmp_path / "clip.mp4").read_bytes() == BIG
    assert len(server.asked(FILE)) == requests


@pytest.mark.parametrize(("headers", "requests"), [(A, 3), ({}, 1)], ids=["resumed", "not to be resumed"])
async def test_a_download_that_always_breaks_off_ends(
    server: OddServer, tmp_path: Path, headers: dict[str, str], requests: int
) -> None:
    server.rules = {FILE: Reply(BIG, headers=headers, cut=100)}
    with pytest.raises(DownloadFailed) as caught:
        await fetch(server, tmp_path / "clip.mp4")
    assert not isinstance(caught.value, DownloadStalled), "another try may do better"
    assert not (tmp_path / "clip.mp4").exists()
    assert len(server.asked(FILE)) == requests


@pytest.mark.parametrize("at_rest", [RESOURCE, FILE], ids=["the resource", "the file"])
async def test_a_download_that_drips_ends_after_three_turns(
    server: OddServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_rest: str
) -> None:
    monkeypatch.setattr("callsheet.providers.https_download.FLOOR_S", 0.2)
    monkeypatch.setattr("callsheet.providers.https_download.ASIDE_S", 0.2)
    drips = Reply(BIG, headers=A, kind="video/mp4", drip=True)
    if at_rest == FILE:
        server.rules = {FILE: drips}
        with pytest.raises(DownloadStalled, match="3 turns"):
            await fetch(server, tmp_path / "clip.mp4")
        assert [one.headers.get("range", "")[:6] for one in server.asked(FILE)] == ["", "bytes=", "bytes="]
        assert not (tmp_path / "clip.mp4").exists()
    else:
        server.rules = {FILE: Reply(BIG[:2000], kind="video/mp4"), RESOURCE: drips}
        await fetch(server, tmp_path / "clip.mp4")


async def test_a_dripping_download_leaves_its_turn_and_the_batch_ends_parked(
    server: OddServer, tmp_path: Path, mp4: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callsheet.providers.https_download.FLOOR_S", 0.2)
    drips = Reply(mp4, headers=A, kind="video/mp4", drip=True)
    server.rules = {SUBMIT: Reply({"name": NAME}), POLL: done(server), FILE: drips}
    settings = settings_at(server, tmp_path)
    ended = await run(settings, tmp_path)
    assert (ended["exit_code"], ended["shots"]["parked"]) == (4, 1)
    assert (await the_job(settings)).state is JobState.SUBMITTED
    assert len(server.asked(FILE)) == 3, "what drips is left to the next run, not tried four times"
    monkeypatch.setattr("callsheet.providers.https_download.FLOOR_S", 60)
    server.rules[FILE] = ranged(mp4)
    assert (await run(settings, tmp_path))["exit_code"] == 0
    assert len(server.asked("POST")) == 1


# --- what is kept of answers


def over(response: Any, **more: Any) -> Reply:
    return Reply({"name": NAME, "done": True, "response": response, **more})


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def test_bytes_come_before_an_address_and_the_address_when_they_are_no_good(
    server: OddServer, tmp_path: Path, mp4: bytes
) -> None:
    uri = f"{server.url}/v1beta/files/f1:download?alt=media"
    server.rules = {
        SUBMIT: Reply({"name": NAME}),
        POLL: replace(
            over({"videos": [{"uri": uri, "bytesBase64Encoded": base64_of(mp4)}]}), headers={"X-Request-Id": "poll-1"}
        ),
        FILE: Reply(mp4),
    }
    settings = settings_at(server, tmp_path)
    assert (await run(settings, tmp_path))["exit_code"] == 0
    assert server.asked(FILE) == []
    clip = sidecar(settings)["clips"][0]
    assert clip["reply"]["response"]["videos"][0]["uri"] == uri
    assert clip["request_id"] == "poll-1", "support finds it by that"
    assert base64_of(mp4)[:200] not in json.dumps(clip["reply"]), "the record has no bytes"
    server.rules[POLL] = over({"videos": [{"uri": uri, "bytesBase64Encoded": base64_of(mp4[:-3000])}]})
    other = settings_at(server, tmp_path / "other")
    (tmp_path / "other").mkdir()
    assert (await run(other, tmp_path / "other"))["exit_code"] == 0
    assert len(server.asked(FILE)) == 1


async def test_what_came_damaged_is_kept_as_evidence_until_the_video_is_whole(
    server: OddServer, tmp_path: Path, mp4: bytes
) -> None:
    server.rules = {SUBMIT: Reply({"name": NAME}), POLL: done(server), FILE: Reply(mp4[:-3000], kind="video/mp4")}
    settings = settings_at(server, tmp_path)
    assert (await run(settings, tmp_path))["exit_code"] == 4
    [kept] = (settings.home / "spool" / "damaged").iterdir()
    assert kept.read_bytes() == mp4[:-3000]
    assert str(kept) in sidecar(settings)["clips"][0]["failure"]["message"]
    server.rules[FILE] = Reply(mp4, kind="video/mp4")
    assert (await run(settings, tmp_path))["exit_code"] == 0
    assert list((settings.home / "spool" / "damaged").iterdir()) == []


@pytest.mark.long
async def test_a_video_in_another_container_is_archived_as_it_came(server: OddServer, tmp_path: Path) -> None:
    webm = make_webm(tmp_path / "made.webm")
    server.rules = {SUBMIT: Reply({"name": NAME}), POLL: done(server), FILE: Reply(webm, kind="video/mp4")}
    settings = settings_at(server, tmp_path)
    assert (await run(settings, tmp_path, SHEET.replace("4,\n", "4,1x1\n")))["exit_code"] == 0
    job = await the_job(settings)
    assert (job.state, job.mime_type, job.spent_usd) == (JobState.STORED, "video/webm", job.estimated_usd)
    assert sidecar(settings)["clips"][0]["poster"] is not None
    [cut] = (settings.home / "archive").rglob("cut-*.mp4")
    assert (probe_video(cut).video_codec, round(probe_video(cut).duration_s)) == ("h264", 4)
    [clip] = (settings.home / "archive").rglob("clip-*.webm")
    assert clip.read_bytes() == webm


def make_webm(path: Path) -> bytes:
    with av.open(str(path), "w", format="webm") as container:
        stream = container.add_stream("libvpx", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        # Not a new frame: that holds what memory held, and an all black clip is refused.
        still = av.VideoFrame.from_ndarray(np.asarray(picture(3, (64, 64))), format="rgb24")
        for _ in range(96):
            container.mux(stream.encode(still.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    return path.read_bytes()


@pytest.mark.long
@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply({"ok": True}), "without an operation name"),
        (Reply(b"<html><title>Sign in</title></html>", kind="text/html"), "Sign in"),
    ],
    ids=["no name", "a page"],
)
async def test_a_submission_without_a_name_is_in_doubt_and_its_reply_is_kept(
    server: OddServer, tmp_path: Path, reply: Reply, says: str
) -> None:
    server.rules = {SUBMIT: reply}
    settings = settings_at(server, tmp_path)
    assert (await run(settings, tmp_path))["exit_code"] == 5
    job = await the_job(settings)
    [kept] = (settings.home / "spool" / "replies").iterdir()
    assert kept.read_bytes().endswith(reply.payload)
    assert job.state is JobState.UNKNOWN
    assert says in job.reason
    assert str(kept) in job.reason
    await run(settings, tmp_path)
    assert len(server.asked("POST")) == 1, "a video in doubt is not sent again"


async def test_a_name_in_a_reply_that_was_kept_before_a_kill_is_adopted(
    server: OddServer, tmp_path: Path, mp4: bytes
) -> None:
    server.rules = {SUBMIT: Reply({"ok": True}), POLL: done(server), FILE: Reply(mp4)}
    settings = settings_at(server, tmp_path)
    await run(settings, tmp_path)
    [kept] = (settings.home / "spool" / "replies").iterdir()
    kept.write_bytes(kept.read_bytes().partition(b"\r\n\r\n")[0] + b"\r\n\r\n" + json.dumps({"name": NAME}).encode())
    assert (await run(settings, tmp_path))["exit_code"] == 0
    assert len(server.asked("POST")) == 1
    assert (await the_job(settings)).state is JobState.STORED


async def test_what_an_operation_said_that_gave_no_video_is_on_record(server: OddServer, tmp_path: Path) -> None:
    server.rules = {SUBMIT: Reply({"name": NAME}), POLL: over({"raiMediaFilteredReasons": "Support codes: 17301594"})}
    settings = settings_at(server, tmp_path)
    assert (await run(settings, tmp_path))["exit_code"] == 3
    clip = sidecar(settings)["clips"][0]
    assert clip["failure"]["reason"] == "17301594"
    assert clip["reply"]["response"] == {"raiMediaFilteredReasons": "Support codes: 17301594"}


@pytest.mark.long
async def test_further_videos_of_an_operation_are_kept(server: OddServer, tmp_path: Path, mp4: bytes) -> None:
    second = make_clip(tmp_path / "second.mp4", frames=100).read_bytes()
    videos = [{"bytesBase64Encoded": base64_of(one)} for one in (mp4, second)]
    server.rules = {SUBMIT: Reply({"name": NAME}), POLL: over({"videos": videos})}
    settings = settings_at(server, tmp_path)
    assert (await run(settings, tmp_path))["exit_code"] == 0
    [beside] = (settings.home / "archive").rglob("extra-*.mp4")
    assert beside.read_bytes() == second
    [other] = sidecar(settings)["clips"][0]["others"]
    assert (other["file"], other["sha256"]) == (beside.name, hashlib.sha256(second).hexdigest())
