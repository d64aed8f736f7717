"""A table of 1,632 prompts: `callsheet run` beside a bare loop, taking turns.

One picture each.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.bench import Bench, Row, Samples, callsheet_exe, environment, run
from benchmarks.prompts_table import ROWS, prompts_table
from benchmarks.services import instant_service, last_flow_s, prefect_server
from callsheet.manifest import CheckRules, UserValues, read_manifest
from callsheet.models import load_catalogue

MANIFEST = Path(__file__).parent.parent / "prompts" / "partiprompts.yaml"
QUICK_ROWS = 64


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the pictures are made: the table, its requests, and the two services."""

    table: Path
    requests: Path
    url: str
    api_url: str
    count: int


def pictures(bench: Bench) -> list[Row]:
    """Measure pictures a second of both, the whole command's seconds, and its memory.

    The memory is its peak.
    """
    folder, samples = bench.new_folder("pictures"), Samples()
    table = prompts_table(bench.table, folder, bench.size(ROWS, QUICK_ROWS))
    requests, count = _write_requests(table, folder / "requests.json")
    with instant_service(folder / "service") as url, prefect_server(folder / "server") as api_url:
        stage = Stage(table, requests, url, api_url, count)
        for _ in range(bench.repeats):
            _run_callsheet(bench, stage, samples)
            _run_bare(bench, stage, samples)
    compared = f"ratio {samples['flow'] / samples['bare']:.2f}"
    whole = f"{samples['command_s']:.1f} s"
    return [
        Row(
            f"{count:,} pictures through the flow",
            f"{samples['flow']:.1f} pictures/s ({samples.span('flow')})",
            f"bare google-genai loop that saves the files: {samples['bare']:.1f} pictures/s ({samples.span('bare')})",
            compared,
        ),
        Row("the same, whole command from start-up to exit", whole, f"bare script: {samples['script_s']:.1f} s"),
        Row("peak memory of the command", f"{samples['peak_mb']:.0f} MB", f"bare script: {samples['bare_mb']:.0f} MB"),
    ]


def _run_callsheet(bench: Bench, stage: Stage, samples: Samples) -> None:
    home = bench.new_folder("home")
    settings = environment(
        CALLSHEET_HOME=str(home),
        # The limits of the highest tier: the day's quota of a small one would park most of the table.
        CALLSHEET_TIER="3",
        GOOGLE_GEMINI_BASE_URL=stage.url,
        PREFECT_API_URL=stage.api_url,
    )
    argv = [callsheet_exe(), "run", str(MANIFEST), "--var", f"table={stage.table}", "--json"]
    ended = run(argv, settings, home / "stderr.log")
    made = json.loads(ended.output.splitlines()[-1])["images"]["created"]
    assert made == stage.count, f"{made} of {stage.count} pictures were made"
    flow_s = last_flow_s(stage.api_url)
    samples.add(flow=made / flow_s, command_s=ended.seconds, peak_mb=ended.peak_mb)


def _run_bare(bench: Bench, stage: Stage, samples: Samples) -> None:
    folder = bench.new_folder("bare")
    argv = [sys.executable, "-m", "benchmarks.bare_loop", stage.url, str(stage.requests), str(folder)]
    ended = run(argv, environment(), folder / "stderr.log")
    made = sum(1 for _ in folder.glob("*.png"))
    assert made == stage.count, f"{made} of {stage.count} pictures were saved"
    samples.add(bare=made / float(ended.output), script_s=ended.seconds, bare_mb=ended.peak_mb)


def _write_requests(table: Path, target: Path) -> tuple[Path, int]:
    """Write what the bare loop is to request: the very same pictures."""
    sheet = read_manifest(
        str(MANIFEST), CheckRules(load_catalogue(), datetime.now(UTC).date()), UserValues({"table": str(table)})
    )
    requests = [
        {
            "model": shot.image_model,
            "prompt": shot.prompt,
            "aspect_ratio": shot.aspect_ratio,
            "image_size": shot.image_size,
        }
        for shot in sheet.shots
    ]
    target.write_text(json.dumps(requests), encoding="utf-8")
    return target, len(requests)
