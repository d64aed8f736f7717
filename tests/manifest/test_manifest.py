"""Reading a manifest: every problem of every row at once, or shots that are complete and legal."""

from __future__ import annotations

import codecs
import csv
import hashlib
import os
from collections.abc import Callable
from dataclasses import fields
from datetime import date
from decimal import Decimal
from pathlib import Path

import fsspec
import pytest

from callsheet.errors import ManifestError, Problem
from callsheet.manifest import CheckRules, Manifest, UserValues, picture_cells, read_manifest
from callsheet.models import Catalogue, load_catalogue
from tests.support.counted_calls import assert_grows_with_its_input
from tests.support.pictures import a_png

TODAY = date(2026, 11, 21)
CATALOGUE: Catalogue = load_catalogue()
PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(text: str | bytes, name: str = "m.csv") -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return put


USER_VALUES = [one.name for one in fields(UserValues)]


def read(uri: str, **options: object) -> Manifest:
    values = {name: options.pop(name) for name in USER_VALUES if name in options}
    return read_manifest(uri, CheckRules(CATALOGUE, TODAY, **options), UserValues(**values))  # type: ignore[arg-type]


def problems(uri: str, **options: object) -> list[Problem]:
    with pytest.raises(ManifestError) as caught:
        read(uri, **options)
    return list(caught.value.problems)


def found(uri: str, **options: object) -> list[tuple[int, str]]:
    return [(problem.line, problem.column) for problem in problems(uri, **options)]


def test_a_shot_without_motion_prompt_is_a_picture_with_all_defaults(write: Write) -> None:
    shot = read(write("id,prompt\ncup,A cup\n")).shots[0]
    assert (shot.id, shot.line, shot.prompt, shot.takes) == ("cup", 2, "A cup", 1)
    assert (shot.image_model, shot.aspect_ratio, shot.image_size) == ("gemini-nano-banana-2.1", "1:1", "1K")
    assert (shot.motion_prompt, shot.video_model, shot.cuts, shot.resolution) == (None, None, (), None)


def test_a_shot_with_motion_prompt_has_all_that_a_video_needs(write: Write) -> None:
    shot = read(write("prompt,motion_prompt,cuts,select,takes\nA cup,It turns,9x16;1x1,1;3,3\n")).shots[0]
    assert (shot.aspect_ratio, shot.video_aspect_ratio) == ("16:9", "16:9")
    assert (shot.video_model, shot.resolution, shot.duration_s) == ("veo-3.1-fast-generate-001", "720p", 8)
    assert (shot.cuts, shot.select) == (("9x16", "1x1"), (1, 3))


@pytest.mark.parametrize(("picture", "video"), [("9:16", "9:16"), ("4:5", "9:16"), ("21:9", "16:9"), ("3:4", "9:16")])
def test_the_video_takes_the_aspect_nearest_to_the_picture(write: Write, picture: str, video: str) -> None:
    shot = read(write(f"prompt,motion_prompt,aspect_ratio\nA cup,It turns,{picture}\n")).shots[0]
    assert shot.video_aspect_ratio == video


def test_no_takes_make_a_video_of_text_alone(write: Write) -> None:
    assert read(write("prompt,takes,motion_prompt\n,0,A cup turns\n")).shots[0].prompt == "A cup turns"
    assert found(write("prompt,takes\nA cup,0\n")) == [(2, "takes")]


def test_ids_come_from_the_position_when_there_are_none(write: Write) -> None:
    assert [shot.id for shot in read(write("prompt\nA\n\n\nB\n")).shots] == ["0001", "0002"]


def test_all_problems_of_all_rows_come_at_once_in_file_order(write: Write) -> None:
    uri = write(
        "id,prompt,takes,image_model,aspect_ratio,motion_prompt,resolution,duration_s,cuts,seed\n"
        "a b,A {colour} cup,21,gemini-nano-bananas,16:10,,,,,\n"
        '"c\nd",,x,,16:10,Go,1080p,6,9x17,-1\n'
        "C,ok,1,,16:9,,,,,\n"
        "c,ok,1,,16:9,,,,,\n"
    )
    assert found(uri) == [
        (2, "prompt"),
        (2, "id"),
        (2, "takes"),
        (2, "image_model"),
        (3, "id"),
        (3, "prompt"),
        (3, "takes"),
        (3, "seed"),
        (3, "aspect_ratio"),
        (3, "cuts"),
        (3, "duration_s"),
        (6, "id"),
    ]
    text = str(problems(uri)[3])
    assert text.startswith(f"{uri}:2: image_model: unknown model 'gemini-nano-bananas'; allowed: ")
    assert text.endswith("the nearest is gemini-nano-banana-2.1")


