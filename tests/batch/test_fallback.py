"""Several models for one shot: the next is asked when nothing was accepted, once, and under the key of the first."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from callsheet.archive.sidecar import JobRecord, Sidecar
from callsheet.batch.prepare import prepare_run
from callsheet.batch.request import RunRequest
from callsheet.errors import ManifestError
from callsheet.maintenance.service import verify_archive
from callsheet.models import load_catalogue
from callsheet.plan import Known
from callsheet.plan.plan_batch import plan_batch
from callsheet.plan.requests import clip_order, take_order
from callsheet.reconcile.inspect import tell_nobody
from callsheet.reconcile.sidecar_check import check
from callsheet.settings import Settings, load_settings
from callsheet.shots import Batch, Shot
from tests.support.forked import Forge
from tests.support.service import Service, start_service
from tests.support.whole_batch import MOMENTS, whole_batch

A, B, SMALL = "gemini-nano-banana-2.1", "gemini-3-pro-image", "gemini-3.1-flash-lite-image"
VEO, LITE, OMNI = "veo-3.1-fast-generate-001", "veo-3.1-lite-generate-001", "gemini-omni-1.2-flash"
IMAGE = "id,prompt,image_model,image_size,aspect_ratio,fallback_on_quota\n"
VIDEO = "id,prompt,takes,motion_prompt,video_model,duration_s,resolution,fallback_on_quota\n"
BATCH = Batch("sheet", None, "rehearsal")


@dataclass
class Folder:
    """A folder with a sheet, and the ledger, archive and service of its batch."""

    place: Path
    settings: Settings
    service: Service

    def write(self, sheet: str) -> str:
        path = self.place / "sheet.csv"
        path.write_text(sheet)
        return str(path)

    def run(self, sheet: str, settings: Settings | None = None) -> dict[str, Any]:
        request = RunRequest(self.write(sheet))
        return dict(asyncio.run(whole_batch(request, settings or self.settings)).summary)

    def sidecar(self, shot: str = "cup") -> dict[str, Any]:
        place = Path(self.settings.archive_uri) / "sheet/sheet.rehearsal/shots" / shot / "shot.json"
        found: dict[str, Any] = json.loads(place.read_text())
        return found

    def asked(self) -> list[tuple[str, str]]:
        """Every attempt's model, and how it ended."""
        with sqlite3.connect(self.settings.home / "ledger.db") as ledger:
            return list(ledger.execute("SELECT model, outcome FROM attempts WHERE outcome != 'dropped' ORDER BY n"))

    def accepted(self) -> dict[str, int]:
        found: dict[str, int] = self.service.counts()["accepted"]
        return dict(found)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = start_service(
        tmp_path_factory.mktemp("service") / "state", factor=3000, latency={"image": 0, "video": 20}
    )
    yield service
    service.process.terminate()
    service.process.wait(timeout=60)


@pytest.fixture
def folder(tmp_path: Path, shared: Service) -> Iterator[Folder]:
    yield Folder(tmp_path, load_settings(home=tmp_path / "home", gemini_base_url=shared.url, tier=3), shared)
    shared.script()


def read(folder: Folder, sheet: str) -> tuple[Shot, ...]:
    return tuple(asyncio.run(prepare_run(RunRequest(folder.write(sheet)), folder.settings)).shots)


def image(models: str, quota: str = "", prompt: str = "A cup") -> str:
    return f"{IMAGE}cup,{prompt},{models},1K,16:9,{quota}\n"


def video(models: str, quota: str = "", prompt: str = "It steams") -> str:
    return f"{VIDEO}cup,A cup,0,{prompt},{models},4,720p,{quota}\n"


def fail(folder: Folder, model: str, fault: str, **more: Any) -> None:
    folder.service.script({"match": {"model": model}, "fault": fault, **more})


CASES = [
    ("picture", image, A, B, "takes"),
    ("clip on Veo", video, VEO, LITE, "clips"),
    ("clip from Veo to Omni", video, VEO, OMNI, "clips"),
    ("clip from Omni to Veo", video, OMNI, VEO, "clips"),
]


