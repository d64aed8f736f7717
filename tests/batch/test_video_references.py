"""A video keeps to files and to takes of other shots: made after them, named in its key, paid for once."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from callsheet.approval.decision_input import TakeSelection
from callsheet.batch.approve import decide
from callsheet.batch.prepare import read_request
from callsheet.batch.request import RunRequest
from callsheet.errors import ManifestError
from callsheet.models import load_catalogue
from callsheet.plan import Known, plan_batch
from callsheet.plan.inputs import Conditions, Money
from callsheet.plan.requests import clip_order
from callsheet.settings import Settings, load_settings
from callsheet.shots import Shot
from tests.support.forked import Forge
from tests.support.pictures import two_colours
from tests.support.plans import BATCH
from tests.support.service import Service, start_service
from tests.support.whole_batch import whole_batch

VEO, OMNI, LITE = "veo-3.1-generate-001", "gemini-omni-1.2-flash", "veo-3.1-lite-generate-001"
HEADER = "id,prompt,takes,select,motion_prompt,video_model,video_references,duration_s,image_size,aspect_ratio\n"


def still(name: str, takes: int = 1, select: str = "") -> str:
    return f"{name},Picture {name},{takes},{select},,,,,1K,16:9\n"


def video(name: str, kept_to: str, model: str = VEO, takes: int = 0) -> str:
    return f"{name},Picture {name},{takes},,It flies {name},{model},{kept_to},8,1K,16:9\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    started = start_service(tmp_path_factory.mktemp("service") / "state", factor=600, latency={"image": 0, "video": 20})
    yield started
    started.process.terminate()
    started.process.wait(timeout=20)


@pytest.fixture
def settings(tmp_path: Path, service: Service) -> Settings:
    (tmp_path / "ref.png").write_bytes(two_colours("PNG"))
    (tmp_path / "look.jpg").write_bytes(two_colours("JPEG", 6))
    return load_settings(home=tmp_path / "home", gemini_base_url=service.url, tier=3)


def write(settings: Settings, *rows: str) -> RunRequest:
    sheet = Path(settings.home).parent / "sheet.csv"
    sheet.write_text(HEADER + "".join(rows))
    return RunRequest(str(sheet))


def run(settings: Settings, *rows: str, most: int = 50) -> dict[str, Any]:
    return dict(asyncio.run(whole_batch(write(settings, *rows), settings, most)).summary)


def sidecar(settings: Settings, shot: str) -> dict[str, Any]:
    place = Path(settings.archive_uri) / "sheet" / "sheet.rehearsal" / "shots" / shot / "shot.json"
    found: dict[str, Any] = json.loads(place.read_text())
    return found


def shots(settings: Settings, *rows: str) -> dict[str, Shot]:
    return {shot.id: shot for shot in read_request(write(settings, *rows), settings).manifest.shots}


def refusals(settings: Settings, *rows: str) -> str:
    try:
        found = read_request(write(settings, *rows), settings).manifest
    except ManifestError as error:
        return str(error)
    return "\n".join(str(each.problem) for each in found.unsendable)


@pytest.mark.long
@pytest.mark.parametrize("most", [50, 1])
def test_a_video_is_made_after_the_takes_that_it_keeps_to_in_one_group_or_many(settings: Settings, most: int) -> None:
    rows = (video("fly", f"kite:2;style=look.jpg;ref.png{';' * most}"), still("kite", 2), video("best", "crow:chosen"))
    summary = run(settings, *rows, still("crow", 2), most=most)
    assert (summary["exit_code"], summary["shots"]["done"], summary["submissions"]) == (0, 4, {"image": 4, "video": 2})
    clip, kite = sidecar(settings, "fly")["clips"][0], sidecar(settings, "kite")
    assert clip["references"][0]["sha256"] == kite["takes"][1]["file"]["sha256"]
    assert clip["job"]["request"]["inputs"] == [one["sha256"] for one in clip["references"]]
    assert (clip["job"]["request"]["references"], clip["job"]["request"]["styles"]) == (3, 1)
    assert clip["references"][0]["of"] == "kite:2"
    assert clip["references"][2]["of"].startswith("style=")
    chosen = sidecar(settings, "crow")["pins"][0]["sha256"]
    assert sidecar(settings, "best")["clips"][0]["references"][0]["sha256"] == chosen
    again = run(settings, *rows, still("crow", 2), most=most)
    assert again["submissions"] == {"image": 0, "video": 0}


def test_a_video_waits_for_a_person_s_choice_and_is_made_once_there_is_one(settings: Settings) -> None:
    rows = (video("fly", "kite:chosen"), still("kite", 2, "approve"))
    first = run(settings, *rows)
    assert (first["exit_code"], first["submissions"]) == (5, {"image": 2, "video": 0})
    assert "callsheet approve" in sidecar(settings, "fly")["failures"][0]["message"]


def test_the_plan_says_what_a_video_waits_for_and_prices_it(settings: Settings) -> None:
    manifest = read_request(write(settings, video("fly", "kite:2"), still("kite", 2)), settings).manifest
    clip = plan_batch(BATCH, manifest.shots, Known(), load_catalogue()).shots[0].actions[0]
    assert (clip.what, clip.why, clip.job_key, float(clip.usd)) == ("create", "after kite:2", None, 3.2)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ((video("fly", "ref.png", takes=1),), "begins with a picture, or keeps to pictures"),
        ((video("fly", "ref.png;" * 4),), "4 reference images are too many for veo-3.1-generate-001"),
        ((video("fly", "ref.png", LITE),), "1 reference images are too many for veo-3.1-lite-generate-001"),
        ((video("fly", "style=ref.png", OMNI),), "is not told which picture is a style"),
        ((video("fly", "ref.png;" * 7, OMNI),), "7 reference images are too many for gemini-omni-1.2-flash"),
        ((video("fly", "nobody:1"),), "unknown shot 'nobody'"),
        ((video("fly", "kite:3"), still("kite", 2)), "kite has no take 3"),
        ((video("fly", "swim:1"), video("swim", "ref.png")), "swim has no pictures"),
        ((video("fly", "gone.png"),), "no such file"),
        ((video("fly", "../ref.png"),), "leads out"),
        ((video("fly", "fly:1", takes=1),), "this leads in a circle"),
        ((video("a", "b:1", takes=1), video("b", "c:1", takes=1), video("c", "a:1", takes=1)), "leads in a circle"),
    ],
)
def test_what_cannot_be_kept_to_is_refused(settings: Settings, rows: tuple[str, ...], words: str) -> None:
    assert words in refusals(settings, *rows)
    assert "sheet.csv:2: video_references: " in refusals(settings, *rows)


def test_a_truncated_reference_of_a_video_is_refused_with_its_shot(settings: Settings) -> None:
    place = Path(settings.home).parent / "ref.png"
    place.write_bytes(place.read_bytes()[:60])
    assert "in shot fly" in refusals(settings, video("fly", "ref.png"))


def test_what_a_video_keeps_to_is_in_its_key_and_nothing_else_is(settings: Settings) -> None:
    def key(kept_to: str) -> str:
        return clip_order(BATCH, shots(settings, video("fly", kept_to))["fly"], None, None).key

    assert len({key(text) for text in ("", "ref.png", "style=ref.png", "look.jpg", "ref.png;look.jpg")}) == 5
    assert key("ref.png;style=look.jpg") == key("style=look.jpg;ref.png"), "styles go last, as they are sent"


def test_a_long_line_of_videos_is_refused_and_none_is_too_deep(settings: Settings) -> None:
    rows = [video(f"v{n}", f"v{n + 1}:1", takes=1) for n in range(3000)]
    assert "one after the other" in refusals(settings, *rows, still("v3000"))


def approve(settings: Settings, shot: str, *takes: int) -> None:
    seen = {take["take"]: take["file"]["sha256"] for take in sidecar(settings, shot)["takes"]}
    asyncio.run(decide(settings, "sheet.rehearsal", [TakeSelection(shot, takes, seen=seen)], "Ada"))


def test_the_video_is_made_with_the_take_that_a_person_chose(settings: Settings) -> None:
    rows = (video("flown", "kite:chosen"), still("kite", 2, "approve"))
    run(settings, *rows)
    approve(settings, "kite", 2)
    summary = run(settings, *rows)
    assert (summary["exit_code"], summary["submissions"]) == (0, {"image": 0, "video": 1})
    kept_to = sidecar(settings, "flown")["clips"][0]["references"][0]["sha256"]
    assert kept_to == sidecar(settings, "kite")["takes"][1]["file"]["sha256"]


def test_nothing_is_paid_again_with_a_lost_ledger_and_spool(settings: Settings) -> None:
    rows = (video("lost", "kite:chosen;ref.png"), still("kite", 2), video("on", "crow:2"), still("crow", 2))
    assert run(settings, *rows)["exit_code"] == 0
    archive = Path(settings.archive_uri)
    kept = {path: path.read_bytes() for path in archive.rglob("*.mp4")}
    for place in Path(settings.home).iterdir():
        if place != archive:
            shutil.rmtree(place) if place.is_dir() else place.unlink()
    summary = run(settings, *rows)
    assert (summary["exit_code"], summary["submissions"]) == (0, {"image": 0, "video": 0})
    assert {path: path.read_bytes() for path in archive.rglob("*.mp4")} == kept


def test_a_changed_parent_has_the_video_made_anew_and_the_old_one_stays(settings: Settings) -> None:
    run(settings, video("anew", "kite:1"), still("kite"))
    old = sidecar(settings, "anew")["clips"][0]["file"]["sha256"]
    changed = still("kite").replace("Picture", "Another picture")
    manifest = read_request(write(settings, video("anew", "kite:1"), changed), settings).manifest
    assert plan_batch(BATCH, manifest.shots, Known(), load_catalogue()).shots[0].actions[0].why == "after kite:1"
    summary = run(settings, video("anew", "kite:1"), changed)
    assert (summary["exit_code"], summary["submissions"]) == (0, {"image": 1, "video": 1})
    assert [clip["file"]["sha256"] for clip in sidecar(settings, "anew")["earlier_clips"]] == [old]


def test_a_parent_that_is_blocked_stops_its_video_alone_and_says_what_to_do(settings: Settings) -> None:
    rows = (video("stuck", "kite:1"), still("kite").replace("Picture", "[[block:SAFETY]] picture"), still("crow"))
    summary = run(settings, *rows)
    assert summary["submissions"]["video"] == 0
    assert sidecar(settings, "crow")["state"] == "done"
    assert "kite" in sidecar(settings, "stuck")["failures"][0]["message"]


def test_a_budget_that_is_used_up_by_the_picture_parks_the_video(settings: Settings) -> None:
    manifest = read_request(write(settings, video("dear", "kite:1"), still("kite")), settings).manifest
    conditions = Conditions(datetime(2026, 11, 30, tzinfo=UTC), 3, money=Money(budget=Decimal("0.01")))
    plan = plan_batch(BATCH, manifest.shots, Known(), load_catalogue(), conditions)
    assert [action.what for item in plan.shots for action in item.actions] == ["parked", "parked"]


@pytest.mark.long
@pytest.mark.parametrize(
    "moment",
    [
        "after a file, before it is on record",
        "before a clip is sent",
        "between a clip's sidecar and its record",
        "after a clip is sent and told",
        "between files and sidecar",
    ],
)
@pytest.mark.quick_cases("before a clip is sent", "between files and sidecar")
def test_a_kill_pays_for_the_video_once(settings: Settings, bare_forge: Forge, service: Service, moment: str) -> None:
    name = hashlib.sha256(moment.encode()).hexdigest()[:6]
    rows = (video(f"v{name}", f"k{name}:chosen"), still(f"k{name}", 2))
    write(settings, *rows)
    before = service.counts()["accepted"]["video"]
    given = json.dumps({"home": str(settings.home), "gemini_base_url": service.url, "tier": 3})
    place = Path(settings.home).parent
    args = [given, str(place / "sheet.csv"), moment, "folder"]
    assert bare_forge.start(args, place, dict(os.environ), "tests.support.whole_batch:main").wait(240) == -9
    assert run(settings, *rows)["exit_code"] == 0
    assert service.counts()["accepted"]["video"] - before == 1
    chosen = sidecar(settings, f"k{name}")["pins"][0]["sha256"]
    assert sidecar(settings, f"v{name}")["clips"][0]["references"][0]["sha256"] == chosen