@pytest.mark.parametrize("bad", ["../x", "a/b", ".a", "a..b", "a.", "-a", "ä", "a b", "x" * 201, "a\tb", "con:"])
def test_unsafe_ids_are_refused(write: Write, bad: str) -> None:
    assert (2, "id") in found(write(f'id,prompt\n"{bad}",A\n'))


@pytest.mark.parametrize("good", ["a", "0001", "A.b_c-d", "x" * 200])
def test_safe_ids_are_taken(write: Write, good: str) -> None:
    assert read(write(f"id,prompt\n{good},A\n")).shots[0].id == good


def test_extra_columns_are_variables(write: Write) -> None:
    shot = read(write('id,prompt,Product Name,tags\n"{Product Name}-1",A {Product Name},cup,"a, b|c"\n')).shots[0]
    assert (shot.id, shot.prompt, shot.tags) == ("cup-1", "A cup", ("a", "b", "c"))
    assert shot.variables == (("Product Name", "cup"),)


def test_an_unknown_placeholder_names_the_nearest(write: Write) -> None:
    problem = problems(write("prompt,colour\nA {color} cup,red\n"))[0]
    assert problem.suggestion == "did you mean colour?"
    assert problem.allowed == "known: colour"


def test_a_header_that_looks_like_a_column_is_told(write: Write) -> None:
    missing = problems(write("id,Promt\na,A\n"))[0]
    assert (missing.column, "'Promt'" in missing.suggestion) == ("prompt", True)
    warning = read(write("prompt,take\nA,3\n")).warnings[0]
    assert "takes" in warning.suggestion


def test_mapped_columns_are_taken_literally(write: Write) -> None:
    manifest = read(write("Text,Kind\nA {curly} cup,x\n"), columns={"prompt": "Text", "tags": "Kind"})
    assert (manifest.shots[0].prompt, manifest.shots[0].tags) == ("A {curly} cup", ("x",))
    assert found(write("Text\nA\n"), columns={"prompt": "Texts"}) == [(1, "prompt")]
    assert found(write("prompt\nA\n"), columns={"promt": "prompt"}) == [(1, "columns")]


def test_given_defaults_apply_to_blank_cells_only(write: Write) -> None:
    manifest = read(write("prompt,takes\nA,\nB,2\n"), defaults={"takes": "4"})
    assert [shot.takes for shot in manifest.shots] == [4, 2]
    assert found(write("prompt\nA\n"), defaults={"take": "4"}) == [(1, "defaults")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("best", "best"), ("first", "first"), ("all", "all"), ("approve", "approve")),
        *(("2", (2,)), ("1;3", (1, 3)), ("", "best")),
    ],
)
def test_select(write: Write, text: str, expected: object) -> None:
    assert read(write(f"prompt,takes,motion_prompt,select\nA,3,Go,{text}\n")).shots[0].select == expected


@pytest.mark.parametrize("text", ["4", "0", "bst", "1;x"])
def test_select_of_what_is_not_there(write: Write, text: str) -> None:
    assert found(write(f"prompt,takes,motion_prompt,select\nA,3,Go,{text}\n")) == [(2, "select")]


def test_a_retired_model_is_a_problem_live_and_a_warning_in_rehearsal(write: Write) -> None:
    uri = write("prompt,motion_prompt,video_model\nA,Go,veo-3.0-generate-001\nB,Go,veo-3.0-generate-001\n")
    assert [warning.suggestion for warning in read(uri).warnings] == ["use veo-3.1-generate-001"]
    live = problems(uri, live=True)
    assert [(each.line, each.suggestion) for each in live] == [
        (2, "use veo-3.1-generate-001"),
        (3, "use veo-3.1-generate-001"),
    ]


def test_a_deprecated_model_is_a_warning_live_too(write: Write) -> None:
    manifest = read(write("prompt,image_model\nA,gemini-3.1-flash-image\n"), live=True)
    assert [warning.suggestion for warning in manifest.warnings] == ["use gemini-nano-banana-2.1"]


