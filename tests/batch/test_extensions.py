"""Clips that are made longer: each step made of the one before, paid for once, whatever happens between them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from callsheet.approval.decision_input import TakeSelection
from callsheet.batch import approve
from callsheet.batch.recover import recover_all
from callsheet.maintenance.service import Checked, verify_archive
from callsheet.providers.omni import OmniInteractions
from callsheet.reconcile.inspect import tell_nobody
from callsheet.settings import load_settings
from tests.support.forked import Forge
from tests.support.service import Service, start_service
from tests.support.video_folder import VideoFolder

OMNI, VEO, VEO_GEMINI = "gemini-omni-1.2-flash", "veo-3.1-fast-generate-001", "veo-3.1-fast-generate-preview"
HEADER = "id,prompt,takes,select,motion_prompt,video_model,duration_s,extend,cuts,resolution\n"
EDITED = "id,prompt,takes,motion_prompt,video_model,duration_s,clip_edits,extend,clips,resolution,cuts\n"


def row(name: str, extend: int = 2, **given: Any) -> str:
    cells = {"takes": 0, "select": "", "motion": f"{name} moves on", "model": OMNI, "s": 4, "cuts": "", "size": "360p"}
    one = cells | given
    size = "720p" if one["model"] != OMNI else one["size"]
    told = (one["takes"], one["select"], one["motion"], one["model"], one["s"], extend, one["cuts"], size)
    return f"{name},A picture of {name},{','.join(map(str, told))}\n"


def edited_row(name: str) -> str:
    """A clip that is edited twice: as many submissions as of a clip that two steps make longer."""
    return f"{name},A {name},0,{name} moves on,{OMNI},4,night falls on {name}|snow covers {name},,1,360p,\n"


def veo_row(name: str) -> str:
    return row(name, model=VEO)


CHAINS = {"extended": (HEADER, row), "edited": (EDITED, edited_row), "veo": (HEADER, veo_row)}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = start_service(tmp_path_factory.mktemp("service") / "state", factor=600, latency={"image": 0, "video": 20})
    yield service
    service.process.terminate()
    service.process.wait(timeout=20)


@pytest.fixture
def folder(tmp_path: Path, shared: Service) -> VideoFolder:
    shared.script()
    settings = load_settings(home=tmp_path / "home", gemini_base_url=shared.url, tier=3)
    return VideoFolder(tmp_path, settings, shared, HEADER)


def is_linked(chain: list[dict[str, Any]]) -> bool:
    """Return whether each clip was made of the bytes of the one before it."""
    pairs = pairwise(chain)
    return all(b["job"]["request"]["inputs"] == [a["file"]["sha256"]] == [b["file"]["parent"]] for a, b in pairs)


@pytest.mark.long
@pytest.mark.parametrize(
    ("model", "lengths", "usd"),
    [
        pytest.param(OMNI, [4, 14, 24], 0.023 * 24, marks=pytest.mark.slow),
        (VEO, [4, 11, 18], 1.8),
        pytest.param(VEO_GEMINI, [4, 11, 18], 1.8, marks=pytest.mark.slow),
    ],
)
def test_a_clip_is_made_longer_step_by_step_and_the_last_is_cut(
    folder: VideoFolder, model: str, lengths: list[int], usd: float
) -> None:
    folder.write(row("kite", model=model, takes=2, cuts="9x16"), row("boat", 0, model=model))
    plan = folder.plan()
    assert [slot for slot, *_ in plan["kite"]] == ["clip", "clip-extend-1", "clip-extend-2"]
    assert f"to {lengths[2]} s" in plan["kite"][2][2]
    assert sum(each for *_, each in plan["kite"]) == pytest.approx(usd)
    summary = folder.run()
    assert (summary["exit_code"], summary["submissions"]["video"]) == (0, 4)
    chain, told = folder.chain("kite"), folder.sidecar("kite")
    assert [round(clip["file"]["duration_s"]) for clip in chain] == lengths
    assert is_linked(chain)
    assert chain[0]["file"]["parent"] == told["pins"][0]["sha256"]
    (cut,) = told["cuts"]
    assert (cut["file"]["parent"], round(cut["file"]["duration_s"])) == (chain[2]["file"]["sha256"], lengths[2])
    assert sum(clip["usd"] for clip in chain) == pytest.approx(usd, rel=0.01)
    assert (folder.sidecar("boat")["beginnings"], [one["poster"] is not None for one in chain]) == (
        [],
        [False, False, True],
    )
    again = folder.run()
    assert (again["exit_code"], again["submissions"]["video"]) == (0, 0)
    assert {what for _, what, *_ in folder.plan()["kite"]} == {"reuse"}


def test_a_clip_too_large_to_be_sent_is_named_by_where_its_maker_has_it(
    folder: VideoFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OmniInteractions, "max_source_bytes", 0)
    folder.write(row("large"))
    summary = folder.run()
    assert (summary["exit_code"], summary["submissions"]["video"]) == (0, 3)
    assert [round(clip["file"]["duration_s"]) for clip in folder.chain("large")] == [4, 14, 24]


@pytest.mark.long
def test_a_clip_that_is_there_is_made_longer_and_its_key_stays(folder: VideoFolder) -> None:
    folder.write(row("kite", 0, takes=1))
    folder.run()
    (first,) = folder.sidecar("kite")["clips"]
    folder.write(row("kite", 1, takes=1))
    assert folder.run()["submissions"] == {"image": 0, "video": 1}
    assert [clip["job_key"] for clip in folder.sidecar("kite")["beginnings"]] == [first["job_key"]]
    middle = folder.chain("kite")[1]["job_key"]
    folder.write(row("kite", 2, takes=1))
    assert folder.run()["submissions"]["video"] == 1
    assert [clip["job_key"] for clip in folder.chain("kite")][:2] == [first["job_key"], middle]
    folder.write(row("kite", 0, takes=1))
    assert folder.run()["submissions"]["video"] == 0
    told = folder.sidecar("kite")
    assert [clip["job_key"] for clip in told["clips"]] == [first["job_key"]]
    assert [clip["step"] for clip in told["earlier_clips"]] == [1, 2]
    folder.write(row("kite", 2, takes=1))
    assert folder.run()["submissions"]["video"] == 0, "what was paid for stays made"


@pytest.mark.long
@pytest.mark.parametrize("left", ["sidecars", "catalogue"])
def test_a_lost_ledger_learns_every_step_from_the_archive(folder: VideoFolder, left: str) -> None:
    folder.write(row("kite", takes=2), row("boat", 1))
    folder.run()
    before, keys = folder.accepted(), [clip["job_key"] for clip in folder.chain("kite")]
    folder.lose_ledger()
    if left == "sidecars":
        shutil.rmtree(Path(folder.settings.archive_uri) / "catalog")
    else:
        (folder.archive / "shots" / "boat" / "shot.json").unlink()
    summary = folder.run()
    assert (summary["exit_code"], summary["submissions"], folder.accepted()) == (0, {"image": 0, "video": 0}, before)
    assert [clip["job_key"] for clip in folder.chain("kite")] == keys
    assert [clip["step"] for clip in folder.chain("boat")] == [0, 1]


@pytest.mark.long
def test_two_takes_give_two_long_clips(folder: VideoFolder) -> None:
    folder.write(row("kite", 1, takes=2, select="all", cuts="9x16"))
    summary = folder.run()
    assert (summary["exit_code"], summary["submissions"]["video"]) == (0, 4)
    told = folder.sidecar("kite")
    assert [(clip["take"], clip["step"]) for clip in told["clips"]] == [(1, 1), (2, 1)]
    for take in (1, 2):
        assert is_linked([clip for clip in folder.chain("kite") if clip["take"] == take])
    assert sorted(cut["file"]["parent"] for cut in told["cuts"]) == sorted(c["file"]["sha256"] for c in told["clips"])


def test_a_blocked_middle_step_keeps_what_is_made_and_sends_nothing_after_it(folder: VideoFolder) -> None:
    folder.service.script({"match": {"kind": "video", "prompt": "kite moves", "nth": [2]}, "fault": "rai"})
    folder.write(row("kite", 3), row("boat", 1))
    summary = folder.run()
    assert (summary["exit_code"], summary["submissions"]["video"]) == (3, 4)
    assert {shot: state for shot, (state, _) in folder.rows().items()} == {"kite": "blocked", "boat": "done"}
    told = folder.sidecar("kite")
    assert [(clip["step"], clip["file"] is not None) for clip in told["beginnings"]] == [(0, True), (1, False)]
    assert (told["clips"], told["failures"][0]["slot"]) == ([], "clip-extend-1")
    assert [what for _, what, *_ in folder.plan()["kite"]] == ["reuse", "blocked", "blocked", "blocked"]
    folder.lose_ledger()
    assert folder.run()["submissions"]["video"] == 0


def test_a_budget_parks_the_steps_that_it_does_not_allow_and_they_go_on(folder: VideoFolder) -> None:
    folder.write(row("kite"))
    summary = folder.run(budget_usd=Decimal("0.10"))
    assert (summary["exit_code"], summary["submissions"]["video"], summary["shots"]["parked"]) == (4, 1, 1)
    middle = folder.run(budget_usd=Decimal("0.33"))
    assert (middle["exit_code"], middle["submissions"]["video"]) == (4, 1)
    last = folder.run()
    assert (last["exit_code"], last["submissions"]["video"]) == (0, 1)
    assert is_linked(folder.chain("kite"))


def test_a_person_approves_before_any_step_is_paid_for(folder: VideoFolder) -> None:
    folder.write(row("kite", 1, takes=2, select="approve"))
    summary = folder.run()
    assert (summary["exit_code"], summary["submissions"]["video"]) == (5, 0)
    assert [what for _, what, *_ in folder.plan()["kite"]] == ["waiting", "waiting"]
    seen = {take["take"]: take["file"]["sha256"] for take in folder.sidecar("kite")["takes"]}
    asyncio.run(approve.decide(folder.settings, "sheet.rehearsal", [TakeSelection("kite", (2,), seen=seen)], "Ada"))
    assert folder.run()["submissions"]["video"] == 2
    assert [clip["take"] for clip in folder.chain("kite")] == [2, 2]


def test_what_a_step_was_made_of_is_not_paid_for_again_when_it_is_lost(folder: VideoFolder) -> None:
    folder.write(row("kite", 1))
    folder.run()
    first, last = folder.chain("kite")
    shutil.rmtree(folder.settings.home / "spool")
    (folder.archive / "shots" / "kite" / first["file"]["file"]).unlink()
    summary = folder.run()
    assert (summary["exit_code"], summary["submissions"]["video"]) == (0, 0)
    assert folder.chain("kite")[-1]["job_key"] == last["job_key"]


@pytest.mark.long
@pytest.mark.parametrize("fault", ["503", "drop-before", "drop-after", "429-minute"])
def test_faults_of_a_step_are_met_like_those_of_a_clip(folder: VideoFolder, fault: str) -> None:
    folder.service.script({"match": {"kind": "video", "prompt": f"{fault} moves", "nth": [2]}, "fault": fault})
    folder.write(row(fault.replace(".", ""), 2))
    before = folder.accepted()
    summary = folder.run()
    assert summary["exit_code"] == 0
    assert folder.accepted() - before == 3


MOMENTS = [
    "before a clip is sent",
    "between a clip's sidecar and its record",
    "after a clip is sent and told",
    "after all clips are sent and told",
    "after a file, before it is on record",
    "after a file is on record",
    "between files and sidecar",
]


@pytest.mark.long
@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize(
    ("moment", "lost"),
    [*((moment, False) for moment in MOMENTS), *((moment, True) for moment in MOMENTS[1:5:2])],
)
@pytest.mark.quick_cases(
    "before a clip is sent-False-extended",
    "between files and sidecar-False-edited",
    "after all clips are sent and told-True-extended",
)
def test_a_kill_between_the_steps_pays_for_each_once(
    folder: VideoFolder, bare_forge: Forge, moment: str, lost: bool, chain: str
) -> None:
    header, row_of = CHAINS[chain]
    folder, name = replace(folder, header=header), f"{chain[0]}{MOMENTS.index(moment)}{lost:d}"
    folder.write(row_of(name))
    before = folder.accepted()
    assert folder.start(bare_forge, moment).wait(240) == -9
    if lost:
        folder.lose_ledger()
    assert folder.run()["exit_code"] == 0
    assert folder.accepted() - before == 3
    assert is_linked(folder.chain(name))


def test_recover_fetches_a_step_that_was_under_way_and_the_run_goes_on_with_it(
    folder: VideoFolder, bare_forge: Forge
) -> None:
    folder.write(row("late"))
    before = folder.accepted()
    assert folder.start(bare_forge, "after all clips are sent and told").wait(240) == -9
    (fetched,) = asyncio.run(recover_all(folder.settings))
    assert fetched.how == "fetched"
    summary = folder.run()
    assert (summary["exit_code"], summary["submissions"]["video"], folder.accepted() - before) == (0, 1, 3)
    assert is_linked(folder.chain("late"))


@pytest.mark.long
@pytest.mark.parametrize("homes", [1, 2])
@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.quick_cases("edited-1", "veo-2")
def test_two_processes_at_once_pay_for_each_step_once(
    folder: VideoFolder, bare_forge: Forge, chain: str, homes: int
) -> None:
    """In one home, or in two with one ledger and archive, as on two machines: the spools are apart then."""
    header, row_of = CHAINS[chain]
    shared = {"ledger": f"sqlite:///{folder.place / 'ledger.db'}", "archive": str(folder.place / "archive")}
    apart = shared if homes > 1 else {}
    given = {"gemini_base_url": folder.service.url, "tier": 3, **apart}
    places = [folder.settings.home, folder.place / "there"][:homes]
    here, there = (
        replace(folder, header=header, settings=load_settings(home=place, **given)) for place in (places[0], places[-1])
    )
    here.write(*(row_of(f"p{n}") for n in range(3)))
    before = here.accepted()
    both = [one.start(bare_forge, "after the marker", **apart) for one in (here, there)]
    assert [process.wait(240) for process in both] == [-9, -9]
    assert here.accepted() - before == 9
    assert [one.run()["submissions"]["video"] for one in (here, there)] == [0, 0]
    assert all(is_linked(here.chain(f"p{n}")) for n in range(3))


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.quick_cases("edited")
def test_clips_of_a_chain_that_are_lost_are_found_and_put_back_without_paying(folder: VideoFolder, chain: str) -> None:
    header, row_of = CHAINS[chain]
    folder = replace(folder, header=header)
    folder.write(row_of("kite"))
    folder.run()
    paid, files = folder.accepted(), [clip["file"]["file"] for clip in folder.chain("kite")]
    whole = {name: (folder.archive / "shots" / "kite" / name).read_bytes() for name in files}
    for name in (files[1], files[2]):
        (folder.archive / "shots" / "kite" / name).unlink()
    shutil.rmtree(folder.settings.home / "spool")

    def verify(*, mend: bool) -> Checked:
        """The archive alone knows: what is lost comes from the provider."""
        [checked] = asyncio.run(
            verify_archive(folder.settings, ["sheet.rehearsal"], deep=True, mend=mend, tell=tell_nobody)
        )
        return checked

    assert {one.name.rpartition("/")[2] for one in verify(mend=False).findings} == {files[1], files[2]}
    assert verify(mend=True).whole
    assert verify(mend=False).findings == ()
    assert {name: (folder.archive / "shots" / "kite" / name).read_bytes() for name in files} == whole
    assert (folder.run()["submissions"]["video"], folder.accepted()) == (0, paid)


@pytest.mark.long
def test_a_clip_is_edited_by_each_instruction_and_then_made_longer(folder: VideoFolder) -> None:
    folder = replace(folder, header=EDITED)
    folder.write(f"kite,A kite,0,It climbs,{OMNI},4,night falls|snow covers it,1,2,360p,1x1\n")
    plan = folder.plan()["kite"]
    assert [slot for slot, *_ in plan] == ["clip", "clip-v2", "clip-edit-1", "clip-edit-2", "clip-extend-3"]
    assert [why for _, _, why, _ in plan[2:]] == [
        "edits the chosen clip", "edits clip-edit-1", "makes clip-edit-2 longer, to 14 s"
    ]  # fmt: skip
    assert [usd for *_, usd in plan] == [pytest.approx(0.023 * seconds) for seconds in (4, 4, 4, 4, 10)]
    [clips, edits, longer] = folder.plan_json()["models"]
    assert [one.get("step_kind") for one in (clips, edits, longer)] == [None, "edit", "extend"]
    summary = folder.run()
    assert (summary["exit_code"], summary["submissions"]["video"]) == (0, 5)
    chain = [clip for clip in folder.chain("kite") if clip["chosen"]]
    assert (is_linked(chain), [round(clip["file"]["duration_s"]) for clip in chain]) == (True, [4, 4, 4, 14])
    assert [clip["job"]["request"]["prompt"] for clip in chain] == [
        "It climbs", "night falls", "snow covers it", "It climbs"
    ]  # fmt: skip
    assert [clip["is_edit"] for clip in chain] == [False, True, True, False]
    (cut,) = folder.sidecar("kite")["cuts"]
    assert cut["file"]["parent"] == chain[-1]["file"]["sha256"]
    folder.lose_ledger()
    assert folder.run()["submissions"]["video"] == 0
    folder.write(f"kite,A kite,0,It climbs,{OMNI},4,night falls|rain sets in,,2,360p,1x1\n")
    assert [what for _, what, *_ in folder.plan()["kite"]] == ["reuse", "reuse", "reuse", "create"]
    assert folder.run()["submissions"]["video"] == 1
