"""What was sent for a clip is in the archive while it is awaited: a kill and a lost ledger pay for nothing again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from callsheet.archive.open import open_archive
from callsheet.settings import load_settings
from tests.support.cli import Cli
from tests.support.lost_ledger_team import Team
from tests.support.service import Service, start_service

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
@pytest.mark.quick_cases("every take", "takes whose clip is not sent yet")
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


# The moment of the kill, and the videos that the provider has by then.
WINDOWS = {
    "between a clip's sidecar and its record": 0,
    "before a clip is sent": 0,
    "between a clip's record and its sidecar": 1,
}


@pytest.mark.long
@pytest.mark.parametrize("moment", WINDOWS)
@pytest.mark.quick_cases("before a clip is sent", "between a clip's record and its sidecar")
def test_a_clip_that_may_have_been_sent_by_another_ledger_is_in_doubt_until_a_person_decides(
    lean_cli: Cli, service: Service, moment: str
) -> None:
    team = Team(lean_cli, service)
    (lean_cli.folder / "sheet.csv").write_text(HEADER + "boat,A boat,1,7,best,It drifts,4\n")
    team.die("a", moment)
    accepted = {"image": 1, "video": WINDOWS[moment]} if WINDOWS[moment] else {"image": 1}
    assert {kind: n for kind, n in team.accepted().items() if n} == accepted
    assert team.run("b").exit_code == 2
    taken = team("b", "ledger", "rebuild", "--batch", "sheet.live", "--take-over", "--json")
    assert (taken.exit_code, taken.json["in_doubt"]) == (0, [["boat", "clip-1"]]), taken.stderr
    assert "callsheet resolve" in taken.stderr
    held = team.run("b")
    assert (held.exit_code, held.json["submissions"]["video"]) == (5, 0), held.stderr
    assert {kind: n for kind, n in team.accepted().items() if n} == accepted


def test_the_ledger_that_was_about_to_send_a_clip_knows_that_it_did_not(lean_cli: Cli, service: Service) -> None:
    team = Team(lean_cli, service)
    (lean_cli.folder / "sheet.csv").write_text(HEADER + "boat,A boat,1,7,best,It drifts,4\n")
    team.die("a", "between a clip's sidecar and its record")
    assert team.sidecar("boat")["clips"][0]["job"]["state"] == "submitting"
    done = team.run("a")
    assert (done.exit_code, team.accepted()) == (0, {"image": 1, "video": 1}), done.stderr
    assert team.sidecar("boat")["clips"][0]["job"]["ledger"] == ""


@pytest.fixture(params=["folder", "bucket"])
def anywhere(lean_cli: Cli, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Team]:
    """A team whose archive is a folder, or lies in a bucket that a real storage server keeps."""
    if request.param == "folder":
        service = start_service(tmp_path / "service", factor=60, latency={"image": 0, "video": 20})
        team = Team(lean_cli, service)
    else:
        server = request.getfixturevalue("gcs_server")
        told: dict[str, object] = {"factor": 60, "latency": {"image": 0, "video": 20}, "gcs_endpoint": server}
        service = start_service(tmp_path / "service", **told)
        team = Team(lean_cli, service)
        team.env |= {"CALLSHEET_ARCHIVE": f"gs://bucket/{tmp_path.name}", "STORAGE_EMULATOR_HOST": server}
        team.env["PLACE"] = "bucket"
    (lean_cli.folder / "sheet.csv").write_text(HEADER + CASES["one take"][0] + "\n")
    yield team
    service.process.terminate()
    service.process.wait(timeout=120)


def documents(team: Team) -> dict[str, bytes]:
    """Every object of the archive."""

    async def read() -> dict[str, bytes]:
        emulator = team.env.get("STORAGE_EMULATOR_HOST")
        store = open_archive(load_settings(archive=team.env["CALLSHEET_ARCHIVE"], storage_emulator_host=emulator))
        try:
            return {name: await store.read_bytes(name, 1 << 30) for name in await store.list("")}
        finally:
            await store.aclose()

    return asyncio.run(read())


@pytest.mark.long
@pytest.mark.quick_cases("folder")
def test_nothing_that_another_ledger_does_touches_a_batch_that_is_worked_on(anywhere: Team) -> None:
    team = anywhere
    team.die("a", TOLD)
    before, accepted = documents(team), team.accepted()
    assert accepted == {"image": 1, "video": 1}
    for command in (
        ("run", "sheet.csv", "--live", "--yes"),
        ("recover",),
        ("collect",),
        ("archive", "verify", "--repair"),
        ("cuts", "sheet.live", "--for", "9x16"),
    ):
        told = team("b", *command)
        assert told.exit_code in (0, 1, 2, 3, 4), (command, told.stderr)
        assert "Traceback" not in told.stderr
        now = documents(team)  # what was paid for may be fetched
        assert {name: now.get(name) for name in before} == before, command
        assert now.keys() - before.keys() <= {name for name in now if "/clip-" in name}
    assert team.accepted() == accepted
    done = team.run("a")
    assert (done.exit_code, team.accepted()) == (0, accepted), done.stderr
    again = team.run("b")
    assert (again.exit_code, team.accepted()) == (0, accepted), again.stderr
