"""The benchmark stays alive: one quick row of it runs and is written as a page that names no machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from socket import gethostname

from benchmarks.prompts_table import HEADER, ROWS, made_up, prompts_table


def test_a_quick_row_is_measured_beside_its_peer_and_written(tmp_path: Path) -> None:
    page = tmp_path / "RESULTS.md"
    argv = ["--quick", "--only", "ledger", "--folder", str(tmp_path), "--output", str(page)]
    ended = subprocess.run([sys.executable, "-m", "benchmarks", *argv], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    written = page.read_text()
    row = next(line for line in written.splitlines() if line.startswith("| ledger"))
    assert "jobs/s" in row
    assert "ratio" in row
    assert row in ended.stdout
    assert str(tmp_path) not in written
    assert gethostname() not in written


def test_made_up_prompts_are_as_many_as_those_of_partiprompts_and_all_differ(tmp_path: Path) -> None:
    lines = prompts_table(None, tmp_path, ROWS).read_text().splitlines()
    assert lines[0] == HEADER
    assert len(set(lines[1:])) == len(made_up(ROWS)) == 1632
    assert {line.count("\t") for line in lines} == {3}


def test_a_given_table_is_used_as_it_is_up_to_the_rows_asked_for(tmp_path: Path) -> None:
    given = tmp_path / "given.tsv"
    given.write_text(f"{HEADER}\nbond\tAbstract\tBasic\tnote\nelement\tAbstract\tBasic\tnote\n")
    assert prompts_table(given, tmp_path, 1).read_text() == f"{HEADER}\nbond\tAbstract\tBasic\tnote\n"
