"""500 videos at 10 a day: `callsheet run --wait` through fifty quota days.

It sleeps on a rehearsal's clock.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.bench import Bench, Row, callsheet_exe, environment, run
from benchmarks.services import prefect_server
from callsheet.ledger.quota import pacific_day

VIDEOS, A_DAY = 500, 10
# A day passes in 2.1 seconds.
FACTOR = 41_000


def fifty_days(bench: Bench) -> list[Row]:
    """Measure the simulation, and count the videos sent on each Pacific day."""
    folder, videos = bench.new_folder("days"), bench.size(VIDEOS, 3 * A_DAY)
    sheet, limits = _write_sheet(folder / "boats.csv", videos), folder / "limits.yaml"
    limits.write_text(
        f"models:\n  veo-3.1-fast-generate-001:\n    limits: {{any: {{rpd: {A_DAY}}}, 1: {{rpd: {A_DAY}}}}}\n"
    )
    with prefect_server(folder / "server") as api_url:
        settings = environment(
            CALLSHEET_HOME=str(folder / "home"),
            PREFECT_API_URL=api_url,
            CALLSHEET_CATALOGUE=str(limits),
            CALLSHEET_REHEARSAL_FACTOR=str(FACTOR),
        )
        ended = run([callsheet_exe(), "run", str(sheet), "--wait", "--json"], settings, folder / "run.log")
    done = json.loads(ended.output.splitlines()[-1])["shots"]["done"]
    days = sorted(_count_days(folder / "home" / "ledger.db").values(), reverse=True)
    assert done == videos, f"{done} of {videos} videos were made"
    assert days[0] <= A_DAY, f"{days[0]} on one day"
    return [
        Row(
            f"{videos} videos at {A_DAY} a day, `run --wait`, rehearsed {FACTOR:,} times faster",
            f"{ended.seconds:.0f} s for {len(days)} days, {days[0]} to {days[-1]} videos a day",
        )
    ]


def _count_days(ledger: Path) -> Counter[datetime]:
    """Count the attempts that were sent on each Pacific day."""
    with sqlite3.connect(ledger) as connection:
        sent = [row[0] for row in connection.execute("SELECT at FROM attempts WHERE outcome = 'finished'")]
    return Counter(pacific_day(datetime.fromtimestamp(at / 1e6, UTC))[0] for at in sent)


def _write_sheet(path: Path, videos: int) -> Path:
    rows = (f"b{n},A paper boat number {n},0,It sails under bridge {n},4" for n in range(videos))
    path.write_text("\n".join(["id,prompt,takes,motion_prompt,duration_s", *rows]) + "\n", encoding="utf-8")
    return path