@pytest.mark.parametrize(("what", "sheet", "first", "second", "parts"), CASES, ids=[case[0] for case in CASES])
@pytest.mark.parametrize(("fault", "quota"), [("503", ""), ("404", ""), ("429-day", "on")])
@pytest.mark.quick_cases(
    "503--picture", "404--clip on Veo", "503--clip from Veo to Omni", "429-day-on-clip from Omni to Veo"
)
def test_the_next_model_makes_what_the_first_did_not_take(
    folder: Folder, what: str, sheet: Any, first: str, second: str, parts: str, fault: str, quota: str
) -> None:
    text = sheet(f"{first} | {second}", quota, f"{what} {fault}")
    alone = sheet(first, quota, f"{what} {fault}")
    [plain], [listed] = read(folder, alone), read(folder, text)
    fail(folder, first, fault)
    before = folder.accepted()
    summary = folder.run(text)
    assert (summary["exit_code"], summary["shots"]["done"]) == (0, 1), summary
    kind = "image" if parts == "takes" else "video"
    assert folder.accepted()[kind] - before[kind] == 1
    order = take_order if kind == "image" else lambda batch, shot, take: clip_order(batch, shot, None, None)
    [part] = folder.sidecar()[parts]
    assert part["job_key"] == order(BATCH, plain, 1).key == order(BATCH, listed, 1).key
    assert (part["job"]["model"], part["job"]["request"]["asked_model"]) == (second, first)
    assert folder.asked()[-1] == (second, "finished")
    assert {model for model, _ in folder.asked()[:-1]} == {first}
    for again in (text, alone, sheet(f"{first} | {second}", "", f"{what} {fault}")):
        assert folder.run(again)["submissions"] == {"image": 0, "video": 0}


@pytest.mark.parametrize(
    ("fault", "more", "exit_code"),
    [("429-day", {}, 4), ("402", {}, 4), ("block", {}, 3), ("drop-after", {"times": 1}, 0), ("text-only", {}, 3)],
)
def test_no_other_model_is_asked_after_a_block_an_answer_a_doubt_or_unasked_for_a_full_day(
    folder: Folder, fault: str, more: Mapping[str, Any], exit_code: int
) -> None:
    fail(folder, A, fault, **more)
    assert folder.run(image(f"{A} | {B}", "", f"No other {fault}"))["exit_code"] == exit_code
    assert {model for model, _ in folder.asked()} <= {A}


def test_after_a_doubt_an_overload_does_not_ask_another_model(folder: Folder) -> None:
    folder.service.script(
        {"match": {"model": A, "first": 1}, "fault": "504", "accepted": True}, {"match": {"model": A}, "fault": "503"}
    )
    assert folder.run(image(f"{A} | {B}", "", "A doubt"))["exit_code"] == 3
    assert {model for model, _ in folder.asked()} == {A}


MOMENTS["between refusal and fallback"] = ("before", "callsheet.ledger.lessee:Leases.change_model", 1)
MOMENTS["after the fallback is on record"] = ("after", "callsheet.ledger.lessee:Leases.change_model", 1)


@pytest.mark.long
@pytest.mark.parametrize("moment", ["between refusal and fallback", "after the fallback is on record"])
@pytest.mark.parametrize(("sheet", "first", "second"), [(image, A, B), (video, VEO, OMNI)], ids=["picture", "clip"])
def test_a_kill_around_the_decision_pays_once_and_by_the_second(
    folder: Folder, bare_forge: Forge, moment: str, sheet: Any, first: str, second: str
) -> None:
    text = sheet(f"{first} | {second}", "", f"Killed {moment} {first}")
    path, before = folder.write(text), folder.accepted()
    fail(folder, first, "404")
    given = json.dumps({"home": str(folder.settings.home), "gemini_base_url": folder.service.url, "tier": 3})
    process = bare_forge.start([given, path, moment, "folder"], folder.place, dict(os.environ), f"{__name__}:main")
    assert process.wait(240) == -9, process.stderr
    if moment.startswith("after"):
        folder.service.script()  # the first would take it now: what was decided stays
    assert folder.run(text)["exit_code"] == 0
    after = folder.accepted()
    assert sum(after.values()) - sum(before.values()) == 1
    assert folder.asked()[-1] == (second, "finished")


def main() -> None:
    """A mortal batch that knows the moments of this module."""
    from tests.support.whole_batch import main as run_main

    run_main()


@pytest.mark.long
@pytest.mark.parametrize("homes", [1, 2])
@pytest.mark.parametrize(("sheet", "first", "second"), [(image, A, B), (video, VEO, OMNI)], ids=["picture", "clip"])
@pytest.mark.quick_cases("picture-1", "clip-2")
def test_two_processes_ask_the_second_model_once(
    folder: Folder, bare_forge: Forge, sheet: Any, first: str, second: str, homes: int
) -> None:
    """In one home, or in two with one ledger and archive, as on two machines."""
    text = sheet(f"{first} | {second}", "", f"Two at once {homes} {first}")
    path, before = folder.write(text), folder.accepted()
    fail(folder, first, "404")
    shared = {"ledger": f"sqlite:///{folder.place / 'ledger.db'}", "archive": str(folder.place / "archive")}
    given = {"gemini_base_url": folder.service.url, "tier": 3, **(shared if homes > 1 else {})}
    both = []
    for home in [folder.settings.home, folder.place / "there"][:homes] * (3 - homes):
        args = [json.dumps({"home": str(home), **given}), path, "after the marker", "folder"]
        both.append(bare_forge.start(args, folder.place, dict(os.environ), "tests.support.whole_batch:main"))
    assert [process.wait(240) for process in both] == [-9, -9]
    assert sum(folder.accepted().values()) - sum(before.values()) == 1
    here = load_settings(home=folder.settings.home, **given)
    assert folder.run(text, here)["submissions"] == {"image": 0, "video": 0}


