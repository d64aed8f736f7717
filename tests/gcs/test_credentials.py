# ruff: noqa: ASYNC240 - tests may block their own loop
"""Google's credentials for gs://: every kind gets a token over HTTP from a service on loopback, every failure is told.

No host of Google and no metadata server is asked: tokens come from a small server here, objects from the fault proxy.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from callsheet.archive.store_gcs import GcsStore
from callsheet.errors import ArchiveDenied, ArchiveError, SettingsError
from callsheet.gcs.access import GoogleAccess, RetryLimits, access_of
from callsheet.settings import load_settings
from callsheet.sources import read_bytes
from tests.support.gcs_files import AT_ONCE, MIDDLING, put
from tests.support.gcs_proxy import Proxy

ROBOT = "robot@project.iam.gserviceaccount.com"
KEEPER = "keeper@project.iam.gserviceaccount.com"


@dataclass
class TokenService:
    """Gives out token-1, token-2, ...; `refusals` are answers (status, body) that come first."""

    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    refusals: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    lasts_s: int = 3600
    given: int = 0

    def answer(self, path: str, authorization: str, body: bytes) -> tuple[int, dict[str, Any]]:
        form = json.loads(body) if body.startswith(b"{") else {k: v[0] for k, v in parse_qs(body.decode()).items()}
        self.asked.append({"path": path, "authorization": authorization, **form})
        if self.refusals:
            return self.refusals.pop(0)
        self.given += 1
        if path.endswith(":generateAccessToken"):
            until = datetime.now(UTC) + timedelta(seconds=self.lasts_s)
            return 200, {"accessToken": f"token-{self.given}", "expireTime": f"{until:%Y-%m-%dT%H:%M:%SZ}"}
        return 200, {"access_token": f"token-{self.given}", "expires_in": self.lasts_s, "token_type": "Bearer"}


@pytest.fixture
def tokens(monkeypatch: pytest.MonkeyPatch) -> Iterator[TokenService]:
    service = TokenService()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, told = service.answer(self.path, self.headers.get("Authorization", ""), body)
            data = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    # Where google-auth has no setting for it.
    monkeypatch.setattr("google.auth.iam._IAM_ENDPOINT", f"{service.url}/v1/serviceAccounts/{{}}:generateAccessToken")
    monkeypatch.setattr("google.auth._exponential_backoff.time.sleep", lambda _: None)
    yield service
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, *form).decode()


@pytest.fixture
def key_file(tokens: TokenService, private_key: str, tmp_path: Path) -> Path:
    """The key file of a service account whose tokens come from here."""
    path = tmp_path / "key.json"
    told = {"type": "service_account", "client_email": ROBOT, "private_key": private_key, "private_key_id": "1"}
    path.write_text(json.dumps({**told, "project_id": "project", "token_uri": f"{tokens.url}/token"}))
    return path


@pytest.fixture
def bucket(gcs_proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Proxy:
    """The proxy in the place of Google's storage, so that credentials are used."""
    monkeypatch.setattr("gcsfs.core._location", lambda *_: gcs_proxy.url)
    return gcs_proxy


def store_with(access: GoogleAccess, patience: RetryLimits = AT_ONCE) -> GcsStore:
    return GcsStore("bucket", "team", access=access, patience=patience)


