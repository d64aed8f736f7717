"""Google Sheets: read by their address from a server that stands in for Google, and told when they cannot be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from callsheet import google_sheets
from callsheet.archive.layout import holds_manifest
from callsheet.batch.prepare import prepare_run
from callsheet.batch.request import RunRequest
from callsheet.batch.sent_rows import archive_google_sheet
from callsheet.batch.write_back import write_status
from callsheet.errors import ManifestError, SettingsError
from callsheet.google_sheets import parse_sheet_address, read_google_sheet
from callsheet.manifest import read_manifest
from callsheet.settings import load_settings
from tests.support.spreadsheets import RULES

ID = "1AbCdEfGhIjKlMnOpQrStUvWxYz"
EDIT = f"https://docs.google.com/spreadsheets/d/{ID}/edit"
CSV = b"id,prompt,takes\r\ncup,A cup,2\r\n"
ROBOT = "robot@project.iam.gserviceaccount.com"
PAGE = b"<html><head><title>Google Sheets: Sign-in</title></head></html>"


class StandIn(ThreadingHTTPServer):
    """Docs, and the service of tokens: `answers` are status, headers and body, one after another, the last for good."""

    daemon_threads = True

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], bytes]] = [(200, {"Content-Type": "text/csv"}, CSV)]
        self.shared_with: str | None = None  # only with this token
        self.asked: list[tuple[str, str | None]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: StandIn

    def do_GET(self) -> None:
        token = self.headers.get("Authorization")
        self.server.asked.append((self.path, token))
        if self.server.shared_with not in (None, token):
            return self._send(307, {"Location": "https://accounts.google.com/ServiceLogin"}, b"")
        answers = self.server.answers
        return self._send(*(answers.pop(0) if len(answers) > 1 else answers[0]))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        token = json.dumps({"access_token": "token-1", "expires_in": 3600}).encode()
        self._send(200, {"Content-Type": "application/json"}, token)

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def key_text() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, *form).decode()


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setattr(google_sheets, "PAUSES_S", (0.0, 0.0))
    with StandIn() as server:
        monkeypatch.setenv("CALLSHEET_SHEETS_BASE_URL", server.url)
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def key_file(google: StandIn, key_text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"type": "service_account", "client_email": ROBOT, "private_key": key_text, "private_key_id": "1"}
    path = tmp_path / "key.json"
    path.write_text(json.dumps({**told, "project_id": "project", "token_uri": f"{google.url}/token"}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))


def fetch(uri: str = EDIT, limit: int = 1000) -> bytes:
    address = parse_sheet_address(uri)
    assert address is not None
    return read_google_sheet(address, load_settings(), limit)


@pytest.mark.parametrize(
    ("uri", "name", "asked"),
    [
        (f"{EDIT}#gid=12", "google-sheet-1AbCdEfGhIjK-12.csv", {"gid": "12", "format": "csv"}),
        (f"{EDIT}?gid=3#gid=12", "google-sheet-1AbCdEfGhIjK-12.csv", {"gid": "12", "format": "csv"}),
        (f"{EDIT}?usp=sharing", "google-sheet-1AbCdEfGhIjK.csv", {"format": "csv"}),
        (EDIT.removesuffix("/edit"), "google-sheet-1AbCdEfGhIjK.csv", {"format": "csv"}),
        (EDIT.replace("/d/", "/u/1/d/"), "google-sheet-1AbCdEfGhIjK.csv", {"format": "csv"}),
        (EDIT.replace("/spreadsheets", "/a/firm.com/spreadsheets"), "google-sheet-1AbCdEfGhIjK.csv", {"format": "csv"}),
        (
            f"{EDIT.replace('/edit', '/export')}?format=xlsx&gid=0&resourcekey=0-a_B",
            "google-sheet-1AbCdEfGhIjK-0.csv",
            {"format": "csv", "gid": "0", "resourcekey": "0-a_B"},
        ),
        (
            "https://docs.google.com/spreadsheets/d/e/2PACX-1vAbCdEfGh/pubhtml?gid=7&single=true",
            "google-sheet-2PACX-1vAbCd-7.csv",
            {"gid": "7", "output": "csv", "single": "true"},
        ),
    ],
)
def test_address_as_people_copy_it_is_a_sheet_and_a_tab(uri: str, name: str, asked: dict[str, str]) -> None:
    address = parse_sheet_address(uri)
    assert address is not None
    link = urlsplit(address.export_link())
    assert (address.name, {key: value for key, [value] in parse_qs(link.query).items()}) == (name, asked)
    assert link.path == f"/spreadsheets/d/{address.document}/{'pub' if 'output' in asked else 'export'}"


@pytest.mark.parametrize("uri", ["https://docs.google.com/document/d/1AbCdEfGhIjKl/edit", "https://drive.google.com/x"])
def test_page_of_google_that_is_no_sheet_is_refused(uri: str) -> None:
    with pytest.raises(ManifestError, match="this is no address of a Google Sheet; needed: https://docs"):
        parse_sheet_address(uri)


def test_other_addresses_are_no_google_sheets() -> None:
    others = (
        "gs://b/x.csv",
        "https://docs.google.com.evil.example/spreadsheets/d/1AbCdEfGhIjKl",
        "docs.google.com",
        "",
    )
    assert [parse_sheet_address(uri) for uri in others] == [None] * 4


def test_shared_sheet_is_a_manifest_of_its_own_name(google: StandIn) -> None:
    manifest = read_manifest(f"{EDIT}#gid=12", RULES)
    assert [(shot.id, shot.prompt, shot.takes) for shot in manifest.shots] == [("cup", "A cup", 2)]
    assert (manifest.campaign, manifest.source) == ("google-sheet-1abcdefghijk-12", CSV)
    assert google.asked == [(f"/spreadsheets/d/{ID}/export?format=csv&gid=12", None)]
    google.answers = [(200, {"Content-Type": "text/csv"}, b"id,prompt\r\ncup,\r\n")]
    with pytest.raises(ManifestError, match=r"^google-sheet-1AbCdEfGhIjK-12.csv:2: prompt: there is no prompt"):
        read_manifest(f"{EDIT}#gid=12", RULES)


def test_sheet_shared_with_an_account_is_read_with_its_token(google: StandIn, key_file: None) -> None:
    google.shared_with = "Bearer token-1"
    assert fetch() == CSV
    assert [token for _, token in google.asked] == [None, "Bearer token-1"]


def test_redirect_of_google_is_followed_and_the_token_goes_to_the_first_host_alone(
    google: StandIn, key_file: None
) -> None:
    google.shared_with = "Bearer token-1"
    google.answers = [(302, {"Location": f"http://localhost:{google.server_address[1]}/x"}, b""), *google.answers]
    with pytest.raises(ManifestError, match="sends on to 'localhost', which is not Google's"):
        fetch()
    google.answers = [(302, {"Location": "/elsewhere"}, b""), *google.answers]
    assert fetch() == CSV
    google.answers = [(302, {"Location": "/round"}, b"")]
    with pytest.raises(ManifestError, match="sends on and on"):
        fetch()


REPLIES = {
    "a login": (307, {"Location": "https://accounts.google.com/ServiceLogin"}, b"", "not shared with everybody"),
    "a page": (200, {"Content-Type": "text/html"}, PAGE, "page 'Google Sheets: Sign-in'.*Anyone with the link"),
    "denied": (403, {"Content-Type": "text/html"}, PAGE, "and there are no Google credentials"),
    "not there": (404, {}, b"", "there is no such Google Sheet, or none to be seen"),
    "no tab": (400, {}, b"", r"no tab with gid=\(none\); open the tab"),
    "too many": (429, {}, b"", r"too busy to answer \(429\); run again in some minutes"),
    "trouble": (503, {}, b"", r"too busy to answer \(503\)"),
    "too large": (200, {"Content-Type": "text/csv"}, b"x" * 2000, "the sheet is too large"),
    "elsewhere": (302, {"Location": "https://evil.example/x"}, b"", "sends on to 'evil.example', which is not"),
    "a local file": (302, {"Location": "file:///etc/passwd"}, b"", "which is not Google's"),
}  # fmt: skip


@pytest.mark.parametrize("case", REPLIES)
def test_sheet_that_cannot_be_read_is_told_with_what_mends_it(google: StandIn, case: str) -> None:
    status, headers, body, words = REPLIES[case]
    google.answers = [(status, headers, body)]
    with pytest.raises(ManifestError, match=words):
        fetch()
    assert len(google.asked) == (3 if status in (429, 503) else 1)


def test_sheet_that_is_not_shared_with_the_account_names_it(google: StandIn, key_file: None) -> None:
    google.answers = [(403, {}, b"")]
    with pytest.raises(ManifestError, match=f"not shared with {ROBOT}; share it with {ROBOT} as a viewer"):
        fetch()
    google.answers = [(403, {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}, b"")]
    with pytest.raises(ManifestError, match=r"may not read Google Sheets; log in with: gcloud .*drive.readonly"):
        fetch()


def test_sheet_is_read_when_google_was_busy_for_a_moment(google: StandIn) -> None:
    google.answers = [(503, {}, b""), (429, {}, b""), *google.answers]
    assert fetch() == CSV


def test_stand_in_is_on_this_machine_and_google_is_not_asked_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(google_sheets, "PAUSES_S", ())
    for url in ("https://evil.example", "http://127.0.0.1.evil.example", "file:///tmp"):
        monkeypatch.setenv("CALLSHEET_SHEETS_BASE_URL", url)
        with pytest.raises(SettingsError, match="is not on this machine"):
            fetch()
    monkeypatch.setenv("CALLSHEET_SHEETS_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(ManifestError, match=r"127\.0\.0\.1 cannot be reached"):
        fetch()


def test_sheet_is_archived_as_it_was_read_and_whoever_goes_on_reads_the_copy(
    google: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLSHEET_HOME", str(tmp_path / "home"))
    settings = load_settings()
    asked = asyncio.run(prepare_run(RunRequest(f"{EDIT}#gid=12"), settings))
    archived = asyncio.run(archive_google_sheet(asked))
    copy = Path(archived.request.manifest)
    assert copy.read_bytes() == CSV
    google.answers = [(404, {}, b"")]
    again = asyncio.run(prepare_run(archived.request, settings))
    assert (again.batch, again.shots, again.manifest.sha256) == (archived.batch, asked.shots, asked.manifest.sha256)
    assert (again.batch.name, again.batch.manifest_uri) == (asked.batch.name, str(copy))
    assert asyncio.run(archive_google_sheet(again)) is again


def test_sheet_names_no_file_of_this_machine(google: StandIn, tmp_path: Path) -> None:
    for place in (str(tmp_path / "x.png"), "x.png", "../x.png"):
        google.answers = [(200, {"Content-Type": "text/csv"}, f"prompt,reference_images\nA cup,{place}\n".encode())]
        with pytest.raises(ManifestError, match="reference_images"):
            asyncio.run(prepare_run(RunRequest(EDIT), load_settings(home=tmp_path)))


def test_status_of_a_google_sheet_is_a_csv_beside_its_copy_in_the_archive(google: StandIn, tmp_path: Path) -> None:
    asked = asyncio.run(prepare_run(RunRequest(EDIT), load_settings(home=tmp_path)))
    archived = asyncio.run(archive_google_sheet(asked))
    status = Path(asyncio.run(write_status(asked)))
    assert (status.parent, status.name) == (Path(archived.request.manifest).parent, "sheet.status.csv")
    assert status.read_bytes().splitlines()[1] == b"cup,A cup,2,pending,,"
    prefix = asked.batch.prefix
    assert holds_manifest(prefix, f"{prefix}/{status.name}")