@pytest.mark.parametrize(
    ("column", "model", "words"),
    [
        ("image_model", "imagen-4.0-generate-001", "predict surface"),
        ("image_model", "veo-3.1-generate-001", "makes no pictures"),
        ("video_model", "gemini-3.8-flash", "makes no videos"),
    ],
)
def test_models_that_cannot_be_used_here_are_refused(write: Write, column: str, model: str, words: str) -> None:
    problem = problems(write(f"prompt,motion_prompt,{column}\nA,Go,{model}\n"))[0]
    assert words in problem.what
    nearest = CATALOGUE.get(problem.suggestion.removeprefix("the nearest is ").removeprefix("use "))
    assert nearest.driven
    assert not nearest.is_retired(TODAY)


def test_a_motion_prompt_longer_than_the_model_takes(write: Write) -> None:
    assert found(write(f"prompt,motion_prompt\nA,{'x' * 4097}\n")) == [(2, "motion_prompt")]


def test_video_settings_without_motion_are_warned_of(write: Write) -> None:
    warning = read(write("prompt,cuts,resolution\nA,9x16,720p\n")).warnings[0]
    assert (warning.line, warning.column) == (2, "resolution, cuts") or warning.column == "cuts, resolution"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings(write: Write, encoding: str) -> None:
    assert read(write("id,prompt\na,Ärger\n".encode(encoding))).shots[0].prompt == "Ärger"


@pytest.mark.parametrize(
    ("data", "line", "words"),
    [
        (b"id,prompt\na,\xff\xfe\n", 2, "not UTF-8"),
        (codecs.BOM_UTF16_LE + b"a", 1, "not UTF-16"),
        (b"id,prompt\na,x\0y\n", 2, "NUL"),
        (b"", 1, "empty"),
    ],
)
def test_bytes_that_are_no_text(write: Write, data: bytes, line: int, words: str) -> None:
    problem = problems(write(data))[0]
    assert (problem.line, words in problem.what) == (line, True)


def test_files_that_cannot_be_read(tmp_path: Path, write: Write) -> None:
    assert "no such file" in problems(str(tmp_path / "none.csv"))[0].what
    assert "regular file" in problems(str(tmp_path))[0].what
    assert "unknown kind" in problems(write("x", "m.odt"))[0].what
    assert "no workbook" in problems(write("x", "m.xlsx"))[0].what
    assert "cannot be read" in problems("nosuch://bucket/m.csv")[0].what


def test_the_campaign_is_the_file_unless_named(write: Write) -> None:
    assert read(write("prompt\nA\n", "Herbst 2026_Final.v2.csv")).campaign == "herbst-2026-final-v2"
    assert read(write("prompt\nA\n"), campaign="my_campaign").campaign == "my_campaign"
    assert found(write("prompt\nA\n"), campaign="My.Campaign") == [(1, "campaign")]


def test_the_hash_is_that_of_the_file(write: Write) -> None:
    data = b"prompt\nA\n"
    assert read(write(data)).sha256 == hashlib.sha256(data).hexdigest()


def test_reports_are_capped(write: Write) -> None:
    report = problems(write("id,prompt\n" + "a b,\n" * 700))
    assert len(report) == 1001
    assert "more problems" in report[-1].what


# Pictures


def test_reference_images_beside_the_manifest_are_hashed(write: Write, tmp_path: Path) -> None:
    (tmp_path / "logo.png").write_bytes(PNG)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a.jpg").write_bytes(b"\xff\xd8\xff" + b"x")
    shot = read(write("prompt,reference_images\nA,logo.png;sub/a.jpg\n")).shots[0]
    assert [each.mime_type for each in shot.reference_images] == ["image/png", "image/jpeg"]
    assert shot.reference_images[0].sha256 == hashlib.sha256(PNG).hexdigest()
    assert shot.reference_images[0].uri == str((tmp_path / "logo.png").resolve())