@pytest.mark.parametrize(("first", "second"), [(VEO, OMNI), (OMNI, VEO)])
@pytest.mark.quick_cases(f"{VEO}-{OMNI}")
def test_a_lost_clip_of_the_second_model_is_fetched_again_without_paying(
    folder: Folder, first: str, second: str
) -> None:
    text = video(f"{first} | {second}", "", f"Put back {first}")
    fail(folder, first, "404")
    folder.run(text)
    paid, [part] = folder.accepted(), folder.sidecar()["clips"]
    assert part["job"]["model"] == second
    file = Path(folder.settings.archive_uri) / "sheet/sheet.rehearsal/shots/cup" / part["file"]["file"]
    whole = file.read_bytes()
    file.unlink()
    for mend, is_whole in ((False, False), (True, True), (False, True)):
        [checked] = asyncio.run(
            verify_archive(folder.settings, ["sheet.rehearsal"], deep=True, mend=mend, tell=tell_nobody)
        )
        assert checked.whole == is_whole, checked.findings
    assert file.read_bytes() == whole
    assert (folder.run(text)["submissions"], folder.accepted()) == ({"image": 0, "video": 0}, paid)


@pytest.mark.parametrize(("sheet", "first", "second"), [(image, A, B), (video, VEO, OMNI)], ids=["picture", "clip"])
def test_a_lost_ledger_learns_from_the_sidecar_and_pays_nothing(
    folder: Folder, sheet: Any, first: str, second: str
) -> None:
    text = sheet(f"{first} | {second}", "", f"Lost {first}")
    fail(folder, first, "404")
    assert folder.run(text)["exit_code"] == 0
    told = Sidecar.model_validate(folder.sidecar())
    check("sheet/sheet.rehearsal/shots/cup/shot.json", told)
    elsewhere = load_settings(
        home=folder.place / "other", archive=folder.settings.archive_uri, gemini_base_url=folder.service.url, tier=3
    )
    shutil.rmtree(folder.settings.home / "spool", ignore_errors=True)
    assert folder.run(text, elsewhere)["submissions"] == {"image": 0, "video": 0}
    part = (folder.sidecar()["takes"] or folder.sidecar()["clips"])[0]
    assert part["job"]["model"] == second


def test_the_key_of_a_sidecar_is_checked_with_the_model_that_was_asked_first(folder: Folder) -> None:
    fail(folder, A, "404")
    folder.run(image(f"{A} | {B}", "", "Checked"))
    told = Sidecar.model_validate(folder.sidecar())
    job = told.takes[0].job
    assert isinstance(job, JobRecord)
    request = {name: value for name, value in job.request.items() if name != "asked_model"}
    take = told.takes[0].model_copy(update={"job": job.model_copy(update={"request": request})})
    with pytest.raises(Exception, match="is not that of what it says"):
        check("sheet/sheet.rehearsal/shots/cup/shot.json", told.model_copy(update={"takes": (take,)}))


@pytest.mark.parametrize(
    ("sheet", "words"),
    [
        (image(f"{A} | nobody"), "sheet.csv:2: image_model: unknown model 'nobody'"),
        (image(f"{A} | {A}"), "is listed twice"),
        (image(f"{A} |"), "a model is missing beside |"),
        (image(f"{A} | {VEO}"), f"{VEO} makes no pictures"),
        (f"{IMAGE}cup,A cup,{A} | {SMALL},2K,16:9,\n", f"{SMALL} does not make '2K'"),
        (video(f"{VEO} | {A}"), f"{A} makes no videos"),
        (f"{VIDEO}cup,A cup,0,Steam,{VEO} | {LITE},8,4k,\n", f"{LITE} does not make '4k'"),
    ],
)
def test_what_a_model_of_the_list_does_not_make_is_refused_at_its_cell(folder: Folder, sheet: str, words: str) -> None:
    with pytest.raises(ManifestError) as refused:
        read(folder, sheet)
    assert words in str(refused.value)


def test_the_plan_has_both_prices_and_the_budget_the_dearest(folder: Folder) -> None:
    shots, catalogue = read(folder, image(f"{A} | {B}")), load_catalogue()
    [action] = plan_batch(BATCH, shots, Known(), catalogue).shots[0].actions
    alone = [
        plan_batch(BATCH, [replace(shots[0], image_model=name, image_fallbacks=())], Known(), catalogue)
        .shots[0]
        .actions[0]
        for name in (A, B)
    ]
    assert (action.model, action.fallbacks, action.usd) == (A, (B,), alone[0].usd)
    assert action.usd_held == alone[1].usd > alone[0].usd
    assert action.usd_high == alone[1].usd_high
