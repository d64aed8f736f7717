"""`callsheet doctor` over real HTTP: what servers, disks and databases say, and what to do about it."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import re
import socket
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from prefect import __version__ as prefect_version

from callsheet.cli.doctor import look_at_all
from callsheet.doctor.credentials import examine_location
from callsheet.doctor.diagnosis import Diagnosis, Examination, Health, examine
from callsheet.ledger.database import HEAD
from callsheet.models import load_catalogue
from callsheet.providers.access import Way, access_to
from callsheet.settings import Settings, load_settings
from tests.support.cli import Cli
from tests.support.gcs_files import store_at
from tests.support.live_runs import live
from tests.support.plain_server import Answer, plain_server, self_signed
from tests.support.service import Service

KEY = "AQ.a-key-that-nobody-may-see-0123456789"
EXPRESS = "AIzaAnotherKeyThatNobodyMaySee01234567"
PASSWORD = "pass-word-of-the-database"
# For checks that are to end by themselves, however busy the machine is; and for those that hang.
PATIENT_S, HURRIED_S = 120.0, 3.0


def look(tmp_path: Path, within_s: float = PATIENT_S, **settings: object) -> list[Diagnosis]:
    """Look at everything with these settings; no secret is in what is found."""
    found, _ = look_at_all(load_settings(home=tmp_path / "home", **settings), within_s)
    told = json.dumps([one.as_json() for one in found])
    for secret in (KEY, EXPRESS, PASSWORD):
        assert secret not in told
    return found


def of(found: list[Diagnosis], name: str) -> Diagnosis:
    """The one finding with a name that begins so."""
    (one,) = [one for one in found if one.name.startswith(name)]
    return one


def test_doctor_without_any_key_is_ready_for_rehearsals_alone(bare_cli: Cli) -> None:
    done = bare_cli("doctor", "--json", "--within", str(PATIENT_S))
    assert done.exit_code == done.json["exit_code"] == 2
    assert done.json["ready"] == {"rehearsal": True, "live": False}
    keys = next(one for one in done.json["checks"] if one["name"] == "keys")
    assert (keys["status"], keys["stops"]) == ("mend", ["live"])
    assert "aistudio.google.com" in keys["advice"]
    assert len(done.stderr.splitlines()) == len(done.json["checks"])
    assert not bare_cli.home.exists()


def test_doctor_with_keys_that_the_service_takes_is_all_well_and_nothing_is_sent_that_costs(
    bare_cli: Cli, service: Service
) -> None:
    done = bare_cli("doctor", "--json", "--within", str(PATIENT_S), **live(service))
    assert done.exit_code == 0, done.stdout
    assert done.json["ready"] == {"rehearsal": True, "live": True}
    routes = [one for one in done.json["checks"] if one["name"].startswith("route")]
    assert [one["status"] for one in routes] == ["ok", "ok"]
    counts = service.counts()
    assert counts["requests"] == {"models.list": 1, "countTokens": 1}
    assert "dummy-key" not in done.stdout + done.stderr


def error(status: int, name: str, message: str = "m", reason: str = "") -> Answer:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}] if reason else []
    body = {"error": {"code": status, "status": name, "message": message, "details": details}}
    return Answer(status, json.dumps(body).encode())


ODD: Mapping[str, tuple[Answer, Health, str]] = {
    "models": (Answer(body=b'{"models": [{"name": "models/a"}]}'), Health.NOTE, "without"),
    "bad key": (error(400, "INVALID_ARGUMENT", "API key not valid.", "API_KEY_INVALID"), Health.MEND, "copy it once"),
    "401": (error(401, "UNAUTHENTICATED"), Health.MEND, "GEMINI_API_KEY is not taken"),
    "old kind": (error(401, "UNAUTHENTICATED", reason="ACCESS_TOKEN_TYPE_UNSUPPORTED"), Health.MEND, "begins with AQ."),
    "403": (error(403, "PERMISSION_DENIED"), Health.MEND, "restrictions"),
    "credits": (error(402, "X", "credits are used up"), Health.MEND, "https://ai.studio/spend"),
    "404": (error(404, "NOT_FOUND"), Health.NOTE, "GOOGLE_GEMINI_BASE_URL"),
    "429": (error(429, "RESOURCE_EXHAUSTED"), Health.NOTE, "Wait"),
    "503": (error(503, "UNAVAILABLE"), Health.MEND, "Try again"),
    "page": (Answer(body=b"<html><title>Sign in</title>"), Health.MEND, "proxy"),
    "page of a refusal": (Answer(403, b"<html>Sign in</html>"), Health.MEND, "403"),
    "redirect": (Answer(302, headers={"Location": "https://else.example/"}), Health.MEND, "not followed"),
    "nothing": (Answer(body=b""), Health.MEND, "not as an API"),
    "list": (Answer(body=b"[]"), Health.MEND, "not as an API"),
    "odd models": (Answer(body=b'{"models": [1, {"name": 2}, {}]}'), Health.NOTE, "without"),
    "echo": (Answer(418, b"x", echo=True), Health.MEND, "418"),
}


@pytest.mark.parametrize("name", ODD)
def test_route_that_answers_oddly_is_told_with_what_to_do(tmp_path: Path, name: str) -> None:
    answer, health, words = ODD[name]
    with plain_server(answer) as server:
        found = look(tmp_path, GEMINI_API_KEY=KEY, GOOGLE_GEMINI_BASE_URL=server.url)
        assert [(method, headers["x-goog-api-key"]) for method, _, headers in server.asked] == [("GET", KEY)]
    route = of(found, "route")
    assert route.health is health, route
    assert words in f"{route.text} {route.advice}", route
    assert "\n" not in route.text + route.advice


def test_route_that_says_nothing_is_late_and_holds_nothing_else(tmp_path: Path) -> None:
    with plain_server(Answer(is_slow=True)) as server:
        found = look(tmp_path, HURRIED_S, GEMINI_API_KEY=KEY, GOOGLE_GEMINI_BASE_URL=server.url)
    route = of(found, "route")
    assert route.health is Health.MEND
    assert "within" in route.text
    assert of(found, "disk").health is not Health.MEND
    assert of(found, "clock").health is Health.NOTE


@pytest.mark.long
def test_check_that_blocks_its_thread_is_given_up_by_the_deadline() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()

        async def hang() -> list[Diagnosis]:
            with socket.create_connection(deaf.getsockname()) as taken:
                taken.recv(1)
            return []

        async def fail() -> list[Diagnosis]:
            raise ValueError("odd")

        found, all_ended = examine([Examination("a", hang, if_late="Do it."), Examination("b", fail)], HURRIED_S)
        assert not all_ended
        assert [(one.name, one.health) for one in found] == [("a", Health.MEND), ("b", Health.MEND)]
        assert "Do it." in found[0].advice
        assert "ValueError: odd" in found[1].text


def test_route_with_a_certificate_that_nobody_trusts_is_not_used(tmp_path: Path) -> None:
    with plain_server(tls=self_signed(tmp_path)) as server:
        url = server.url.replace("http:", "https:")
        found = look(tmp_path, GEMINI_API_KEY=KEY, GOOGLE_GEMINI_BASE_URL=url)
        assert server.asked == []
    assert of(found, "route").health is Health.MEND
    assert "certificate" in of(found, "route").text
    assert "SSL_CERT_FILE" in of(found, "route").advice


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_dead_ports_are_told_for_route_prefect_and_bucket(tmp_path: Path) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    found = look(
        tmp_path,
        GEMINI_API_KEY=KEY,
        GOOGLE_GEMINI_BASE_URL=dead,
        PREFECT_API_URL=f"{dead}/api",
        archive="gs://bucket/prefix",
        STORAGE_EMULATOR_HOST=dead,
    )
    for name in ("route", "prefect", "archive"):
        assert of(found, name).health is Health.MEND, of(found, name)


@pytest.mark.parametrize(
    ("ahead", "health", "words"),
    [
        (dt.timedelta(), Health.OK, "Right"),
        (dt.timedelta(minutes=2), Health.NOTE, "behind"),
        (dt.timedelta(hours=-5), Health.MEND, "ahead of"),
        (dt.timedelta(days=400), Health.MEND, "behind"),
    ],
)
def test_clock_is_compared_with_the_servers(tmp_path: Path, ahead: dt.timedelta, health: Health, words: str) -> None:
    with plain_server(Answer(401, b"{}", ahead=ahead)) as server:
        clock = of(look(tmp_path, GEMINI_API_KEY=KEY, GOOGLE_GEMINI_BASE_URL=server.url), "clock")
    assert clock.health is health
    assert words in clock.text


def test_clock_is_right_when_one_of_two_servers_says_so(tmp_path: Path) -> None:
    with plain_server() as right, plain_server(Answer(ahead=dt.timedelta(days=1))) as wrong:
        keys: dict[str, Any] = {"GEMINI_API_KEY": KEY, "agent_platform_api_key": EXPRESS}
        urls = {"GOOGLE_GEMINI_BASE_URL": wrong.url, "GOOGLE_VERTEX_BASE_URL": right.url}
        clock = of(look(tmp_path, **keys, **urls), "clock")
        assert clock.health is Health.OK
        assert right.host in clock.text
        (asked,) = right.asked
        assert asked[1].endswith(":countTokens")


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Nov 2026 99:99:99 GMT"])
def test_clock_is_left_open_when_the_date_cannot_be_read(tmp_path: Path, date: str) -> None:
    with plain_server(Answer(headers={"Date": date})) as server:
        assert of(look(tmp_path, GEMINI_API_KEY=KEY, GOOGLE_GEMINI_BASE_URL=server.url), "clock").health is Health.NOTE


def test_spaces_around_a_key_are_not_sent(tmp_path: Path) -> None:
    with plain_server() as server:
        look(tmp_path, GEMINI_API_KEY=f" {KEY}\n", GOOGLE_GEMINI_BASE_URL=server.url)
    assert {headers.get("X-Goog-Api-Key", headers.get("x-goog-api-key")) for _, _, headers in server.asked} == {KEY}


@pytest.mark.parametrize("key", [f'"{KEY}"', f"{KEY}\n{KEY}", "my key of words", "schlüssel-der-keiner-ist", "short"])
def test_key_that_cannot_be_one_is_told_and_not_sent(tmp_path: Path, key: str) -> None:
    with plain_server() as server:
        found = look(tmp_path, GEMINI_API_KEY=key, GOOGLE_GEMINI_BASE_URL=server.url)
        assert server.asked == []
    assert of(found, "keys").health is Health.MEND
    assert key not in json.dumps([one.as_json() for one in found], ensure_ascii=False)


def test_keys_are_told_by_kind_and_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {"GOOGLE_API_KEY": EXPRESS, "GEMINI_API_KEY": KEY, "CALLSHEET_AGENT_PLATFORM_API_KEY": KEY}
    for variable, key in keys.items():
        monkeypatch.setenv(variable, key)
    with plain_server() as server:
        found = look(tmp_path, GOOGLE_GEMINI_BASE_URL=server.url, GOOGLE_VERTEX_BASE_URL=server.url)
    told = [one.text for one in found if one.name == "keys"]
    assert told[0].startswith("GOOGLE_API_KEY: AIza key, key-")
    assert "different keys" in told[1]
    assert told[2].startswith("CALLSHEET_AGENT_PLATFORM_API_KEY: express AQ. key, key-")


def test_project_without_credentials_and_a_location_that_is_none_are_told(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"GOOGLE_CLOUD_PROJECT": "p", "GOOGLE_CLOUD_LOCATION": "us_central1"}
    file = tmp_path / "absent.json"
    found = look(tmp_path, **settings, GOOGLE_APPLICATION_CREDENTIALS=file)
    assert str(file) in of(found, "keys").text
    assert of(found, "location").health is Health.MEND
    assert of(found, "route").health is Health.MEND


@pytest.mark.parametrize("location", ["europe-west4", "global"])
def test_the_location_line_says_where_each_default_model_is_asked(location: str) -> None:
    access = access_to(load_settings(google_cloud_project="p", google_cloud_location=location), "live")
    [found] = examine_location(access, [Way.PROJECT], load_catalogue())
    veo = location if location != "global" else "us-central1"
    assert f"{veo} for veo-3.1-fast-generate-001" in found.text
    assert re.search(r"global for [^;]*gemini-nano-banana-2.1", found.text)
    assert f"GOOGLE_CLOUD_LOCATION is {location}." in found.text


def test_base_url_that_is_not_safe_is_told_and_nothing_is_asked(tmp_path: Path) -> None:
    found = look(tmp_path, GEMINI_API_KEY=KEY, GOOGLE_GEMINI_BASE_URL="http://gateway.example")
    assert "must be https" in of(found, "keys").text
    assert not [one for one in found if one.name.startswith("route")]


def test_archive_folder_is_written_to_and_left_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    (folder / "callsheet-doctor-killed.tmp").write_bytes(b"x")
    (folder / "theirs.txt").write_bytes(b"x")
    assert of(look(tmp_path, archive=str(folder)), "archive").health is Health.OK
    assert [path.name for path in folder.iterdir()] == ["theirs.txt"]


def test_archive_that_is_a_file_stops_both_kinds_of_runs(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    for archive in (str(file), f"{file}/below", "s3://bucket/x"):
        found = of(look(tmp_path, archive=archive), "archive")
        assert found.health is Health.MEND
        assert found.stops == ("rehearsal", "live")


def test_bucket_is_written_to_and_left_as_it_was(tmp_path: Path, gcs_server: str) -> None:
    found = of(look(tmp_path, archive="gs://bucket/doctor", STORAGE_EMULATOR_HOST=gcs_server), "archive")
    assert found.health is Health.OK, found
    assert asyncio.run(store_at(gcs_server, "doctor").list("")) == ()
    absent = of(look(tmp_path, archive="gs://no-such-bucket", STORAGE_EMULATOR_HOST=gcs_server), "archive")
    assert absent.health is Health.MEND


def ledger_with(path: Path, revision: str) -> Settings:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE callsheet_schema (version_num TEXT)")
        connection.execute("INSERT INTO callsheet_schema VALUES (?)", (revision,))
    return load_settings(ledger=f"sqlite:///{path}")


@pytest.mark.parametrize(
    ("revision", "health", "words"),
    [(HEAD, Health.OK, f"schema {HEAD}"), ("0003", Health.OK, "0003"), ("9999", Health.MEND, "newer callsheet")],
)
def test_ledger_is_opened_and_its_schema_left_as_it_is(
    tmp_path: Path, revision: str, health: Health, words: str
) -> None:
    settings = ledger_with(tmp_path / "ledger.db", revision)
    found = of(look(tmp_path, ledger=settings.ledger), "ledger")
    assert found.health is health
    assert words in f"{found.text} {found.advice}"
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        assert connection.execute("SELECT version_num FROM callsheet_schema").fetchall() == [(revision,)]


def test_ledger_that_is_none_or_out_of_reach_is_told_without_its_password(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"not a database at all" * 100)
    assert of(look(tmp_path, ledger=f"sqlite:///{tmp_path}/ledger.db"), "ledger").health is Health.MEND
    url = f"postgresql://user:{PASSWORD}@127.0.0.1:{free_port()}/db"
    assert of(look(tmp_path, ledger=url), "ledger").health is Health.MEND
    assert of(look(tmp_path, ledger="nonsense"), "ledger").health is Health.MEND


@pytest.mark.parametrize(
    ("answer", "health", "words"),
    [
        (Answer(body=json.dumps(prefect_version).encode()), Health.OK, prefect_version),
        (Answer(body=b'"3.0.1"'), Health.NOTE, "newer"),
        (Answer(body=b'"2.20.1"'), Health.MEND, "major"),
        (Answer(401, b"{}"), Health.MEND, "PREFECT_API_AUTH_STRING"),
        (Answer(body=b"<html>"), Health.MEND, "/api"),
        (Answer(body=b"{}"), Health.MEND, "/api"),
        (Answer(500, b""), Health.MEND, "500"),
    ],
)
def test_prefect_server_is_asked_for_its_version(tmp_path: Path, answer: Answer, health: Health, words: str) -> None:
    with plain_server(answer) as server:
        found = of(look(tmp_path, PREFECT_API_URL=f"{server.url}/api"), "prefect")
    assert found.health is health
    assert words in f"{found.text} {found.advice}"


def test_disk_without_room_and_a_font_that_is_none_are_told(tmp_path: Path) -> None:
    font = tmp_path / "font.ttf"
    font.write_bytes(b"x")
    found = look(tmp_path, min_free_mb=10**12, font=font)
    assert of(found, "disk").health is Health.MEND
    assert of(found, "fonts").health is Health.MEND
    assert "CALLSHEET_FONT" in of(found, "fonts").advice


def test_spend_is_refused_without_a_terminal_and_without_credentials(bare_cli: Cli, service: Service) -> None:
    done = bare_cli("doctor", "--spend", "--yes", "--json", "--within", str(PATIENT_S))
    assert done.exit_code == 2
    assert "keys" in done.json["message"]
    done = bare_cli("doctor", "--spend", "--json", "--within", str(PATIENT_S), **live(service))
    assert done.exit_code == 2
    assert "--yes" in done.json["message"]
    assert service.counts()["accepted"] == {"image": 0, "video": 0}


@pytest.mark.long
def test_spend_makes_a_picture_and_the_shortest_clip_once(lean_cli: Cli, service: Service) -> None:
    first = lean_cli("doctor", "--spend", "--yes", "--json", "--within", str(PATIENT_S), **live(service))
    assert first.exit_code == 0, first.stderr
    assert first.json["spend"]["submissions"] == {"image": 1, "video": 1}
    again = lean_cli("doctor", "--spend", "--yes", "--json", "--within", str(PATIENT_S), **live(service))
    assert again.exit_code == 0
    assert again.json["spend"]["submissions"] == {"image": 0, "video": 0}
    assert again.json["spend"]["images"]["reused"] == 1
    assert service.counts()["accepted"] == {"image": 1, "video": 1}
    (sheet,) = json.loads((lean_cli.home / "doctor" / "smoke.yaml").read_text())["shots"]
    assert sheet["duration_s"] == 4
