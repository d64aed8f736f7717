"""How a run ends when something is still open that no shot's state tells of: 4 and 5 come before 3 and 0."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from callsheet.context.shot_state import most_open
from callsheet.exit_codes import PRECEDENCE, ExitCode, code_of_shots, first_of
from callsheet.shots import ShotOutcome
from tests.support.cli import Cli, Ran
from tests.support.service import Service

KEYS = {"GEMINI_API_KEY": "one-key", "CALLSHEET_AGENT_PLATFORM_API_KEY": "other-key"}
HEADER = "id,prompt,takes,seed,motion_prompt,duration_s,cuts\n"
LOST: dict[str, Any] = {"match": {"prompt": "nobody answers"}, "fault": "drop-after"}
FULL: dict[str, Any] = {"match": {"kind": "image", "prompt": "tomorrow"}, "fault": "429-day"}


def run(cli: Cli, service: Service, sheet: str, *more: str, live: bool = False) -> Ran:
    (cli.folder / "sheet.csv").write_text(HEADER + sheet)
    urls = {"GOOGLE_GEMINI_BASE_URL": service.url, "GOOGLE_VERTEX_BASE_URL": service.url}
    return cli("run", "sheet.csv", "--json", *more, *["--live", "--yes"] * live, **urls, **(KEYS if live else {}))


@pytest.mark.long
def test_a_take_in_doubt_beside_a_good_one_ends_with_5_and_its_money_is_told(lean_cli: Cli, service: Service) -> None:
    service.script(LOST)
    assert run(lean_cli, service, "cup,A cup that nobody answers for,1,1,,,\n", live=True).exit_code == 5
    service.script()
    ran = run(lean_cli, service, "cup,A cup that nobody answers for,2,1,,,\n", live=True)
    assert (ran.exit_code, ran.json["open_requests"]) == (5, {"parked": 0, "submitted": 0, "in_doubt": 1}), ran.stderr
    assert ran.json["waiting_for"] == {"approval": 0, "resolve": 1}
    held = ran.json["usd"]["held"]
    assert held > 0
    assert f"USD {held:.2f} more held by requests: 1 in doubt" in ran.stderr
    assert "callsheet resolve" in ran.stderr
    status = lean_cli("status", "sheet.live", "--json")
    assert status.json["batches"][0]["usd"]["reserved"] == held
    assert f"sheet.live: USD {held:.2f} held by requests that are not settled" in status.stderr


def test_a_request_in_doubt_of_a_shot_that_was_taken_out_is_not_forgotten(lean_cli: Cli, service: Service) -> None:
    service.script(LOST)
    sheet = "boat,A boat,1,1,,,\ncup,A cup,1,2,Steam that nobody answers for,4,\n"
    assert run(lean_cli, service, sheet, live=True).exit_code == 5
    ran = run(lean_cli, service, "boat,A boat,1,1,,,\n", live=True)
    assert (ran.exit_code, ran.json["shots"]["done"], ran.json["shots"]["total"]) == (5, 1, 1)
    assert ran.json["usd"]["held"] > 0
    assert run(lean_cli, service, "boat,A boat,1,1,,,\n", "--only", "boat", live=True).exit_code == 0


@pytest.mark.long
def test_a_parked_take_beside_a_good_one_ends_with_4(lean_cli: Cli, service: Service) -> None:
    service.script(FULL)
    assert run(lean_cli, service, "cup,A cup,1,1,,,\n").exit_code == 0
    service.script({**FULL, "match": {"kind": "image", "prompt": "A cup"}})
    ran = run(lean_cli, service, "cup,A cup,2,1,,,\n")
    assert (ran.exit_code, ran.json["open_requests"]["parked"]) == (4, 1), ran.stderr
    assert ran.json["parked_until"] is not None
    assert "Run the same command again from" in ran.stderr
    again = run(lean_cli, service, "cup,A cup,1,1,,,\n")
    assert (again.exit_code, again.json["open_requests"]["parked"]) == (0, 0), "a take that is not wanted is not sent"


def test_parked_comes_before_in_doubt_and_both_before_what_failed(lean_cli: Cli, service: Service) -> None:
    service.script(LOST, FULL)
    sheet = "doubt,A cup that nobody answers for,1,1,,,\nblocked,A cup [[block:SAFETY]],1,2,,,\n"
    assert run(lean_cli, service, sheet, live=True).exit_code == 5
    ran = run(lean_cli, service, sheet + "full,A cup for tomorrow,1,3,,,\n", live=True)
    assert (ran.exit_code, ran.json["shots"]["parked"]) == (4, 1), ran.stderr
    assert ran.json["open_requests"] == {"parked": 1, "submitted": 0, "in_doubt": 1}


def test_of_several_codes_that_counts_which_tells_of_work_to_come() -> None:
    assert PRECEDENCE[1:] == (1, 2, 4, 5, 3, 0)
    for codes in itertools.permutations((0, 1, 3, 4, 5)):
        assert first_of(codes) == 1
        assert first_of(code for code in codes if code != 1) == 4
        assert first_of(code for code in codes if code not in (1, 4)) == 5
        assert first_of(code for code in codes if code in (0, 3)) == 3
    assert first_of([]) == 0


@pytest.mark.parametrize(
    ("states", "code"),
    [("done", 0), ("done blocked", 3), ("failed waiting", 5), ("waiting parked blocked", 4), ("pending parked", 1)],
)
def test_the_code_of_shots_is_that_of_the_one_with_most_to_come(states: str, code: int) -> None:
    assert code_of_shots({ShotOutcome(state): 1 for state in states.split()}) == code
    assert code_of_shots({ShotOutcome.PENDING: 1}, free=True) == ExitCode.PARKED
    assert code_of_shots({ShotOutcome.DONE: 1, ShotOutcome.PARKED: 0}) == ExitCode.DONE


def test_a_shot_whose_clips_stand_differently_is_what_goes_on() -> None:
    assert most_open([None, ShotOutcome.FAILED, ShotOutcome.PARKED]) is ShotOutcome.PARKED
    assert most_open([ShotOutcome.BLOCKED, ShotOutcome.WAITING, None]) is ShotOutcome.WAITING
    assert most_open([None, None]) is None
