"""A finished batch of 1,000 shots, run again.

Nothing is sent, and it should be over at once.
"""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.bench import Bench, Row, Samples, callsheet_exe, environment, run
from benchmarks.services import last_flow_s, prefect_server

SHOTS = 1000


def again(bench: Bench) -> list[Row]:
    """Measure the seconds of the whole command and of its flow.

    Beside it a command that only opens the ledger.
    """
    folder, samples = bench.new_folder("again"), Samples()
    sheet = _write_sheet(folder / "lanterns.csv", bench.size(SHOTS, 20))
    with prefect_server(folder / "server") as api_url:
        settings = environment(CALLSHEET_HOME=str(folder / "home"), PREFECT_API_URL=api_url, CALLSHEET_TIER="3")
        argv = [callsheet_exe(), "run", str(sheet), "--json"]
        run(argv, settings, folder / "first.log")
        for _ in range(bench.repeats):
            ended = run(argv, settings, folder / "again.log")
            summary = json.loads(ended.output.splitlines()[-1])
            assert summary["submissions"] == {"image": 0, "video": 0}, "something was sent"
            samples.add(seconds=ended.seconds, flow=last_flow_s(api_url))
            samples.add(start=run([callsheet_exe(), "status"], settings, folder / "status.log").seconds)
    return [
        Row(
            f"a finished batch of {summary['shots']['total']:,} shots run again, nothing sent",
            f"{samples['seconds']:.1f} s, of which the flow {samples['flow']:.1f} s",
            f"`callsheet status` in the same home: {samples['start']:.1f} s",
        )
    ]


def _write_sheet(path: Path, shots: int) -> Path:
    rows = (f"s{n:04},A lantern number {n} on a quay,1" for n in range(shots))
    path.write_text("\n".join(["id,prompt,takes", *rows]) + "\n", encoding="utf-8")
    return path