async def test_a_key_file_gets_one_token_for_many_requests_at_once(
    key_file: Path, tokens: TokenService, bucket: Proxy
) -> None:
    store = store_with(access_of(load_settings(google_application_credentials=key_file)))
    await asyncio.gather(*(store.put_bytes(f"{n}.json", b"{}", "application/json") for n in range(20)))
    assert [asked["path"] for asked in tokens.asked] == ["/token"]
    assert tokens.asked[0]["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert set(bucket.tokens) == {"token-1"}
    await store.aclose()


async def test_a_token_about_to_expire_is_renewed_before_it_is_used(
    key_file: Path, tokens: TokenService, bucket: Proxy
) -> None:
    store = store_with(GoogleAccess(credentials_file=key_file))
    tokens.lasts_s = 100
    await store.put_bytes("a", b"1", "text/plain")
    tokens.lasts_s = 3600
    await store.put_bytes("a", b"2", "text/plain")
    await store.put_bytes("a", b"3", "text/plain")
    assert bucket.tokens == ["token-1", "token-2", "token-2"]
    await store.aclose()


@pytest.mark.usefixtures("early_sessions")
@pytest.mark.parametrize("on", ["find", "begin", "upload", "media"])
async def test_a_401_is_answered_with_one_fresh_token(
    on: str, key_file: Path, tokens: TokenService, bucket: Proxy, tmp_path: Path
) -> None:
    store = store_with(GoogleAccess(credentials_file=key_file))
    bucket.fault("401", on=on)
    await put(store, tmp_path, f"{on}.png", MIDDLING)
    assert await store.read_bytes(f"{on}.png", len(MIDDLING)) == MIDDLING
    assert bucket.faults == []
    assert tokens.given == 2
    await store.aclose()


async def test_a_fresh_token_that_is_refused_too_is_final(key_file: Path, tokens: TokenService, bucket: Proxy) -> None:
    store = store_with(GoogleAccess(credentials_file=key_file))
    bucket.fault("401", on="find", times=None)
    with pytest.raises(ArchiveDenied, match="refused twice: Invalid Credentials"):
        await store.stat("x")
    assert bucket.tokens == ["token-1", "token-2"]
    await store.aclose()


async def test_a_refused_key_is_final_and_says_what_to_do(key_file: Path, tokens: TokenService, bucket: Proxy) -> None:
    store = store_with(GoogleAccess(credentials_file=key_file))
    tokens.refusals = [(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})]
    with pytest.raises(ArchiveDenied, match=r"Invalid JWT Signature.*expired or been revoked.*gcloud auth"):
        await store.stat("x")
    assert len(tokens.asked) == 1
    assert bucket.seen == []
    await store.aclose()


async def test_a_token_service_in_trouble_is_asked_again(key_file: Path, tokens: TokenService, bucket: Proxy) -> None:
    store = store_with(GoogleAccess(credentials_file=key_file))
    tokens.refusals = [(503, {"error": "backend error"})] * 4  # google-auth itself tries three times
    assert await store.stat("never-written") is None
    await store.aclose()


async def test_a_token_service_that_cannot_be_reached_is_told_in_the_end(
    key_file: Path, bucket: Proxy, tmp_path: Path
) -> None:
    nowhere = tmp_path / "nowhere.json"
    nowhere.write_text(json.dumps({**json.loads(key_file.read_text()), "token_uri": "http://127.0.0.1:9/token"}))
    store = store_with(GoogleAccess(credentials_file=nowhere))
    with pytest.raises(ArchiveError, match=r"gave up after 4 attempts.*token service could not be reached"):
        await store.put_bytes("x", b"", "text/plain")
    await store.aclose()


async def test_another_account_is_impersonated_when_the_settings_say_so(
    key_file: Path, tokens: TokenService, bucket: Proxy
) -> None:
    settings = load_settings(google_application_credentials=key_file, impersonate_service_account=KEEPER)
    store = store_with(access_of(settings))
    await store.put_bytes("x", b"1", "text/plain")
    own, theirs = tokens.asked
    assert own["path"] == "/token"
    assert theirs["path"].endswith(f"/{KEEPER}:generateAccessToken")
    assert theirs["authorization"] == "Bearer token-1"
    assert bucket.tokens == ["token-2"]
    await store.aclose()


def test_a_manifest_in_a_bucket_is_read_with_the_rights_of_the_account_that_is_impersonated(
    key_file: Path, tokens: TokenService, bucket: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def put_manifest() -> None:
        store = store_with(GoogleAccess(credentials_file=key_file))
        await store.put_bytes("sheet.csv", b"id,prompt", "text/csv")
        await store.aclose()

    asyncio.run(put_manifest())
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key_file))
    monkeypatch.setenv("CALLSHEET_IMPERSONATE_SERVICE_ACCOUNT", KEEPER)
    tokens.asked.clear()
    bucket.tokens.clear()
    assert read_bytes("gs://bucket/team/sheet.csv") == b"id,prompt"
    assert tokens.asked[-1]["path"].endswith(f"/{KEEPER}:generateAccessToken")
    assert set(bucket.tokens) == {f"token-{tokens.given}"}


