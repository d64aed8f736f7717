"""Whole batches of Omni's clips: live at a server that is not ours, rehearsed, and killed again and again."""

from __future__ import annotations

import asyncio
import contextlib
import random
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from callsheet.batch.recover import recover_all
from callsheet.batch.request import RunRequest
from callsheet.clock import Clock
from callsheet.context.batch_state import BatchState
from callsheet.keys import ATTEMPT_LABEL, JOB_LABEL
from callsheet.ledger import Job, JobState, Ledger
from callsheet.settings import Settings, load_settings
from tests.support.cli import Cli, kill
from tests.support.interactions_server import CREATED, InteractionsServer, completed, serving, settle
from tests.support.media_samples import make_clip
from tests.support.odd_video_server import OddServer, Reply, odd_server
from tests.support.service import Service
from tests.support.whole_batch import whole_batch

SUBMIT, POLL, FILE, RESOURCE = "POST /v1/interactions", "GET /v1/interactions/v1_a", "GET /v1beta/files/f1:", "files/f1"
HEAD = "id,prompt,takes,motion_prompt,duration_s,negative_prompt,video_model,cuts\n"
SHEET = HEAD + "kite,A kite over dunes,0,It climbs,4,rain,gemini-omni-1.2-flash,\n"
URI = "https://generativelanguage.googleapis.com/v1beta/files/f1:download?alt=media"
USAGE = {"output_tokens_by_modality": [{"modality": "video", "tokens": 20000}]}
KEY = "AQ.the-key-that-submitted-it"


DONE = completed({"type": "video", "mime_type": "video/mp4", "uri": URI}, usage=USAGE)


@pytest.fixture
async def server() -> AsyncIterator[OddServer]:
    async with odd_server() as it:
        yield it


@pytest.fixture
def mp4(tmp_path: Path) -> bytes:
    return make_clip(tmp_path / "made.mp4", frames=96).read_bytes()


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    async def rest(state: BatchState, clock: Clock, seconds: float) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(BatchState, "rest", rest)


def settings_at(server: OddServer, folder: Path, **given: Any) -> Settings:
    given = {"gemini_base_url": server.url, "gemini_api_key": KEY} | given
    return load_settings(home=folder / "home", **given)


async def run(settings: Settings, folder: Path, **given: Any) -> dict[str, Any]:
    (folder / "sheet.csv").write_text(SHEET)
    return (await whole_batch(RunRequest(str(folder / "sheet.csv"), live=True, **given), settings)).summary


async def jobs(settings: Settings, batch: str = "sheet.live") -> list[Job]:
    async with await Ledger.open(settings.ledger_url, clock=Clock()) as ledger:
        return await ledger.jobs_of(batch)


# --- live, at a server that speaks interactions and files alone


@pytest.mark.usefixtures("no_pauses")
async def test_a_key_alone_makes_a_clip_that_is_settled_by_its_tokens(
    server: OddServer, tmp_path: Path, mp4: bytes
) -> None:
    server.rules = {
        SUBMIT: Reply(CREATED),
        POLL: [Reply(CREATED), Reply({"error": {"code": 503}}, 503), Reply({"error": {"code": 400}}, 400), DONE],
        FILE: Reply(mp4, kind="video/mp4"),
        RESOURCE: [Reply({"state": "PROCESSING"}), Reply({"state": "ACTIVE", "sizeBytes": str(len(mp4))})],
    }
    settings = settings_at(server, tmp_path)
    assert (await run(settings, tmp_path))["exit_code"] == 0
    [job] = await jobs(settings)
    assert (job.state, job.operation, float(job.spent_usd)) == (JobState.STORED, "interactions/v1_a", 0.35)
    [sent] = server.asked("POST")
    assert sent.json["input"][0]["content"] == [{"type": "text", "text": "It climbs\n\nAvoid: rain"}]
    assert sent.json["labels"] == {JOB_LABEL: job.key[:40], ATTEMPT_LABEL: "1"}
    assert job.details is not None
    assert job.details["tokens"] == {"output_video": 20000}


