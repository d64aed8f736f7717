"""The shipped samples are good manifests, and the JSON Schema says what the reader does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from callsheet.errors import ManifestError
from callsheet.manifest import COLUMNS, CheckRules, Manifest, UserValues, read_manifest
from callsheet.manifest.json_schema import manifest_json_schema
from callsheet.manifest.yaml_schema import TOP_KEYS
from callsheet.models import load_catalogue
from callsheet.orchestration.own_packages import PROMPTS, shipped

SAMPLES = Path(str(shipped(PROMPTS)))
SCHEMA: dict[str, Any] = json.loads((SAMPLES / "manifest.schema.json").read_text(encoding="utf-8"))

# The header and nineteen prompts of PartiPrompts.tsv (github.com/google-research/parti, taken 2026-11-21).
PARTI = Path(__file__).with_name("parti_prompts.tsv")


def read(name: str, **variables: str) -> Manifest:
    uri = str(SAMPLES / name)
    return read_manifest(uri, CheckRules(load_catalogue(), date(2026, 11, 21), live=True), UserValues(variables))


def as_data(text: str) -> Any:
    return YAML(typ="safe", pure=True).load("%YAML 1.2\n---\n" + text)


def test_the_demo_is_small_and_shows_copies_and_crops() -> None:
    manifest = read("demo.csv")
    assert (manifest.campaign, len(manifest.shots), manifest.warnings) == ("demo", 4, ())
    clips = [shot for shot in manifest.shots if shot.motion_prompt]
    assert len(clips) == 3
    assert sum(len(shot.cuts) for shot in clips) <= 8
    assert all((shot.resolution, (shot.duration_s or 9) <= 8) == ("720p", True) for shot in clips)
    same = [(shot.video_aspect_ratio or "").replace(":", "x") in shot.cuts for shot in clips]
    assert all(same)
    assert all(len(shot.cuts) > 1 for shot in clips)
    assert {shot.video_aspect_ratio for shot in clips} == {"16:9", "9:16"}


def test_the_campaign_expands_its_matrix() -> None:
    manifest = read("campaign.yaml")
    assert (manifest.campaign, manifest.budget_usd, len(manifest.shots)) == ("fogline-gifts", Decimal("15.00"), 5)
    assert not any("{" in shot.prompt for shot in manifest.shots)


def test_the_social_sample_shows_platforms_and_how_cuts_are_finished() -> None:
    manifest = read("social.yaml")
    assert manifest.warnings == ()
    assert {cut for shot in manifest.shots for cut in shot.cuts} >= {"reels", "shorts", "tiktok", "16x9"}
    pour, buoy = (shot.finish for shot in manifest.shots)
    assert (pour.focus, pour.captions_file is not None, buoy.captions_file) == ("left", True, None)
    assert all(finish.logo and finish.label for finish in (pour, buoy))


def test_partiprompts_are_read_as_they_are() -> None:
    manifest = read("partiprompts.yaml", table=str(PARTI))
    lines = PARTI.read_text(encoding="utf-8").splitlines()[1:]
    assert [shot.prompt for shot in manifest.shots] == [line.split("\t")[0] for line in lines]
    assert [shot.line for shot in manifest.shots] == list(range(2, 21))
    assert (manifest.campaign, manifest.shots[-1].id, manifest.warnings) == ("partiprompts", "0019", ())
    quoted = manifest.shots[3]
    assert quoted.prompt.startswith('"G I G G L E" painted')
    assert (quoted.tags, quoted.takes, quoted.motion_prompt) == (("Illustrations",), 1, None)


def test_the_shipped_schema_is_the_one_the_code_makes() -> None:
    assert manifest_json_schema() == SCHEMA
    Draft202012Validator.check_schema(SCHEMA)


def test_the_schema_knows_the_same_keys_as_the_reader() -> None:
    assert tuple(SCHEMA["properties"]) == TOP_KEYS
    shot = SCHEMA["$defs"]["shot"]["properties"]
    assert set(shot) == {*COLUMNS, "matrix"}
    assert all(SCHEMA["$defs"][name]["description"] for name in COLUMNS)


@pytest.mark.parametrize("name", ["campaign.yaml", "partiprompts.yaml", "social.yaml"])
def test_the_samples_fit_the_schema_they_name(name: str) -> None:
    text = (SAMPLES / name).read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=manifest.schema.json")
    assert list(Draft202012Validator(SCHEMA).iter_errors(as_data(text))) == []


GOOD: Mapping[str, str] = {
    "numbers and text": 'shots: [{prompt: a, takes: 3, seed: "7"}]',
    "lists and text": 'shots: [{prompt: a, motion_prompt: b, cuts: [9x16], tags: "a;b", select: [1], takes: 2}]',
    "templates": 'vars: {n: 2}\nshots: [{prompt: "{n}", takes: "{n}"}]',
    "variables": "shots: [{prompt: a, colour: red}]",
    "matrix": 'matrix: {v: [1, 2]}\nshots: [{prompt: "{v}", matrix: {w: [a]}}]',
}
BAD: Mapping[str, str] = {
    "unknown key": "shot: [{prompt: a}]",
    "no shots": "campaign: a",
    "empty shots": "shots: []",
    "unknown default": "defaults: {promt: a}\nshots: [{prompt: a}]",
    "id as default": "defaults: {id: a}\nshots: [{prompt: a}]",
    "takes too many": "shots: [{prompt: a, takes: 21}]",
    "unknown cut": "shots: [{prompt: a, motion_prompt: b, cuts: [9x17]}]",
    "select": "shots: [{prompt: a, motion_prompt: b, select: worst}]",
    "campaign": "campaign: A.B\nshots: [{prompt: a}]",
    "budget": "budget_usd: -1\nshots: [{prompt: a}]",
    "list as prompt": "shots: [{prompt: [a]}]",
    "unknown mapping": "rows: t.csv\ncolumns: {promt: P}",
    "empty axis": "matrix: {v: []}\nshots: [{prompt: a}]",
}


@pytest.mark.parametrize("name", [*GOOD, *BAD])
def test_schema_and_reader_agree(tmp_path: Path, name: str) -> None:
    text = GOOD.get(name) or BAD[name]
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")
    try:
        read_manifest(str(path), CheckRules(load_catalogue(), date(2026, 11, 21)))
        accepted = True
    except ManifestError:
        accepted = False
    assert (accepted, Draft202012Validator(SCHEMA).is_valid(as_data(text))) == (name in GOOD, name in GOOD)
