"""The command line: bad input exits 2 with a report, help and data commands answer, and nothing is created."""

from __future__ import annotations

import json
import re
from importlib.metadata import version

import pytest

from callsheet.exit_codes import ExitCode
from tests.support.cli import Cli


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.csv", b"", "empty"),
        ("typo.csv", b"id,promt\na,A boat\n", "prompt"),
        ("binary.csv", b"id,prompt\na,\xff\xfe\x00boat\n", "UTF-8"),
        ("ratio.csv", b"id,prompt,aspect_ratio\na,A boat,16:10\n", "16:9"),
        ("twice.csv", b"id,prompt\na,A boat\nA,A ship\n", "a"),
        ("outside.csv", b"id,prompt,reference_images\na,A boat,../../etc/passwd\n", "reference_images"),
        ("bomb.yaml", b"a: &a [x, x]\nb: &b [*a, *a]\nshots: *b\n", "anchors"),
    ],
)
def test_a_bad_manifest_exits_2_with_a_report_and_creates_nothing(
    bare_cli: Cli, name: str, content: bytes, said: str
) -> None:
    (bare_cli.folder / name).write_bytes(content)
    done = bare_cli("run", name, "--json")
    assert done.exit_code == 2, done.stderr
    assert f"{name}:" in done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.json["problems"]
    assert sorted(path.name for path in bare_cli.folder.iterdir()) == [name]


def test_every_problem_of_every_row_is_reported_at_once(bare_cli: Cli) -> None:
    (bare_cli.folder / "m.csv").write_text(
        "id,prompt,aspect_ratio,takes\na,One,16:10,1\nb,Two {mood},1:1,1\nc,Three,1:1,99\n"
    )
    done = bare_cli("check", "m.csv", "--json")
    assert done.exit_code == 2
    assert [problem.split(":")[1] for problem in done.json["problems"]] == ["2", "3", "4"]


def test_a_missing_manifest_and_wrong_options_are_usage_errors(bare_cli: Cli) -> None:
    assert bare_cli("run", "nowhere.csv").exit_code == 2
    assert bare_cli("run", "nowhere.csv", "--budget", "lots").exit_code == 2
    assert bare_cli("run", "nowhere.csv", "--var", "novalue").exit_code == 2
    assert bare_cli("nonsense").exit_code == 2
    assert bare_cli("run", "nowhere.csv", CALLSHEET_TIER="9").exit_code == 2


def test_a_retired_model_is_an_error_live_and_a_warning_in_rehearsal(bare_cli: Cli) -> None:
    (bare_cli.folder / "old.csv").write_text("id,prompt,image_model\na,A boat,gemini-2.5-flash-image\n")
    live = bare_cli("plan", "old.csv", "--live")
    assert live.exit_code == 2
    assert "gemini-3.1-flash-image" in live.stderr or "gemini-nano-banana-2.1" in live.stderr
    rehearsed = bare_cli("check", "old.csv", "--json")
    assert rehearsed.exit_code == 0
    assert rehearsed.json["warnings"]


def test_plan_shows_actions_and_cost_and_sends_nothing(bare_cli: Cli) -> None:
    (bare_cli.folder / "m.csv").write_text("id,prompt,takes,motion_prompt,cuts\na,A boat,2,It sails,9x16\n")
    done = bare_cli("plan", "m.csv", "--json")
    assert done.exit_code == 0, done.stderr
    assert done.json["images"] == {"create": 2}
    assert done.json["videos"] == {"create": 1}
    assert done.json["usd_estimated"] > 0
    assert not (bare_cli.home / "archive").exists()


def test_models_are_listed_with_price_status_and_source(bare_cli: Cli) -> None:
    done = bare_cli("models", "--all", "--json")
    assert done.exit_code == 0
    models = {model["id"]: model for model in done.json["models"]}
    told = models["gemini-nano-banana-2.1"]["controls"]
    assert (told["system_instruction"], told["thinking"]) == (True, ["minimal", "medium", "high"])
    assert models["veo-3.1-generate-001"]["controls"]["audio"] == {"agent_platform": ["on", "off"]}
    assert models["veo-3.1-generate-001"]["usd_per_second"]["720p"] == 0.40
    assert models["veo-2.0-generate-001"]["status"] == "retired"
    assert {name for name, model in models.items() if model["edits_videos"]} == {n for n in models if "omni" in n}
    assert "clips to edit" in " ".join(bare_cli("models", "--kind", "video").stdout.split())
    assert all(model["source"] and model["checked_on"] for model in models.values())
    assert "imagen-4.0-generate-001" not in bare_cli("models").stdout


