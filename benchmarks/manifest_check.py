"""Checking a large call sheet: 10,000 good rows, and 10,000 that are all wrong."""

from __future__ import annotations

import statistics
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.bench import Bench, Row, spent
from callsheet.errors import ManifestError
from callsheet.manifest import CheckRules, read_manifest
from callsheet.models import load_catalogue

GOOD = "shot-{n},A lighthouse number {n} in fog,16:9,2\n"
WRONG = "shot-{n},A lighthouse number {n} in fog,17:9,200\n"


def manifest_check(bench: Bench) -> list[Row]:
    """Measure the seconds for each of the two sheets, libraries loaded."""
    folder, rows = bench.new_folder("manifests"), bench.size(10_000, 500)
    _check(_write_sheet(folder / "warm-up.csv", GOOD, 1))
    good, wrong = _write_sheet(folder / "good.csv", GOOD, rows), _write_sheet(folder / "wrong.csv", WRONG, rows)
    return [
        Row(f"check of {rows:,} good rows", f"{_measure_median_s(bench, good):.2f} s"),
        Row(f"check of {rows:,} rows that are all wrong", f"{_measure_median_s(bench, wrong):.2f} s"),
    ]


def _measure_median_s(bench: Bench, sheet: Path) -> float:
    found = []
    for _ in range(bench.repeats):
        with spent() as one:
            _check(sheet)
        found.append(one.seconds)
    return statistics.median(found)


def _check(sheet: Path) -> int:
    """Check a sheet and return the number of problems."""
    try:
        read_manifest(str(sheet), CheckRules(load_catalogue(), datetime.now(UTC).date()))
    except ManifestError as error:
        return len(error.problems)
    return 0


def _write_sheet(path: Path, row: str, rows: int) -> Path:
    path.write_text("id,prompt,aspect_ratio,takes\n" + "".join(row.format(n=n) for n in range(rows)))
    return path
