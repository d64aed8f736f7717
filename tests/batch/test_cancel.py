"""`callsheet cancel`: what can be stopped is stopped, told truly, and never sent again by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.testing

from callsheet.batch.cancel import cancel_operations, exit_code_of, find_operations
from callsheet.cli import cancel as command
from callsheet.clock import Clock
from callsheet.errors import OperationCancelled, SettingsError, Unreachable
from callsheet.exit_codes import ExitCode
from callsheet.ledger import Job, JobOrder, JobState, Ledger
from callsheet.providers.interaction_replies import interaction_result
from callsheet.providers.omni import OmniInteractions
from callsheet.providers.retry_policy import RetryDecision, decide_retry
from callsheet.settings import load_settings
from callsheet.shots import Batch
from tests.support.forked import Forge
from tests.support.service import Service, start_service
from tests.support.video_folder import VideoFolder

OMNI, VEO = "gemini-omni-1.2-flash", "veo-3.1-fast-generate-001"
HEADER = "id,prompt,takes,motion_prompt,video_model,duration_s,resolution\n"
SENT = {1: "after a clip is sent and told", 2: "after all clips are sent and told"}
PRICE = 0.092


def row(name: str, model: str = OMNI) -> str:
    return f"{name},A picture of {name},0,{name} moves on,{model},4,{'360p' if model == OMNI else '720p'}\n"


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose videos are not made before the tests are over."""
    yield from _serve(tmp_path_factory, 1e7)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose videos are made before anybody can ask for them."""
    yield from _serve(tmp_path_factory, 1)


def _serve(folders: pytest.TempPathFactory, video: float) -> Iterator[Service]:
    service = start_service(folders.mktemp("service") / "state", factor=600, latency={"image": 0, "video": video})
    yield service
    service.process.terminate()
    service.process.wait(timeout=20)


def folder_at(place: Path, service: Service) -> VideoFolder:
    service.script()
    settings = load_settings(home=place / "home", gemini_base_url=service.url, tier=3)
    return VideoFolder(place, settings, service, HEADER)


def send(folder: VideoFolder, forge: Forge, *rows: str) -> None:
    """Have one or two videos sent, and nobody who waits for them."""
    folder.write(*rows)
    assert folder.start(forge, SENT[len(rows)]).wait(240) == -9


def jobs_of(folder: VideoFolder) -> dict[str, Job]:
    async def read() -> dict[str, Job]:
        async with await Ledger.open(folder.settings.ledger_url, clock=Clock()) as ledger:
            return {job.shot: job for job in await ledger.jobs_of("sheet.rehearsal")}

    return asyncio.run(read())


def doubts_of(folder: VideoFolder) -> dict[str, float]:
    async def read() -> dict[str, float]:
        async with await Ledger.open(folder.settings.ledger_url, clock=Clock()) as ledger:
            return {name: float(usd) for name, usd in (await ledger.sum_doubts()).items()}

    return asyncio.run(read())


def cancel(folder: VideoFolder, monkeypatch: pytest.MonkeyPatch, *args: str) -> tuple[int, dict[str, Any], str]:
    """The exit code of the command, its JSON, and all that it said."""
    monkeypatch.setattr(command, "load_settings", lambda: folder.settings)
    app = typer.Typer()
    app.command()(command.cancel)
    result = typer.testing.CliRunner().invoke(app, ["sheet.rehearsal", "--json", *args])
    if isinstance(result.exception, SettingsError):
        return ExitCode.USAGE, {}, str(result.exception)
    return result.exit_code, json.loads(result.stdout.splitlines()[-1]), result.output


@pytest.mark.long
def test_what_is_under_way_is_stopped_once_agreed_to_and_not_sent_again(
    tmp_path: Path, slow: Service, bare_forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_at(tmp_path, slow)
    send(folder, bare_forge, row("kite"), row("boat"))
    code, _, told = cancel(folder, monkeypatch)
    assert (code, "cancel 2 of 2 operations" in told, "--yes" in told) == (2, True, True)
    code, _, told = cancel(folder, monkeypatch, "--shot", "tree", "--yes")
    assert (code, "no shot tree" in told) == (2, True)
    assert {job.state for job in jobs_of(folder).values()} == {JobState.SUBMITTED}

    code, shown, _ = cancel(folder, monkeypatch, "--shot", "kite", "--yes")
    assert (code, shown["counts"], [one["shot"] for one in shown["jobs"]]) == (0, {"cancelled": 1}, ["kite"])
    jobs = jobs_of(folder)
    assert (jobs["kite"].state, jobs["boat"].state) == (JobState.FAILED, JobState.SUBMITTED)
    assert (jobs["kite"].reason_kind, jobs["kite"].reason_code) == ("OperationCancelled", "CANCELLED")
    assert float(jobs["kite"].spent_usd) == PRICE
    assert doubts_of(folder) == {"sheet.rehearsal": PRICE}  # not what boat holds: that is accepted, and waited for

    assert cancel(folder, monkeypatch, "--yes")[1]["counts"] == {"cancelled": 1}
    again = cancel(folder, monkeypatch)
    assert (again[0], again[1]["jobs"]) == (0, [])
    before = folder.accepted()
    summary = folder.run()
    assert (summary["exit_code"], summary["submissions"]["video"], folder.accepted()) == (3, 0, before)
    assert folder.sidecar("kite")["clips"][0]["failure"]["kind"] == "OperationCancelled"
    assert [(what, "--remake" in why) for _, what, why, _ in folder.plan()["kite"]] == [("failed", True)]
    folder.lose_ledger()
    assert (folder.run()["exit_code"], folder.accepted()) == (3, before)


def test_what_was_finished_is_kept(
    tmp_path: Path, quick: Service, bare_forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_at(tmp_path, quick)
    send(folder, bare_forge, row("kite"))
    code, shown, _ = cancel(folder, monkeypatch, "--yes")
    while code == ExitCode.PARKED:  # some files are there later than their interactions
        code, shown, _ = cancel(folder, monkeypatch, "--yes")
    assert (code, shown["counts"]) == (0, {"finished": 1})
    assert jobs_of(folder)["kite"].state is JobState.STORED
    assert (folder.run()["exit_code"], folder.accepted()) == (0, 1)


def test_a_provider_out_of_reach_leaves_the_job_submitted_and_veo_goes_on(
    tmp_path: Path, slow: Service, bare_forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_self: object, _operation: str) -> None:
        raise Unreachable("No connection.")

    folder = folder_at(tmp_path, slow)
    send(folder, bare_forge, row("elm"), row("fir", VEO))
    monkeypatch.setattr(OmniInteractions, "cancel", refuse)
    found = asyncio.run(_cancel_all(folder))
    assert ([one.how for one in found], exit_code_of(found)) == (["unreached", "going"], ExitCode.PARKED)
    assert "no cancel for operations" in found[1].reason
    assert {job.state for job in jobs_of(folder).values()} == {JobState.SUBMITTED}
    monkeypatch.undo()
    found = asyncio.run(_cancel_all(folder))
    assert ([one.how for one in found], exit_code_of(found)) == (["cancelled", "going"], ExitCode.UNFINISHED)


async def _cancel_all(folder: VideoFolder) -> Any:
    return await cancel_operations(folder.settings, *await find_operations(folder.settings, "sheet.rehearsal", ()))


@pytest.mark.parametrize(
    ("told", "words", "charged"),
    [
        ({"status": "cancelled"}, "It was cancelled, and gives no video. --remake", None),
        ({"status": "CANCELED", "errors": [{"code": "internal", "message": "stopped"}]}, "(stopped)", None),
        ({"status": "cancelled", "usage": {"total_input_tokens": 9}}, "It was cancelled", None),
        ({"status": "cancelled", "usage": {"output_tokens_by_modality": [{"modality": "video", "tokens": 900}]}},
         "It was cancelled", True),
    ],
)  # fmt: skip
def test_a_cancelled_interaction_is_never_tried_again(told: dict[str, Any], words: str, charged: bool | None) -> None:
    with pytest.raises(OperationCancelled) as raised:
        interaction_result({"object": "interaction", **told})
    assert (words in str(raised.value), raised.value.charged) == (True, charged)
    assert decide_retry("video", raised.value, 0) is RetryDecision.FAIL


def test_a_clip_that_another_batch_wants_goes_on_and_is_told(tmp_path: Path, slow: Service, bare_forge: Forge) -> None:
    folder = folder_at(tmp_path, slow)
    send(folder, bare_forge, row("shared"), row("own"))
    job = jobs_of(folder)["shared"]

    async def want_it_elsewhere() -> None:
        async with await Ledger.open(folder.settings.ledger_url, clock=Clock()) as ledger:
            await ledger.open_batch(Batch("other", None, "rehearsal"), [("kite", 0)])
            there = ("other", "other.rehearsal", "kite", "clip")
            await ledger.claim(JobOrder(job.key, job.kind, job.mode, job.model, *there, job.request))

    asyncio.run(want_it_elsewhere())
    batch, jobs = asyncio.run(find_operations(folder.settings, "sheet.rehearsal", ()))
    ended = {one.job.shot: one for one in asyncio.run(cancel_operations(folder.settings, batch, jobs))}
    assert {shot: one.how for shot, one in ended.items()} == {"shared": "going", "own": "cancelled"}
    assert "other.rehearsal wants it too" in ended["shared"].reason
    assert jobs_of(folder)["shared"].state is JobState.SUBMITTED
