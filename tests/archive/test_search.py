"""Searching a catalogue: which assets fit, which files among the parts are told, and what is in the way."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from benchmarks.made_catalogue import made_catalogue
from callsheet.archive.parts import SCHEMA
from callsheet.archive.search import SearchResult, find, search
from callsheet.archive.search_query import TEXT, Query, conditions, fold, moment, with_text
from callsheet.archive.store_local import LocalStore
from callsheet.cli.find import Listing
from callsheet.errors import SettingsError
from callsheet.report.page import Search, finds_html
from tests.support.catalogues import NOON, TODAY, row, write
from tests.support.counted_calls import calls_of

ROWS = [
    row("boat-1", prompt="A Lighthouse in FOG", tags=["Night", "hero"]),
    row("boat-2", prompt="Straße im Nebel, 灯台", usd=0.5, created=NOON - timedelta(days=3)),
    row("boat-1", "clip", prompt="Slow dolly", frame_prompt="A Lighthouse in FOG", usd=3.2, created=NOON),
    row("x[1]", "cut", campaign="Autumn", spec="9x16", usd=0.0, created=NOON - timedelta(days=40)),
    row("boat-3", mode="rehearsal", model=None, created=NOON + timedelta(hours=5)),
]


async def found_in(root: Path, **asked: object) -> SearchResult:
    return await find(LocalStore(root), Query(**asked))  # type: ignore[arg-type]


async def shots(root: Path, **asked: object) -> list[str]:
    """Shot and kind of what fits, in order."""
    found = (await found_in(root, **asked)).assets
    return [f"{shot} {kind}" for shot, kind in found.select("shot", "kind").iter_rows()]


ALL = ["boat-3 take", "boat-1 clip", "boat-1 take", "boat-2 take", "x[1] cut"]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, ALL),
        ({"words": ("lighthouse",)}, ["boat-1 clip", "boat-1 take"]),
        ({"words": ("FOG", "dolly")}, ["boat-1 clip"]),
        ({"words": ("strasse",)}, ["boat-2 take"]),
        ({"words": ("台",)}, ["boat-2 take"]),
        ({"words": ("boat-3",)}, ["boat-3 take"]),
        ({"words": ("night",)}, ["boat-1 take"]),
        ({"words": ("autumn",)}, ["x[1] cut"]),
        ({"words": ("fog.", "A")}, []),
        ({"campaigns": ("autumn", "SPRING")}, ALL),
        ({"campaigns": ("aut",)}, []),
        ({"batches": ("*.rehearsal",)}, ["boat-3 take"]),
        ({"shots": ("BOAT-?",), "kinds": ("take",)}, ["boat-3 take", "boat-1 take", "boat-2 take"]),
        ({"shots": ("x[1]",)}, ["x[1] cut"]),
        ({"models": ("VEO",)}, ["boat-1 clip", "x[1] cut"]),
        ({"models": ("veo*3",)}, []),
        ({"tags": ("night", "HERO")}, ["boat-1 take"]),
        ({"tags": ("night", "day")}, []),
        ({"mode": "rehearsal"}, ["boat-3 take"]),
        ({"since": NOON - timedelta(days=3), "until": NOON}, ["boat-2 take"]),
        ({"min_usd": Decimal("0.134"), "max_usd": Decimal("0.5")}, ["boat-3 take", "boat-1 take", "boat-2 take"]),
        ({"min_usd": Decimal("3.2")}, ["boat-1 clip"]),
    ],
)
async def test_everything_asked_for_must_fit(tmp_path: Path, asked: dict[str, object], expected: list[str]) -> None:
    write(tmp_path, ROWS)
    assert await shots(tmp_path, **asked) == expected


async def test_all_columns_come_back_and_the_address_is_that_of_the_archive_searched(tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    found = await found_in(tmp_path, shots=("boat-1",), kinds=("take",))
    expected = {**ROWS[0], "uri": f"{tmp_path}/spring/spring.live/shots/boat-1/{ROWS[0]['file']}"}
    assert found.assets.rows(named=True) == [expected]


async def test_a_row_that_tells_little_more_than_its_place_is_found_and_drawn(tmp_path: Path) -> None:
    known = {"batch": "b.live", "shot": "s", "file": "f.png", "sha256": "0" * 64}
    write(tmp_path, [{**dict.fromkeys(SCHEMA), **known}])
    found = await found_in(tmp_path, words=("s",))
    (asset,) = found.assets.rows(named=True)
    assert asset["uri"] == f"{tmp_path}/b.live/shots/s/f.png"
    assert found.usd()["total"] == 0
    Console(file=io.StringIO(), width=200).print(Listing([asset]))
    assert "f.png" in finds_html(Search((), "a", NOON, 1, found.usd()), [asset], tmp_path / "x.html", {})


async def test_money_is_told_apart_by_mode_and_an_asset_counts_once(tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    write(tmp_path, ROWS[:3], number=2)
    found = await found_in(tmp_path)
    assert found.assets.height == len(ROWS)
    assert found.usd() == {"total": 3.968, "live": 3.834, "rehearsal": 0.134}


async def test_of_two_parts_that_list_an_asset_the_newer_one_is_believed(tmp_path: Path) -> None:
    # By day first, then by number, as numbers: 10 comes after 9.
    for on, number, usd in ((TODAY, 9, 1.0), (TODAY, 10, 2.0), (TODAY - timedelta(days=1), 11, 3.0)):
        write(tmp_path, [row(usd=usd)], on, number)
    assert (await found_in(tmp_path)).assets["usd"].to_list() == [2.0]
    assert await shots(tmp_path, max_usd=Decimal(1)) == []


async def test_what_is_no_part_is_told_by_name_and_the_rest_is_found(tmp_path: Path) -> None:
    good = write(tmp_path, ROWS)
    folder = good.parent
    (folder / "spring.live-2.parquet").write_bytes(b"PAR1 not at all")
    (folder / "spring.live-3.parquet").write_bytes(good.read_bytes()[:-300])
    pl.DataFrame({"colour": ["red"]}).write_parquet(folder / "others-1.parquet")
    pl.DataFrame({"batch": [1], "shot": [2], "file": [3]}).write_parquet(folder / "others-2.parquet")
    (folder / "spring.live-4.parquet").touch()
    (folder / "notes.txt").write_text("hello")
    (folder / "spring.live-5.parquet").mkdir()
    (folder / "spring.live-6.parquet").symlink_to(folder / "gone")
    bad = folder.parent / "dt=2026-13-45" / "spring.live-1.parquet"
    bad.parent.mkdir()
    bad.write_bytes(good.read_bytes())
    found = await found_in(tmp_path)
    assert found.assets.height == len(ROWS)
    told = {warning.split()[0].removeprefix("catalog/") for warning in found.warnings}
    assert told >= {
        "dt=2026-11-21/notes.txt",
        "dt=2026-11-21/others-1.parquet",
        "dt=2026-11-21/others-2.parquet",
        "dt=2026-11-21/spring.live-2.parquet",
        "dt=2026-11-21/spring.live-3.parquet",
        "dt=2026-11-21/spring.live-4.parquet",
        "dt=2026-13-45/spring.live-1.parquet",
    }


async def test_a_foreign_table_is_told_even_where_a_condition_would_hide_its_rows(tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    pl.DataFrame({"kind": ["take"]}).write_parquet(tmp_path / "catalog/dt=2026-11-21/odd-1.parquet")
    found = await found_in(tmp_path, kinds=("clip",))
    assert [warning.split()[0] for warning in found.warnings] == ["catalog/dt=2026-11-21/odd-1.parquet"]
    assert found.assets.height == 1


def test_no_damage_to_a_part_hides_another_part(tmp_path: Path) -> None:
    good, bad = write(tmp_path, ROWS[:2]), write(tmp_path, ROWS[2:], number=2)
    whole = bad.read_bytes()
    for at in range(0, len(whole), len(whole) // 20):
        for damaged in (whole[:at], whole[:at] + bytes(64) + whole[at + 64 :], whole[at:], whole + whole[:at]):
            bad.write_bytes(damaged)
            assets, unreadable = search({"good": good, "bad": bad}, Query())
            assert set(assets["shot"].to_list()) >= {"boat-1", "boat-2"}
            assert set(unreadable) <= {"bad"}
            assert unreadable or assets.height >= len(ROWS)


async def test_parts_of_other_versions_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, ROWS)
    frame = pl.read_parquet(path)
    frame.drop("thumbnail", "frame_prompt").write_parquet(path)
    frame.head(1).with_columns(shot=pl.lit("later"), rating=pl.lit(5)).write_parquet(path.with_name("later-1.parquet"))
    found = await found_in(tmp_path)
    assert found.warnings == ()
    assert found.assets.height == len(ROWS) + 1
    assert found.assets["thumbnail"].null_count() == len(ROWS) + 1


async def test_a_folder_with_signs_of_a_pattern_in_its_name_is_searched(tmp_path: Path) -> None:
    root = tmp_path / "team [1] *?"
    write(root, ROWS)
    assert await shots(root) == ALL


async def test_parts_too_old_for_what_is_asked_are_not_opened(tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    write(tmp_path, [row("old", created=NOON - timedelta(days=9))], TODAY - timedelta(days=9)).write_bytes(b"nothing")
    # Written by a machine whose clock was behind.
    write(tmp_path, [row("eve", created=NOON)], TODAY - timedelta(days=1))
    found = await found_in(tmp_path, since=datetime(2026, 11, 21, tzinfo=UTC))
    assert found.warnings == ()
    assert "eve" in found.assets["shot"].to_list()
    assert len((await found_in(tmp_path)).warnings) == 1


async def test_when_nothing_fits_each_condition_in_the_way_is_told(tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    found = await found_in(tmp_path, words=("lighthouse",), since=datetime(2026, 11, 21, tzinfo=UTC), kinds=("cut",))
    assert found.without == (("--kind cut", 2),)
    found = await found_in(tmp_path, words=("lighthouse", "nebel"))
    assert dict(found.without) == {"'lighthouse'": 1, "'nebel'": 2}
    found = await found_in(tmp_path, words=("zebra", "giraffe"))
    assert (found.without, found.unknown) == ((), ())


async def test_names_that_no_asset_has_are_told_with_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    found = await found_in(tmp_path, campaigns=("sprng",), tags=("nigth",))
    assert [(one.column, one.name, one.nearest) for one in found.unknown] == [
        ("campaign", "sprng", ("spring",)),
        ("tags", "nigth", ("Night",)),
    ]
    assert (await found_in(tmp_path, campaigns=("spring", "sprng"))).missed == ("--campaign sprng",)


async def test_an_archive_without_a_catalogue_says_where_one_comes_from(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is not there yet"):
        await found_in(tmp_path / "absent")
    with pytest.raises(SettingsError, match="has no catalogue yet"):
        await found_in(tmp_path)
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog/notes.txt").touch()
    with pytest.raises(SettingsError, match=r"notes\.txt is not named like a part"):
        await found_in(tmp_path)


@settings(max_examples=120)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=40), form=st.sampled_from(["NFC", "NFD"]))
def test_every_word_of_a_text_finds_it_however_it_is_written(text: str, form: str) -> None:
    rows = pl.DataFrame([row(prompt=text)], schema_overrides={"tags": pl.List(pl.String), "frame_prompt": pl.String})
    folded = with_text(rows)[TEXT].item()
    for word in text.split():
        for written in (word, word.upper(), word.casefold(), unicodedata.normalize(form, word)):  # type: ignore[arg-type]
            query = Query(words=(written,))
            assert fold(written) in folded
            assert with_text(rows).filter(*(one.fits for one in conditions(query))).height == 1


@given(words=st.lists(st.text("abAB éÉß", max_size=3), max_size=3), prompt=st.text("abAB éÉß", max_size=8))
def test_all_words_must_appear_and_nothing_else_is_asked(words: list[str], prompt: str) -> None:
    rows = pl.DataFrame([row("1", prompt=prompt, campaign="2")], schema_overrides={"frame_prompt": pl.String})
    asked = conditions(Query(words=tuple(words)))
    fits = with_text(rows.with_columns(tags=pl.lit([], pl.List(pl.String)))).filter(*(one.fits for one in asked))
    assert bool(fits.height) == all(word.casefold() in f"{prompt}\n2\n1".casefold() for word in words)


@pytest.mark.parametrize(
    ("at", "told"),
    [
        (datetime(2026, 11, 1, tzinfo=UTC), "2026-11-01"),
        (datetime(2026, 11, 2, tzinfo=UTC) - timedelta(microseconds=1), "2026-11-01"),
        (datetime(2026, 11, 1, 9, 30, tzinfo=UTC), "2026-11-01 09:30+00:00"),
    ],
)
def test_a_moment_is_told_as_it_was_given(at: datetime, told: str) -> None:
    assert moment(at) == told


def test_assets_that_do_not_fit_are_left_out_without_looking_at_each(tmp_path: Path) -> None:
    nothing = Query(words=("lighthouse", "fog", "not there"), kinds=("clip",))

    def searching(size: int) -> Callable[[], object]:
        made_catalogue(tmp_path / str(size), size, 20)
        files = {str(path): path for path in sorted((tmp_path / str(size)).rglob("*.parquet"))}
        assert set(search(files, Query(words=("lighthouse", "fog"), kinds=("clip",)))[0]["kind"]) == {"clip"}
        return lambda: search(files, nothing)

    few, many = (calls_of(searching(size)) for size in (400, 4_000))
    assert many < 1.1 * few, "columns are compared, not rows"
