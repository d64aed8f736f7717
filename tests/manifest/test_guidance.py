"""What a sheet says of style, safety and thinking: read in every form, refused where a model does not take it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.batch.prepare import read_request
from callsheet.batch.request import RunRequest
from callsheet.errors import ManifestError
from callsheet.manifest.reader import Manifest
from callsheet.media.probe import probe_video
from callsheet.plan.requests import clip_order, take_order
from callsheet.settings import load_settings
from callsheet.shots import Guidance
from tests.support.cli import Cli
from tests.support.plans import BATCH

HARMS = ("DANGEROUS_CONTENT", "HARASSMENT", "HATE_SPEECH", "SEXUALLY_EXPLICIT")


def sheet(folder: Path, text: str, name: str = "sheet.csv") -> Manifest:
    (folder / name).write_text(text)
    return read_request(RunRequest(str(folder / name)), load_settings(home=folder)).manifest


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("", ()),
        ("default", ()),
        ("only_high", tuple((f"HARM_CATEGORY_{name}", "BLOCK_ONLY_HIGH") for name in HARMS)),
        ("BLOCK_NONE", tuple((f"HARM_CATEGORY_{name}", "BLOCK_NONE") for name in HARMS)),
        ("harassment=off", (("HARM_CATEGORY_HARASSMENT", "OFF"),)),
        (
            "only_high; hate_speech: none",
            tuple((f"HARM_CATEGORY_{n}", "BLOCK_NONE" if n == "HATE_SPEECH" else "BLOCK_ONLY_HIGH") for n in HARMS),
        ),
        ("HARM_CATEGORY_HARASSMENT=low_and_above", (("HARM_CATEGORY_HARASSMENT", "BLOCK_LOW_AND_ABOVE"),)),
    ],
)
def test_safety_is_read_in_our_words_and_in_googles(cell: str, found: object, tmp_path: Path) -> None:
    manifest = sheet(tmp_path, f"id,prompt,safety\na,A boat,{cell}\n")
    assert (manifest.shots[0].guidance.safety, manifest.unsendable) == (found, ())


@pytest.mark.parametrize(
    "form", ["{harassment: only_high, hate_speech: none}", "[harassment=only_high, hate_speech: none]"]
)
def test_yaml_takes_a_mapping_and_defaults_hold_for_shots_without_their_own(form: str, tmp_path: Path) -> None:
    text = (
        f"defaults:\n  system_instruction: As {{medium}}\n  safety: {form}\n  thinking: High\n"
        "vars: {medium: an etching}\n"
        "shots:\n  - {id: a, prompt: A boat}\n  - {id: b, prompt: A cup, thinking: default, safety: default}\n"
        "  - {id: c, prompt: A hat, system_instruction: default}\n"
    )
    a, b, c = (shot.guidance for shot in sheet(tmp_path, text, "sheet.yaml").shots)
    said = (("HARM_CATEGORY_HARASSMENT", "BLOCK_ONLY_HIGH"), ("HARM_CATEGORY_HATE_SPEECH", "BLOCK_NONE"))
    assert a == Guidance("As an etching", said, "high")
    assert b == Guidance("As an etching")
    assert c == Guidance(None, said, "high")


@pytest.mark.parametrize(
    ("columns", "cells", "words"),
    [
        (
            "thinking",
            "hihg",
            "is no level of thinking; allowed: default, minimal, low, medium, high, xhigh; did",
        ),
        ("thinking", "low", "gemini-nano-banana-2.1 does not take 'low' for its thinking"),
        ("image_model,thinking", "gemini-3-pro-image,high", "gemini-3-pro-image does not take 'high' for its thinking"),
        ("safety", "sometimes", "names no threshold"),
        ("safety", "rudeness=none", "names no category of harm"),
        ("safety", "jailbreak=none", "takes no threshold for jailbreak"),
        ("takes,motion_prompt,system_instruction", "0,It sails,As an etching", "takes no system instruction"),
        ("takes,motion_prompt,safety", "0,It sails,none", "takes no threshold for"),
        ("takes,motion_prompt,thinking", "0,It sails,high", "does not take 'high' for its thinking"),
        ("system_instruction", "a\x07bell", "control character"),
    ],
)
def test_what_a_model_does_not_take_is_refused_and_nothing_is_sent(
    columns: str, cells: str, words: str, lean_cli: Cli
) -> None:
    (lean_cli.folder / "sheet.csv").write_text(f"id,prompt,{columns}\na,A boat,{cells}\n")
    for command in ("check", "run"):
        ran = lean_cli(command, "sheet.csv")
        assert ran.exit_code == 2, ran.stderr
        assert f"sheet.csv:2: {columns.rpartition(',')[2]}: " in ran.stderr
        assert words in ran.stderr


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ("veo-3.1-generate-001,maybe,", "audio: 'maybe' is neither on nor off; allowed: on, off, default"),
        ("gemini-omni-1.2-flash,off,", "audio: gemini-omni-1.2-flash does not take audio off"),
        ("gemini-omni-1.2-flash,,on", "enhance_prompt: gemini-omni-1.2-flash does not take enhance_prompt on"),
        ("veo-3.1-generate-001,,off", "enhance_prompt: veo-3.1-generate-001 does not take enhance_prompt off"),
        ("veo-3.1-generate-001,off,on", ""),
        ("gemini-omni-1.2-flash,default,default", ""),
    ],
)
def test_sound_and_rewriting_are_said_only_where_the_model_is_told(cells: str, words: str, tmp_path: Path) -> None:
    text = f"id,prompt,motion_prompt,video_model,audio,enhance_prompt\na,A boat,It sails,{cells}\n"
    found = "\n".join(str(each.problem) for each in sheet(tmp_path, text).unsendable)
    assert (words in found) if words else not found


def test_sound_is_in_the_key_only_when_it_is_said(tmp_path: Path) -> None:
    def key(cell: str) -> str:
        text = f"id,prompt,motion_prompt,video_model,audio\na,A boat,It sails,veo-3.1-generate-001,{cell}\n"
        return clip_order(BATCH, sheet(tmp_path, text).shots[0], 1, "f" * 64).key

    assert key("") == key("default") != key("off")
    assert len({key(""), key("on"), key("off")}) == 3


def test_only_what_is_said_is_in_a_key_and_a_clip_keeps_its_own(tmp_path: Path) -> None:
    text = "id,prompt,motion_prompt{}\na,A boat,It sails{}\n"
    plain = sheet(tmp_path, text.format("", "")).shots[0]
    default = sheet(tmp_path, text.format(",safety,thinking,system_instruction", ",default,default,default")).shots[0]
    said = sheet(tmp_path, text.format(",safety,thinking,system_instruction", ",none,high,Bold")).shots[0]
    assert take_order(BATCH, plain, 1) == take_order(BATCH, default, 1)
    assert take_order(BATCH, plain, 1).key != take_order(BATCH, said, 1).key
    assert clip_order(BATCH, plain, 1, "f" * 64) == clip_order(BATCH, said, 1, "f" * 64)


def test_a_later_column_that_is_used_as_a_placeholder_is_a_variable_as_it_was(tmp_path: Path) -> None:
    shot = sheet(tmp_path, "id,prompt,safety,thinking\na,{safety} boat,A safe,of nothing\n").shots[0]
    assert (shot.prompt, shot.guidance.safety, shot.guidance.thinking) == ("A safe boat", (), None)
    assert dict(shot.variables) == {"safety": "A safe"}
    text = "defaults: {prompt: 'A {safety} boat'}\nshots:\n  - {id: a, safety: safe}\n"
    assert sheet(tmp_path, text, "sheet.yaml").shots[0].prompt == "A safe boat"


@pytest.mark.long
@settings(max_examples=80, deadline=None)
@given(cell=st.text("abc=;:,none_high harsmet", max_size=30))
def test_any_text_for_safety_is_read_or_refused(cell: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("s")
    try:
        manifest = sheet(folder, f'id,prompt,safety\na,A boat,"{cell}"\n')
    except ManifestError:
        return
    assert manifest.unsendable or not cell.strip(" ;,") or manifest.shots[0].guidance.safety


@pytest.mark.long
def test_a_rehearsal_with_style_safety_and_thinking_ends_well_and_its_sidecar_says_so(lean_cli: Cli) -> None:
    (lean_cli.folder / "sheet.csv").write_text(
        "id,prompt,system_instruction,safety,thinking\na,A boat,As an etching,only_high,high\nb,A boat,,,\n"
    )
    plan = lean_cli("plan", "sheet.csv", "--json").json
    ran = lean_cli("run", "sheet.csv", "--json")
    assert ran.exit_code == 0, ran.stderr
    assert ran.json["submissions"] == {"image": 2, "video": 0}
    assert plan["usd_estimated"] == pytest.approx(ran.json["usd"]["spent"], rel=0.4)
    shots = lean_cli.home / "archive" / "sheet" / "sheet.rehearsal" / "shots"
    told = [json.loads((shots / shot / "shot.json").read_text())["image"] for shot in ("a", "b")]
    assert (told[0]["system_instruction"], told[0]["thinking"]) == ("As an etching", "high")
    assert set(told[0]["safety"].values()) == {"BLOCK_ONLY_HIGH"}
    assert (told[1]["system_instruction"], told[1]["safety"]) == (None, {})
    assert lean_cli("run", "sheet.csv", "--json").json["submissions"]["image"] == 0


@pytest.mark.long
def test_a_clip_without_sound_is_made_and_cut_without_sound(lean_cli: Cli) -> None:
    (lean_cli.folder / "sheet.csv").write_text(
        "id,prompt,motion_prompt,video_model,duration_s,audio,enhance_prompt,cuts\n"
        "a,A boat,It sails,veo-3.1-generate-001,4,off,on,1x1\n"
    )
    ran = lean_cli("run", "sheet.csv", "--json")
    assert ran.exit_code == 0, ran.stderr
    shot = lean_cli.home / "archive" / "sheet" / "sheet.rehearsal" / "shots" / "a"
    for file in (*shot.glob("clip-*.mp4"), *shot.glob("cut-*.mp4")):
        assert probe_video(file).audio_codec is None, file
    request = json.loads((shot / "shot.json").read_text())["clips"][0]["job"]["request"]
    assert (request["audio"], request["enhance_prompt"]) == (False, True)