def test_a_users_file_adds_models_and_limits(bare_cli: Cli) -> None:
    text = "models:\n  gemini-3-pro-image:\n    limits: {1: {rpm: 7, rpd: 70}}\n"
    (bare_cli.folder / "mine.yaml").write_text(text)
    done = bare_cli("models", "--json", CALLSHEET_CATALOGUE="mine.yaml")
    assert done.exit_code == 0, done.stderr
    limits = next(model["limits"] for model in done.json["models"] if model["id"] == "gemini-3-pro-image")
    assert limits == {"tier": 1, "rpm": 7, "rpd": 70}


def test_platforms_are_listed_with_their_limits_and_what_nobody_has_verified(bare_cli: Cli) -> None:
    (bare_cli.folder / "mine.yaml").write_text("platforms:\n  reels:\n    duration: {max_s: 30}\n")
    done = bare_cli("platforms", "--json", CALLSHEET_PLATFORMS="mine.yaml")
    assert done.exit_code == 0, done.stderr
    platforms = {platform["name"]: platform for platform in done.json["platforms"]}
    assert (platforms["reels"]["max_s"], platforms["reels"]["min_s"]) == (30, 3)
    assert platforms["reels"]["unverified"] == ["duration"]
    assert all(fact["source"] for platform in platforms.values() for fact in platform["facts"])
    assert "Not verified" in done.stderr
    wrong = bare_cli("platforms", CALLSHEET_PLATFORMS="none.yaml")
    assert wrong.exit_code == 2
    assert "none.yaml cannot be read" in wrong.stderr


def test_status_of_an_unknown_batch_names_the_known_ones(bare_cli: Cli) -> None:
    done = bare_cli("status", "nothing.rehearsal", "--json")
    assert done.exit_code == 2
    assert "no batch" in json.loads(done.stdout.splitlines()[-1])["message"]


def test_strict_refuses_columns_that_nothing_uses_before_anything_is_made(lean_cli: Cli) -> None:
    (lean_cli.folder / "s.csv").write_text("id,prompt,Owner\na,A cup,Bo\n")
    assert lean_cli("check", "s.csv").exit_code == 0
    for command in ("check", "plan", "run"):
        ran = lean_cli(command, "s.csv", "--strict")
        assert (ran.exit_code, "s.csv:1: Owner: 'Owner' is taken as a template" in ran.stderr) == (2, True), ran.stderr
    assert not (lean_cli.home / "archive").exists()


@pytest.mark.parametrize("words", [["-h"], ["run", "-h"], ["archive", "-h"], ["archive", "verify", "-h"]])
def test_help_is_shown_for_the_short_option_as_well(lean_cli: Cli, words: list[str]) -> None:
    ended = lean_cli(*words)
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert ended.stdout.startswith("Usage: ")


def test_help_tells_every_exit_code(lean_cli: Cli) -> None:
    told = " ".join(lean_cli("--help").stdout.partition("Exit codes:")[2].split())
    assert re.findall(r"(?:^|; )(\d+) ", told.strip()) == [str(int(code)) for code in sorted(ExitCode)]


def test_the_version_is_that_of_the_package(lean_cli: Cli) -> None:
    ended = lean_cli("--version")
    assert (ended.exit_code, ended.stdout.strip()) == (0, version("callsheet"))


@pytest.mark.long
@pytest.mark.parametrize("words", [["check"], ["plan"], ["models"], ["platforms"], ["status"], ["config"], ["quota"]])
def test_stdout_is_json_and_nothing_else_when_json_is_asked_for(lean_cli: Cli, words: list[str]) -> None:
    assert lean_cli("init").exit_code == 0
    ended = lean_cli(*words, "--json")
    assert json.loads(ended.stdout)["exit_code"] == ended.exit_code == 0
