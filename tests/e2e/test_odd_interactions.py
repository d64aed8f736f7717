"""Clips of Omni at a server of strange manners: one submission each, and the key stays where it belongs."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from callsheet.batch.request import RunRequest
from callsheet.clock import Clock
from callsheet.context import poller
from callsheet.context.batch_state import BatchState
from callsheet.ledger import JobState, Ledger
from callsheet.settings import load_settings
from tests.support.interactions_server import CREATED, FILES, completed
from tests.support.media_samples import make_clip
from tests.support.odd_video_server import Reply, odd_server
from tests.support.whole_batch import whole_batch

KEY = "AQ.the-key-of-this-test-alone-0123"
SHEET = "id,prompt,takes,motion_prompt,duration_s,video_model,cuts\nkite,A kite,0,It climbs,4,gemini-omni-1.2-flash,\n"
DONE = completed({"type": "video", "mime_type": "video/mp4", "uri": f"{FILES}f1:download?alt=media"})
RUNNING, ACTIVE, PROCESSING = Reply(CREATED), Reply({"state": "ACTIVE"}), Reply({"state": "PROCESSING"})
ELSEWHERE = "https://elsewhere.example/v1/interactions"
FAILED = {"state": "FAILED", "error": {"code": 13, "message": "The file could not be processed."}}


def zipped(reply: Reply) -> Reply:
    return replace(reply, body=gzip.compress(reply.payload), headers={"Content-Encoding": "gzip"})


def chunked(reply: Reply) -> Reply:
    return replace(reply, chunked=True)


def closing(reply: Reply) -> Reply:
    return replace(reply, closes=True)


def ended(status: object, **more: object) -> Reply:
    return Reply({**CREATED, "status": status, **more})


def moved(to: str, status: int = 307) -> Reply:
    return Reply({}, status, {"Location": to})


@dataclass(frozen=True)
class Manner:
    """What the server answers to a submission, to polls, and about the file; and what becomes of the job."""

    submit: Reply = RUNNING
    poll: Reply | list[Reply] = DONE
    resource: Reply | list[Reply] = ACTIVE
    file: Reply | None = None
    code: int = 0
    state: JobState = JobState.STORED
    posts: int = 1


def named(name: str, **more: Any) -> Manner:
    return Manner(Reply({"name": name, "status": "in_progress"}), **more)


def again(poll: Reply) -> list[Reply]:
    return [poll, poll, DONE]


IN_DOUBT: dict[str, Any] = {"code": 5, "state": JobState.UNKNOWN}
LEFT: dict[str, Any] = {"code": 4, "state": JobState.SUBMITTED}
MANNERS: dict[str, Manner] = {
    "compressed": Manner(zipped(RUNNING), [zipped(RUNNING), zipped(DONE)], zipped(ACTIVE)),
    "in chunks": Manner(chunked(RUNNING), [chunked(RUNNING), chunked(DONE)], chunked(ACTIVE)),
    "compressed in chunks": Manner(chunked(zipped(RUNNING)), chunked(zipped(DONE))),
    "closed after each": Manner(closing(RUNNING), [closing(RUNNING)] * 3 + [closing(DONE)], closing(ACTIVE)),
    "closed within polls": Manner(poll=[replace(DONE, cut=0), replace(DONE, cut=30), DONE]),
    "closed in the name": Manner(Reply(CREATED, cut=9), **IN_DOUBT),
    "submission moved": Manner(moved(ELSEWHERE), code=3, state=JobState.FAILED),
    "submission moved for good": Manner(moved(ELSEWHERE, 308), code=3, state=JobState.FAILED),
    "poll moved": Manner(poll=moved(f"{ELSEWHERE}/v1_a"), **LEFT),
    "poll moved once": Manner(poll=[moved(f"{ELSEWHERE}/v1_a", 302), DONE]),
    "resource moved": Manner(resource=moved(f"{ELSEWHERE}/f1")),
    "name of another host": named("https://elsewhere.example/v1/interactions/v1_a"),
    "name with a version": named("v1beta/interactions/v1_a"),
    "name with a slash": named("/v1/interactions/v1_a"),
    "name of a project": named("projects/p/locations/global/interactions/v1_a"),
    "name of a model": named("models/omni/interactions/v1_a"),
    "name that leads up": named("interactions/../../v1/interactions/v1_a", **IN_DOUBT),
    "name of a host alone": named("//elsewhere.example/v1/interactions/v1_a", **IN_DOUBT),
    "name with a query": named("interactions/v1_a?key=x"),
    "name over two lines": named("interactions/v1_a\r\nHost: elsewhere", **IN_DOUBT),
    "state unknown": Manner(poll=again(ended("PREPARING_TO_PREPARE"))),
    "state a number": Manner(poll=again(ended(7))),
    "state null": Manner(poll=again(ended(None))),
    "state in an object": Manner(poll=again(ended({"state": "RUNNING"}))),
    "state a list": Manner(poll=again(ended(["in_progress"]))),
    "state in capitals": Manner(poll=again(ended("INTERACTION_STATUS_IN_PROGRESS"))),
    "state STATE_": Manner(poll=again(ended("STATE_RUNNING"))),
    "code a number": Manner(poll=ended("failed", error={"code": 3, "message": "bad"}), code=3, state=JobState.FAILED),
    "code a number in text": Manner(
        poll=ended("failed", error={"code": "3", "message": "bad"}), code=3, state=JobState.FAILED
    ),
    "code that passes": Manner(poll=[ended("failed", error={"code": "14", "message": "busy"}), DONE], posts=2),
    "code of HTTP": Manner(poll=[ended("failed", error={"code": 503, "message": "busy"}), DONE], posts=2),
    "code of HTTP in text": Manner(poll=[ended("failed", error={"code": "503", "message": "busy"}), DONE], posts=2),
    "code that is none": Manner(
        poll=ended("failed", error={"code": [1], "message": {"a": 1}}), code=3, state=JobState.FAILED
    ),
    "file late": Manner(resource=[PROCESSING] * 40 + [ACTIVE]),
    "file late by name": Manner(resource=[Reply({"file": {"state": "STATE_PROCESSING"}})] * 9 + [ACTIVE]),
    "file failed": Manner(
        resource=Reply(FAILED),
        file=Reply(
            {"error": {"code": 400, "message": "The file is in state FAILED.", "status": "FAILED_PRECONDITION"}}, 400
        ),
        **LEFT,
    ),
    "file moved to plain http": Manner(file=moved("http://127.0.0.2:9/f1"), **LEFT),
    "file empty": Manner(file=Reply(b"", kind="video/mp4"), **LEFT),
    "file a page": Manner(file=Reply(b"<html>Sign in</html>", kind="text/html"), **LEFT),
}


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    async def rest(state: BatchState, clock: Clock, seconds: float) -> None:
        return None

    monkeypatch.setattr(BatchState, "rest", rest)
    monkeypatch.setattr(poller, "REAL_PATIENCE_S", 0.2)


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("name", MANNERS)
@pytest.mark.quick_cases("closed in the name", "submission moved", "compressed in chunks", "name that leads up")
async def test_a_strange_server_gets_each_submission_once_and_the_key_goes_nowhere_else(
    name: str, tmp_path: Path
) -> None:
    manner, clip = MANNERS[name], make_clip(tmp_path / "made.mp4", frames=96).read_bytes()
    (tmp_path / "sheet.csv").write_text(SHEET)
    async with odd_server() as server:
        server.rules = {
            "POST /v1/interactions": manner.submit,
            "GET /v1/interactions/v1_a": list(manner.poll) if isinstance(manner.poll, list) else manner.poll,
            "GET /v1beta/files/f1:": manner.file or Reply(clip, kind="video/mp4"),
            "files/f1": list(manner.resource) if isinstance(manner.resource, list) else manner.resource,
        }
        settings = load_settings(
            home=tmp_path / "home", gemini_base_url=server.url, gemini_api_key=KEY, video_deadline_s=5
        )
        request = RunRequest(str(tmp_path / "sheet.csv"), live=True)
        summary = (await whole_batch(request, settings)).summary
        async with await Ledger.open(settings.ledger_url, clock=Clock()) as ledger:
            [job] = await ledger.jobs_of("sheet.live")
        assert (job.state, summary["exit_code"], len(server.asked("POST"))) == (manner.state, manner.code, manner.posts)
        await whole_batch(request, settings)
        assert len(server.asked("POST")) == manner.posts, "another run sends nothing again"
    assert {one.headers["host"] for one in server.seen} == {server.url.removeprefix("http://")}
    records = [path.read_bytes() for path in settings.home.rglob("*") if path.is_file()]
    assert not any(KEY.encode() in data for data in records)