async def test_impersonation_that_is_denied_names_the_role(key_file: Path, tokens: TokenService, bucket: Proxy) -> None:
    told = {"error": {"code": 403, "message": "Permission 'iam.serviceAccounts.getAccessToken' denied on resource"}}
    store = store_with(GoogleAccess(credentials_file=key_file, impersonate=KEEPER))
    tokens.refusals = [(200, {"access_token": "own", "expires_in": 3600}), (403, told)]
    with pytest.raises(ArchiveDenied, match=rf"{KEEPER} may not.*getAccessToken.*iam\.serviceAccountTokenCreator"):
        await store.put_bytes("x", b"1", "text/plain")
    await store.aclose()


async def test_a_file_that_impersonates_is_used_like_any_other(
    key_file: Path, tokens: TokenService, bucket: Proxy, tmp_path: Path
) -> None:
    path = tmp_path / "impersonating.json"
    url = f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{KEEPER}:generateAccessToken"
    told = {"type": "impersonated_service_account", "service_account_impersonation_url": url}
    path.write_text(json.dumps({**told, "source_credentials": json.loads(key_file.read_text())}))
    store = store_with(GoogleAccess(credentials_file=path))
    await store.put_bytes("x", b"1", "text/plain")
    assert bucket.tokens == ["token-2"]
    await store.aclose()


SECRET = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"
BAD_FILES = {
    "no JSON": ("hello", "is not JSON"),
    "binary": ("\udc80\udcff", "is not JSON"),
    "a list": ("[]", 'has no "type"'),
    "no type": ("{}", 'has no "type"'),
    "another type": ('{"type": "house_key"}', "house_key"),
    "half a key file": ('{"type": "service_account"}', "holds no usable credentials"),
    "a broken key": (
        json.dumps({"type": "service_account", "client_email": ROBOT, "token_uri": "http://x", "private_key": SECRET}),
        "holds no usable credentials",
    ),
    "impersonating nobody": ('{"type": "impersonated_service_account"}', "holds no usable credentials"),
}


@pytest.mark.parametrize(("text", "told"), BAD_FILES.values(), ids=BAD_FILES)
async def test_a_bad_credentials_file_is_told_before_anything_is_sent(
    text: str, told: str, bucket: Proxy, tmp_path: Path
) -> None:
    path = tmp_path / "credentials.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(SettingsError, match=told) as caught:
        await store_with(GoogleAccess(credentials_file=path)).stat("x")
    assert str(path) in str(caught.value)
    assert "c2VjcmV0" not in str(caught.value)
    assert bucket.seen == []


async def test_a_missing_credentials_file_is_told(bucket: Proxy, tmp_path: Path) -> None:
    for path, why in {tmp_path / "none.json": "No such file", tmp_path: "Is a directory"}.items():
        with pytest.raises(SettingsError, match=f"GOOGLE_APPLICATION_CREDENTIALS: {path} cannot be read: {why}"):
            await store_with(GoogleAccess(credentials_file=path)).stat("x")


async def test_without_any_credentials_the_ways_to_have_some_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    with pytest.raises(SettingsError, match=r"none found.*gcloud auth application-default login.*GOOGLE_APPLICATION"):
        await store_with(GoogleAccess()).stat("x")


async def test_default_credentials_of_gcloud_are_found(
    key_file: Path, tokens: TokenService, bucket: Proxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "application_default_credentials.json").write_text(key_file.read_text())
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    store = store_with(GoogleAccess())
    await store.put_bytes("x", b"1", "text/plain")
    assert bucket.tokens == ["token-1"]
    await store.aclose()


def test_an_account_to_impersonate_has_the_form_of_an_address() -> None:
    with pytest.raises(SettingsError, match="impersonate_service_account"):
        load_settings(impersonate_service_account="keeper")
