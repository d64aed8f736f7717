"""Asking Gemini for the subject of a clip: what its answers mean, and that a look is paid for once and fails no cut."""

from __future__ import annotations

import json
import sqlite3
from decimal import Decimal
from pathlib import Path

import pytest

from callsheet.cuts.framing.geometry import SubjectBox
from callsheet.errors import MediaError
from callsheet.models import load_catalogue
from callsheet.plan.subject_query import MOMENTS, look_price, subject_in
from tests.support.cli import Cli
from tests.support.live_runs import live
from tests.support.service import Service

TIMES = (0.5, 4.0, 7.5)
SHEET = """id,prompt,takes,motion_prompt,duration_s,cuts,focus
harbour,,0,The boats drift in,4,1x1,ask
"""


def box(picture: int = 0, *, at: object = (100, 200, 900, 400)) -> str:
    return json.dumps([{"picture": picture, "label": "a boat", "box_2d": at}])


def test_boxes_are_read_with_y_first_and_in_thousandths():
    answer = json.dumps([json.loads(box(2))[0], json.loads(box(0, at=[0, 0, 500, 1000]))[0]])
    subject = subject_in(answer, TIMES)
    assert subject.how == "asked"
    assert subject.boxes == (SubjectBox(0.5, 0.0, 0.0, 1.0, 0.5), SubjectBox(7.5, 0.2, 0.1, 0.4, 0.9))
    assert subject.reason == "Gemini saw: a boat"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("I see a boat.", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ('{"box_2d": [1, 2, 3, 4]}', "no list"),
        ("[]", "no single subject"),
        (box(3), "no picture that was sent"),
        (box(at=[100, 200, 900]), "not four numbers"),
        (box(at=["1", 2, 3, 4]), "not four numbers"),
        (box(at=[900, 200, 100, 400]), "does not lie in the picture"),
        (box(at=[0, 0, 1001, 400]), "does not lie in the picture"),
        (box(at=[0, 0, 90, 90]), "less than 1% of the picture"),
        ('[{"picture": 0, "label": "x", "box_2d": [NaN, 0, 500, 500]}]', "does not lie in the picture"),
        ("[7]", "no picture that was sent"),
    ],
)
def test_an_answer_that_makes_no_sense_is_refused_with_the_reason(answer, why):
    with pytest.raises(MediaError, match=why):
        subject_in(answer, TIMES)


def test_the_estimate_covers_every_token_and_is_about_a_cent():
    catalogue = load_catalogue()
    model = catalogue.get(catalogue.default_look)
    assert (model.kind, model.status, model.driven) == ("look", "live", True)
    assert model.token_price(len(MOMENTS) * 1120, 2048) < look_price(model) < Decimal("0.011")


def ledger_looks(home: Path) -> list[tuple[str, int, str]]:
    with sqlite3.connect(home / "ledger.db") as db:
        return db.execute("SELECT state, spent_usd, slot FROM jobs WHERE kind = 'look'").fetchall()


def subjects(batch: Path, shot: str = "harbour") -> dict[str, tuple[str, str]]:
    side = json.loads((batch / f"shots/{shot}/shot.json").read_text())
    return {cut["spec"]: (cut["subject"]["how"], cut["subject"]["reason"]) for cut in side["cuts"]}


def test_a_clip_is_looked_at_once_for_all_its_cuts_and_never_again(lean_cli: Cli) -> None:
    (lean_cli.folder / "sheet.csv").write_text(SHEET)
    planned = lean_cli("plan", "sheet.csv", "--json").json
    assert planned["looks"] == {"create": 1}
    assert 0 < planned["usd_high"] - planned["usd_low"] < 0.011
    first = lean_cli("run", "sheet.csv", "--json")
    assert first.exit_code == 0, first.stderr
    assert first.json["submissions"] == {"image": 0, "video": 1, "look": 1}
    assert first.json["looks"] == {"created": 1, "reused": 0}
    [(state, spent, slot)] = ledger_looks(lean_cli.folder / ".callsheet")
    assert (state, slot[:5]) == ("stored", "look-")
    assert spent > 0
    how, reason = subjects(Path(first.json["archive"]))["1x1"]
    assert (how, reason[:12]) == ("asked", "Gemini saw: ")

    (lean_cli.folder / "sheet.csv").write_text(SHEET.replace("1x1", "1x1;4x5"))
    again = lean_cli("run", "sheet.csv", "--json", "--free")
    assert again.exit_code == 0, again.stderr
    assert again.json["submissions"] == {"image": 0, "video": 0}
    assert subjects(Path(again.json["archive"]))["4x5"] == (how, reason)
    assert lean_cli("recover", "--json").exit_code == 0


@pytest.mark.long
def test_without_an_answer_the_subject_is_looked_for_and_the_reason_told(lean_cli: Cli, service: Service) -> None:
    service.script(
        {"match": {"kind": "look", "nth": [1]}, "fault": "block"},
        {"match": {"kind": "look", "nth": [2]}, "fault": "text-only"},
        {"match": {"kind": "look"}, "fault": "500", "accepted": True},
    )
    row = SHEET.splitlines()[1]
    rows = [row.replace("harbour", f"shot-{n}").replace("drift in", f"drift in {n} times") for n in (1, 2, 3)]
    (lean_cli.folder / "sheet.csv").write_text("\n".join([SHEET.splitlines()[0], *rows]))
    ended = lean_cli("run", "sheet.csv", "--live", "--yes", "--json", **live(service))
    assert ended.exit_code == 0, ended.stderr
    told = [subjects(Path(ended.json["archive"]), f"shot-{n}")["1x1"] for n in (1, 2, 3)]
    assert {how for how, _ in told} <= {"saliency", "centre"}
    reasons = sorted(reason for _, reason in told)
    assert reasons[0].startswith("Gemini did not tell: The prompt was refused (SAFETY)"), reasons
    assert reasons[1].startswith("Gemini did not tell: drop by the rule of one more try for a look"), reasons
    assert reasons[2].startswith("Gemini's answer is of no use: the answer is no JSON"), reasons
    assert service.counts()["accepted"]["look"] == 4, "only the answer that was lost was asked for again, once"
    assert not list(lean_cli.home.glob("**/replies/*")), "what is archived needs no kept reply"


@pytest.mark.long
def test_what_the_budget_does_not_allow_is_not_asked(lean_cli: Cli) -> None:
    (lean_cli.folder / "sheet.csv").write_text(SHEET)
    ended = lean_cli("run", "sheet.csv", "--json", "--budget", "0.4001")
    assert ended.exit_code == 0, ended.stderr
    assert ended.json["submissions"] == {"image": 0, "video": 1}
    how, reason = subjects(Path(ended.json["archive"]))["1x1"]
    assert how in ("saliency", "centre")
    assert reason.startswith("Gemini was not asked: The next look")
