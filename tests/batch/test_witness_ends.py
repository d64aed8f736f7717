"""How a colleague's job ended is learned from the archive by a ledger whose own requests came to nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Cli
from tests.support.lost_ledger_team import SHEET, Team
from tests.support.service import Service

ONE = "id,prompt\ncup,A hand-thrown cup\n"
CLIP = "id,prompt,seed,motion_prompt,duration_s,cuts\nharbour,A harbour,7,The boats drift in,4,\n"
CHOICE = (
    "id,prompt,takes,seed,select,motion_prompt,duration_s,cuts\nharbour,A harbour,2,7,approve,The boats drift in,4,\n"
)


@pytest.fixture
def team(lean_cli: Cli, service: Service) -> Team:
    return Team(lean_cli, service)


def seen(team: Team, kind: str) -> int:
    """How many requests of a kind have come, accepted or not."""
    found: int = team.service.counts()["requests"].get(kind, 0)
    return found


FULL_DAY = {"fault": "429-day", "times": 1, "limit": 600}


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "sheet", "ends"),
    [
        ("image", "id,prompt\ncup,A cup [[block:SAFETY]]\n", {}),
        ("image", ONE, {"match": {"kind": "image"}, "fault": "no-image", "times": 2}),
        ("video", CLIP.replace("drift in", "drift in [[rai:17301594]]"), {}),
    ],
    ids=["blocked", "no picture", "filtered"],
)  # fmt: skip
@pytest.mark.quick_cases("no picture", "filtered")
def test_a_job_refused_for_one_ledger_that_ended_badly_for_another_is_not_sent_by_the_first(
    team: Team, kind: str, sheet: str, ends: dict[str, Any]
) -> None:
    (team.cli.folder / "sheet.csv").write_text(sheet)
    team.service.script({"match": {"kind": kind}, **FULL_DAY})
    assert team.run("a").exit_code == 4, "its day is full"
    if ends:
        team.service.script(ends)
    ended = team.run("b")
    assert ended.exit_code == 3, ended.stderr
    before = seen(team, kind)
    again = team.run("a")
    assert (again.exit_code, seen(team, kind)) == (3, before), again.stderr
    assert again.json["shots"] == ended.json["shots"]
    assert again.json["usd"]["spent"] == ended.json["usd"]["spent"]


@pytest.mark.long
def test_what_another_ledger_tried_again_with_success_is_done_for_the_one_where_it_failed(team: Team) -> None:
    (team.cli.folder / "sheet.csv").write_text(ONE)
    team.service.script({"match": {"kind": "image"}, "fault": "no-image", "times": 2})
    assert team.run("a").exit_code == 3
    assert team.run("b").exit_code == 3
    assert team.run("b", "--remake").exit_code == 0
    again = team.run("a")
    assert (again.exit_code, again.json["submissions"]["image"]) == (0, 0), again.stderr
    [take] = team.sidecar("cup")["takes"]
    assert take["file"] is not None


def test_a_lost_file_that_another_ledger_had_made_anew_is_not_paid_for_by_the_first(team: Team) -> None:
    (team.cli.folder / "sheet.csv").write_text(ONE)
    assert team.run("a").exit_code == 0
    [file] = team.batch.glob("shots/cup/take-*")
    file.unlink()
    assert team.run("b", "--remake").exit_code == 0
    made = team.accepted()["image"]
    assert made == 2
    again = team.run("a")
    assert (again.exit_code, team.accepted()["image"]) == (0, made), again.stderr
    assert team.run("a", "--remake").exit_code == 0
    assert team.accepted()["image"] == made
    [take] = team.sidecar("cup")["takes"]
    assert Path(team.batch / "shots" / "cup" / take["file"]["file"]).exists()


@pytest.mark.long
def test_a_decision_that_another_ledger_took_later_is_the_one_that_counts(team: Team) -> None:
    (team.cli.folder / "sheet.csv").write_text(CHOICE)
    assert team.run("a").exit_code == 5
    assert team("a", "approve", "sheet.live", "harbour=reject").exit_code == 0
    assert team.run("a").exit_code == 3
    assert team.run("b").exit_code == 3
    assert team("b", "approve", "sheet.live", "harbour=2").exit_code == 0
    assert team.run("b").exit_code == 0
    again = team.run("a")
    assert (again.exit_code, team.accepted()["video"]) == (0, 1), again.stderr
    assert len(team.sidecar("harbour")["decisions"]) == 2


@pytest.mark.long
def test_an_approval_here_is_held_against_what_another_ledger_decided_and_sent(team: Team) -> None:
    (team.cli.folder / "sheet.csv").write_text(CHOICE)
    assert (team.run("a").exit_code, team.run("b").exit_code) == (5, 5)
    assert team("b", "approve", "sheet.live", "harbour=2").exit_code == 0
    assert team.run("b").exit_code == 0
    refused = team("a", "approve", "sheet.live", "harbour=1")
    assert (refused.exit_code, "that is paid for" in refused.stderr) == (2, True), refused.stderr
    assert team("a", "approve", "sheet.live", "harbour=1,2").exit_code == 0
    assert team.run("a").exit_code == 0
    assert team.accepted()["video"] == 2
    assert [one["takes"].keys() for one in team.sidecar("harbour")["decisions"]] == [{"2"}, {"1", "2"}]


@pytest.mark.long
def test_what_another_ledger_paid_for_in_another_campaign_is_reused_and_lies_in_both(team: Team) -> None:
    for name in ("spring", "autumn"):
        (team.cli.folder / f"{name}.csv").write_text(SHEET)
    args = ("--live", "--yes", "--json")
    first = team("a", "run", "spring.csv", *args)
    assert first.exit_code == 0, first.stderr
    paid = team.accepted()
    plan = team("b", "plan", "autumn.csv", "--live", "--json").json
    # Which frame is chosen, and so which clip is wanted, only the run can tell.
    assert plan["images"] == {"resume": 3}
    second = team("b", "run", "autumn.csv", *args)
    assert (second.exit_code, team.accepted()) == (0, paid), second.stderr
    files = [
        sorted(path.name for path in (team.cli.folder / "shared" / name / f"{name}.live").glob("shots/*/[tc]*-*.*"))
        for name in ("spring", "autumn")
    ]
    assert files[0] == files[1] != []
    assert team("c", "run", "autumn.csv", *args, "--edition", "2").json["submissions"] == {"image": 3, "video": 1}
