"""A run whose Prefect server dies ends in words, with its summary, and loses nothing."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.settings import get_current_settings
from rich.console import Console

from callsheet.batch.request import RunRequest
from callsheet.cli.output import MOST_CHARACTERS, in_short, warnings_to
from callsheet.orchestration.local_server import follow_server
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


def test_one_cause_told_for_every_shot_is_shown_a_few_times_and_in_short() -> None:
    shown, handled = io.StringIO(), logging.getLogger("callsheet.a_test")
    handler = warnings_to(Console(file=shown, width=200))
    for name, text in (("callsheet.a_test", "Shot %s stopped"), ("prefect.a_test", "Tags %s are lost\n\nExample:\n1")):
        for n in range(500):
            error = ConnectionError("gone " * 1000)
            handler.emit(handled.makeRecord(name, logging.ERROR, "x", 1, text, (n,), (type(error), error, None)))
    for n in range(50):
        handler.emit(handled.makeRecord("callsheet.a_test", logging.WARNING, "x", 1, "Careful with %s", (n,), None))
    told = shown.getvalue()
    assert (told.count(" stopped"), told.count("are lost"), told.count("Careful")) == (3, 3, 50)
    assert "Example" not in told
    assert len(" ".join(told.split())) < 5_000


def test_requests_to_a_server_that_died_are_tried_once_and_again_for_long_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, to_api = get_current_settings().client, get_current_settings().logging.to_api
    is_gone, seen, sent = [False, True, True, True, False], [], []
    monkeypatch.setattr(to_api, "enabled", True)

    def look(*_: object) -> bool:
        seen.append(client.max_retries)
        sent.append(to_api.enabled)
        return is_gone.pop(0)

    monkeypatch.setattr("callsheet.orchestration.local_server.is_gone", look)
    monkeypatch.setattr("callsheet.orchestration.local_server.LOOKS_EVERY_S", 0.0)
    usual = client.max_retries
    try:
        with pytest.raises(IndexError):
            asyncio.run(follow_server(PrefectServer(1, "http://127.0.0.1:1/api"), load_settings(home=tmp_path)))
    finally:
        client.max_retries = usual
    assert seen == [usual, usual, usual, usual, 0, usual]
    assert sent == [True, True, True, True, False, True]


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
