"""The first thing that anyone runs: the demo call sheet, rehearsed.

With the Prefect server already there.
"""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.bench import Bench, Row, Samples, callsheet_exe, environment, run
from benchmarks.services import prefect_server

MANIFEST = Path(__file__).parent.parent / "prompts" / "demo.csv"


def demo(bench: Bench) -> list[Row]:
    """Measure the seconds of `callsheet run prompts/demo.csv`, in empty homes."""
    folder, samples = bench.new_folder("demo"), Samples()
    with prefect_server(folder) as api_url:
        for _ in range(bench.repeats):
            home = bench.new_folder("demo-home")
            settings = environment(CALLSHEET_HOME=str(home), PREFECT_API_URL=api_url)
            ended = run([callsheet_exe(), "run", str(MANIFEST), "--json"], settings, home / "stderr.log")
            samples.add(seconds=ended.seconds)
    made = json.loads(ended.output.splitlines()[-1])
    what = ", ".join(f"{made[kind]['created']} {kind}" for kind in ("images", "videos", "cuts"))
    return [Row(f"callsheet run prompts/demo.csv: {what}", f"{samples['seconds']:.1f} s")]
