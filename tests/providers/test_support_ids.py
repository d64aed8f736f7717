"""What a support case asks for: the provider's ids of requests, and how it rated what it made. On both routes."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest

from callsheet.clock import Clock
from callsheet.ledger import JobState, Ledger
from callsheet.providers.outcomes import read_look
from callsheet.providers.reply_spool import Reply as KeptReply
from tests.support.media_samples import make_clip
from tests.support.odd_replies import answer, blob, error, js
from tests.support.odd_reply_runs import ROUTES, jobs_by_shot, run, sidecar
from tests.support.odd_server import Wire
from tests.support.odd_video_server import Reply, odd_server
from tests.support.paid_videos import POLL, SUBMIT, settings_at
from tests.support.paid_videos import run as run_video

NAME = "models/veo-3.1-generate-001/operations/op1"
RATED = [{"category": "HARM_CATEGORY_HATE_SPEECH", "probability": "LOW", "blocked": False, "odd": {"x": 1}}, "none"]


def named(wire: Wire, request_id: str, name: str = "x-goog-request-id") -> Wire:
    return replace(wire, headers={**wire.headers, name: request_id})


@pytest.mark.long
@pytest.mark.parametrize("route", ROUTES)
async def test_a_pictures_request_id_and_ratings_are_in_ledger_and_sidecar(tmp_path: Path, route: str) -> None:
    rated = answer(blob(), promptFeedback={"safetyRatings": RATED[0]})
    rated["candidates"][0]["safetyRatings"] = RATED
    answers = {
        "made": named(js(rated), "req-1"),
        "unrated": named(js({**answer(blob()), "candidates": [{**answer(blob())["candidates"][0],
                                                               "safetyRatings": "none"}]}), "req-2", "X-Request-Id"),
        "bad": named(js(error(400, "INVALID_ARGUMENT"), status=400), "req-3"),
        "again": named(js(answer(finish="STOP") | {"usageMetadata": {}}), "req-4"),
    }  # fmt: skip
    _, _, settings = await run(tmp_path, answers, route)
    jobs = await jobs_by_shot(settings)
    take = sidecar(settings, "made")["takes"][0]
    assert (take["request_id"], take["response_id"]) == ("req-1", "r")
    told = {"category": "HARM_CATEGORY_HATE_SPEECH", "probability": "LOW", "blocked": "False"}
    assert take["safety_ratings"] == [{"of": "prompt", **told}, {"of": "answer", **told}]
    assert (jobs["made"].details or {})["request_id"] == "req-1"
    assert sidecar(settings, "unrated")["takes"][0]["request_id"] == "req-2"
    assert sidecar(settings, "unrated")["takes"][0]["safety_ratings"] == []
    assert jobs["bad"].state is not JobState.STORED
    assert "req-3" in jobs["bad"].reason
    async with await Ledger.open(settings.ledger_url, clock=Clock()) as ledger:
        first, _ = await ledger.attempts_on(jobs["again"].key)
    assert "req-4" in first.detail
    assert "request_id" not in (jobs["again"].details or {}), "the reply that gave the picture told none"


async def test_a_refused_video_names_the_request_id_over_plain_https(tmp_path: Path) -> None:
    async with odd_server() as server:
        refused = json.loads(json.dumps(error(400, "INVALID_ARGUMENT", "No.")))
        server.rules = {SUBMIT: Reply(refused, 400, {"x-goog-request-id": "req-9"})}
        settings = settings_at(server, tmp_path)
        await run_video(settings, tmp_path)
        async with await Ledger.open(settings.ledger_url, clock=Clock()) as ledger:
            [job] = await ledger.jobs_of("sheet.live")
            [attempt] = await ledger.attempts_on(job.key)
    assert "req-9" in attempt.detail


async def test_a_video_keeps_the_ids_of_its_submission_and_of_its_poll_in_every_ledger(
    tmp_path: Path,
) -> None:
    mp4 = base64.b64encode(make_clip(tmp_path / "made.mp4", frames=96).read_bytes()).decode()
    async with odd_server() as server:
        done = {"name": NAME, "done": True, "response": {"videos": [{"bytesBase64Encoded": mp4}]}}
        server.rules = {
            SUBMIT: Reply({"name": NAME}, 200, {"x-goog-request-id": "submit-1"}),
            POLL: Reply(error(403, "PERMISSION_DENIED", "Not now."), 403),
        }
        archive = str(tmp_path / "archive")
        settings = settings_at(server, tmp_path / "mine", archive=archive)
        assert (await run_video(settings, tmp_path))["exit_code"] == 4
        assert sidecar(settings, "kite")["clips"][0]["submission_request_id"] == "submit-1", "while it is under way"
        server.rules[POLL] = Reply(done, 200, {"X-Request-Id": "poll-1"})
        colleague = settings_at(server, tmp_path / "theirs", archive=archive)
        assert (await run_video(colleague, tmp_path))["exit_code"] == 0
        assert len(server.asked(SUBMIT)) == 1
        [clip] = sidecar(colleague, "kite")["clips"]
        job = (await jobs_by_shot(colleague))["kite"]
    assert (clip["submission_request_id"], clip["request_id"]) == ("submit-1", "poll-1")
    assert {(job.details or {})[name] for name in ("submission_request_id", "request_id")} == {"submit-1", "poll-1"}


def test_a_looks_request_id_is_read_with_its_answer() -> None:
    body = json.dumps(answer({"text": "{}"})).encode()
    assert read_look(KeptReply(200, {"x-request-id": "look-1"}, body)).request_id == "look-1"
