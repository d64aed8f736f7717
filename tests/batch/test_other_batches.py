"""What another ledger has under way or in doubt in another batch of the archive is not paid for here."""

from __future__ import annotations

import json

import pytest

from tests.support.cli import Cli
from tests.support.lost_ledger_team import Team
from tests.support.service import Service

CLIP = "id,prompt,takes,seed,motion_prompt,duration_s,cuts\n{},A harbour at first light,1,7,The boats drift in,4,\n"


@pytest.fixture
def team(lean_cli: Cli, service: Service) -> Team:
    team = Team(lean_cli, service)
    (lean_cli.folder / "sheet.csv").write_text(CLIP.format("harbour"))
    (lean_cli.folder / "other.csv").write_text(CLIP.format("bay"))
    return team


def other(team: Team, home: str) -> tuple[int, dict[str, int], str]:
    """What a run of the other sheet at this home ends with, what was accepted in all, and what was told."""
    ran = team(home, "run", "other.csv", "--live", "--yes", "--json")
    return ran.exit_code, team.accepted(), ran.stderr


def test_a_clip_that_a_killed_colleague_has_under_way_in_another_batch_is_followed_and_not_paid_again(
    team: Team,
) -> None:
    team.die("a", "after a clip is sent and told")
    code, accepted, told = other(team, "b")
    assert (code, accepted) == (0, {"image": 1, "video": 1}), told
    [clip] = json.loads((team.batch.parents[1] / "other/other.live/shots/bay/shot.json").read_text())["clips"]
    assert clip["file"] is not None


@pytest.mark.long
def test_a_clip_that_a_colleague_has_in_doubt_in_another_batch_waits_for_the_colleagues_decision(team: Team) -> None:
    team.service.script({"match": {"kind": "video"}, "fault": "drop-after", "times": 1})
    assert team.run("a").exit_code == 5
    for _ in range(2):
        code, accepted, told = other(team, "b")
        assert (code, accepted) == (5, {"image": 1, "video": 1}), told
        assert "callsheet resolve" in told
    dropped = team("a", "resolve", "--drop", "--all")
    assert dropped.exit_code == 0, dropped.stderr
    assert team.run("a").exit_code == 3
    code, accepted, told = other(team, "b")
    assert (code, accepted) == (3, {"image": 1, "video": 1}), told


MORE = "well,A stone well,1,9,Water rises,4,\n"


@pytest.mark.long
def test_a_colleague_pays_for_what_is_new_in_a_batch_and_leaves_what_another_has_in_doubt(team: Team) -> None:
    team.service.script({"match": {"kind": "video"}, "fault": "drop-after", "times": 1})
    assert team.run("a").exit_code == 5
    (team.cli.folder / "sheet.csv").write_text(CLIP.format("harbour") + MORE)
    ran = team.run("b")
    assert (ran.exit_code, team.accepted()) == (5, {"image": 2, "video": 2}), ran.stderr
    assert ran.json["open_requests"] == {"parked": 0, "submitted": 0, "in_doubt": 1}
    assert (team.run("a").exit_code, team.accepted()) == (5, {"image": 2, "video": 2})


@pytest.mark.long
def test_a_colleague_with_something_new_is_refused_while_a_batch_is_worked_on_and_follows_after_a_takeover(
    team: Team,
) -> None:
    team.die("a", "after a clip is sent and told")
    (team.cli.folder / "sheet.csv").write_text(CLIP.format("harbour") + MORE)
    refused = team.run("b")
    assert (refused.exit_code, team.accepted()) == (2, {"image": 1, "video": 1}), refused.stderr
    assert "--take-over" in refused.stderr
    assert team("b", "ledger", "rebuild", "--batch", "sheet.live", "--take-over").exit_code == 0
    ran = team.run("b")
    assert (ran.exit_code, team.accepted()) == (0, {"image": 2, "video": 2}), ran.stderr
    assert (team.run("a").exit_code, team.accepted()) == (0, {"image": 2, "video": 2})
