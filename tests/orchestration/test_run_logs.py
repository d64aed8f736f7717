"""The log of a run: a line for each paid request, on the server and for programs, and no prompt or key in it."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from benchmarks.cluster import Api
from callsheet.errors import PromptBlocked, ProviderError, Unknown
from callsheet.jobs.request_log import log_answer
from callsheet.ledger import Attempt, JobOrder
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


@pytest.mark.long
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
        r"take-\d: no picture by \S+ after [\d.]+ s: Overloaded \(503 UNAVAILABLE\)": 1,
        r"clip-1: video submitted to \S+ in [\d.]+ s, up to \$0\.\d{4} at list price \(\S+\)$": 1,
        r"clip-1: video by \S+ made \d+ s after it was submitted, \$0\.\d{4} at list price \(\S+\)$": 1,
    }.items():
        assert sum(bool(re.search(pattern, line)) for line in lines) == times, (pattern, lines)
    assert "secret" not in " ".join(lines)


@pytest.mark.parametrize(("error", "event"), [(Unknown, "in doubt"), (PromptBlocked, "refused")])
def test_a_request_without_a_picture_tells_what_became_of_it_and_not_what_was_asked(
    error: type[ProviderError], event: str, caplog: pytest.LogCaptureFixture
) -> None:
    attempt = Attempt("k" * 64, 2, "gemini_api", "a-model", Decimal("0.03"), request_id="r-1")
    order = JobOrder("k" * 64, "image", "live", "a-model", "c", "c.live", "cup", "take-1", {})
    with caplog.at_level("INFO", logger="callsheet"):
        log_answer(order, attempt, error("A secret cup was refused", reason="SAFETY"), 1.5)
    [record] = caplog.records
    fields = record.__dict__["fields"]
    assert (fields["event"], fields["request_id"], fields["attempt"]) == (event, "r-1", 2)
    assert ("may have been accepted" in record.getMessage()) == (error is Unknown)
    assert "secret" not in record.getMessage() + str(fields)
    assert "SAFETY" in record.getMessage()


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


@pytest.mark.long
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
