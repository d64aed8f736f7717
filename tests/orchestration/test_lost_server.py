"""A run whose Prefect server dies ends in words, with its summary, and loses nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.settings import get_current_settings

from callsheet.batch.request import RunRequest
from callsheet.cli.output import MOST_CHARACTERS, in_short
from callsheet.orchestration.lost_server import follow_server
from callsheet.orchestration.server import ensure_server, stop_server
from callsheet.orchestration.server_files import PrefectServer
from callsheet.settings import load_settings
from tests.support.cli import Cli
from tests.support.service import Service
from tests.support.waiting import wait_for
from tests.support.whole_batch import whole_batch

SHEET = "id,prompt,motion_prompt\ncup,A cup,It turns\nlamp,A lamp,\n"


def test_foreign_error_is_told_on_one_bounded_line() -> None:
    told = in_short(RuntimeError("a\nflow run " + "x" * 150_000))
    assert told.startswith("RuntimeError: a flow run xxx")
    assert len(told) == MOST_CHARACTERS
    assert "\n" not in told


def test_requests_to_a_server_that_died_are_tried_once_and_again_for_long_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, is_gone, seen = get_current_settings().client, [False, True, True, True, False], []
    monkeypatch.setattr(
        "callsheet.orchestration.lost_server.is_gone", lambda *_: seen.append(client.max_retries) or is_gone.pop(0)
    )
    monkeypatch.setattr("callsheet.orchestration.lost_server.LOOKS_EVERY_S", 0.0)
    usual = client.max_retries
    try:
        with pytest.raises(IndexError):
            asyncio.run(follow_server(PrefectServer(1, "http://127.0.0.1:1/api"), load_settings(home=tmp_path)))
    finally:
        client.max_retries = usual
    assert seen == [usual, usual, usual, usual, 0, usual]


def test_process_that_is_to_leave_at_once_waits_for_no_thread() -> None:
    told = (
        "import threading, time; from callsheet.cli.output import end_if_asked, leave_at_once; end_if_asked(3);"
        "threading.Thread(target=time.sleep, args=(3600,)).start(); leave_at_once(); print('{}'); end_if_asked(4)"
    )
    ended = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stdout) == (4, "{}\n")


@pytest.mark.slow
@pytest.mark.xdist_group("prefect")
@pytest.mark.timeout(900)
def test_run_whose_server_is_killed_ends_with_1_and_its_summary(tmp_path: Path, service: Service) -> None:
    (tmp_path / "sheet.csv").write_text(SHEET)
    settings = load_settings(home=tmp_path / ".callsheet", gemini_base_url=service.url)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = ensure_server(settings, port)
    assert server.pid is not None
    try:
        service.script({"match": {"kind": "image"}, "fault": "stall", "seconds": 300})
        running = Cli(tmp_path).start("run", "sheet.csv", "--json", GOOGLE_GEMINI_BASE_URL=service.url)
        wait_for(lambda: service.counts()["accepted"]["image"] or running.poll() is not None, within_s=400)
        os.killpg(server.pid, signal.SIGKILL)
        stdout, stderr = running.communicate(timeout=400)
    finally:
        stop_server(settings)
    assert running.returncode == 1, stderr
    assert len(stdout) + len(stderr) < 20_000
    assert "is gone" in stderr
    assert '"exit_code": 1' in stdout.strip().splitlines()[-1]
    assert '"batch": "sheet.rehearsal"' in stdout.strip().splitlines()[-1]
    report = asyncio.run(whole_batch(RunRequest(str(tmp_path / "sheet.csv")), settings))
    assert report.exit_code == 0
    assert service.counts()["accepted"] == {"image": 2, "video": 1}, "nothing lost, nothing paid twice"
