"""`callsheet find` in a catalogue of 100,000 assets, beside DuckDB.

DuckDB answers the same question.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import duckdb

from benchmarks.bench import Bench, Row, Samples, callsheet_exe, environment, run
from benchmarks.made_catalogue import made_catalogue
from callsheet.archive.search import find
from callsheet.archive.search_query import Query
from callsheet.archive.store_local import LocalStore

ASSETS = 100_000
WORDS = ("lighthouse", "FOG")
# The question that README.md shows: the newest listing of every asset, words in any case, newest first.
QUESTION = """
SELECT * FROM read_parquet('{root}/catalog/*/*.parquet', hive_partitioning = true, filename = true)
WHERE contains(lower(concat_ws(' ', campaign, shot, prompt, frame_prompt, array_to_string(tags, ' '))), 'lighthouse')
  AND contains(lower(concat_ws(' ', campaign, shot, prompt, frame_prompt, array_to_string(tags, ' '))), 'fog')
QUALIFY row_number() OVER (PARTITION BY batch, shot, file ORDER BY dt DESC, length(filename) DESC, filename DESC) = 1
ORDER BY created DESC
"""
# The whole answer is made, as callsheet makes it, then counted, and fifty rows are shown.
PROGRAM = """
import duckdb
connection = duckdb.connect()
connection.execute("CREATE TABLE found AS " + {question!r})
print(connection.execute("SELECT count(*), sum(usd) FROM found").fetchall())
print(connection.execute("SELECT * EXCLUDE (created) FROM found LIMIT 50").fetchall())
"""


def find_assets(bench: Bench) -> list[Row]:
    """Measure a search in one part and in many, and the whole command, in seconds.

    Libraries are loaded before the searches.
    """
    assets = bench.size(ASSETS, 2_000)
    return [row for parts in (1, bench.size(365, 5)) for row in _measure(bench, assets, parts)]


def _measure(bench: Bench, assets: int, parts: int) -> list[Row]:
    root = bench.new_folder("catalogue")
    made_catalogue(root, assets, parts)
    question, samples = QUESTION.format(root=root), Samples()
    ours, theirs = _measure_ours(root), _measure_theirs(question)
    assert ours[0] == theirs[0] > 0, f"callsheet found {ours}, DuckDB {theirs}"
    assert abs(ours[1] - theirs[1]) < 0.01
    for _ in range(bench.repeats):
        for name, search in (("ours", lambda: _measure_ours(root)), ("theirs", lambda: _measure_theirs(question))):
            started = time.perf_counter()
            search()
            samples.add(**{name: time.perf_counter() - started})
        _measure_commands(root, question, samples)
    what = f"{assets:,} assets in {parts} part{'' if parts == 1 else 's'}, two words, {ours[0]:,} found"
    return [
        _build_row(f"search of {what}", samples, "ours", "theirs"),
        _build_row(f"`callsheet find`, {what}", samples, "cli", "sql"),
    ]


def _build_row(what: str, samples: Samples, ours: str, theirs: str) -> Row:
    ratio = samples[ours] / samples[theirs]
    return Row(what, f"{samples[ours]:.2f} s", f"DuckDB: {samples[theirs]:.2f} s", f"ratio {ratio:.2f}")


def _measure_ours(root: Path) -> tuple[int, float]:
    found = asyncio.run(find(LocalStore(root), Query(words=WORDS)))
    return found.assets.height, found.usd()["total"]


def _measure_theirs(question: str) -> tuple[int, float]:
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE found AS {question}")
        count, usd = connection.execute("SELECT count(*), sum(usd) FROM found").fetchall()[0]
    return int(count), float(usd or 0)


def _measure_commands(root: Path, question: str, samples: Samples) -> None:
    """Measure both commands from the interpreter's start to the last line."""
    env, log = environment(CALLSHEET_ARCHIVE=str(root)), root / "errors.log"
    ended = run([callsheet_exe(), "find", *WORDS, "--limit", "50", "--json"], env, log)
    assert json.loads(ended.output.splitlines()[-1])["shown"] > 0
    other = run([sys.executable, "-c", PROGRAM.format(question=question)], env, log)
    samples.add(cli=ended.seconds, sql=other.seconds)