ENDINGS: dict[str, tuple[Reply, int, JobState, float]] = {
    "refused": (completed({"type": "text", "text": "I cannot make that."}), 3, JobState.BLOCKED, 0),
    "nothing": (completed(), 3, JobState.FAILED, 0),
    "failed": (Reply({**CREATED, "status": "failed", "error": {"code": "bad"}}), 3, JobState.FAILED, 0),
    # What was made until then may be on the bill: its price counts as spent, in doubt.
    "cancelled": (Reply({**CREATED, "status": "cancelled"}), 3, JobState.FAILED, 0.28),
    "budget": (Reply({**CREATED, "status": "budget_exceeded"}), 3, JobState.FAILED, 0),
    "failed-and-billed": (Reply({**CREATED, "status": "failed", "usage": USAGE}), 3, JobState.FAILED, 0.35),
    "unknown-id": (
        Reply({"error": {"code": 400, "message": "Invalid interaction name"}}, 400),
        4,
        JobState.SUBMITTED,
        0,
    ),
    "bad-requests": (Reply({"error": {"code": 400, "message": "no"}}, 400), 4, JobState.SUBMITTED, 0),
}


@pytest.mark.long
@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize(("ending", "code", "state", "usd"), ENDINGS.values(), ids=ENDINGS)
async def test_an_interaction_without_a_video_ends_its_job_once_and_costs_what_is_billed(
    server: OddServer, tmp_path: Path, ending: Reply, code: int, state: JobState, usd: float
) -> None:
    server.rules = {SUBMIT: Reply(CREATED), POLL: ending}
    settings = settings_at(server, tmp_path)
    assert (await run(settings, tmp_path))["exit_code"] == code
    [job] = await jobs(settings)
    assert (job.state, float(job.spent_usd), len(server.asked("POST"))) == (state, usd, 1)


@pytest.mark.usefixtures("no_pauses")
async def test_a_passing_failure_is_sent_again_for_free_twice(server: OddServer, tmp_path: Path, mp4: bytes) -> None:
    failed = Reply({**CREATED, "status": "failed", "errors": [{"code": "service_unavailable", "message": "busy"}]})
    server.rules = {SUBMIT: Reply(CREATED), POLL: [failed, failed, DONE], FILE: Reply(mp4, kind="video/mp4")}
    settings = settings_at(server, tmp_path)
    assert (await run(settings, tmp_path))["exit_code"] == 0
    assert len(server.asked("POST")) == 3
    assert [float(job.spent_usd) for job in await jobs(settings)] == [0.35]


@pytest.mark.long
@pytest.mark.usefixtures("no_pauses")
async def test_a_lost_reply_is_held_and_resolve_names_the_label_to_look_for(
    server: OddServer, tmp_path: Path, mp4: bytes
) -> None:
    server.rules = {SUBMIT: Reply(b"", 500), POLL: DONE, FILE: Reply(mp4, kind="video/mp4")}
    settings = settings_at(server, tmp_path)
    assert (await run(settings, tmp_path))["exit_code"] == 5
    assert (await run(settings, tmp_path))["exit_code"] == 5
    [job] = await jobs(settings)
    assert (job.state, len(server.asked("POST"))) == (JobState.UNKNOWN, 1)
    cli = Cli(
        tmp_path, {"CALLSHEET_HOME": str(settings.home), "GEMINI_API_KEY": KEY, "GOOGLE_GEMINI_BASE_URL": server.url}
    )
    told = await asyncio.to_thread(cli, "resolve", "--json")
    assert told.json["jobs"][0]["labels"][JOB_LABEL] == job.key[:40]
    assert "AI Studio" in told.stdout
    adopted = await asyncio.to_thread(cli, "resolve", job.key[:16], "--adopt", "v1_a", "--json")
    assert (adopted.exit_code, adopted.json["decided"][0]["operation"]) == (0, "v1_a")
    assert [one.how for one in await recover_all(settings)] == ["fetched"]
    assert len(server.asked("POST")) == 1


