"""`python -m benchmarks`: measure, print the table, write it to RESULTS.md.

The page is benchmarks/RESULTS.md.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from benchmarks.again import again
from benchmarks.bench import Bench, Row
from benchmarks.bucket_puts import bucket_puts
from benchmarks.cuts import cuts
from benchmarks.demo import demo
from benchmarks.fifty_days import fifty_days
from benchmarks.find_assets import find_assets
from benchmarks.ledger_jobs import ledger_jobs
from benchmarks.manifest_check import manifest_check
from benchmarks.pictures import pictures
from benchmarks.reframe import reframe
from benchmarks.rehearsal_media import rehearsal_media
from benchmarks.results import as_text, write_results
from benchmarks.shards import shards

RESULTS = Path(__file__).parent / "RESULTS.md"
GROUPS = {
    "pictures": pictures,
    "manifest": manifest_check,
    "media": rehearsal_media,
    "cuts": cuts,
    "reframe": reframe,
    "ledger": ledger_jobs,
    "demo": demo,
    "again": again,
    "days": fifty_days,
    "find": find_assets,
    "puts": bucket_puts,
    "shards": shards,
}


def main(argv: list[str]) -> None:
    # Ended from outside, it ends the servers that it has started, as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    given = _parser().parse_args(argv)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="callsheet-bench-", dir=given.folder, ignore_cleanup_errors=True) as folder:
        bench = Bench(Path(folder), quick=given.quick, table=given.table)
        for name in given.only or GROUPS:
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            rows += GROUPS[name](bench)
    print(as_text(rows))
    output = given.output or (None if given.quick or given.only else RESULTS)
    if output:
        write_results(output, rows, bench)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small numbers, one repetition: is it alive?")
    parser.add_argument("--only", nargs="+", choices=list(GROUPS), help="measure these rows only")
    parser.add_argument("--table", type=Path, help="PartiPrompts.tsv; without it as many prompts are made up")
    parser.add_argument("--folder", type=Path, help="where to work, on a real disk; default: the temporary folder")
    parser.add_argument("--output", type=Path, help="where to write; default for a whole run: benchmarks/RESULTS.md")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
