"""`callsheet find` as it is called: options, table, JSON, page, and what it says when something is wrong."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from callsheet.archive.parts import latest, read_parts
from callsheet.archive.search import SearchResult, UnknownName
from callsheet.cli.find import Listing, advice, summary
from callsheet.cli.main import app
from callsheet.cli.options import costs, names, one_of, period
from callsheet.errors import SettingsError
from tests.support.catalogues import row, write
from tests.support.cli import Cli

DAY = datetime(2026, 11, 1, tzinfo=UTC)
HOSTILE = "[red]boat[/red] \x1b]0;owned\x07\x9b31m \u202e<b>"


def test_days_are_whole_and_moments_are_exact() -> None:
    assert period("2026-11-01", "2026-11-01") == (DAY, DAY + timedelta(days=1))
    assert period("2026-11-01T02:00+02:00", None) == (DAY, None)
    assert period(None, "2026-11-01T00:00") == (None, DAY + timedelta(microseconds=1))
    assert period(None, None) == (None, None)


@pytest.mark.parametrize("bad", ["", "yesterday", "2026-13-01", "2026-11-01T25:00", "01.11.2026", "9999-12-31T24:00"])
def test_what_is_no_day_is_refused_with_one_that_is(bad: str) -> None:
    with pytest.raises(SettingsError, match="--since needs a day such as 2026-11-01"):
        period(bad, None)


def test_the_last_day_there_is_has_no_next_one() -> None:
    with pytest.raises(SettingsError, match="--until needs"):
        period(None, "9999-12-31")


@pytest.mark.parametrize(("since", "until"), [("2026-11-02", "2026-11-01"), ("2026-11-01T10:00", "2026-11-01T09:59")])
def test_a_period_that_ends_before_it_begins_is_refused(since: str, until: str) -> None:
    with pytest.raises(SettingsError, match="nothing can lie between"):
        period(since, until)


def test_amounts_are_decimals_of_dollars() -> None:
    assert costs("0.134", "0.134") == (Decimal("0.134"), Decimal("0.134"))
    for bad in ("", "NaN", "-1", "inf", "1,5", "$1"):
        with pytest.raises(SettingsError, match="--max-usd needs an amount"):
            costs(None, bad)
    with pytest.raises(SettingsError, match="nothing can cost both"):
        costs("2", "1.5")


def test_words_of_a_closed_set_are_taken_in_any_case_and_slips_get_a_hint() -> None:
    assert one_of("--kind", "CLIP", ("take", "clip")) == "clip"
    with pytest.raises(SettingsError, match=r"take, clip, not 'clpi'\. Did you mean clip\?"):
        one_of("--kind", "clpi", ("take", "clip"))
    with pytest.raises(SettingsError, match="1 to 300 characters"):
        names("--tag", ["x" * 301])


def drawn(width: int, *rows: dict[str, object], terminal: bool = False) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, soft_wrap=True, highlight=False, force_terminal=terminal)
    console.print(Listing(rows))
    return stream.getvalue()


@pytest.mark.parametrize("width", [20, 40, 80, 120, 200])
def test_every_window_shows_whole_addresses_and_no_line_longer_than_it_but_these(width: int) -> None:
    rows = [row(shot, prompt="灯台 " * 200, usd=3.2) for shot in ("hero", "a shot with a very long id " * 8)]
    lines = drawn(width, *rows).splitlines()
    assert len(lines) == 1 + 2 * len(rows)
    assert [line.strip() for line in lines[2::2]] == [one["uri"] for one in rows]
    assert all(len(line) <= width for line in [lines[0], *lines[1::2]])


def test_texts_are_neither_markup_nor_commands_to_the_terminal() -> None:
    shown = drawn(200, row(HOSTILE, prompt=HOSTILE, batch=HOSTILE, uri=f"/x/{HOSTILE}"), terminal=True)
    assert "[red]boat[/red]" in shown
    assert not {"\x07", "\x9b", "\u202e"} & set(shown)
    assert "\x1b]0" not in shown
    assert "file:///x/%5Bred%5Dboat" in shown


def found(*rows: dict[str, object], folder: Path, **more: object) -> SearchResult:
    return SearchResult(latest(read_parts({"part": write(folder, rows)})[0]), **more)  # type: ignore[arg-type]


def test_the_last_line_tells_how_many_and_what_they_cost(tmp_path: Path) -> None:
    rows = [row("a", usd=1.5), row("b", mode="rehearsal", usd=0.25), row("c", usd=0.0)]
    assert summary(found(*rows, folder=tmp_path), 3) == "3 assets, $1.50 and $0.250 rehearsed, not paid"
    assert "the newest 1 shown (--limit shows more)" in summary(found(*rows, folder=tmp_path), 1)
    assert summary(found(rows[2], folder=tmp_path), 1) == "1 asset, made for nothing"


def test_advice_says_what_to_loosen() -> None:
    empty = read_parts({})[0]
    told = SearchResult(empty, without=(("--kind cut", 2), ("'fog'", 1)))
    assert list(advice(told))[-1] == "What would fit: without --kind cut 2 assets; without 'fog' 1 asset."
    unknown = SearchResult(empty, unknown=(UnknownName("tags", "nigth", ("night",)),))
    assert list(advice(unknown)) == [
        "Nothing in the catalogue fits.",
        "No asset has the tag 'nigth'. The nearest: night.",
    ]
    assert "two or more" in list(advice(SearchResult(empty)))[-1]


def test_a_search_is_answered_as_table_and_json(bare_cli: Cli) -> None:
    archive = bare_cli.home / "archive"
    write(archive, [row("hero", prompt=HOSTILE), row("boat", "clip", usd=3.2), row("old", created=None)])
    (archive / "catalog/notes.txt").touch()
    ran = bare_cli("find", "BOAT", "--limit", "1", "--json")
    assert ran.exit_code == 0, ran.stderr
    told = ran.json
    assert (told["total"], told["shown"], told["usd"]["total"]) == (3, 1, 3.468)
    assert told["assets"][0]["uri"].startswith(f"{archive}/spring/spring.live/shots/")
    assert set(told["assets"][0]) == set(row())
    assert told["warnings"] == ["catalog/notes.txt is left out: it is not named like one"]
    assert "catalog/notes.txt" in ran.stderr
    assert "3 assets, the newest 1 shown" in ran.stderr


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--kind", "clipp"], "Did you mean clip?"),
        (["--mode", "real"], "--mode is one of live, rehearsal"),
        (["--model", "veoo-3.1"], "Did you mean veo-3.1"),
        (["--since", "soon"], "--since needs a day"),
        (["--min-usd", "2", "--max-usd", "1"], "nothing can cost both"),
        (["--archive", "absent"], "is not there yet"),
        (["--archive", "ftp://x"], "not an archive"),
        (["--gallery", "absent/page.html"], "--gallery absent/page.html: it cannot be written"),
    ],
)
def test_bad_input_ends_with_2_and_says_what_is_allowed(
    asked: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "archive", [row("boat", "clip")])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CALLSHEET_ARCHIVE", "archive")
    ran = CliRunner().invoke(app, ["find", *asked])
    assert isinstance(ran.exception, SettingsError), ran.output
    assert said in str(ran.exception)


def test_nothing_found_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, [row("boat", "clip")])
    monkeypatch.setenv("CALLSHEET_ARCHIVE", str(tmp_path))
    ran = CliRunner().invoke(app, ["find", "zebra", "--kind", "clip"])
    assert ran.exit_code == 0
    ran = CliRunner().invoke(app, ["find", "--model", "veo-3.1-lite-generate-001"])
    assert ran.exit_code == 0, "a known model that was not used is no slip of the pen"


def test_a_command_without_json_writes_to_stdout_after_one_with_json_in_the_same_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, [row("boat", "clip")])
    monkeypatch.setenv("CALLSHEET_ARCHIVE", str(tmp_path))
    with_json = CliRunner().invoke(app, ["find", "boat", "--json"])
    assert json.loads(with_json.stdout)["total"] == 1
    assert "boat" in with_json.stderr
    assert "boat" in CliRunner().invoke(app, ["find", "boat"]).stdout


def test_a_search_loads_neither_prefect_nor_the_ledger_nor_what_talks_to_google() -> None:
    program = (
        "import sys, callsheet.cli.main, callsheet.cli.find, callsheet.archive.search; "
        "print(sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "polars" in loaded
    assert not {name for name in ("prefect", "sqlalchemy", "gcsfs", "aiohttp", "google", "av") if f"'{name}'" in loaded}
