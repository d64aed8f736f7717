"""No web page of another site can use the servers on this machine; their own pages, commands and workers can."""

from __future__ import annotations

import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import psutil
import pytest
from starlette.datastructures import Headers
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from callsheet.orchestration.guarded_server import is_own_host
from callsheet.orchestration.server_settings import (
    EVERYWHERE,
    PASSWORD,
    ensure_password,
    own_origins,
    password_header,
    server_environment,
)
from callsheet.web_guard import OwnPagesOnly, host_in, is_loopback_host
from tests.support.service import Service

EVIL = "https://evil.example"
KEYS = (
    "GEMINI_API_KEY", "GOOGLE_API_KEY", "CALLSHEET_AGENT_PLATFORM_API_KEY", "GOOGLE_APPLICATION_CREDENTIALS",
    "CALLSHEET_ALERT_URL", "CALLSHEET_LEDGER", "AWS_SECRET_ACCESS_KEY", "SOME_TOKEN", "google_api_key",
)  # fmt: skip

VISIT = [("Host", "127.0.0.1:4200"), ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")]


def refusal(guard: OwnPagesOnly, *headers: tuple[str, str]) -> str:
    return guard.refusal(Headers(raw=[(name.lower().encode(), value.encode()) for name, value in headers]))


@pytest.mark.parametrize(
    ("headers", "is_refused"),
    [
        ([("Host", "127.0.0.1:4200")], False),
        ([("Host", "LOCALHOST:4200")], False),
        ([("Host", "[::1]:4200")], False),
        ([("Host", "localhost.")], False),
        ([("Host", "evil.example:4200")], True),
        ([("Host", "127.0.0.1.evil.example:4200")], True),
        ([("Host", "localhost@evil.example")], True),
        ([("Host", "192.168.1.5:4200")], True),
        ([("Host", "")], True),
        ([], True),
        ([("Host", "127.0.0.1:4200"), ("Host", "evil.example")], True),
        ([("Host", "127.0.0.1:4200"), ("Origin", "http://127.0.0.1:4200")], False),
        ([("Host", "127.0.0.1:4200"), ("Origin", "http://localhost:4200")], False),
        ([("Host", "127.0.0.1:4200"), ("Origin", "http://localhost:3000")], True),
        ([("Host", "127.0.0.1:4200"), ("Origin", EVIL)], True),
        ([("Host", "127.0.0.1:4200"), ("Origin", "null")], True),
        ([("Host", "127.0.0.1:4200"), ("Origin", "")], True),
        ([("Host", "127.0.0.1:4200"), ("Origin", "http://[")], True),
        ([("Host", "127.0.0.1:4200"), ("Origin", "file://")], True),
        ([("Host", "127.0.0.1:4200"), ("Origin", "http://127.0.0.1:4200"), ("Origin", EVIL)], True),
        ([("Host", "127.0.0.1:4200"), ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors")], True),
        ([("Host", "127.0.0.1:4200"), ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")], False),
        ([*VISIT, ("Sec-Fetch-Dest", "document")], False),
        ([*VISIT, ("Sec-Fetch-Dest", "iframe")], True),
        ([*VISIT, ("Sec-Fetch-Dest", "object")], True),
        ([("Host", "127.0.0.1:4200"), ("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Mode", "cors")], False),
    ],
)
def test_guard_by_host_and_origin_passes_only_what_is_its_own(headers: list[tuple[str, str]], is_refused: bool) -> None:
    guard = OwnPagesOnly(None, origins=frozenset({"http://localhost:4200"}))  # type: ignore[arg-type]
    assert bool(refusal(guard, *headers)) is is_refused


@pytest.mark.parametrize(
    ("listens_on", "host", "is_own"),
    [
        ("127.0.0.1", "localhost", True),
        ("127.0.0.1", "studio.example", True),
        ("127.0.0.1", "studio", False),
        ("127.0.0.1", "10.0.0.5", False),
        ("10.0.0.5", "10.0.0.5", True),
        (EVERYWHERE, "10.0.0.5", True),
        (EVERYWHERE, "prefect", True),
        (EVERYWHERE, socket.gethostname().lower(), True),
        (EVERYWHERE, "evil.example", False),
        (EVERYWHERE, "", False),
        ("localhost", "evil.example", False),
    ],
)
def test_server_answers_under_its_own_names_only(listens_on: str, host: str, is_own: bool) -> None:
    decide = is_own_host(listens_on, {"PREFECT_UI_API_URL": "https://Studio.example/api"})
    assert decide(host) is is_own


def test_host_header_that_is_none_names_nobody() -> None:
    for header in ("a b", "a/b", "a:b", "[::1", "a\\b", "http://a", "ä.example", "a:123456"):
        assert not is_loopback_host(host_in(header))


# --- the environment of a server


def test_server_does_not_inherit_keys_and_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.setenv(name, "secret-of-somebody")
    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "DEBUG")
    given = server_environment(tmp_path, "http://127.0.0.1:4200/api")
    assert "secret-of-somebody" not in given.values()
    assert given["PREFECT_LOGGING_LEVEL"] == "DEBUG"
    assert given["PATH"]
    assert given["PREFECT_SERVER_CSRF_PROTECTION_ENABLED"] == "true"
    assert PASSWORD not in given


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "192.168.1.5", "studio.example"])
def test_server_that_others_reach_gets_a_password_of_its_own(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = server_environment(tmp_path, "http://127.0.0.1:4200/api", host)
    again = server_environment(tmp_path, "http://127.0.0.1:4200/api", host)
    assert first[PASSWORD] == again[PASSWORD] == ensure_password(tmp_path)
    assert len(first[PASSWORD]) > 30
    assert stat.S_IMODE((tmp_path / "auth-string").stat().st_mode) == 0o600
    assert password_header(tmp_path)
    monkeypatch.setenv(PASSWORD, "ada:lovelace")
    assert server_environment(tmp_path, "http://127.0.0.1:4200/api", host)[PASSWORD] == "ada:lovelace"


def test_origins_are_those_of_the_ui() -> None:
    given = {"PREFECT_UI_API_URL": "https://studio.example/api"}
    assert own_origins(EVERYWHERE, 4300, given).split(",") == [
        "http://127.0.0.1:4300",
        "http://localhost:4300",
        "https://studio.example",
    ]
    assert "*" not in own_origins("127.0.0.1", 4200, {})


def test_server_in_the_foreground_for_others_without_a_password_does_not_start() -> None:
    argv = [sys.executable, "-m", "callsheet.orchestration.guarded_server", "--host", EVERYWHERE, "--port", "1"]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, PASSWORD in ended.stderr) == (2, True)


# --- a real server


@pytest.fixture(scope="module")
def deployment(prefect_url: str) -> str:
    """A deployment, made by Prefect's own client: it gets its token by itself."""
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    @flow(name="to-be-driven")
    def driven(live: bool = False) -> None:
        pass

    with temporary_settings({PREFECT_API_URL: prefect_url}), get_client(sync_client=True) as client:
        made = client.create_deployment(client.create_flow(driven), "one", parameters={})
        run = client.create_flow_run_from_deployment(made)
        assert client.read_flow_run(run.id).deployment_id == made
    return f"{prefect_url}/deployments/{made}/create_flow_run"


def post(url: str, **headers: str) -> httpx2.Response:
    body = b'{"parameters": {"live": true}}'
    return httpx2.post(url, content=body, headers=headers, timeout=120, trust_env=False)


def token_for(url: str, **headers: str) -> dict[str, str]:
    api_url = url.partition("/deployments")[0]
    reply = httpx2.get(f"{api_url}/csrf-token", params={"client": "page"}, headers=headers, timeout=120)
    return {"Prefect-Csrf-Client": "page", "Prefect-Csrf-Token": reply.json().get("token", "")}


@pytest.mark.xdist_group("prefect")
def test_page_of_another_site_creates_no_run(deployment: str) -> None:
    port = urlsplit(deployment).port
    json = {"Content-Type": "application/json"}
    token = token_for(deployment)
    assert post(deployment, **json, **token).status_code == 201, "a program with a token does"
    for stranger in (
        {"Origin": EVIL},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Host": f"evil.example:{port}"},
        {"Host": f"evil.example:{port}", "Origin": f"http://evil.example:{port}"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    ):
        for kind in ({"Content-Type": "text/plain"}, json, {**json, **token}):
            assert post(deployment, **kind, **stranger).status_code == 403, (stranger, kind)
        assert not token_for(deployment, **stranger)["Prefect-Csrf-Token"], stranger
    assert post(deployment, **json).status_code == 403, "nor does a form that says nothing of where it is from"


@pytest.mark.xdist_group("prefect")
def test_other_sites_may_not_even_ask_what_is_allowed(deployment: str) -> None:
    def asked(origin: str) -> httpx2.Response:
        asking = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "prefect-csrf-token"}
        return httpx2.request("OPTIONS", deployment, headers={"Origin": origin, **asking}, timeout=120)

    for name in ("127.0.0.1", "localhost"):
        origin = f"http://{name}:{urlsplit(deployment).port}"
        assert asked(origin).headers["access-control-allow-origin"] == origin
    assert "access-control-allow-origin" not in asked(EVIL).headers


@pytest.mark.xdist_group("prefect")
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_ui_opens_under_both_loopback_names(name: str, prefect_url: str) -> None:
    url = prefect_url.replace("127.0.0.1", name)
    page = httpx2.get(url.removesuffix("/api"), follow_redirects=True, timeout=120)
    assert (page.status_code, "<html" in page.text.lower()) == (200, True)
    assert httpx2.get(f"{url}/health", timeout=120).status_code == 200
    assert page.headers["content-security-policy"] == "frame-ancestors 'self'", "in no frame of another page"


@pytest.mark.xdist_group("prefect")
@pytest.mark.parametrize("path", ["/events/in", "/events/out", "/logs/out"])
def test_websockets_are_closed_to_other_sites_and_open_to_programs(path: str, prefect_url: str) -> None:
    url = prefect_url.replace("http:", "ws:") + path
    for origin in (EVIL, "null"):
        with pytest.raises(InvalidStatus), connect(url, origin=origin, subprotocols=["prefect"], open_timeout=60):  # type: ignore[arg-type]
            pass
    own: Any = prefect_url.removesuffix("/api")
    for given in (None, own):
        with connect(url, origin=given, subprotocols=["prefect"], open_timeout=60):  # type: ignore[list-item]
            pass


@pytest.mark.xdist_group("prefect")
def test_running_server_has_no_secret_on_its_command_line_or_key_in_its_environment(prefect_url: str) -> None:
    port = str(urlsplit(prefect_url).port)
    found = [
        process
        for process in psutil.process_iter(["cmdline"])
        if {"callsheet.orchestration.guarded_server", port} <= set(process.info["cmdline"] or ())
    ]
    assert found
    for process in found:
        assert not {name for name in process.environ() if name.startswith(("GEMINI", "GOOGLE", "CALLSHEET"))}


# --- the rehearsal service


def test_rehearsal_service_is_closed_to_web_pages(service: Service) -> None:
    rules: dict[str, Any] = {"rules": []}
    for headers in ({"Origin": EVIL}, {"Origin": "null"}, {"Host": "evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert httpx2.post(f"{service.url}/rehearsal/script", json=rules, headers=headers).status_code == 403
        assert httpx2.get(f"{service.url}/rehearsal/counts", headers=headers).status_code == 403
    assert httpx2.post(f"{service.url}/rehearsal/script", json=rules).status_code == 200
    assert httpx2.get(service.url.replace("127.0.0.1", "localhost") + "/rehearsal/status").status_code == 200
