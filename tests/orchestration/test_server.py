"""The local Prefect server is known by its home: another one at its address is never taken for it."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from callsheet.errors import ServiceError
from callsheet.orchestration.server import (
    _wait_until_up,
    check_free,
    ensure_server,
    find_server,
    running_server,
    stop_server,
)
from callsheet.orchestration.server_files import PrefectServer, home_of
from callsheet.settings import load_settings

NOBODY = 2**22 + 1  # above the highest process id of Linux


class Foreign(BaseHTTPRequestHandler):
    """Somebody else's Prefect server: healthy, with a home of its own, which it tells to those with its password."""

    home, password = "/srv/others", ""

    def do_GET(self) -> None:
        let_in = not self.password or self.headers.get("Authorization") == self.password
        self.send_response(200 if let_in or self.path.endswith("/health") else 401)
        self.end_headers()
        self.wfile.write(json.dumps({"home": self.home}).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def foreign() -> Iterator[PrefectServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Foreign) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield PrefectServer(NOBODY, f"http://127.0.0.1:{server.server_address[1]}/api")
        server.shutdown()


def note(home: Path, server: PrefectServer) -> None:
    (home / "prefect").mkdir(parents=True)
    told = {"pid": server.pid, "api_url": server.api_url}
    (home / "prefect" / "server.json").write_text(json.dumps(told))


def test_another_server_that_has_the_port_of_ours_by_now_is_not_taken_for_it(
    tmp_path: Path, foreign: PrefectServer
) -> None:
    settings = load_settings(home=tmp_path)
    note(tmp_path, foreign)
    assert running_server(settings) is None
    with pytest.raises(ServiceError, match=r"callsheet ui"):
        find_server(settings)


def test_what_asks_for_a_password_is_asked_with_it_and_trusted_without(
    tmp_path: Path, foreign: PrefectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(home=tmp_path)
    note(tmp_path, foreign)
    monkeypatch.setattr(Foreign, "password", "Basic YWRhOnNlY3JldA==")
    assert running_server(settings) == foreign, "it does not tell whose it is"
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "ada:secret")
    assert running_server(settings) is None


def test_a_port_that_is_taken_is_told_before_anything_starts(tmp_path: Path, foreign: PrefectServer) -> None:
    port = int(foreign.api_url.split(":")[2].partition("/")[0])
    with pytest.raises(ServiceError, match=rf"Port {port} on 127\.0\.0\.1 .*--port.*PREFECT_API_URL=http://127"):
        ensure_server(load_settings(home=tmp_path), port)
    assert not (tmp_path / "prefect" / "server.json").exists()


def test_a_free_port_that_is_taken_meanwhile_is_left_for_another(
    tmp_path: Path, foreign: PrefectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, free = int(foreign.api_url.split(":")[2].partition("/")[0]), 4
    choices = iter([taken, taken, free])

    def check(host: str, port: int) -> None:
        if port == free:
            raise ServiceError("the turn of the third port")
        check_free(host, port)

    monkeypatch.setattr("callsheet.orchestration.server.free_port", lambda _host: next(choices))
    monkeypatch.setattr("callsheet.orchestration.server.check_free", check)
    with pytest.raises(ServiceError, match="the turn of the third port"):
        ensure_server(load_settings(home=tmp_path))
    monkeypatch.setattr("callsheet.orchestration.server.free_port", lambda _host: taken)
    with pytest.raises(ServiceError, match=rf"Port {taken} on .* is another program's"):
        ensure_server(load_settings(home=tmp_path))


@pytest.mark.parametrize(
    "program",
    [
        pytest.param("/bin/false", id="a program that ends"),
        pytest.param(sys.executable, id="the real server", marks=pytest.mark.slow),
    ],
)
def test_a_port_that_is_taken_while_the_server_starts_is_told_as_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    """The server ends by itself, for somebody was faster."""
    with socket.socket() as faster:
        faster.bind(("127.0.0.1", 0))
        port, looks = faster.getsockname()[1], iter([None])

        def free_at_first(host: str, port: int) -> None:
            if next(looks, "later"):
                check_free(host, port)

        monkeypatch.setattr("callsheet.orchestration.server.check_free", free_at_first)
        monkeypatch.setattr(sys, "executable", program)
        with pytest.raises(ServiceError, match=rf"Port {port} on .* is another program's"):
            ensure_server(load_settings(home=tmp_path), port)


def test_a_server_that_ended_is_not_up_although_another_answers(tmp_path: Path, foreign: PrefectServer) -> None:
    log = tmp_path / "server.log"
    log.write_text("address already in use")
    gone: Any = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with pytest.raises(ServiceError, match=r"did not start.*\n.*address already in use"):
        _wait_until_up(foreign, gone, log)


def test_a_server_that_is_too_busy_to_answer_is_ended_all_the_same_and_no_other_is(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path)
    silent = PrefectServer(None, "http://127.0.0.1:1/api")
    note(tmp_path, silent)
    assert not stop_server(settings), "nobody holds the lock: the process is gone, and its id may be another's"
    with (tmp_path / "prefect" / "running.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        argv = [sys.executable, "-c", "import time; time.sleep(600)"]
        busy = subprocess.Popen(argv, start_new_session=True, pass_fds=[lock.fileno()])
    (tmp_path / "prefect" / "server.json").write_text(json.dumps({"pid": busy.pid, "api_url": silent.api_url}))
    assert stop_server(settings)
    assert not stop_server(settings)
    with pytest.raises(ChildProcessError):
        os.waitpid(busy.pid, 0)


@pytest.mark.xdist_group("prefect")
def test_a_real_server_tells_its_home(prefect_url: str) -> None:
    home = home_of(PrefectServer(None, prefect_url))
    assert home is not None
    assert (home / "server.json").is_file()
