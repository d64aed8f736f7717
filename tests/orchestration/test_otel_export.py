"""OpenTelemetry by the standard variables: what a run sends and never sends, and that it waits for no collector."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from callsheet.orchestration.otel_export import Wanted, read_wanted
from tests.support.cli import Cli, Ran
from tests.support.service import Service

pytest.importorskip("opentelemetry.sdk")

from tests.support.collector import Collector, collecting, values_of

SHEET = """id,prompt,takes,motion_prompt,duration_s
lamp,A secret lamp,2,A secret flicker,4
cup,A secret cup,1,,
gun,A secret gun,1,,
"""
KEY, ENDPOINT = "AIzaSy-a-secret-key-of-nobody-0000000000", "OTEL_EXPORTER_OTLP_ENDPOINT"
TROUBLE = "are not taken by the OpenTelemetry collector"


def rehearse(cli: Cli, service: Service, sheet: str = SHEET, **env: str) -> Ran:
    (cli.folder / "told.csv").write_text(sheet)
    return cli("run", "told.csv", "--json", GOOGLE_GEMINI_BASE_URL=service.url, **env)


def sums(collector: Collector, metric: str, *names: str) -> dict[tuple[Any, ...], float]:
    """The sums of a metric by these attributes."""
    found: dict[tuple[Any, ...], float] = {}
    for point in collector.points(metric):
        named = values_of(point.attributes)
        place = tuple(named.get(name) for name in names)
        found[place] = found.get(place, 0) + (point.as_double or point.as_int or getattr(point, "count", 0))
    return found


@pytest.fixture(scope="module")
def secret_free() -> tuple[bytes, ...]:
    return (b"secret", KEY.encode())


def test_a_rehearsal_sends_spans_of_run_shots_and_requests_and_the_money_of_the_ledger(
    cli: Cli, service: Service, secret_free: tuple[bytes, ...]
) -> None:
    service.script(
        {"match": {"kind": "image", "prompt": "lamp", "first": 1}, "fault": "503"},
        {"match": {"kind": "image", "prompt": "cup", "first": 1}, "fault": "no-image"},
        {"match": {"kind": "image", "prompt": "gun"}, "fault": "block"},
    )
    with collecting() as collector:
        ran = rehearse(cli, service, GEMINI_API_KEY=KEY, **{ENDPOINT: collector.url})
        assert ran.exit_code == 3, ran.stderr
        assert TROUBLE not in ran.stderr

    [run] = collector.spans("callsheet.run")
    told = values_of(run.attributes)
    assert told["callsheet.batch"] == "told.rehearsal"
    assert (told["callsheet.mode"], told["callsheet.outcome"]) == ("rehearsal", "unfinished")
    shots = {values_of(span.attributes)["callsheet.shot"]: span for span in collector.spans("callsheet.shot")}
    outcomes = {name: values_of(span.attributes)["callsheet.outcome"] for name, span in shots.items()}
    assert outcomes == {"lamp": "done", "cup": "done", "gun": "blocked"}
    assert {span.parent_span_id for span in shots.values()} == {run.span_id}
    requests = [(span, values_of(span.attributes)) for span in collector.spans("callsheet.request")]
    for span, named in requests:
        assert span.parent_span_id == shots[named["callsheet.shot"]].span_id
        assert {"callsheet.model", "callsheet.slot", "callsheet.kind", "callsheet.attempt"} <= named.keys()
        assert named["callsheet.mode"] == "rehearsal"
        assert span.end_time_unix_nano >= span.start_time_unix_nano
    assert sorted(named["callsheet.outcome"] for _, named in requests) == [
        *["made"] * 3, *["refused"] * 3, "submitted",
    ]  # fmt: skip
    [operation] = collector.spans("callsheet.operation")
    assert operation.parent_span_id == shots["lamp"].span_id
    assert {span.trace_id for span in collector.spans()} == {run.trace_id}

    spent = ran.json["usd"]["spent"]
    assert spent > 0
    money = sums(collector, "callsheet.usd.spent", "kind", "mode")
    assert sum(money.values()) == pytest.approx(spent, abs=1e-6)
    assert set(money) == {("image", "rehearsal"), ("video", "rehearsal")}
    spans = [values_of(span.attributes).get("callsheet.usd", 0) for span in collector.spans()]
    assert sum(spans) == pytest.approx(spent, abs=1e-6)
    assert sums(collector, "callsheet.requests", "outcome") == {("made",): 3, ("refused",): 3, ("submitted",): 1}
    assert sums(collector, "callsheet.retries", "error") == {("Overloaded",): 1, ("NoImage",): 1}
    assert sum(point.count for point in collector.points("callsheet.queue.age")) == 5
    [name] = {one["service.name"] for one in collector.resources()}
    assert name == "callsheet"
    assert not [word for _, body in collector.bodies for word in secret_free if word in body]


def test_requests_that_are_lost_or_give_words_alone_are_counted_as_the_ledger_counts_them(
    cli: Cli, service: Service
) -> None:
    service.script(
        {"match": {"kind": "image", "prompt": "lamp", "first": 1}, "fault": "drop-after"},
        {"match": {"kind": "image", "prompt": "cup", "first": 1}, "fault": "text-only"},
    )
    with collecting() as collector:
        ran = rehearse(cli, service, "id,prompt\nlamp,A lamp\ncup,A cup\n", **{ENDPOINT: collector.url})
    assert ran.exit_code == 0, ran.stderr
    told = sums(collector, "callsheet.requests", "outcome")
    assert told == {("made",): 2, ("in doubt",): 1, ("refused",): 1}
    money = sum(sums(collector, "callsheet.usd.spent", "kind").values())
    assert money == pytest.approx(ran.json["usd"]["spent"], abs=1e-6)
    made = [values_of(span.attributes).get("callsheet.usd", 0) for span in collector.spans("callsheet.request")]
    assert money > sum(made) > 0  # the request in doubt has no price of its own, and is booked


def test_a_run_that_fails_sends_its_span_with_the_class_of_its_error() -> None:
    with collecting() as collector:
        code = (
            "import asyncio; from callsheet.errors import SettingsError\n"
            "from callsheet.orchestration.otel_export import telling_of_run\n"
            "async def fail():\n"
            "    async with telling_of_run('content_batch'):\n"
            "        raise SettingsError('A secret is wrong')\n"
            "asyncio.run(fail())"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], env={ENDPOINT: collector.url}, capture_output=True, text=True, check=False
        )
        assert "SettingsError" in done.stderr
    [run] = collector.spans("callsheet.run")
    assert values_of(run.attributes)["callsheet.error"] == "SettingsError"
    assert not [body for _, body in collector.bodies if b"secret" in body]


ONE = "id,prompt\ncup,A cup\n"


def test_a_dead_collector_is_told_once_and_fails_nothing(cold_cli: Cli, service: Service) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # nobody listens there
        url = f"http://user:secret@127.0.0.1:{nobody.getsockname()[1]}"
        ran = rehearse(cold_cli, service, ONE, **{ENDPOINT: url})
    assert ran.exit_code == 0, ran.stderr
    assert " ".join(ran.stderr.split()).count(TROUBLE) == 1
    assert "secret" not in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_collector_that_hangs_is_told_once_and_fails_nothing(cold_cli: Cli, service: Service) -> None:
    with collecting(hangs=True) as collector:
        # Longer than the time that a test may take: only callsheet's own bound ends the run.
        ran = rehearse(cold_cli, service, ONE, **{ENDPOINT: collector.url, "OTEL_EXPORTER_OTLP_TIMEOUT": "3600"})
        assert collector.bodies
    assert ran.exit_code == 0, ran.stderr
    assert " ".join(ran.stderr.split()).count(TROUBLE) == 1


def test_without_variables_nothing_of_the_extra_is_imported_and_no_span_is_made(tmp_path: Path) -> None:
    assert loaded_by({}, tmp_path) == "[]"


def test_with_variables_and_without_the_extra_one_sentence_is_told(tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['opentelemetry.sdk'] = None\n"
    told = loaded_by({ENDPOINT: "http://127.0.0.1:9"}, tmp_path, hidden)
    assert told.count("pip install 'callsheet[otel]'") == 1
    assert "Traceback" not in told


def loaded_by(variables: dict[str, str], folder: Path, first: str = "") -> str:
    """Two runs' beginning and end in a new process: what it writes, and which modules of the extra it has."""
    code = (
        f"{first}import asyncio, sys, logging; logging.basicConfig()\n"
        "from callsheet.orchestration.otel_export import telling_of_run\n"
        "import callsheet.batch.pipeline, callsheet.jobs.runner, callsheet.telemetry\n"
        "async def run():\n"
        "    for _ in range(2):\n"
        "        async with telling_of_run('content_batch') as tell:\n"
        "            tell('done')\n"
        "asyncio.run(run())\n"
        "loaded = [name for name in sys.modules if name.startswith('opentelemetry')]\n"
        "print(loaded if not loaded or 'opentelemetry.sdk' not in loaded else '', end='')\n"
        "assert callsheet.telemetry._listeners == []"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=variables, cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, Wanted()),
        ({ENDPOINT: " "}, Wanted()),
        ({ENDPOINT: "http://c:4318"}, Wanted(True, True)),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/v1/traces"}, Wanted(True, False)),
        ({"OTEL_METRICS_EXPORTER": "otlp"}, Wanted(False, True)),
        ({ENDPOINT: "http://c:4318", "OTEL_METRICS_EXPORTER": "none"}, Wanted(True, False)),
        ({ENDPOINT: "http://c:4318", "OTEL_SDK_DISABLED": "TRUE"}, Wanted()),
    ],
)
def test_the_standard_variables_say_what_is_sent(variables: dict[str, str], wanted: Wanted) -> None:
    assert read_wanted(variables) == wanted


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_TRACES_EXPORTER": "jaeger"},
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    ],
)
def test_what_cannot_be_sent_as_asked_is_told_in_a_sentence(variables: dict[str, str]) -> None:
    wanted = read_wanted(variables)
    assert not wanted.traces
    [doubt] = wanted.doubts
    assert "not sent" in doubt
