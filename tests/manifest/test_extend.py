"""What a sheet says of longer clips: refused at its cell where the model or the route makes none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from callsheet.batch.prepare import read_request
from callsheet.batch.request import RunRequest
from callsheet.errors import ManifestError
from callsheet.manifest.reader import Manifest
from callsheet.plan import plan_batch
from callsheet.plan.extensions import ClipSlot, read_clip_slot, step_order
from callsheet.plan.inputs import Known
from callsheet.plan.requests import clip_order
from callsheet.settings import load_settings
from tests.support.plans import BATCH, CATALOGUE

HEAD = "id,prompt,takes,motion_prompt,video_model,resolution,duration_s,extend,person_generation\n"
OMNI, VEO, VEO_LITE = "gemini-omni-1.2-flash", "veo-3.1-fast-generate-001", "veo-3.1-lite-generate-001"


def sheet(folder: Path, row: str, *, live: bool = False, **settings: Any) -> Manifest:
    (folder / "sheet.csv").write_text(f"{HEAD}{row}\n")
    request = RunRequest(str(folder / "sheet.csv"), live=live)
    return read_request(request, load_settings(home=folder, **settings)).manifest


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (f"{VEO_LITE},720p,8,1,", f"extend: {VEO_LITE} makes no video longer; allowed: none"),
        (f"{VEO},1080p,8,1,", "makes no video of 1080p longer; allowed: 720p; set resolution to 720p"),
        (f"{VEO},720p,8,4,", ""),
        (f"{VEO},720p,8,21,", "extend: '21' is no such number; allowed: 0 to 20 steps"),
        (f"{VEO},720p,8,many,", "extend: 'many' is no such number"),
        (f"{OMNI},720p,8,3,", ""),
        (f"{OMNI},720p,8,4,", f"{OMNI} does not make 8 s longer 4 times by 10 s on gemini_api; allowed: 0 to 3"),
        (f"{OMNI},720p,15,3,", "allowed: 0 to 2"),
        (f"{OMNI},4k,15,2,", ""),
    ],
)
def test_steps_that_no_platform_makes_are_refused_at_their_cell(cells: str, words: str, tmp_path: Path) -> None:
    try:
        made = sheet(tmp_path, f"kite,A kite,0,It climbs,{cells}")
        found = [str(each.problem) for each in made.unsendable]
    except ManifestError as error:
        found = [str(error)]
    assert [words in each and "sheet.csv:2: extend: " in each for each in found] == ([True] if words else [])


def test_the_route_that_will_be_taken_decides_how_long_a_clip_may_become(tmp_path: Path) -> None:
    """Agent Platform reads up to 30 s, where the Gemini API reads up to 141 s."""
    given = {"live": True, "google_cloud_project": "p"}
    made = sheet(tmp_path, f"kite,A kite,0,It climbs,{VEO},720p,8,4,", **given)
    assert (made.unsendable, made.shots[0].length_s) == ((), 36)
    (each,) = sheet(tmp_path, f"kite,A kite,0,It climbs,{VEO},720p,8,5,", **given).unsendable
    assert (each.problem.column, each.problem.line) == ("extend", 2)
    assert "does not make 8 s longer 5 times by 7 s on agent_platform; allowed: 0 to 4" in str(each.problem)


def test_a_plan_tells_each_step_its_price_and_the_length_in_all(tmp_path: Path) -> None:
    shots = sheet(tmp_path, f"kite,A kite,1,It climbs,{OMNI},720p,8,2,").shots
    (plan,) = plan_batch(BATCH, shots, Known(), CATALOGUE).shots
    clips = [action for action in plan.actions if action.kind == "video"]
    assert [(one.slot, one.what, float(one.usd)) for one in clips] == [
        ("clip", "create", 0.56), ("clip-extend-1", "create", 0.7), ("clip-extend-2", "create", 0.7)
    ]  # fmt: skip
    assert [one.why for one in clips[1:]] == ["makes clip longer, to 18 s", "makes clip-extend-1 longer, to 28 s"]
    assert (shots[0].length_s, float(plan.usd)) == (28, pytest.approx(1.96 + 0.0336, abs=0.01))


def test_steps_are_in_no_key_of_the_clip_and_the_clip_before_is_in_theirs(tmp_path: Path) -> None:
    plain, longer = (sheet(tmp_path, f"kite,A kite,1,It climbs,{OMNI},720p,8,{n},").shots[0] for n in (0, 3))
    assert clip_order(BATCH, plain, 1, "f" * 64) == clip_order(BATCH, longer, 1, "f" * 64)
    keys = {step_order(BATCH, longer, ClipSlot(1, 1), sha256).key for sha256 in ("", "a" * 64, "b" * 64)}
    assert len(keys) == 3
    order = step_order(BATCH, longer, ClipSlot(1, 2), "a" * 64)
    assert (order.slot, order.request["duration_s"], order.request["inputs"]) == ("clip-1-extend-2", 28, ["a" * 64])


@pytest.mark.parametrize(
    ("slot", "found"),
    [("clip", (None, 0)), ("clip-2", (2, 0)), ("clip-extend-1", (None, 1)), ("clip-12-extend-20", (12, 20)),
     ("take-1", (None, 0)), ("clip-x", (None, 0)), ("clip-v2", (None, 0, 2)), ("clip-3-v4-extend-1", (3, 1, 4)),
     ("clip-edit-1", (None, 1, 1, True))],
)  # fmt: skip
def test_a_slot_tells_take_step_and_which_of_several(slot: str, found: tuple[int | None, int]) -> None:
    assert read_clip_slot(slot) == ClipSlot(*found)
    assert slot in (str(ClipSlot(*found)), "take-1", "clip-x")


@pytest.mark.parametrize(
    ("model", "edits", "words"),
    [
        (OMNI, "night falls|snow covers it", ""),
        (VEO, "night falls", f"sheet.csv:2: clip_edits: {VEO} edits no video; allowed: none; name one that does"),
        (OMNI, "|".join(["again"] * 21), "clip_edits: there are 21 edits of a clip; allowed: at most 20"),
    ],
)
def test_edits_of_a_clip_are_refused_where_the_model_makes_none(
    model: str, edits: str, words: str, tmp_path: Path
) -> None:
    text = f"id,prompt,takes,motion_prompt,video_model,clip_edits\nkite,A kite,0,It climbs,{model},{edits}\n"
    (tmp_path / "sheet.csv").write_text(text)
    try:
        made = read_request(RunRequest(str(tmp_path / "sheet.csv")), load_settings(home=tmp_path)).manifest
        found = [str(each.problem) for each in made.unsendable]
    except ManifestError as error:
        found = [str(error)]
    assert [words in each for each in found] == ([True] if words else [])
