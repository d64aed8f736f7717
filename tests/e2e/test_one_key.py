"""One key makes everything: pictures, clips, edits, references and longer clips, over interactions alone."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import random
import sqlite3
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Cli, kill
from tests.support.interactions_server import REFUSED, InteractionsServer, serving, settle
from tests.support.media_samples import make_clip
from tests.support.pictures import a_png
from tests.support.service import Service, start_service

KEY = "AQ.the-one-key-0123456789"
SHEET = """
defaults: {duration_s: 4, resolution: 360p, aspect_ratio: "16:9"}
shots:
  - {id: still, prompt: A harbour at dawn, takes: 2}
  - {id: hero, prompt: A red kite, motion_prompt: It climbs, extend: 1, cuts: [9x16]}
  - {id: boat, prompt: A paper boat, takes: 0, motion_prompt: It sails on, extend: 2}
  - {id: red, prompt: Make the harbour red, edit_of: "still:1"}
  - {id: cup, prompt: A hand-thrown cup, edits: [Make it blue, Put it on linen]}
  - {id: product, prompt: The product on a shelf, reference_images: [ref.png]}
  - {id: walk, prompt: A walk, takes: 0, motion_prompt: It walks along the quay, video_references: ["still:2"]}
"""
NOBODY = f"  - {{id: nobody, prompt: Nobody, takes: 0, motion_prompt: {REFUSED}}}\n"
REHEARSED = SHEET.replace("defaults: {", "defaults: {video_model: gemini-omni-1.2-flash, ")
DONE = {"still", "hero", "boat", "red", "cup", "cup-edit-1", "cup-edit-2", "product", "walk"}


def write(cli: Cli, text: str) -> None:
    (cli.folder / "ref.png").write_bytes(a_png("orange"))
    (cli.folder / "sheet.yaml").write_text(text)


def sidecars(cli: Cli, mode: str) -> dict[str, dict[str, Any]]:
    folder = cli.home / "archive" / "sheet" / f"sheet.{mode}" / "shots"
    return {path.parent.name: json.loads(path.read_text()) for path in folder.glob("*/shot.json")}


@pytest.mark.long
@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_a_sheet_of_everything_is_made_with_one_key_and_each_clip_is_paid_for_once(
    lean_cli: Cli, tmp_path: Path, kills: int
) -> None:
    """With lost replies, 503s, a refusal, cut downloads and late files; at a server that knows nothing but these."""
    clip = make_clip(tmp_path / "made.mp4", (640, 360), frames=96, bframes=0).read_bytes()
    moments, it = random.Random(kills), InteractionsServer(clip, seed=kills, drops=0.2)
    write(lean_cli, SHEET + NOBODY)
    command = ("run", "sheet.yaml", "--live", "--yes", "--json")
    with serving(it):
        lean_cli.env |= {"GEMINI_API_KEY": KEY, "GOOGLE_GEMINI_BASE_URL": it.url, "GOOGLE_VERTEX_BASE_URL": it.url}
        for _ in range(kills):
            process = lean_cli.start(*command)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=moments.uniform(0.2, 6.0))
            kill(process)
        for _ in range(12):
            ended = lean_cli(*command)
            if ended.exit_code == 3:
                break
            settle(lean_cli, it)
    made = sidecars(lean_cli, "live")
    assert ended.exit_code == 3, {shot: told["failures"] for shot, told in made.items() if told["failures"]}
    assert {shot for shot, told in made.items() if told["state"] == "done"} == DONE
    assert made["nobody"]["state"] == "blocked"
    assert it.other == []
    clips = [one for told in made.values() for one in [*told["beginnings"], *told["clips"]]]
    assert {job[:40]: 1 for job in (one["job_key"] for one in clips)} == {
        job: n for job, n in it.accepted.items() if job in {one["job_key"][:40] for one in clips}
    }
    assert dict(it.tasks) == {"image_to_video": 1, "text_to_video": 2, "reference_to_video": 1, "extend": 3}
    assert_lineage(made, it)


def assert_lineage(made: dict[str, dict[str, Any]], it: InteractionsServer) -> None:
    """What was sent with each request is what the archive has of what it was made from."""
    for shot, steps in (("hero", 1), ("boat", 2)):
        chain = [*made[shot]["beginnings"], *made[shot]["clips"]]
        assert [(one["step"], round(one["file"]["duration_s"])) for one in chain] == [
            (n, 4 + 10 * n) for n in range(steps + 1)
        ]
        for above, below in pairwise(chain):
            (video,) = [part for part in it.inputs[below["job_key"][:40]] if part["type"] == "video"]
            assert hashlib.sha256(base64.b64decode(video["data"])).hexdigest() == above["file"]["sha256"]
    (cut,) = made["hero"]["cuts"]
    assert cut["file"]["parent"] == made["hero"]["clips"][0]["file"]["sha256"]
    for child, parent in (("red", "still"), ("cup-edit-1", "cup"), ("cup-edit-2", "cup-edit-1")):
        assert made[child]["takes"][0]["file"]["parent"] == made[parent]["takes"][0]["file"]["sha256"]
    (walk,) = made["walk"]["clips"]
    assert [one["sha256"] for one in walk["references"]] == [made["still"]["takes"][1]["file"]["sha256"]]


def test_its_rehearsal_costs_what_its_plan_said(lean_cli: Cli, service: Service) -> None:
    write(lean_cli, REHEARSED)
    lean_cli.env |= {"GOOGLE_GEMINI_BASE_URL": service.url, "GOOGLE_VERTEX_BASE_URL": service.url}
    before = service.counts()
    planned = lean_cli("plan", "sheet.yaml", "--json").json
    ended = lean_cli("run", "sheet.yaml", "--json")
    assert ended.exit_code == 0, ended.stderr
    after = service.counts()
    charged = after["charged_usd"] - before["charged_usd"]
    assert planned["usd_low"] == pytest.approx(charged, rel=0.05)
    assert ended.json["usd"]["spent"] == pytest.approx(charged, abs=1e-6)
    assert after["accepted"]["video"] - before["accepted"]["video"] == 6
    verified = lean_cli("archive", "verify", "sheet.rehearsal")
    assert verified.exit_code == 0, verified.stdout  # every sidecar is believed, whatever its shot was made of


ONE_A_MINUTE = "models:\n  gemini-omni-1.2-flash:\n    limits: {any: {rpm: 1}}\n"


@pytest.mark.slow  # compares times: a busy machine takes longer
def test_its_rehearsal_takes_as_long_as_its_plan_said(lean_cli: Cli, tmp_path: Path) -> None:
    """In hours of the batch's clock, at one clip or step a minute; six of them."""
    write(lean_cli, REHEARSED)
    (lean_cli.folder / "slow.yaml").write_text(ONE_A_MINUTE)
    service = start_service(tmp_path / "service", factor=12, latency={"image": 4, "video": 30})
    lean_cli.env |= {"GOOGLE_GEMINI_BASE_URL": service.url, "CALLSHEET_CATALOGUE": "slow.yaml"}
    try:
        planned = lean_cli("plan", "sheet.yaml", "--json")
        ended = lean_cli("run", "sheet.yaml", "--json")
    finally:
        service.process.terminate()
        service.process.wait(timeout=20)
    assert (planned.exit_code, ended.exit_code) == (0, 0), planned.stderr + ended.stderr
    hours, outcome = planned.json["forecast"]["seconds"] / 3600, clock_seconds(lean_cli.home / "ledger.db") / 3600
    assert hours == pytest.approx(outcome, rel=0.1)


def clock_seconds(ledger: Path) -> float:
    """From the opening of the batch to its last clip, in seconds of the service's clock."""
    with sqlite3.connect(ledger) as database:
        opened, ended = database.execute("SELECT min(b.created), max(j.finished_at) FROM batches b, jobs j").fetchone()
    return float(ended - opened) / 1e6
