"""Sheets as people have them: read as they are meant, with a warning, or refused with what mends them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from callsheet.errors import ManifestError
from callsheet.manifest import CheckRules, Manifest, read_manifest
from callsheet.manifest.load import RawManifest, load_table, load_yaml
from callsheet.manifest.problems import Findings
from callsheet.manifest.table_shape import decode_sheet
from callsheet.models import load_catalogue
from tests.support.spreadsheets import READ, RULES

CUP = ("cup", "A cup")


def read(place: Path, data: str | bytes, name: str = "sheet.csv", rules: CheckRules = RULES) -> Manifest:
    path = place / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return read_manifest(str(path), rules)


def told(manifest: Manifest) -> str:
    return " | ".join(str(warning) for warning in manifest.warnings)


@pytest.mark.parametrize("case", READ)
def test_sheet_of_a_spreadsheet_is_read_as_it_is_meant_and_what_was_mended_is_told(tmp_path: Path, case: str) -> None:
    data, words, field, value = READ[case]
    manifest = read(tmp_path, data)
    [shot] = manifest.shots
    assert (shot.id, shot.prompt, getattr(shot, field)) == (*CUP, value)
    assert words in told(manifest)
    assert words or not manifest.warnings
    assert not manifest.unsendable


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "prompt",
    [
        "Caf\u00e9 \u201ccr\u00e8me\u201d \u2014 it\u2019s 5 \u20ac",
        "\u00c4rger \u00fcber stra\u00dfe",
        "\u00bfQu\u00e9 tal, ni\u00f1o? n\u00b05",
    ],
)
def test_text_in_another_encoding_is_read_with_a_warning(tmp_path: Path, prompt: str, encoding: str) -> None:
    manifest = read(tmp_path, f'id,prompt\r\na,"{prompt}"\r\n'.encode(encoding))
    assert manifest.shots[0].prompt == prompt
    assert "was read as" in told(manifest)


@pytest.mark.parametrize(
    "data",
    [
        "id,prompt\na,\u041a\u0440\u0443\u0436\u043a\u0430\n".encode("cp1251"),
        "id,prompt\na,\u30ab\u30c3\u30d7\u3067\u3059\n".encode("shift_jis"),
        "id,prompt\na,\u676f\u5b50\u5728\u684c\u5b50\u4e0a\n".encode("gbk"),
        "id,prompt\na,Za\u017c\u00f3\u0142\u0107 kubek\n".encode("cp1250"),
        "id,prompt\na,\u015eark\u0131 s\u00f6yleyen ku\u015f\n".encode("cp1254"),
        "id,prompt\na,\u05db\u05d5\u05e1\u05d5\u05ea\n".encode("cp1255"),
        "id,prompt\na,\u03a6\u03bb\u03b9\u03c4\u03b6\u03ac\u03bd\u03b9\n".encode("cp1253"),
    ],
    ids=["Russian", "Japanese", "Chinese", "Polish", "Turkish", "Hebrew", "Greek"],
)
def test_text_whose_encoding_is_not_sure_is_never_guessed(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ManifestError, match="save it as UTF-8"):
        read(tmp_path, data)


@pytest.mark.parametrize(
    ("name", "data", "line", "words"),
    [
        ("s.csv", b"PK\x03\x04" + bytes(200), 1, "this is a workbook"),
        ("s.csv", b"\xd0\xcf\x11\xe0" + bytes(200), 1, "this is a workbook"),
        ("s.csv", "id,prompt\na,A cup, a mug\n", 2, "3 cells, the header 2"),
        ("s.csv", "id,prompt,\na,A cup,loose\n", 1, "the header is blank"),
        ("s.csv", "id,prompt,takes\na,A cup,1.5\n", 2, "'1.5' is no such number"),
        ("s.csv", "id,prompt,seed\na,A cup,1.000\n", 2, "'1.000' is no such number"),
        ("s.csv", "id,prompt\nMy Title!,A cup\n", 2, "write my-title"),
        ("s.csv", "id,Prompt,prompt \na,A,B\nb,,\n", 3, "there is no prompt"),
        ("s.yaml", "shots:\n  - id: a\n    prompt: @brand cup\n", 3, "put it in quotes: prompt: '@brand cup'"),
        ("s.yaml", "shots:\n  - id: a\n    prompt: %50 off\n", 3, "put it in quotes: prompt: '%50 off'"),
        ("s.yaml", "shots:\n  - id: a\n    prompt: `cup`\n", 3, "may not begin with `"),
        ("s.yaml", "shots:\n  - prompt: Shot: a cup\n", 2, "put it in quotes: prompt: 'Shot: a cup'"),
        ("s.yaml", "```yaml\nshots:\n  - prompt: A\n```\n", 1, "delete the lines that begin with ```"),
        ("s.yaml", "Here it is:\n\n```yaml\nshots:\n- prompt: A\n```\n", 3, "a code fence"),
        ("s.yaml", "shots:\n\t- prompt: A\n", 2, "indent by spaces"),
    ],
)
def test_sheet_that_cannot_be_meant_is_refused_with_what_mends_it(
    tmp_path: Path, name: str, data: str | bytes, line: int, words: str
) -> None:
    with pytest.raises(ManifestError) as caught:
        read(tmp_path, data, name)
    problem = caught.value.problems[0]
    assert (problem.line, words in str(problem)) == (line, True), str(problem)


@pytest.mark.parametrize(
    "text",
    ["#REF!", "#N/A", "#VALUE!", "#NAME?", "#DIV/0!", "#ERROR!", "Err:502", "Loading...",
     "=CONCAT(A2,' cup')", "=A2&B2", "=$B$4", "=Sheet1!A2", "=IF(A2>1,A3,A4)"],
)  # fmt: skip
@pytest.mark.parametrize("column", ["prompt", "motion_prompt", "negative_prompt"])
def test_error_or_formula_of_a_spreadsheet_is_not_paid_for(tmp_path: Path, column: str, text: str) -> None:
    cells = {"id": "a", "prompt": "A cup", "motion_prompt": "It turns", column: text}
    quoted = [f'"{cell}"' for cell in cells.values()]
    manifest = read(tmp_path, f"{','.join(cells)}\n{','.join(quoted)}\n")
    kinds = {one.kind for one in manifest.unsendable if one.problem.column == column}
    assert kinds == ({"video"} if column == "motion_prompt" else {"image", "video"})


@pytest.mark.parametrize(
    "text", ["-cup on table", "@cup", "+cup", "= equals", "=) a smile", "#1 fan", "#cup", "Loading dock", "A1"]
)
def test_prompt_that_begins_like_a_formula_is_a_prompt(tmp_path: Path, text: str) -> None:
    manifest = read(tmp_path, f'id,prompt\na,"{text}"\n')
    assert (manifest.shots[0].prompt, manifest.unsendable, manifest.warnings) == (text, (), ())


JSON = '{"scene": "cup", "camera": {"move": "dolly-in", "at": [1, 2]}}'


def test_json_prompts_are_taken_literally_in_csv_and_yaml(tmp_path: Path) -> None:
    doubled = JSON.replace('"', '""')
    row = read(tmp_path, f'id,prompt,motion_prompt\na,"{doubled}","{doubled}"\n').shots[0]
    block = read(tmp_path, f"shots:\n- id: a\n  prompt: |\n    {JSON}\n", "s.yaml").shots[0]
    assert (row.prompt, row.motion_prompt, block.prompt) == (JSON, JSON, JSON)
    with pytest.raises(ManifestError, match="unknown placeholder"):
        read(tmp_path, 'id,prompt\na,"{""scene"": cup}"\n')


@pytest.mark.parametrize("text", ["A ${product}", "A {{product}}", "A {% if x %}", "A <<product>>", "A %product%"])
def test_placeholder_of_another_system_is_warned_of_before_it_costs(tmp_path: Path, text: str) -> None:
    text = (
        text.replace("{%", "{{%").replace("%}", "%}}") if "{%" in text else text.replace("${product}", "${{product}}")
    )
    assert "no placeholder here" in told(read(tmp_path, f"id,prompt\na,{text}\n"))


def test_comment_that_cuts_a_yaml_prompt_off_is_told(tmp_path: Path) -> None:
    cut = read(tmp_path, "shots:\n- id: a\n  prompt: Cup #1 on a table\n  takes: 2 # two\n", "s.yaml")
    assert "comment '#1 on a table'" in told(cut)
    assert len(cut.warnings) == 1, "a comment behind a number is one"
    assert told(read(tmp_path, "shots:\n- {id: a, prompt: 'Cup #1 on a table'} # note\n", "s.yaml")) == ""


def test_misspelt_column_is_a_warning_and_a_live_run_does_not_pay(tmp_path: Path) -> None:
    data = "id,prompt,motion_promt\na,A cup,It turns\n"
    live = read(tmp_path, data)
    assert {one.kind for one in live.unsendable} == {"image", "video"}
    assert "did you mean the column motion_prompt?" in str(live.unsendable[0].problem)
    rehearsed = read(tmp_path, data, rules=CheckRules(RULES.catalogue, RULES.today))
    assert ("did you mean the column motion_prompt?" in told(rehearsed), rehearsed.unsendable) == (True, ())


def test_sheet_with_its_prompt_by_name_is_read_as_it_always_was(tmp_path: Path) -> None:
    shot = read(tmp_path, "prompt,Takes,Aspect Ratio\nA {Takes} cup,3,16:9\n").shots[0]
    assert (shot.id, shot.prompt, shot.takes, shot.aspect_ratio) == ("0001", "A 3 cup", 1, "1:1")


@pytest.mark.parametrize("text", ["A cup; a mug", "A cup | a mug", "A cup\ta mug", ";", "sep=;"])
def test_sheet_of_one_column_keeps_the_signs_of_its_prompts(tmp_path: Path, text: str) -> None:
    manifest = read(tmp_path, f"prompt\n{text}\n")
    assert ([shot.prompt for shot in manifest.shots], manifest.warnings) == ([text], ())


def test_automatic_ids_count_the_rows_that_were_left_out(tmp_path: Path) -> None:
    manifest = read(tmp_path, "prompt,takes\nA,1\n,\n,2\nB,1\n")
    assert [shot.id for shot in manifest.shots] == ["0001", "0003"]


def test_value_that_a_model_of_ones_own_takes_stays_as_it_is_written(tmp_path: Path) -> None:
    own = tmp_path / "models.yaml"
    own.write_text("models:\n  mine:\n    inherits: gemini-nano-banana-2.1\n    sizes: [1K, 2k]\n")
    rules = CheckRules(load_catalogue(own), RULES.today)
    manifest = read(tmp_path, "id,prompt,image_model,image_size\na,A cup,mine,2k\n", rules=rules)
    assert (manifest.shots[0].image_size, manifest.warnings) == ("2k", ())


@pytest.mark.parametrize("files", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_any_bytes_are_a_sheet_or_a_report(files: int) -> None:
    chance = random.Random(7)
    seeds = [data.encode() for data, *_ in READ.values()] + [JSON.encode(), b"shots:\n- {id: a, prompt: A}\n"]
    for _ in range(files):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 6)):
            at = chance.randrange(len(data) + 1)
            noise = chance.choices(b'\x00\xff\xe4,;|\t"\n\r{}=#: -', k=chance.randint(0, 4))
            data[at : at + chance.randint(0, 3)] = bytes(noise)
        assert shots_or_problems(bytes(data), "s.csv") > 0
        assert shots_or_problems(bytes(data), "s.yaml") > 0


def shots_or_problems(data: bytes, name: str) -> int:
    """How many shots a file has, else how many problems: one of both."""
    findings = Findings()
    try:
        raw = RawManifest(name, decode_sheet(data, name, findings), {}, {}, findings)
    except ManifestError as error:
        return len(error.problems)
    loaded = load_yaml(raw) if name.endswith(".yaml") else load_table(raw, tabs=False, defaulted=False)
    return len(loaded.drafts) or len(findings.problems)


def test_columns_that_nothing_uses_are_noted_for_a_strict_check(tmp_path: Path) -> None:
    manifest = read(tmp_path, "id,prompt,Owner,colour,Takes\na,A {colour} cup,Bo,red,2\n")
    assert [(one.column, one.suggestion) for one in manifest.unused] == [
        ("Owner", ""),
        ("Takes", "did you mean takes?"),
    ]
