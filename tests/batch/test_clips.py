"""Several clips of one frame: each paid for once, one chosen once, and only that one made longer and cut."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from callsheet.settings import load_settings
from tests.support.forked import Forge
from tests.support.service import Service, start_service
from tests.support.video_folder import VideoFolder

OMNI = "gemini-omni-1.2-flash"
HEADER = "id,prompt,takes,select,motion_prompt,video_model,duration_s,clips,select_clip,extend,cuts,resolution,seed\n"


def row(name: str, clips: int = 2, **given: Any) -> str:
    one = {"takes": 0, "select": "", "model": OMNI, "s": 4, "chosen": "", "extend": "", "cuts": "", "seed": ""} | given
    size = "360p" if one["model"] == OMNI else "720p"
    told = (one["takes"], one["select"], f"{name} moves on", one["model"], one["s"], clips, one["chosen"])
    return f"{name},A picture of {name},{','.join(map(str, (*told, one['extend'], one['cuts'], size, one['seed'])))}\n"


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


def chosen_of(told: dict[str, Any]) -> dict[str, Any]:
    (found,) = (clip for clip in told["clips"] if clip["chosen"])
    return dict(found)


def test_of_several_clips_the_best_is_made_longer_and_cut_and_all_are_kept(folder: VideoFolder) -> None:
    folder.write(row("kite", 3, cuts="9x16", extend=1), row("boat", 2, takes=2, select="all", cuts="1x1"))
    plan = folder.plan()
    assert [slot for slot, *_ in plan["kite"]] == ["clip", "clip-v2", "clip-v3", "clip-extend-1"]
    assert plan["kite"][3][2] == "makes the chosen clip longer, to 14 s"
    assert sum(usd for *_, usd in plan["kite"]) == pytest.approx(0.023 * (3 * 4 + 10))
    summary = folder.run()
    assert (summary["exit_code"], summary["submissions"]["video"]) == (0, 4 + 4)
    assert summary["usd"]["spent"] == pytest.approx(summary["usd"]["estimated"], rel=0.05)
    told = folder.sidecar("kite")
    begun = {clip["variant"]: clip for clip in told["beginnings"]}
    (last,) = told["clips"]
    assert (sorted(begun), last["step"], last["chosen"]) == ([1, 2, 3], 1, True)
    pin = told["pins"][-1]
    assert (pin["take"], pin["sha256"]) == (last["variant"], begun[last["variant"]]["file"]["sha256"])
    assert last["job"]["request"]["inputs"] == [pin["sha256"]]
    assert [cut["file"]["parent"] for cut in told["cuts"]] == [last["file"]["sha256"]]
    assert "best of 3: " in last["why"] == pin["why"]
    assert len({clip["file"]["sha256"] for clip in begun.values()}) == 3
    assert all(clip["poster"] and clip["score"]["rank"] is not None for clip in begun.values())
    boat = folder.sidecar("boat")
    assert sorted(clip["take"] for clip in boat["clips"]) == [1, 2]
    assert sorted(cut["file"]["parent"] for cut in boat["cuts"]) == sorted(c["file"]["sha256"] for c in boat["clips"])
    rows = pl.read_parquet(list(Path(folder.settings.archive_uri).glob("catalog/**/*.parquet")))
    assert rows.filter((pl.col("kind") == "clip") & pl.col("chosen"))["shot"].to_list().count("boat") == 2
    page = (folder.archive / "gallery.html").read_text()
    assert all(clip["file"]["file"] in page for clip in (*begun.values(), last) if clip is not begun[last["variant"]])
    assert {what for _, what, *_ in folder.plan()["kite"]} == {"reuse"}
    folder.lose_ledger()
    (folder.archive / "shots" / "kite" / "shot.json").unlink()
    assert folder.run()["submissions"]["video"] == 0
    assert chosen_of(folder.sidecar("kite"))["job_key"] == last["job_key"]


@pytest.mark.long
def test_more_clips_later_are_only_the_new_ones_and_the_chosen_stays(folder: VideoFolder) -> None:
    folder.write(row("kite", 1, seed=7))
    folder.run()
    first = folder.sidecar("kite")["clips"][0]["job_key"]
    folder.write(row("kite", 2, seed=7))
    assert [(slot, what) for slot, what, *_ in folder.plan()["kite"]] == [("clip", "reuse"), ("clip-v2", "create")]
    assert folder.run()["submissions"]["video"] == 1
    two = folder.sidecar("kite")
    parts = {clip["variant"]: clip for clip in (*two["clips"], *two["beginnings"])}
    assert (parts[1]["job_key"], [parts[n]["job"]["request"]["seed"] for n in (1, 2)]) == (first, [7, 8])
    folder.write(row("kite", 4, seed=7, cuts="1x1"))
    assert folder.run()["submissions"]["video"] == 2
    four = folder.sidecar("kite")
    assert (chosen_of(four)["job_key"], four["pins"]) == (chosen_of(two)["job_key"], two["pins"])
    folder.write(row("kite", 4, seed=7, chosen=3))
    assert folder.run()["submissions"]["video"] == 0
    assert (chosen_of(folder.sidecar("kite"))["variant"], chosen_of(folder.sidecar("kite"))["why"]) == (
        3, "asked for by number",
    )  # fmt: skip
    folder.write(row("kite", 1, seed=7))
    assert folder.run()["submissions"]["video"] == 0
    one = folder.sidecar("kite")
    assert ([clip["job_key"] for clip in one["clips"]], len(one["earlier_clips"])) == ([first], 3)
    folder.write(row("kite", 4, seed=7))
    assert folder.run()["submissions"]["video"] == 0
    assert chosen_of(folder.sidecar("kite"))["job_key"] == chosen_of(two)["job_key"]


@pytest.mark.slow
@pytest.mark.parametrize("left", ["sidecars", "catalogue"])
def test_a_lost_ledger_learns_every_clip_and_the_choice_from_the_archive(folder: VideoFolder, left: str) -> None:
    folder.write(row("kite", 3, extend=1), row("boat", 2, takes=1))
    folder.run()
    before, chosen = folder.accepted(), {name: chosen_of(folder.sidecar(name)) for name in ("kite", "boat")}
    folder.lose_ledger()
    if left == "sidecars":
        shutil.rmtree(Path(folder.settings.archive_uri) / "catalog")
    else:
        (folder.archive / "shots" / "kite" / "shot.json").unlink()
    summary = folder.run()
    assert (summary["exit_code"], summary["submissions"]["video"], folder.accepted()) == (0, 0, before)
    assert {name: chosen_of(folder.sidecar(name))["job_key"] for name in chosen} == {
        name: clip["job_key"] for name, clip in chosen.items()
    }


@pytest.mark.long
def test_the_choice_waits_for_what_is_parked_and_not_for_what_is_blocked(folder: VideoFolder) -> None:
    folder.service.script({"match": {"kind": "video", "prompt": "boat moves", "nth": [1]}, "fault": "rai"})
    folder.write(row("kite", 3, extend=1))
    summary = folder.run(budget_usd=Decimal("0.20"))  # for two clips of three
    assert (summary["exit_code"], summary["submissions"]["video"]) == (4, 2)
    told = folder.sidecar("kite")
    assert (told["clips"], told["pins"], len(told["beginnings"])) == ([], [], 3)
    assert "Clip 3 of its frame is still to come" in " ".join(one["message"] for one in told["failures"])
    assert [what for _, what, *_ in folder.plan()["kite"]] == ["reuse", "reuse", "create", "create"]
    assert folder.run()["submissions"]["video"] == 2
    folder.write(row("boat", 2, cuts="1x1"))
    done = folder.run()
    assert (done["exit_code"], done["shots"]["done"], done["submissions"]["video"]) == (0, 1, 2)
    boat = folder.sidecar("boat")
    assert ([one["file"] for one in boat["beginnings"]], len(boat["cuts"])) == ([None], 1)


@pytest.mark.long
def test_the_first_clip_that_was_made_goes_on_where_the_sheet_says_so_and_stays(folder: VideoFolder) -> None:
    folder.service.script({"match": {"kind": "video", "prompt": "elm moves", "nth": [1]}, "fault": "rai"})
    folder.write(row("elm", 3, chosen="first", extend=1))
    summary = folder.run()
    assert (summary["exit_code"], summary["submissions"]["video"]) == (0, 4)
    made = [clip for clip in folder.sidecar("elm")["beginnings"] if clip["file"]]
    chosen = chosen_of(folder.sidecar("elm"))
    assert (chosen["why"], chosen["variant"]) == ("the first that was made", min(clip["variant"] for clip in made))
    folder.lose_ledger()
    assert folder.run()["submissions"]["video"] == 0
    folder.write(row("elm", 3, extend=1))
    assert folder.run()["submissions"]["video"] == 0, "what is made of it has chosen it"


def test_a_clip_asked_for_by_number_that_was_blocked_leaves_the_shot_open_to_another(folder: VideoFolder) -> None:
    folder.service.script({"match": {"kind": "video", "prompt": "oak moves"}, "fault": "rai"})
    folder.write(row("oak", 2, chosen=2, extend=1))
    summary = folder.run()
    assert (summary["exit_code"], summary["shots"]["blocked"], summary["submissions"]["video"]) == (3, 1, 2)
    assert "`select_clip` asks for clip 2, which was not made" in str(folder.sidecar("oak")["failures"])


MOMENTS = [
    "before a clip is sent",
    "between a clip's sidecar and its record",
    "after a clip is sent and told",
    "after all clips are sent and told",
    "after a file is on record",
    "after a choice of frame",
    "between files and sidecar",
]


QUICK = [(MOMENTS[5], False)]
CASES = [(moment, lost) for moment in MOMENTS for lost in (False, True)]


@pytest.mark.long
@pytest.mark.parametrize(
    ("moment", "lost"), [*QUICK, *(pytest.param(*one, marks=pytest.mark.slow) for one in CASES if one not in QUICK)]
)
def test_a_kill_pays_for_each_clip_once(folder: VideoFolder, bare_forge: Forge, moment: str, lost: bool) -> None:
    name = f"c{MOMENTS.index(moment)}{lost:d}"
    folder.write(row(name, 3, extend=1))
    before = folder.accepted()
    assert folder.start(bare_forge, moment).wait(240) == -9
    if lost:
        folder.lose_ledger()
    assert folder.run()["exit_code"] == 0
    assert folder.accepted() - before == 4
    told = folder.sidecar(name)
    assert chosen_of(told)["job"]["request"]["inputs"] == [told["pins"][-1]["sha256"]]


@pytest.mark.slow
def test_two_processes_at_once_make_one_choice(folder: VideoFolder, bare_forge: Forge) -> None:
    folder.write(*(row(f"p{n}", 2, extend=1) for n in range(2)))
    before = folder.accepted()
    both = [folder.start(bare_forge, "after the marker") for _ in range(2)]
    assert [process.wait(240) for process in both] == [-9, -9]
    assert folder.accepted() - before == 2 * 3
    assert folder.run()["submissions"]["video"] == 0
    assert all(len(folder.sidecar(f"p{n}")["pins"]) == 1 for n in range(2))