def test_a_picture_shared_by_many_rows_is_read_once(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from callsheet.manifest import inputs

    (tmp_path / "logo.png").write_bytes(PNG)
    reads: list[str] = []
    real = inputs.read_bytes
    monkeypatch.setattr(inputs, "read_bytes", lambda uri, limit: reads.append(uri) or real(uri, limit))
    read(write("prompt,reference_images\n" + "A,logo.png\n" * 50))
    assert len(reads) == 1


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("../secret.png", "leads out"),
        ("/etc/passwd", "leads out"),
        ("link.png", "leads out"),
        ("https://example.com/a.png", "not fetched"),
        ("HTTP://example.com/a.png", "not fetched"),
        ("gs://elsewhere/a.png", "outside"),
        ("file:///etc/passwd", "outside"),
        ("none.png", "no such file"),
        ("text.png", "no picture"),
        (".", "regular file"),
        ("x" * 300, "cannot be read"),
    ],
)
@pytest.mark.parametrize("column", ["reference_images", "last_frame"])
def test_pictures_that_may_not_be_used(write: Write, tmp_path: Path, column: str, location: str, words: str) -> None:
    home = tmp_path / "home"
    (tmp_path / "secret.png").write_bytes(PNG)
    home.mkdir()
    (home / "link.png").symlink_to(tmp_path / "secret.png")
    (home / "text.png").write_text("hello")
    problem = problems(write(f"prompt,motion_prompt,{column}\nA,Go,{location}\n", "home/m.csv"))[0]
    assert (problem.line, problem.column) == (2, column)
    assert words in problem.what