async def test_agent_platform_writes_to_a_prefix_of_each_attempt_in_global(server: OddServer, tmp_path: Path) -> None:
    server.rules = {"POST": Reply({"error": {"code": 403, "message": "no", "status": "PERMISSION_DENIED"}}, 403)}
    access = {"google_cloud_project": "p", "google_cloud_location": "us-central1", "vertex_base_url": server.url}
    settings = settings_at(server, tmp_path, gemini_api_key=None, video_output="gs://bucket/out", **access)
    await run(settings, tmp_path)
    [sent], [job] = server.asked("POST"), await jobs(settings)
    assert sent.path == "/v1beta1/projects/p/locations/global/interactions"
    assert sent.json["response_format"]["gcs_uri"] == f"gs://bucket/out/{job.key[:40]}-1/"


# --- rehearsed

ROWS = [
    "paper,A paper boat,1,It sails,4,,gemini-omni-1.2-flash,",
    "kite,A kite over dunes,0,It climbs,3,rain,gemini-omni-1.2-flash,",
    "no,Nobody,0,It is refused [[rai]],3,,gemini-omni-1.2-flash,",
    "late,A later boat,0,It fails [[op-error:internal_error]],3,,gemini-omni-1.1-flash,",
]


@pytest.mark.long
def test_a_rehearsal_of_omni_charges_what_the_ledger_says_and_sends_each_clip_once(
    lean_cli: Cli, service: Service
) -> None:
    (lean_cli.folder / "sheet.csv").write_text(HEAD + "\n".join(ROWS) + "\n")
    lean_cli.env["GOOGLE_GEMINI_BASE_URL"] = service.url
    service.script({"match": {"prompt": "sails", "nth": [1]}, "fault": "drop-after"})
    planned = lean_cli("plan", "sheet.csv", "--json").json
    ended = lean_cli("run", "sheet.csv", "--json")
    assert ended.exit_code == 3, ended.stderr
    assert [ended.json["shots"][state] for state in ("done", "blocked", "failed")] == [2, 1, 1]
    counts = service.counts()
    clips = Counter(one["prompt_sha256"] for one in counts["submissions"] if one["kind"] == "video")
    assert sorted(clips.values()) == [1, 1, 1, 3]  # what fails for a passing reason is sent again, twice
    assert counts["requests"]["interactions.create"] == 6
    spent = ended.json["usd"]["spent"]
    assert spent == pytest.approx(counts["charged_usd"], abs=1e-6)
    made = 0.07 * 7 + 0.0336
    assert spent == pytest.approx(made, rel=0.05)
    assert planned["usd_low"] == pytest.approx(made + 0.07 * 3 + 0.1 * 3, rel=0.05)


# --- killed


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_each_submission_is_accepted_once_however_often_the_process_is_killed(
    lean_cli: Cli, mp4: bytes, kills: int
) -> None:
    """Nothing is sent twice: what a kill leaves in doubt is held, and adopted by the label that the server has seen."""
    rows = [f"a{n},A boat {n},{n % 2},It sails {n},4,,gemini-omni-1.2-flash," for n in range(6)]
    (lean_cli.folder / "sheet.csv").write_text(HEAD + "\n".join(rows) + "\n")
    moments, it = random.Random(kills), InteractionsServer(mp4)
    with serving(it):
        lean_cli.env |= {"GEMINI_API_KEY": KEY, "GOOGLE_GEMINI_BASE_URL": it.url}
        for _ in range(kills):
            process = lean_cli.start("run", "sheet.csv", "--live", "--yes", "--json")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=moments.uniform(0.2, 6.0))
            kill(process)
        for _ in range(8):
            ended = lean_cli("run", "sheet.csv", "--live", "--yes", "--json")
            if ended.exit_code == 0:
                break
            settle(lean_cli, it)
        assert ended.exit_code == 0, ended.stderr
    clips = {name: n for name, n in it.accepted.items() if not name.startswith("A boat")}
    assert (len(clips), set(clips.values())) == (6, {1})
