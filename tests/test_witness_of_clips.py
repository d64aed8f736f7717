"""What was sent for a clip is in the archive while it is awaited: a kill and a lost ledger pay for nothing again."""

from __future__ import annotations

import pytest

from tests.conftest import Cli, Service
from tests.test_witness import Team

HEADER = "id,prompt,takes,seed,select,motion_prompt,duration_s\n"
TOLD = "after a clip is sent and told"
# The row, the moment of the kill, and what is accepted by then and in all.
CASES = {
    "one take": ("boat,A boat,1,7,best,It drifts,4", TOLD, (1, 1), (1, 1)),
    "two takes": ("boat,A boat,2,7,best,It drifts,4", TOLD, (2, 1), (2, 1)),
    "every take": ("boat,A boat,2,7,all,It drifts,4", "after all clips are sent and told", (2, 2), (2, 2)),
    "text alone": ("boat,,0,,,A boat drifts,4", TOLD, (0, 1), (0, 1)),
    "takes whose clip is not sent yet": ("boat,A boat,1,7,,It drifts,4", "before a clip is claimed", (1, 0), (1, 1)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_run_that_is_killed_and_loses_its_ledger_pays_for_nothing_again(
    lean_cli: Cli, service: Service, case: str
) -> None:
    team = Team(lean_cli, service)
    row, moment, by_then, in_all = CASES[case]
    (lean_cli.folder / "sheet.csv").write_text(HEADER + row + "\n")
    team.die("a", moment)
    assert tuple(team.accepted().values()) == by_then
    team.lose_ledger("a")
    refused = team.run("a")
    assert (refused.exit_code, tuple(team.accepted().values())) == (2, by_then), refused.stderr
    taken = team("a", "ledger", "rebuild", "--batch", "sheet.live", "--take-over", "--json")
    assert (taken.exit_code, taken.json["unexplained"]) == (0, []), taken.stderr
    done = team.run("a")
    assert done.exit_code == 0, done.stderr
    assert tuple(team.accepted().values()) == in_all
