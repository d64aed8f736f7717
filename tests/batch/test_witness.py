"""A ledger that is lost, moved or another one never pays for everything again: the archive is asked first."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.cli import Cli, kill
from tests.support.lost_ledger_team import SHEET, Team
from tests.support.service import Service
from tests.support.waiting import wait_for


@pytest.fixture
def team(lean_cli: Cli, service: Service) -> Team:
    return Team(lean_cli, service)


@pytest.fixture
def made(team: Team) -> Team:
    """The batch, made at home `a`."""
    done = team.run("a")
    assert done.exit_code == 0, done.stderr
    assert team.accepted() == {"image": 3, "video": 1}
    return team


def lost_sidecars(team: Team) -> None:
    for path in team.batch.rglob("shot.json"):
        path.unlink()


def nothing_else(_team: Team) -> None:
    """The archive is as it was."""


@pytest.mark.parametrize("harm", [nothing_else, lost_sidecars])
def test_another_ledger_pays_for_nothing_that_the_archive_has(made: Team, harm: Callable[[Team], None]) -> None:
    before = {shot: made.sidecar(shot) for shot in ("harbour", "cup")}
    harm(made)
    plan = made("b", "plan", "sheet.csv", "--live", "--json")
    assert plan.json["usd_estimated"] == 0, plan.stdout
    assert (plan.json["images"], plan.json["videos"]) == ({"reuse": 3}, {"reuse": 1})
    done = made.run("b")
    assert done.exit_code == 0, done.stderr
    assert done.json["submissions"] == {"image": 0, "video": 0}
    assert made.accepted() == {"image": 3, "video": 1}
    for shot, was in before.items():
        now = made.sidecar(shot)
        for kind in ("takes", "clips"):
            assert [one["file"]["sha256"] for one in now[kind]] == [one["file"]["sha256"] for one in was[kind]]
    assert done.json["usd"]["spent"] == pytest.approx(sum(one["usd"] for one in before.values()))


@pytest.mark.long
def test_what_another_ledger_made_meanwhile_is_not_made_again_by_the_first_one(made: Team) -> None:
    more = SHEET + "lamp,A brass lamp,1,9,,,\n"
    (made.cli.folder / "sheet.csv").write_text(more)
    assert made.run("b").json["submissions"] == {"image": 1, "video": 0}
    done = made.run("a")
    assert (done.exit_code, done.json["submissions"]) == (0, {"image": 0, "video": 0}), done.stderr
    assert made.accepted() == {"image": 4, "video": 1}


@pytest.mark.long
def test_a_ledger_restored_from_an_old_copy_learns_what_was_made_since(made: Team) -> None:
    home = made.cli.folder / "a"
    old = made.cli.folder / "copy"
    shutil.copytree(home, old)
    (made.cli.folder / "sheet.csv").write_text(SHEET.replace("cup,A hand-thrown", "cup,A blue"))
    assert made.run("a").json["submissions"] == {"image": 1, "video": 0}
    shutil.rmtree(home)
    shutil.copytree(old, home)
    done = made.run("a")
    assert (done.exit_code, done.json["submissions"]) == (0, {"image": 0, "video": 0}), done.stderr


@pytest.mark.long
def test_what_two_ledgers_sent_in_doubt_is_counted_by_both_and_sent_again_only_by_a_person(team: Team) -> None:
    (team.cli.folder / "sheet.csv").write_text("id,prompt\ncup,A hand-thrown cup\n")
    team.service.script({"match": {"kind": "image"}, "fault": "drop-after", "times": 3})
    assert team.run("a").exit_code == 5, "in doubt, sent once more by the rule, in doubt again"
    assert team.run("b").exit_code == 5
    assert team("b", "resolve", "--resubmit", "--all").exit_code == 0
    assert team.run("b").exit_code == 5, "its own request is in doubt as well"
    assert team.accepted() == {"image": 3, "video": 0}
    assert team.run("a").json["usd"]["held"] > 0
    assert team.accepted() == {"image": 3, "video": 0}, "nobody decided about what the other one sent"
    assert team("a", "resolve", "--resubmit", "--all").exit_code == 0
    assert team.run("a").exit_code == 0
    charged = team.service.counts()["charged_usd"]
    for home in ("a", "b"):
        usd = team.run(home).json["usd"]
        # What is in doubt counts as it was estimated.
        assert (usd["spent"], usd["held"]) == (pytest.approx(charged, rel=0.1), 0), home


@pytest.mark.long
def test_a_doubt_that_another_ledger_decided_is_none_any_more(team: Team) -> None:
    (team.cli.folder / "sheet.csv").write_text("id,prompt\ncup,A cup [[block:SAFETY]]\n")
    team.service.script({"match": {"kind": "image"}, "fault": "drop-after", "times": 2})
    assert (team.run("a").exit_code, team.run("b").exit_code) == (5, 5)
    assert team("b", "resolve", "--resubmit", "--all").exit_code == 0
    assert team.run("b").exit_code == 3, "it is blocked"
    assert (team.run("a").exit_code, team.accepted()["image"]) == (3, 3)


@pytest.mark.long
@pytest.mark.parametrize("fault", ["drop-after", "block"])
@pytest.mark.parametrize("billed", [False, True])
def test_a_rebuilt_ledger_doubts_what_the_lost_one_doubted_and_nothing_else(
    team: Team, fault: str, billed: bool
) -> None:
    (team.cli.folder / "sheet.csv").write_text("id,prompt\ncup,A cup\nbeaker,A beaker\n")
    rule = {"match": {"kind": "image", "prompt": "A cup"}, "times": 1}
    later = [rule | {"fault": "block"}] if fault == "block" else []
    team.service.script(rule | {"fault": "drop-after"}, *later)
    assert team.run("a").exit_code == (3 if later else 0)
    if billed:
        assert team("a", "resolve", "--usd", "0.01", "--all").exit_code == 0
    before = team.run("a").json["usd"]
    assert (before["in_doubt"] > 0) is not billed
    team.lose_ledger("a")
    after = team.run("b").json["usd"]
    assert [after[name] for name in ("spent", "held", "in_doubt")] == pytest.approx(
        [before[name] for name in ("spent", "held", "in_doubt")]
    )


@pytest.mark.long
def test_a_picture_in_doubt_that_a_run_did_not_come_to_is_told_before_the_batch_is_left(team: Team) -> None:
    sheet = team.cli.folder / "sheet.csv"
    sheet.write_text("id,prompt\ncup,A hand-thrown cup\n")
    team.service.script({"match": {"kind": "image"}, "fault": "stall", "times": 1})
    process = team.cli.start(
        "run", "sheet.csv", "--live", "--yes", **team.env, CALLSHEET_HOME=str(team.cli.folder / "a")
    )
    wait_for(lambda: team.accepted()["image"] == 1)
    kill(process)
    sheet.write_text("id,prompt\ncup,A hand-thrown cup\nbeaker,A beaker\n")
    team.run("a", "--only", "beaker")
    [take] = team.sidecar("cup")["takes"]
    assert (take["job"]["state"], take["attempts"]) == ("submitting", 1)
    assert not claim_of(team).exists()
    team.lose_ledger("a")
    usd = team.run("b").json["usd"]
    charged = team.service.counts()["charged_usd"]
    assert usd["spent"] + usd["held"] == pytest.approx(charged, rel=0.1), "the other ledger knows of all the money"
    assert team.accepted()["image"] <= 3, "in doubt it is sent once more, and that is told"


@pytest.mark.long
def test_a_shot_of_another_name_finds_what_was_paid_for_under_the_old_one(made: Team) -> None:
    made.lose_ledger("a")
    (made.cli.folder / "sheet.csv").write_text(SHEET.replace("\ncup,", "\nbeaker,"))
    done = made.run("a")
    assert (done.exit_code, done.json["submissions"]) == (0, {"image": 0, "video": 0}), done.stderr


def claim_of(team: Team) -> Path:
    return team.batch / "_LEDGER.json"


def killed(team: Team) -> dict[str, bytes]:
    """A run at home `a` killed with its video submitted; the sidecars that there are then."""
    process = team.cli.start(
        "run", "sheet.csv", "--live", "--yes", **team.env, CALLSHEET_HOME=str(team.cli.folder / "a")
    )
    wait_for(lambda: team.accepted()["video"] == 1 and (team.batch / "shots" / "cup" / "shot.json").exists())
    kill(process)
    return {str(path): path.read_bytes() for path in team.batch.rglob("shot.json")}


@pytest.mark.long
def test_a_batch_that_another_ledger_works_on_is_refused_until_it_is_taken_over(team: Team) -> None:
    team.service.script({"match": {"kind": "video"}, "fault": "stall"})
    before, accepted = killed(team), team.accepted()
    assert not (team.batch / "_SUCCESS.json").exists()
    refused = team.run("b")
    assert (refused.exit_code, team.accepted()) == (2, accepted)
    assert "another ledger" in refused.stderr
    assert "callsheet ledger rebuild --batch sheet.live --take-over" in refused.stderr
    assert {str(path): path.read_bytes() for path in team.batch.rglob("shot.json")} == before
    shown = team("b", "plan", "sheet.csv", "--live", "--json")
    assert "another ledger" in shown.stderr

    taken = team("b", "ledger", "rebuild", "--batch", "sheet.live", "--take-over")
    assert taken.exit_code == 0, taken.stderr
    assert not claim_of(team).exists()
    images = team("b", "plan", "sheet.csv", "--live", "--json").json["images"]
    assert images["reuse"] + taken.stderr.count("unexplained") == 3, "what is paid for again was told"


@pytest.mark.long
def test_a_claim_goes_with_the_end_of_the_run_and_its_own_ledger_goes_on_under_it(team: Team) -> None:
    killed(team)
    assert json.loads(claim_of(team).read_text())["ledger"]
    done = team.run("a")
    assert done.exit_code in (0, 5), done.stderr  # 5 when it was killed before it had the operation's name
    assert team.accepted() == {"image": 3, "video": 1}
    assert not claim_of(team).exists()
    marker = json.loads((team.batch / "_SUCCESS.json").read_text())
    assert (marker["schema_version"], marker["status"]) == (2, "finished")
    assert marker["ledger"]


@pytest.mark.long
def test_a_claim_stays_while_another_run_of_the_same_ledger_is_at_work(team: Team) -> None:
    team.service.script({"match": {"kind": "video"}, "fault": "stall", "seconds": 3600})
    args = ("run", "sheet.csv", "--live", "--yes")
    long = team.cli.start(*args, **team.env, CALLSHEET_HOME=str(team.cli.folder / "a"))
    wait_for(lambda: team.accepted()["video"] == 1)
    assert team.run("a", "--only", "cup").exit_code in (0, 4, 5)
    assert claim_of(team).exists()
    assert team.run("b").exit_code == 2
    kill(long)
    assert team.run("a", "--only", "cup").exit_code in (0, 4, 5), "what is dead keeps nobody out"
    assert not claim_of(team).exists()


def test_of_two_ledgers_that_start_at_once_one_pays(team: Team) -> None:
    start = lambda home: team.cli.start(  # noqa: E731
        "run", "sheet.csv", "--live", "--yes", **team.env, CALLSHEET_HOME=str(team.cli.folder / home)
    )
    runs = [start("a"), start("b")]
    codes = sorted((run.communicate(timeout=240), run.returncode)[1] for run in runs)
    assert team.accepted() == {"image": 3, "video": 1}
    assert codes in ([0, 2], [0, 0])  # the slower one may have come when all was done


def unexplained(team: Team) -> None:
    """Only the pictures are left: no sidecar, no catalogue, no marker."""
    lost_sidecars(team)
    shutil.rmtree(team.cli.folder / "shared" / "catalog")
    (team.batch / "_SUCCESS.json").unlink()


@pytest.mark.long
def test_files_that_nothing_explains_stop_a_live_run_until_a_person_says_so(made: Team) -> None:
    unexplained(made)
    refused = made.run("b")
    assert refused.exit_code == 2
    assert "shots/cup/take-1-" in refused.stderr
    assert "--take-over" in refused.stderr
    assert made.accepted() == {"image": 3, "video": 1}
    shown = made("b", "plan", "sheet.csv", "--live")
    assert "shots/cup/take-1-" in shown.stderr
    taken = made("b", "ledger", "rebuild", "--batch", "sheet.live", "--take-over", "--json")
    assert len(taken.json["unexplained"]) == 4
    assert made.run("b").exit_code == 0
    assert made.accepted() == {"image": 6, "video": 2}


@pytest.mark.long
def test_a_sidecar_that_cannot_be_read_stops_a_ledger_that_does_not_know_its_shot(made: Team) -> None:
    path = made.batch / "shots" / "cup" / "shot.json"
    path.write_bytes(path.read_bytes()[:-40])
    shutil.rmtree(made.cli.folder / "shared" / "catalog")
    assert made.run("b").exit_code == 2
    assert made.accepted() == {"image": 3, "video": 1}
    assert made("b", "ledger", "rebuild", "--batch", "sheet.live", "--take-over", "--json").json["set_aside"]
    assert list(made.batch.glob(".damaged/*/shots/cup/shot.json"))


@pytest.mark.long
@pytest.mark.parametrize("edited", [False, True])
@pytest.mark.quick_cases("True")
def test_a_sidecar_cut_short_is_kept_aside_and_written_anew(made: Team, edited: bool) -> None:
    was, path = made.sidecar("harbour"), made.batch / "shots" / "harbour" / "shot.json"
    short = path.read_bytes()[:-40]
    path.write_bytes(short)
    if edited:  # another shot of the sheet
        (made.cli.folder / "sheet.csv").write_text(SHEET.replace("cup,A hand-thrown", "cup,A blue"))
    done = made.run("a")
    assert (done.exit_code, done.json["submissions"]) == (0, {"image": int(edited), "video": 0}), done.stderr
    now = made.sidecar("harbour")
    for kind in ("takes", "clips", "cuts"):
        assert [one["file"] for one in now[kind]] == [one["file"] for one in was[kind]]
    assert [(one["chosen"], one["score"]) for one in now["takes"]] == [
        (one["chosen"], one["score"]) for one in was["takes"]
    ]
    assert [now[name] for name in ("pins", "state", "usd")] == [was[name] for name in ("pins", "state", "usd")]
    [kept] = made.batch.glob(".damaged/*/shots/harbour/shot.json")
    assert kept.read_bytes() == short


@pytest.mark.long
def test_a_rehearsal_is_never_refused_and_learns_all_the_same(lean_cli: Cli, service: Service) -> None:
    (lean_cli.folder / "sheet.csv").write_text(SHEET)
    place = {"GOOGLE_GEMINI_BASE_URL": service.url, "CALLSHEET_ARCHIVE": str(lean_cli.folder / "shared")}
    for home in ("a", "b"):
        done = lean_cli("run", "sheet.csv", "--json", **place, CALLSHEET_HOME=str(lean_cli.folder / home))
        assert done.exit_code == 0, done.stderr
    assert done.json["submissions"] == {"image": 0, "video": 0}
    assert not list((lean_cli.folder / "shared").rglob("_LEDGER.json"))


@pytest.mark.long
def test_approvals_and_cuts_refuse_while_another_ledger_works_on_the_batch(made: Team) -> None:
    assert made("b", "plan", "sheet.csv", "--live").exit_code == 0
    claim_of(made).write_text(json.dumps({"ledger": "f" * 32, "since": "2026-11-30T10:00:00Z", "host": "atelier"}))
    for command in (("cuts", "sheet.live", "--for", "9x16"), ("approve", "sheet.live", "cup=1")):
        refused = made("b", *command)
        assert (refused.exit_code, "on atelier" in refused.stderr) == (2, True), refused.stderr


def test_a_home_that_hides_one_above_is_told(bare_cli: Cli) -> None:
    (bare_cli.folder / "sheet.csv").write_text(SHEET)
    assert "has another one" not in bare_cli("plan", "sheet.csv").stderr
    below = Cli(bare_cli.folder / "week-2", forge=bare_cli.forge)
    below.folder.mkdir()
    told = below("plan", "../sheet.csv")
    assert f"CALLSHEET_HOME={bare_cli.home}" in told.stderr
