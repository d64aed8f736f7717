"""A batch goes on with what it was begun with, whatever a later catalogue gives to shots that do not say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from callsheet.batch.request import as_begun
from callsheet.models import load_catalogue
from tests.support.cli import Cli, Ran
from tests.support.service import Service

SHEET = """id,prompt,takes,seed,motion_prompt,resolution,aspect_ratio
quay,A quay,1,7,The fog lifts,{resolution},1:1
cup,A cup,1,8,,,
"""
IMAGE, VIDEO = load_catalogue().default_image, load_catalogue().default_video
CHANGES = {
    "resolution": (VIDEO, "defaults: {resolution: 1080p}"),
    "duration": (VIDEO, "defaults: {duration_s: 6}"),
    "aspect": (VIDEO, 'defaults: {aspect_ratio: "9:16"}'),
    "ratios": (VIDEO, 'aspect_ratios: ["1:1", "16:9", "9:16"]'),
    "size": (IMAGE, "defaults: {size: 2K}"),
    "picture": (IMAGE, 'defaults: {aspect_ratio: "3:4"}'),
}


class Desk:
    """A person's folder, whose catalogue changes."""

    def __init__(self, cli: Cli, service: Service) -> None:
        self.cli, self.service = cli, service
        self.write(SHEET.format(resolution=""))

    def write(self, sheet: str) -> None:
        (self.cli.folder / "sheet.csv").write_text(sheet)

    def __call__(self, command: str, catalogue: str = "", home: str = "home") -> Ran:
        other = self.cli.folder / "mine.yaml"
        other.write_text(catalogue or "{}\n")
        env = {
            "GOOGLE_GEMINI_BASE_URL": self.service.url,
            "GOOGLE_VERTEX_BASE_URL": self.service.url,
            "CALLSHEET_CATALOGUE": str(other),
            "CALLSHEET_HOME": str(self.cli.folder / home),
            "CALLSHEET_ARCHIVE": str(self.cli.folder / "shared"),
        }
        return self.cli(command, "sheet.csv", "--json", **env)


@pytest.fixture
def desk(lean_cli: Cli, service: Service) -> Desk:
    return Desk(lean_cli, service)


def changed(what: str) -> str:
    model, text = CHANGES[what]
    return f"models:\n  {model}:\n    {text}\n"


@pytest.mark.long
@pytest.mark.parametrize("home", ["home", "elsewhere"])
@pytest.mark.quick_cases("elsewhere")
def test_a_new_default_of_a_model_is_for_new_batches_only(desk: Desk, home: str) -> None:
    assert desk("run").exit_code == 0
    for what in CHANGES:
        plan = desk("plan", changed(what), home)
        assert plan.exit_code == 0, (what, plan.stderr)
        assert plan.json["usd_estimated"] == 0, (what, plan.stdout)
        assert (plan.json["images"], plan.json["videos"]) == ({"reuse": 2}, {"reuse": 1}), what
    done = desk("run", changed("duration"), home)
    assert (done.exit_code, done.json["submissions"]) == (0, {"image": 0, "video": 0}), done.stderr

    desk.write(SHEET.format(resolution="") + "lamp,A lamp,1,9,It flickers,,\n")
    more = desk("run", changed("duration"), home)
    assert more.json["submissions"] == {"image": 1, "video": 1}, "only the new shot"
    assert desk("run").json["submissions"] == {"image": 0, "video": 0}, "with the catalogue of before"


@pytest.mark.long
def test_an_old_sheet_that_a_new_default_makes_illegal_goes_on_as_it_was_begun(desk: Desk) -> None:
    desk.write(SHEET.format(resolution="1080p"))  # for which Veo makes eight seconds only
    assert desk("run").exit_code == 0
    for command in ("check", "plan", "run"):
        done = desk(command, changed("duration"))
        assert done.exit_code == 0, done.stderr
    assert done.json["submissions"] == {"image": 0, "video": 0}
    desk.write(SHEET.format(resolution="8k"))
    wrong = desk("check", changed("duration"))
    assert (wrong.exit_code, "8k" in wrong.stderr, "Traceback" in wrong.stderr) == (2, True, False)


def test_a_plan_of_a_new_sheet_creates_no_ledger_to_look_into(desk: Desk, tmp_path: Path) -> None:
    assert desk("check").exit_code == 0
    assert not (desk.cli.folder / "home").exists()


@pytest.mark.parametrize(
    "record",
    [{}, {"model_defaults": []}, {"model_defaults": {VIDEO: 3}}, {"models": 7}, {"model_defaults": {"no-such": {}}}],
)
def test_a_record_that_cannot_be_read_leaves_the_catalogue_as_it_is(record: dict[str, object]) -> None:
    assert as_begun(load_catalogue(), json.loads(json.dumps(record))) == load_catalogue()
