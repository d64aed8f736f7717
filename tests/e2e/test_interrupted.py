"""Ctrl-C: what was sent is let finish, and the same command goes on. (For SIGKILL see test_chaos.)"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.cli import Cli
from tests.support.service import Service, start_service
from tests.support.waiting import wait_for

SHEET = "id,prompt,takes,seed,motion_prompt,duration_s,cuts\n" + "".join(
    f"scene{n},A paper theatre scene number {n},1,{n},The curtain opens,4,\n" for n in range(1, 3)
)


@pytest.fixture
def slow_service(tmp_path: Path):
    """A service that takes its time, so that there is a middle to be killed in."""
    service = start_service(tmp_path / "service", factor=60, latency={"image": 20, "video": 60})
    yield service
    service.process.terminate()
    service.process.wait(timeout=20)


def served_by(service: Service) -> dict[str, str]:
    return {"GOOGLE_GEMINI_BASE_URL": service.url, "GOOGLE_VERTEX_BASE_URL": service.url}


def test_ctrl_c_stops_cleanly_and_says_how_to_continue(cli: Cli, slow_service: Service) -> None:
    (cli.folder / "sheet.csv").write_text(SHEET)
    process = cli.start("run", "sheet.csv", "--json", **served_by(slow_service))
    wait_for(lambda: slow_service.counts()["accepted"]["video"] >= 1 or process.poll() is not None, within_s=120)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "same command again" in stderr
    assert "Traceback" not in stderr + stdout
    done = cli("run", "sheet.csv", "--json", **served_by(slow_service))
    assert done.exit_code == 0, done.stderr
    assert slow_service.counts()["accepted"]["video"] == 2
