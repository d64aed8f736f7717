"""Chains of edits in a manifest: what an edit is made of is found, wherever it stands, or refused with its place."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from callsheet.errors import ManifestError, Problem
from callsheet.manifest import CheckRules, Manifest, read_manifest
from callsheet.manifest.chains import read_links
from callsheet.manifest.columns import MAX_CHAIN
from callsheet.manifest.draft import Draft
from callsheet.manifest.problems import Findings
from callsheet.models import Catalogue, load_catalogue
from callsheet.models.rules import PictureValues, image_findings
from callsheet.plan.parents import depth_of

CATALOGUE: Catalogue = load_catalogue()
Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(text: str, name: str = "m.csv") -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return put


def read(uri: str, **options: object) -> Manifest:
    return read_manifest(uri, CheckRules(CATALOGUE, date(2026, 11, 30), **options))  # type: ignore[arg-type]


def problems(uri: str) -> list[Problem]:
    with pytest.raises(ManifestError) as caught:
        read(uri)
    return list(caught.value.problems)


def test_an_edit_has_its_parent_whole_and_takes_its_shape(write: Write) -> None:
    sheet = "id,prompt,edit_of,takes,aspect_ratio,image_size\nred,Make it red,kite:2,,,\nkite,A kite,,3,3:2,2K\n"
    red, kite = read(write(sheet)).shots
    assert red.edit_of is not None
    assert (red.edit_of.shot, red.edit_of.take, str(red.edit_of)) == (kite, 2, "kite:2")
    assert (red.aspect_ratio, red.image_size, kite.is_parent, red.is_parent) == ("3:2", "2K", True, False)


def test_edits_are_shots_of_their_own_and_the_last_is_animated(write: Write) -> None:
    text = "shots:\n- id: kite\n  prompt: A kite\n  takes: 3\n  select: first\n  edits: ['Red, please', {0}]\n{1}"
    uri = write(text.format("Night", "  motion_prompt: It flies\n  cuts: 9x16\n  tags: sky\n"), "m.yaml")
    shots = read(uri).shots
    assert [shot.id for shot in shots] == ["kite", "kite-edit-1", "kite-edit-2"]
    assert [shot.prompt for shot in shots] == ["A kite", "Red, please", "Night"]
    assert [str(shot.edit_of) for shot in shots[1:]] == ["kite:chosen", "kite-edit-1:1"]
    assert [(shot.takes, shot.select) for shot in shots] == [(3, "first"), (1, "best"), (1, "best")]
    assert [(shot.motion_prompt, shot.cuts) for shot in shots] == [(None, ()), (None, ()), ("It flies", ("9x16",))]
    assert {shot.tags for shot in shots} == {("sky",)}
    assert {shot.aspect_ratio for shot in shots} == {shots[-1].video_aspect_ratio} == {"16:9"}


def test_instructions_of_a_table_keep_their_commas(write: Write) -> None:
    shots = read(write('id,prompt,edits\nkite,A kite,"Red, and larger | At night"\n')).shots
    assert [shot.prompt for shot in shots] == ["A kite", "Red, and larger", "At night"]


def test_a_person_is_asked_about_what_is_edited_and_about_what_is_animated(write: Write) -> None:
    shots = read(write("id,prompt,edits,select,motion_prompt\nkite,A kite,Red|Night,approve,It flies\n")).shots
    assert [shot.select for shot in shots] == ["approve", "best", "approve"]


def test_an_old_sheet_without_edits_reads_as_before(write: Write) -> None:
    (shot,) = read(write("id,prompt\nkite,A kite\n")).shots
    assert (shot.edit_of, shot.is_parent, shot.input_pictures) == (None, False, 0)


@pytest.mark.parametrize(
    ("rows", "what", "hint"),
    [
        ("kite,A kite,1,,,\nred,Red,1,kit,,\n", "unknown shot 'kit'", "did you mean kite?"),
        ("kite,A kite,1,,,\nred,Red,1,Kite,,\n", "unknown shot 'Kite'", "did you mean kite?"),
        ("kite,A kite,2,,,\nred,Red,1,kite:3,,\n", "kite has no take 3", ""),
        ("kite,A kite,2,,,\nred,Red,1,kite:0,,\n", "'kite:0' names no take", ""),
        ("kite,A kite,2,,,\nred,Red,1,kite:first,,\n", "'kite:first' names no take", ""),
        ("kite,,0,,It flies,\nred,Red,1,kite,,\n", "kite has no pictures: its video is made of text alone", ""),
        ("kite,A kite,2,,It flies,all\nred,Red,1,kite,,\n", "kite selects several takes (all): which", "name it, such"),
        ("kite,A kite,3,,It flies,1;3\nred,Red,1,kite,,\n", "kite selects several takes (1;3): which", "name it, such"),
        ("kite,A kite,1,,,\nred,,0,kite,It flies,\n", "0 takes make no picture", "raise takes"),
        ("kite,A kite,1,,,\nred,Red,1,red,,\n", "it is made of itself", "begin the chain"),
        ("kite,A kite,1,red,,\nred,Red,1,kite,,\n", "this leads in a circle: red of kite of red", "begin the chain"),
    ],
)
def test_what_names_no_picture_is_refused_with_file_line_and_column(
    write: Write, rows: str, what: str, hint: str
) -> None:
    uri = write("id,prompt,takes,edit_of,motion_prompt,select\n" + rows)
    found = next(problem for problem in problems(uri) if problem.line == 3)
    assert str(found).startswith(f"{uri}:3: edit_of: {what}"), found
    assert hint in found.suggestion


def test_a_model_that_takes_no_pictures_makes_no_edit() -> None:
    model = next(m for m in CATALOGUE.models() if m.kind == "image" and not m.reference_images)
    asked = PictureValues(model.aspect_ratios[0], model.sizes[0] if model.sizes else "1K", 1, is_edit=True)
    assert "edit_of" in [finding.column for finding in image_findings(model, asked)]


def test_references_and_what_is_edited_count_together(write: Write, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    most = CATALOGUE.get(CATALOGUE.default_image).reference_images
    row = "{0},P,{1},{2}\n"
    sheet = "id,prompt,edit_of,reference_images\nkite,A kite,,\n"
    for number in (most - 1, most):
        (tmp_path / f"{number}.csv").write_text(sheet + row.format("red", "kite", ";".join(["a.png"] * number)))
    assert read(str(tmp_path / f"{most - 1}.csv")).shots[1].input_pictures == most
    assert [one.column for one in problems(str(tmp_path / f"{most}.csv"))] == ["reference_images"]


def test_edits_of_video_made_of_text_and_ids_that_collide_are_refused(write: Write) -> None:
    found = problems(write("id,prompt,takes,edits,motion_prompt\nkite,,0,Red,It flies\nb,B,1,X,\nb-edit-1,C,1,,\n"))
    assert (2, "edits") in [(one.line, one.column) for one in found]
    assert any(one.column == "id" and "'b-edit-1' occurs twice" in one.what for one in found)


def test_a_chain_may_not_be_longer_than_a_picture_bears(write: Write) -> None:
    rows = [f"s{n},Again,{f's{n - 1}' if n else ''}\n" for n in range(MAX_CHAIN + 2)]
    found = problems(write("id,prompt,edit_of\n" + "".join(rows)))
    assert [(one.line, one.column) for one in found] == [(MAX_CHAIN + 3, "edit_of")]
    many = "|".join(f"Edit {n}" for n in range(MAX_CHAIN + 1))
    assert [one.column for one in problems(write(f"id,prompt,edits\nkite,A kite,{many}\n"))] == ["edits"]


def test_a_stretch_of_a_manifest_knows_what_it_is_made_of_elsewhere(write: Write) -> None:
    rows = [f"s{n},Picture {n},{f's{(n * 7) % 5}' if n >= 5 else ''}\n" for n in range(700)]
    uri = write("id,prompt,edit_of\n" + "".join(rows))
    whole, part = read(uri).shots, read(uri, stretch=slice(600, 650)).shots
    assert part == whole[600:650]
    assert all(shot.edit_of and shot.edit_of.shot in whole[:5] for shot in part)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(0, 24)), min_size=1, max_size=25))
def test_random_graphs_lead_to_a_beginning_or_are_refused_where_they_go_round(links: list[int | None]) -> None:
    count = len(links)
    wanted = {index: to % count for index, to in enumerate(links) if to is not None}
    drafts = [
        Draft("m", n, {"id": f"s{n}"} | ({"edit_of": f"s{wanted[n]}"} if n in wanted else {}), {}, "")
        for n in range(count)
    ]
    findings = Findings()
    kept = read_links(drafts, findings).of

    def follow(index: int) -> int | None:
        """How many steps lead to a beginning; None when none does."""
        steps = 0
        while index in wanted:
            index, steps = wanted[index], steps + 1
            if steps > count:
                return None
        return steps

    good = {index for index in wanted if (steps := follow(index)) is not None and steps <= MAX_CHAIN}
    assert {index: link.parent for index, link in kept.items()} == {index: wanted[index] for index in good}
    in_circle = {index for index in wanted if follow(index) is None and _returns(index, wanted)}
    told = {problem.line for problem in findings.problems if "circle" in problem.what or "itself" in problem.what}
    assert told == in_circle


def _returns(start: int, links: dict[int, int]) -> bool:
    here = links[start]
    for _ in links:
        if here == start:
            return True
        if here not in links:
            return False
        here = links[here]
    return False


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_shots_of_any_order_are_as_deep_as_their_chain(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, 12))
    parents = {n: data.draw(st.integers(0, n - 1)) for n in range(1, count) if data.draw(st.booleans())}
    order = data.draw(st.permutations(range(count)))
    uri = tmp_path_factory.mktemp("graph") / "m.csv"
    rows = (f"s{n},P,{f's{parents[n]}' if n in parents else ''}\n" for n in order)
    uri.write_text("id,prompt,edit_of\n" + "".join(rows))
    shots = {shot.id: shot for shot in read(str(uri)).shots}

    def depth(n: int) -> int:
        return 1 + depth(parents[n]) if n in parents else 0

    assert {shot.id: depth_of(shot) for shot in shots.values()} == {f"s{n}": depth(n) for n in range(count)}
    assert all(shot.edit_of is None or shot.edit_of.shot == shots[shot.edit_of.shot.id] for shot in shots.values())
