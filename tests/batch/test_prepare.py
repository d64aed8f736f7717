"""A run's manifest, and the table that it names, are read once; what is agreed to is what is run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from callsheet.batch.open import open_prepared
from callsheet.batch.prepare import PreparedRun, prepare_run
from callsheet.batch.request import RunRequest
from callsheet.batch.start import open_batch
from callsheet.errors import SettingsError
from callsheet.settings import Settings, load_settings
from tests.support.cli import Cli
from tests.support.counted_files import CountedFiles, counted_files
from tests.support.live_runs import live
from tests.support.service import Service

ROWS = "id,prompt,takes\ncup,A cup,1\nkite,A kite,1\n"
SHEET = "campaign: autumn\nrows: '{table}'\n"
ONCE = {"autumn.yaml": 1, "rows.csv": 1}


def asking(files: CountedFiles) -> list[str]:
    return [f"{files.url}/autumn.yaml", "--var", f"table={files.url}/rows.csv"]


async def prepared(files: CountedFiles, settings: Settings) -> PreparedRun:
    variables = {"table": f"{files.url}/rows.csv"}
    return await prepare_run(RunRequest(f"{files.url}/autumn.yaml", variables=variables), settings)


@pytest.fixture
def files(tmp_path: Path) -> Iterator[CountedFiles]:
    folder = tmp_path / "sheets"
    folder.mkdir()
    (folder / "rows.csv").write_text(ROWS)
    (folder / "autumn.yaml").write_text(SHEET)
    with counted_files(folder) as files:
        yield files


def test_a_live_run_reads_manifest_and_table_once_from_check_to_archive(
    cli: Cli, service: Service, files: CountedFiles
) -> None:
    done = cli("run", *asking(files), "--live", "--yes", "--json", **live(service))
    assert done.exit_code == 0, done.stderr
    assert files.take_counts() == ONCE
    copy = Path(done.json["archive"]) / "manifest.yaml"
    assert (done.json["shots"]["done"], copy.read_text()) == (2, SHEET)


@pytest.mark.parametrize("command", ["plan", "check"])
def test_a_command_that_makes_nothing_reads_manifest_and_table_once(
    bare_cli: Cli, service: Service, files: CountedFiles, command: str
) -> None:
    done = bare_cli(command, *asking(files), "--live", "--json", **live(service))
    assert done.exit_code == 0, done.stderr
    assert files.take_counts() == ONCE


@pytest.mark.long
def test_a_batch_begun_with_other_defaults_is_still_read_once(
    lean_cli: Cli, service: Service, files: CountedFiles
) -> None:
    given = live(service)
    first = lean_cli("run", *asking(files), "--live", "--yes", "--json", **given)
    assert first.exit_code == 0, first.stderr
    files.take_counts()
    (lean_cli.folder / "newer.yaml").write_text("default_image: gemini-3.1-flash-image\n")
    again = lean_cli("run", *asking(files), "--live", "--yes", "--json", CALLSHEET_CATALOGUE="newer.yaml", **given)
    assert (again.exit_code, again.json["usd"]["spent"]) == (0, first.json["usd"]["spent"])
    assert files.take_counts() == ONCE


async def test_a_sheet_that_changes_after_it_was_agreed_to_is_run_as_it_was(
    service: Service, files: CountedFiles, tmp_path: Path
) -> None:
    settings = load_settings(home=tmp_path / "home", gemini_base_url=service.url)
    asked = await prepared(files, settings)
    (files.folder / "rows.csv").write_text(ROWS + "boat,A boat,4\n")
    async with open_prepared(asked) as run:
        plan = await open_batch(run, asked)
    assert [item.shot.id for item in plan.shots] == ["cup", "kite"]


async def test_a_run_that_became_dearer_than_agreed_sends_nothing(
    service: Service, files: CountedFiles, tmp_path: Path
) -> None:
    settings = load_settings(home=tmp_path / "home", gemini_base_url=service.url)
    asked = await prepared(files, settings)
    async with open_prepared(asked) as run:
        with pytest.raises(SettingsError, match=r"would now cost up to \$.*Nothing was sent"):
            await open_batch(run, replace(asked, agreed_usd=Decimal("0.01")))
        assert await run.resources.ledger.batches() == []


@pytest.mark.long
def test_what_is_made_again_is_agreed_to_before_it_is_paid(lean_cli: Cli, service: Service) -> None:
    (lean_cli.folder / "sheet.csv").write_text(ROWS)
    service.script({"match": {"kind": "image", "prompt": "kite"}, "fault": "no-image"})
    first = lean_cli("run", "sheet.csv", "--live", "--yes", "--json", **live(service))
    assert (first.exit_code, first.json["shots"]["failed"]) == (3, 1), first.stderr
    service.script()
    again = lean_cli("run", "sheet.csv", "--live", "--remake", **live(service))
    assert (again.exit_code, "This would cost up to $0.0" in again.stderr) == (2, True), again.stderr
    assert (
        lean_cli("run", "sheet.csv", "--live", "--remake", "--yes", "--json", **live(service)).json["shots"]["done"]
        == 2
    )
