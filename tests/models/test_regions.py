"""Where requests come from, and what models allow there, in check and plan."""

from __future__ import annotations

from typing import Any

import pytest

from callsheet.errors import SettingsError
from callsheet.models.controls import find_regions
from tests.support.cli import Cli

VEO, OMNI = "veo-3.1-fast-generate-001", "gemini-omni-1.2-flash"


@pytest.mark.parametrize(
    ("place", "regions"),
    [
        (None, set()),
        ("", set()),
        ("US", set()),
        ("de", {"eea"}),
        (" DE ", {"eea"}),
        ("GB", {"uk"}),
        ("UK", {"uk"}),
        ("CH", {"ch"}),
        ("AE", {"mena"}),
        ("EEA", {"eea"}),
        ("EU", {"eea"}),
        ("mena", {"mena"}),
    ],
)
def test_a_country_is_in_the_regions_that_have_rules(place: str | None, regions: set[str]) -> None:
    assert find_regions(place) == regions


@pytest.mark.parametrize("place", ["Germany", "D", "12", "DÉ", "d e"])
def test_what_is_no_country_is_refused(place: str) -> None:
    with pytest.raises(SettingsError, match="CALLSHEET_REGION"):
        find_regions(place)


@pytest.mark.long
@pytest.mark.parametrize("command", ["check", "plan"])
@pytest.mark.parametrize(
    ("env", "refused"),
    [
        ({}, False),
        ({"CALLSHEET_REGION": "US"}, False),
        ({"CALLSHEET_REGION": "DE"}, True),
        ({"CALLSHEET_REGION": "AE"}, True),
        ({"CALLSHEET_RESTRICTED_REGION": "true"}, True),
    ],
)
def test_less_may_be_said_about_people_in_some_regions(
    lean_cli: Cli, command: str, env: dict[str, Any], refused: bool
) -> None:
    head = "id,prompt,takes,motion_prompt,video_model,person_generation\n"
    (lean_cli.folder / "sheet.csv").write_text(f"{head}crowd,A crowd,0,It cheers,{VEO},allow_all\n")
    done = lean_cli(command, "sheet.csv", "--live", CALLSHEET_AGENT_PLATFORM_API_KEY="e", **env)
    assert (done.exit_code, "person_generation" in done.stderr) == ((2, True) if refused else (0, False)), done.stderr


@pytest.mark.parametrize(
    ("region", "model", "warned"), [("DE", OMNI, 1), ("AE", OMNI, 0), ("DE", VEO, 0), ("US", OMNI, 0)]
)
def test_pictures_of_minors_are_warned_of_once(lean_cli: Cli, region: str, model: str, warned: int) -> None:
    head = "id,prompt,motion_prompt,video_model\n"
    (lean_cli.folder / "sheet.csv").write_text(f"{head}one,A child,Waves,{model}\ntwo,A boat,Drifts,{model}\n")
    done = lean_cli("check", "sheet.csv", CALLSHEET_REGION=region)
    assert (done.exit_code, done.stderr.count("refuses pictures of minors")) == (0, warned), done.stderr


@pytest.mark.long
@pytest.mark.parametrize(
    ("region", "model", "column", "cell", "refused"),
    [
        ("DE", OMNI, "extend", "1", True),
        ("CH", OMNI, "extend", "2", True),
        ("DE", OMNI, "clip_edits", "Make it dusk", True),
        ("US", OMNI, "clip_edits", "Make it dusk", False),
        ("DE", OMNI, "extend", "0", False),
        ("DE", VEO, "extend", "1", False),
        ("US", OMNI, "extend", "1", False),
    ],
)
def test_a_video_that_would_be_uploaded_is_refused_where_a_model_takes_none(
    lean_cli: Cli, region: str, model: str, column: str, cell: str, refused: bool
) -> None:
    row = f"kite,A kite,0,It climbs,{model},720p,8,{cell}"
    head = f"id,prompt,takes,motion_prompt,video_model,resolution,duration_s,{column}"
    (lean_cli.folder / "sheet.csv").write_text(f"{head}\n{row}\n")
    for command in (("check", "sheet.csv"), ("plan", "sheet.csv", "--live")):
        done = lean_cli(*command, CALLSHEET_REGION=region, GEMINI_API_KEY="k", CALLSHEET_AGENT_PLATFORM_API_KEY="e")
        told = f"sheet.csv:2: {column}: {model} takes no videos in this region" in " ".join(done.stderr.split())
        assert (done.exit_code, told) == ((2, True) if refused else (0, False)), done.stderr
