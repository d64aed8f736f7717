"""A plan in a file: executed exactly, or refused before anything is created or sent."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from PIL import Image

from callsheet.batch.request import RunRequest
from callsheet.cli.options import complete_request
from callsheet.errors import SettingsError
from callsheet.plan import Action, Plan, ShotPlan
from callsheet.plan.plan_file import PlanFile, check_same, read_plan, write_plan
from callsheet.settings import load_settings
from tests.support.cli import Cli, Ran
from tests.support.plans import BATCH, SHOT

NOW = datetime(2026, 11, 21, tzinfo=UTC)
SHEET = "id,prompt,takes,reference_images\nlamp,A lamp on a quay,1,ref.png\ncup,A cup on a sill,1,\n"
CHEAPER = "models:\n  gemini-nano-banana-2.1:\n    price_usd: {per_image: {1K: 0.01, 2K: 0.02, 4K: 0.03}}\n"


@pytest.fixture
def planned(lean_cli: Cli) -> Cli:
    """A sheet of two pictures with its plan beside it."""
    (lean_cli.folder / "sheet.csv").write_text(SHEET)
    Image.new("RGB", (64, 64), "teal").save(lean_cli.folder / "ref.png")
    done = lean_cli("plan", "sheet.csv", "--out", "plan.json")
    assert done.exit_code == 0, done.stderr
    return lean_cli


def refused(ran: Ran, *words: str) -> None:
    assert ran.exit_code == 2, ran.stdout + ran.stderr
    for word in words:
        assert word in ran.stderr
    assert "Traceback" not in ran.stderr


def untouched(cli: Cli) -> bool:
    """Nothing was sent, and nothing is in the archive."""
    return not (cli.home / "rehearsal").exists() and not list(cli.home.glob("archive/**/*"))


@pytest.mark.long
def test_a_plan_is_executed_without_naming_its_manifest_and_goes_on_where_it_was_interrupted(planned: Cli) -> None:
    done = planned("run", "--plan", "plan.json", "--json")
    assert done.exit_code == 0, done.stderr
    assert done.json["images"]["created"] == 2
    told = json.loads((planned.folder / "plan.json").read_text())
    assert 2 * 0.0336 < done.json["usd"]["spent"] <= float(told["usd_low"])
    again = planned("run", "--plan", "plan.json", "--json")
    assert (again.exit_code, again.json["images"]) == (0, {"created": 0, "reused": 2})

    planned("plan", "sheet.csv", "--out", "again.json")
    next((planned.home / "archive").glob("sheet/*/shots/cup/take-1-*")).unlink()
    refused(
        planned("run", "--plan", "again.json"), "cup: take-1 was reuse, and is resume now", "missing in the archive"
    )


def test_another_manifest_price_or_reference_picture_is_refused_before_anything_is_made(planned: Cli) -> None:
    (planned.folder / "cheap.yaml").write_text(CHEAPER)
    cheaper = planned("run", "--plan", "plan.json", CALLSHEET_CATALOGUE="cheap.yaml")
    refused(cheaper, "cup: take-1 was to cost $0.0367, and costs $0.0131 now")
    Image.new("RGB", (64, 64), "red").save(planned.folder / "ref.png")
    refused(planned("run", "--plan", "plan.json"), "lamp: take-1 is asked for in another way")
    (planned.folder / "sheet.csv").write_text(SHEET.replace("A cup", "Two cups"))
    refused(
        planned("run", "sheet.csv", "--plan", "plan.json"), "other bytes", "cup: take-1 is asked for in another way"
    )
    assert untouched(planned)


def test_of_a_plan_that_a_person_decided_about_since_the_decision_is_told() -> None:
    first = Action("image", "take-1", "reuse", usd=Decimal(0))
    before = file_of(first, Action("video", "clip", "waiting", why="waiting: approval"))
    approved = file_of(first, Action("video", "clip-2", "create", usd=Decimal("0.4"), why="new"))
    rejected = file_of(first, Action("video", "clip", "blocked", why="rejected by Ada: too dark"))
    assert before.differences(before) == []
    assert before.differences(approved) == ["a waited for a person's approval, and by now 1 take is approved, $0.40"]
    assert before.differences(rejected) == [
        "a waited for a person's approval, and by now it is rejected by Ada: too dark"
    ]


def test_a_plan_never_makes_a_run_live_and_contradictions_are_told(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    write_plan(path, file_of())
    followed = complete_request(RunRequest("", plan=str(path)), load_settings())
    assert (followed.manifest, followed.campaign, followed.variables) == ("sheet.csv", "campaign", {"name": "Ω"})
    for given, told in (
        (RunRequest("", live=True, plan=str(path)), "It is for rehearsal: run it without --live"),
        (RunRequest("", edition="x", plan=str(path)), "It is for edition none, not x"),
        (RunRequest("", campaign="x", plan=str(path)), "It is for campaign campaign, not x"),
        (RunRequest("", variables={"name": "x"}, plan=str(path)), "other variables"),
        (RunRequest("", remake=True, plan=str(path)), "--remake does not go with a plan"),
        (RunRequest(""), "Name a sheet"),
    ):
        with pytest.raises(SettingsError, match=told):
            complete_request(given, load_settings())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no plan that"),
        ("[" * 100_000, "no plan that"),
        ('{"format": 2}', "format"),
        ("\x00\xff", "no plan that"),
    ],
)
def test_a_file_that_is_no_plan_is_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(SettingsError, match=told):
        read_plan(path)


def file_of(*actions: Action, shot: str = "a") -> PlanFile:
    batch = dataclasses.replace(BATCH, manifest_uri="sheet.csv", manifest_sha256="0" * 64)
    plan = Plan(batch, (ShotPlan(dataclasses.replace(SHOT, id=shot), actions),))
    return PlanFile.of(plan, NOW, {"name": "Ω"}, 1)


KEY = "ab" * 32


def test_a_plan_file_is_read_as_it_was_written_and_not_when_it_was_changed(tmp_path: Path) -> None:
    file, path = file_of(Action("image", "take-1", "create", "new shot", Decimal("0.0336"), KEY)), tmp_path / "p.json"
    write_plan(path, file)
    assert read_plan(path) == file
    path.write_text(path.read_text().replace('"create"', '"reuse"'))
    with pytest.raises(SettingsError, match="was changed after it was made"):
        read_plan(path)


def test_waiting_for_the_quota_is_no_difference_and_a_budget_is_one() -> None:
    now = file_of(Action("image", "take-1", "create", usd=Decimal(1), job_key=KEY))
    tomorrow = file_of(Action("image", "take-1", "parked", "today is full", Decimal(1), KEY, until=NOW))
    never = file_of(Action("image", "take-1", "parked", "does not fit the budget", job_key=KEY))
    check_same("plan.json", now, tomorrow)
    with pytest.raises(SettingsError, match="a: take-1 was create, and is parked now: does not fit the budget"):
        check_same("plan.json", now, never)


def test_what_a_begun_plan_made_is_no_difference_and_what_it_would_not_have_made_is_one() -> None:
    take = Action("image", "take-1", "create", usd=Decimal(1), job_key=KEY)
    clip = Action("video", "clip", "create", usd=Decimal(2), wish=KEY)
    planned = file_of(take, clip)
    made = dataclasses.replace(take, what="reuse", usd=Decimal(0))
    chosen = dataclasses.replace(clip, slot="clip-1", job_key="cd" * 32, wish=None)
    check_same("plan.json", planned, file_of(made, chosen), begun=True)
    for now in ((made, chosen, chosen), (made, dataclasses.replace(chosen, usd=Decimal(3))), (chosen,)):
        with pytest.raises(SettingsError, match=r"not planned|another way|not wanted"):
            check_same("plan.json", planned, file_of(*now), begun=True)
    with pytest.raises(SettingsError, match="take-1 was create, and is reuse now"):
        check_same("plan.json", planned, file_of(made, chosen))


def test_only_the_first_differences_are_told() -> None:
    actions = [Action("image", f"take-{n}", "create", job_key=KEY) for n in range(30)]
    with pytest.raises(SettingsError) as refusal:
        check_same("plan.json", file_of(*actions), file_of(*actions, shot="b"))
    lines = str(refusal.value).splitlines()
    assert len(lines) == 13
    assert lines[1].strip() == "a: take-0 was planned, and is not wanted any more"
    assert "... and 50 more" in lines[11]