def test_input_roots_open_further_folders(write: Write, tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets/logo.png").write_bytes(PNG)
    uri = write("prompt,reference_images\nA,../assets/logo.png\n", "home/m.csv")
    assert read(uri, input_roots=(str(tmp_path / "assets"),)).shots[0].reference_images
    assert found(uri) == [(2, "reference_images")]


def test_a_picture_too_large_for_the_model(write: Write, tmp_path: Path) -> None:
    with (tmp_path / "big.png").open("wb") as file:
        file.write(PNG)
        file.truncate(21 * 1024 * 1024)
    assert "too large" in problems(write("prompt,reference_images\nA,big.png\n"))[0].what


def test_a_remote_manifest_finds_its_pictures_beside_it() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/team/m.csv", b"prompt,reference_images\nA,logo.png;memory://team/logo.png\n")
    memory.pipe("/team/logo.png", PNG)
    assert len(read("memory://team/m.csv").shots[0].reference_images) == 2
    memory.pipe("/team/m.csv", b"prompt,reference_images\nA,../other/logo.png;memory://teams/x.png;/etc/passwd\n")
    assert [each.column for each in problems("memory://team/m.csv")] == ["reference_images"] * 3


def test_a_pipe_is_not_waited_for(tmp_path: Path, write: Write) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert "regular file" in problems(write("prompt,reference_images\nA,pipe.png\n"))[0].what


# YAML


def test_yaml_matrix_makes_every_combination_with_stable_ids(write: Write) -> None:
    manifest = read(
        write(
            "campaign: spring\nbudget_usd: 12.50\nvars: {brand: North}\n"
            "defaults:\n  takes: 2\n  aspect_ratio: 16:9\n"
            "shots:\n"
            "  - id: hero\n"
            "    prompt: '{brand} {product} in {season}'\n"
            "    matrix: {product: [Red Mug, Tea Pot], season: [spring, 夏]}\n"
            "  - prompt: plain\n",
            "c.yaml",
        )
    )
    assert (manifest.campaign, manifest.budget_usd) == ("spring", Decimal("12.50"))
    ids = [shot.id for shot in manifest.shots]
    assert ids[0] == "hero-red-mug-spring"
    assert ids[1].startswith("hero-red-mug-")
    assert ids[-1] == "0002"
    assert len(set(ids)) == 5
    assert manifest.shots[0].prompt == "North Red Mug in spring"
    assert {(shot.takes, shot.aspect_ratio) for shot in manifest.shots} == {(2, "16:9")}
    assert [shot.line for shot in manifest.shots] == [8, 8, 8, 8, 11]


def test_a_matrix_over_a_column_and_an_id_template(write: Write) -> None:
    manifest = read(
        write("matrix: {aspect_ratio: ['16:9', '9:16']}\nshots:\n- {id: 'x-{n}', n: 7, prompt: A}\n", "c.yaml")
    )
    assert [(shot.id, shot.aspect_ratio) for shot in manifest.shots] == [("x-7-16-9", "16:9"), ("x-7-9-16", "9:16")]


def test_values_that_slug_alike_still_get_their_own_ids(write: Write) -> None:
    shots = read(write("shots:\n- {id: a, prompt: '{v}', matrix: {v: [a b, a-b, '!', '?']}}\n", "c.yaml")).shots
    assert len({shot.id for shot in shots}) == 4


def test_rows_make_a_shot_of_each_row(write: Write) -> None:
    write("sku,name\nS1,Cup\nS2,Pot\n", "rows.csv")
    template = "rows: rows.csv\nshots:\n  - {id: '{sku}', prompt: 'A {name}'}\n  - {id: b, prompt: 'B {name}'}\n"
    shots = read(write(template, "c.yaml")).shots
    assert [(shot.id, shot.prompt) for shot in shots] == [
        ("S1", "A Cup"),
        ("S2", "A Pot"),
        ("b-0001", "B Cup"),
        ("b-0002", "B Pot"),
    ]


def test_a_table_given_on_the_command_line_may_be_anywhere(write: Write, tmp_path: Path) -> None:
    table = write("Prompt\tCategory\nA {x} cup\tFood & Beverage\n", "far/t.tsv")
    uri = write('rows: "{table}"\ncolumns: {prompt: Prompt, tags: Category}\ndefaults: {takes: 1}\n', "home/p.yaml")
    manifest = read(uri, variables={"table": table})
    shot = manifest.shots[0]
    assert (shot.id, shot.prompt, shot.tags, shot.line) == ("0001", "A {x} cup", ("Food & Beverage",), 2)
    assert "table" not in dict(shot.variables)
    moved = write("Prompt\tCategory\nA {x} cup\tFood & Beverage\n", "away/t.tsv")
    assert read(uri, variables={"table": moved}).sha256 == manifest.sha256
    assert "--var table=PATH" in problems(uri)[0].suggestion
    inside = write("rows: ../far/t.tsv\ncolumns: {prompt: Prompt}\n", "home/q.yaml")
    assert found(inside) == [(1, "rows")]


def test_problems_of_a_row_name_the_table_and_its_line(write: Write) -> None:
    table = write("prompt,takes\nA,1\nB,99\n", "rows.csv")
    problem = problems(write("rows: rows.csv\nshots:\n- {tags: [x]}\n", "c.yaml"))[0]
    assert (problem.file, problem.line, problem.column) == (table, 3, "takes")


def test_given_variables_win_over_vars(write: Write) -> None:
    uri = write("vars: {a: 1, b: 2}\nshots:\n- prompt: '{a}{b}{c}'\n", "c.yaml")
    assert read(uri, variables={"b": "x", "c": "y"}).shots[0].prompt == "1xy"


def test_yaml_lists_in_brackets_take_values_with_a_colon_as_they_are(write: Write) -> None:
    text = "matrix: {aspect_ratio: [16:9, 1:1]}\nshots:\n- {id: a, prompt: A, tags: [b]}\n- {id: b, prompt: B}\n"
    quoted = text.replace("16:9, 1:1", "'16:9', '1:1'")
    assert read(write(text, "c.yaml")).shots == read(write(quoted, "c.yaml")).shots
    assert problems(write("shots:\n- {id: [a:b, c: }\n", "c.yaml"))


def test_yaml_problems_point_at_their_lines(write: Write) -> None:
    uri = write(
        "campain: x\n"
        "budget_usd: -1\n"
        "defaults:\n  takes: 3\n  promt: x\n"
        "shots:\n"
        "  - id: a\n"
        "    prompt: A {x}\n"
        "    takes: [1]\n"
        "  - prompt: B\n"
        "    motion_prompt: Go\n"
        "    duration_s: 5\n"
        "    cuts: [9x16, 9x16]\n"
        "    matrix: {v: []}\n",
        "c.yaml",
    )
    assert found(uri) == [
        (1, "campain"),
        (2, "budget_usd"),
        (5, "defaults"),
        (8, "prompt"),
        (9, "takes"),
        (12, "duration_s"),
        (13, "cuts"),
        (14, "matrix"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a\n",
        "just text",
        "shots: []\n",
        "shots: {}\n",
        "shots: [1]\n",
        "campaign: x\n",
        "columns: {prompt: P}\nshots: [{prompt: a}]\n",
        "rows: none.csv\n",
        "rows: /etc/passwd\n",
        "rows: https://example.com/t.csv\n",
        "budget_usd: NaN\nshots: [{prompt: a}]\n",
        "budget_usd: 1e99\nshots: [{prompt: a}]\n",
        "shots: [{prompt: a, matrix: {id: [a]}}]\n",
        "shots: [{prompt: a, matrix: {v: [a, a]}}]\n",
        "matrix: {a: [1,2,3,4,5,6,7,8,9,10], b: [1,2,3,4,5,6,7,8,9,10], c: [1,2,3,4,5,6,7,8,9,10], "
        "d: [1,2,3,4,5,6,7,8,9,10], e: [1,2,3,4,5,6,7,8,9,10], f: [1, 2]}\nshots: [{prompt: a}]\n",
        "a: &a [x, x]\nb: &b [*a, *a]\nshots: *b\n",
        "shots:\n- prompt: " + "x" * 5_000_000 + "\n",
    ],
)
def test_bad_yaml_is_a_report_and_never_a_traceback(write: Write, text: str) -> None:
    assert problems(write(text, "c.yaml"))


@pytest.mark.long
def test_a_small_file_cannot_expand_to_endless_text(write: Write) -> None:
    axes = ", ".join(f"{axis}: [{', '.join(map(str, range(30)))}]" for axis in "abc")
    long = "x" * 19_000
    uri = write(f"matrix: {{{axes}}}\nshots: [{{prompt: '{{a}} {long}', negative_prompt: '{long}'}}]\n", "c.yaml")
    assert "too much text" in problems(uri)[0].what


# Speed


def sheet_of(write: Write, tmp_path: Path, size: int, row: Callable[[int], list[str]]) -> str:
    (tmp_path / "logo.png").write_bytes(PNG)
    header = (
        "id,prompt,image_model,aspect_ratio,takes,seed,reference_images,select,motion_prompt,resolution,duration_s,c"
    )
    uri = write(header + "\n")
    with Path(uri).open("a", newline="") as file:
        csv.writer(file).writerows(row(number) for number in range(size))
    return uri


MODEL = "gemini-nano-banana-2.1"
GOOD_ROW = ["A {c} cup", MODEL, "16:9", "3", "7", "logo.png", "best", "Go {c}", "720p", "8", "red"]
BAD_ROW = ["A {d} cup", f"{MODEL}x", "16:10", "99", "x", "none.png", "bst", "Go {d}", "721p", "9", "red"]


@pytest.mark.long
def test_the_work_of_a_check_grows_with_the_rows(write: Write, tmp_path: Path) -> None:
    def checking(size: int) -> Callable[[], object]:
        uri = sheet_of(write, tmp_path, size, lambda n: [f"s{n}", *GOOD_ROW])
        assert len(read(uri).shots) == size
        return lambda: read(uri)

    assert_grows_with_its_input(checking, 300)


def test_ten_thousand_wrong_rows_are_told_of_as_a_thousand_problems(write: Write, tmp_path: Path) -> None:
    assert len(problems(sheet_of(write, tmp_path, 10_000, lambda n: ["a b", *BAD_ROW]))) == 1001


def test_the_work_for_wrong_rows_grows_with_them(write: Write, tmp_path: Path) -> None:
    def checking(size: int) -> Callable[[], object]:
        uri = sheet_of(write, tmp_path, size, lambda n: ["a b", *BAD_ROW])
        return lambda: problems(uri)

    assert_grows_with_its_input(checking, 40)


@pytest.mark.parametrize(
    ("cells", "column"),
    [
        ("one,A cup,1,,,a.png;b.png,", "reference_images"),
        ("one,A cup,0,It turns,gemini-omni-1.2-flash,a.png;b.png,", "reference_images"),
        ("one,A cup,1,It turns,gemini-omni-1.2-flash,a.png,b.png", ""),
        ("one,A cup,1,,,a.png,", ""),
    ],
)
def test_pictures_that_are_too_much_together_are_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cells: str, column: str
) -> None:
    size = 0
    for name, colour in (("a.png", "red"), ("b.png", "blue")):
        (tmp_path / name).write_bytes(a_png(colour))
        size = max(size, (tmp_path / name).stat().st_size)
    monkeypatch.setattr(picture_cells, "MAX_REQUEST_BYTES", 2 * size)  # in base64 it is a third more
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(f"id,prompt,takes,motion_prompt,video_model,reference_images,last_frame\n{cells}\n")
    found = read(str(sheet)).unsendable
    assert [each.problem.column for each in found] == ([column] if column else [])
    assert all("bytes as they are sent (base64); allowed: at most" in str(each.problem) for each in found)
