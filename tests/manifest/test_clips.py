"""What a sheet says of several clips of one frame, how they are ordered, planned and ranked."""

from __future__ import annotations

from pathlib import Path

import pytest

from callsheet.batch.prepare import read_request
from callsheet.batch.request import RunRequest
from callsheet.errors import ManifestError
from callsheet.manifest.reader import Manifest
from callsheet.media.facts import FrameScore
from callsheet.media.frames import choose_clip
from callsheet.plan import plan_batch
from callsheet.plan.clip_choice import order_variants
from callsheet.plan.inputs import Known
from callsheet.plan.requests import clip_order
from callsheet.settings import load_settings
from tests.support.plans import BATCH, CATALOGUE

HEAD = "id,prompt,takes,motion_prompt,video_model,duration_s,clips,select_clip,seed,select,extend\n"
VEO = "veo-3.1-fast-generate-001"


def sheet(folder: Path, cells: str) -> Manifest:
    (folder / "sheet.csv").write_text(f"{HEAD}kite,A kite,2,It climbs,{VEO},8,{cells}\n")
    return read_request(RunRequest(str(folder / "sheet.csv")), load_settings(home=folder)).manifest


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ("4,best,,best,", ""),
        ("5,,,best,", "sheet.csv:2: clips: '5' is no such number; allowed: 1 to 4"),
        ("0,,,best,", "clips: '0' is no such number"),
        ("2,3,,best,", "select_clip: there is no clip 3; allowed: 1 to 2; raise clips"),
        (
            "2,bset,,best,",
            "select_clip: 'bset' is not fit; allowed: best, first, or a clip's number, 1 to 4; did you mean best",
        ),
        (",2,,best,", "select_clip: there is no clip 2; allowed: 1 to 1"),
        ("3,1,7,all,2", ""),
    ],
)
def test_clips_that_cannot_be_are_refused_at_their_cell(cells: str, words: str, tmp_path: Path) -> None:
    try:
        sheet(tmp_path, cells)
        found = ""
    except ManifestError as error:
        found = str(error)
    assert (words in found, bool(found)) == (True, bool(words))


def test_further_clips_have_keys_of_their_own_and_the_first_has_that_of_old(tmp_path: Path) -> None:
    one, three = (sheet(tmp_path, f"{n},,7,best,").shots[0] for n in (1, 3))
    first = clip_order(BATCH, three, 2, "f" * 64)
    assert first == clip_order(BATCH, one, 2, "f" * 64)
    orders = order_variants(BATCH, three, first)
    assert [order.slot for order in orders] == ["clip-2", "clip-2-v2", "clip-2-v3"]
    assert [order.request["seed"] for order in orders] == [7, 8, 9]
    assert len({order.key for order in orders}) == 3
    unseeded = sheet(tmp_path, "3,,,best,").shots[0]
    assert len({order.key for order in order_variants(BATCH, unseeded, clip_order(BATCH, unseeded, 2, "f" * 64))}) == 3


def test_a_plan_pays_for_each_clip_and_for_the_steps_of_one(tmp_path: Path) -> None:
    (plan,) = plan_batch(BATCH, sheet(tmp_path, "3,,,all,2").shots, Known(), CATALOGUE).shots
    clips = [(action.slot, float(action.usd)) for action in plan.actions if action.kind == "video"]
    each = [("clip", 0.8), ("clip-v2", 0.8), ("clip-v3", 0.8), ("clip-extend-1", 0.7), ("clip-extend-2", 0.7)]
    assert [(slot, pytest.approx(usd)) for slot, usd in each * 2] == clips


def score(sharpness: float, luma: float = 120.0, contrast: float = 40.0) -> FrameScore:
    return FrameScore(luma, 0.01, 7.0, sharpness, contrast, 20.0, 0)


@pytest.mark.parametrize(
    ("clips", "chosen", "words"),
    [
        ({1: (score(10), 2.0), 2: (score(20), 2.0)}, 2, "best of 2: sharpest"),
        ({1: (score(20), 2.0), 2: (score(20), 2.0)}, 1, "the highest mean rank"),
        ({1: (score(20), 0.05), 2: (score(10), 2.0)}, 2, "the only one that passes; clip 1 is without motion"),
        ({1: (score(9, 3.0, 2.0), 2.0), 3: (score(10), 2.0)}, 3, "clip 1 is too dark"),
        ({2: (score(9), 0.0)}, 2, "best of 1 although it is without motion"),
    ],
)
def test_the_best_clip_is_the_one_of_the_highest_rank_that_moves(
    clips: dict[int, tuple[FrameScore, float]], chosen: int, words: str
) -> None:
    number, why, ranks = choose_clip(clips)
    assert (number, words in why, set(ranks)) == (chosen, True, set(clips))
