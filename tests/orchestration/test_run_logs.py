"""The log of a run: a line for each paid request, on the server and for programs, and no prompt or key in it."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from benchmarks.cluster import Api
from callsheet.log_format import JSON_LOGS, JsonFormatter
from flows.content_batch import content_batch
from tests.support.service import Service
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.xdist_group("prefect")]

SHEET = """id,prompt,takes,motion_prompt,duration_s
lamp,A secret lamp,2,It flickers,4
cup,A secret cup,1,,
"""
LINE = re.compile(r"^(lamp|cup) (take-\d|clip-\d): ")


def requests_in(lines: list[str]) -> list[str]:
    return sorted(line for line in lines if LINE.match(line))


async def test_a_run_has_a_line_for_each_paid_request_and_one_for_the_end_of_a_video(
    prefect_url: str, tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", service.url)
    monkeypatch.setenv("CALLSHEET_HOME", str(tmp_path / "home"))
    service.script({"match": {"kind": "image", "prompt": "lamp", "first": 1}, "fault": "503"})
    (tmp_path / "logged.csv").write_text(SHEET)
    with temporary_settings({PREFECT_API_URL: prefect_url}):
        state = await content_batch(str(tmp_path / "logged.csv"), return_state=True)
    run = str(state.state_details.flow_run_id)

    def logged() -> list[str]:
        wanted = {"flow_run_id": {"any_": [run]}}
        return requests_in([one["message"] for one in Api(prefect_url).ask("logs/filter", logs=wanted, limit=200)])

    # One refused, three pictures, a video that is submitted and ends. Prefect sends its logs some seconds late.
    wait_for(lambda: len(logged()) == 6, 60)
    lines = logged()
    for pattern, times in {
        r"take-\d: picture by \S+ in [\d.]+ s, \$0\.\d{4} at list price": 3,
        r"take-\d: no picture by \S+ after [\d.]+ s: Overloaded: ": 1,
        r"clip-1: video submitted to \S+ in [\d.]+ s, up to \$0\.\d{4} at list price \(\S+\)$": 1,
        r"clip-1: video by \S+ made \d+ s after it was submitted, \$0\.\d{4} at list price \(\S+\)$": 1,
    }.items():
        assert sum(bool(re.search(pattern, line)) for line in lines) == times, (pattern, lines)
    assert "secret" not in " ".join(lines)


def test_json_logs_have_the_fields_of_a_request_and_escape_what_they_are_told() -> None:
    record = logging.LogRecord("callsheet.jobs", logging.INFO, "", 0, "%s: \u2028\n%s", ("cup", "{}"), None)
    record.fields = {"shot": "cup", "usd": 0.03}
    told: dict[str, Any] = json.loads(JsonFormatter().format(record))
    assert {"level": "INFO", "message": "cup: \u2028\n{}", "shot": "cup", "usd": 0.03}.items() <= told.items()
    assert "\n" not in JsonFormatter().format(record)
    try:
        raise ValueError("no")
    except ValueError:
        record.exc_info = sys.exc_info()
    assert "ValueError: no" in json.loads(JsonFormatter().format(record))["trace"]


def test_a_worker_of_prefect_writes_json_when_it_is_asked_to() -> None:
    code = (
        "from prefect.logging.configuration import setup_logging; from prefect.logging.loggers import get_logger; "
        "setup_logging(); get_logger('workers').warning('a line')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **JSON_LOGS}, capture_output=True, text=True, check=True
    )
    [line] = [line for line in done.stderr.splitlines() if line.strip()]
    assert json.loads(line)["message"] == "a line"
