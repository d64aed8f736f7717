"""SIGKILL at moments chosen by a seed, and the same command again: every shot done, every video submitted once."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from tests.conftest import Cli, Service, kill, start_service, wait_for

pytestmark = pytest.mark.xdist_group("prefect")

KILLS = 3
SHEET = "id,prompt,takes,seed,motion_prompt,duration_s,cuts\n" + "".join(
    f"scene{n},A paper theatre scene number {n},2,{n},The curtain opens,4,1x1\n" for n in range(1, 5)
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


def requests_to(service: Service) -> int:
    return sum(service.counts()["requests"].values())


def test_a_batch_killed_at_random_moments_ends_complete_with_each_video_submitted_once(
    cli: Cli, slow_service: Service
) -> None:
    (cli.folder / "sheet.csv").write_text(SHEET)
    moments = random.Random(20261121)
    for _ in range(KILLS):
        before = requests_to(slow_service)
        process = cli.start("run", "sheet.csv", **served_by(slow_service))
        while requests_to(slow_service) == before and process.poll() is None:
            time.sleep(0.05)
        time.sleep(moments.uniform(0.0, 2.5))
        kill(process)
    done = cli("run", "sheet.csv", "--json", **served_by(slow_service))
    assert done.exit_code == 0, done.stderr
    assert done.json["shots"]["done"] == 4
    counts = slow_service.counts()
    assert counts["accepted"]["video"] == 4
    assert 8 <= counts["accepted"]["image"] <= 8 + KILLS * 8
    assert done.json["usd"]["spent"] >= counts["charged_usd"] - 1e-6, "what may have been charged is counted"
    folder = Path(done.json["archive"]) / "shots"
    assert sorted(path.name for path in folder.iterdir()) == ["scene1", "scene2", "scene3", "scene4"]
    assert all(len(list(shot.glob("clip-*.mp4"))) == 1 for shot in folder.iterdir())
    again = cli("run", "sheet.csv", "--json", **served_by(slow_service))
    assert again.json["submissions"] == {"image": 0, "video": 0}


def test_ctrl_c_stops_cleanly_and_says_how_to_continue(cli: Cli, slow_service: Service) -> None:
    (cli.folder / "sheet.csv").write_text(SHEET)
    process = cli.start("run", "sheet.csv", "--json", **served_by(slow_service))
    wait_for(lambda: slow_service.counts()["accepted"]["video"] >= 1 or process.poll() is not None, within_s=60)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "same command again" in stderr
    assert "Traceback" not in stderr + stdout
    done = cli("run", "sheet.csv", "--json", **served_by(slow_service))
    assert done.exit_code == 0, done.stderr
    assert slow_service.counts()["accepted"]["video"] == 4
