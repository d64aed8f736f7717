"""Which way a model goes with which credentials, and what is missing when there is none."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from callsheet.errors import SettingsError
from callsheet.models import load_catalogue
from callsheet.providers.access import Way, access_to, check_url
from callsheet.providers.genai import open_client, open_session
from callsheet.providers.plain_client import base_url
from callsheet.providers.routing import Route, choose_route, missing_routes
from callsheet.settings import Settings

GATEWAY = "https://gateway.example/google"


@dataclass(frozen=True)
class Model:
    id: str
    kind: str
    surface: str
    platforms: tuple[str, ...]
    begun_on: Any = None
    locations: tuple[str, ...] = ()


BOTH = ("gemini_api", "agent_platform")
PICTURE = Model("nano", "image", "generate_content", BOTH)
VEO = Model("veo-3.1", "video", "predict_long_running", ("agent_platform",))
OMNI = Model("omni", "video", "interactions", BOTH)
AGENT_OMNI = Model("omni-preview", "video", "interactions", ("agent_platform",))
OLD_VEO = Model("veo-old", "video", "predict_long_running", ("gemini_api",))


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = "GOOGLE_API_KEY GEMINI_API_KEY GOOGLE_CLOUD_PROJECT GOOGLE_APPLICATION_CREDENTIALS GOOGLE_GEMINI_BASE_URL"
    for name in (*names.split(), "GOOGLE_VERTEX_BASE_URL", "CALLSHEET_AGENT_PLATFORM_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def settings(**given: Any) -> Settings:
    return Settings(**given)


GEMINI = {"gemini_api_key": "g"}
EXPRESS = {"agent_platform_api_key": "e"}
PROJECT = {"google_cloud_project": "p"}


@pytest.mark.parametrize(
    ("model", "given", "expected"),
    [
        (PICTURE, GEMINI, Route("genai_images", Way.GEMINI)),
        (PICTURE, {**GEMINI, **EXPRESS, **PROJECT}, Route("genai_images", Way.GEMINI)),
        (PICTURE, EXPRESS, Route("genai_images", Way.EXPRESS)),
        (PICTURE, PROJECT, Route("genai_images", Way.PROJECT)),
        (VEO, {**EXPRESS, **PROJECT}, Route("veo_agent", Way.EXPRESS)),
        (VEO, {**GEMINI, **PROJECT}, Route("veo_agent", Way.PROJECT)),
        (VEO, {**GEMINI, "gemini_base_url": GATEWAY}, Route("veo_gemini", Way.GEMINI)),
        (OLD_VEO, GEMINI, Route("veo_gemini", Way.GEMINI)),
        (OMNI, GEMINI, Route("omni", Way.GEMINI)),
        (OMNI, {**GEMINI, **EXPRESS, **PROJECT}, Route("omni", Way.GEMINI)),
        (OMNI, {**EXPRESS, **PROJECT}, Route("omni", Way.EXPRESS)),
        (OMNI, PROJECT, Route("omni", Way.PROJECT)),
        (OMNI, {**GEMINI, "gemini_base_url": GATEWAY}, Route("omni", Way.GEMINI)),
        (AGENT_OMNI, {**GEMINI, **PROJECT}, Route("omni", Way.PROJECT)),
        (AGENT_OMNI, {**GEMINI, **PROJECT, "gemini_base_url": GATEWAY}, Route("omni", Way.PROJECT)),
        (AGENT_OMNI, {**GEMINI, "gemini_base_url": GATEWAY}, Route("omni", Way.GEMINI)),
    ],
)
def test_the_route_follows_the_credentials(model: Model, given: dict[str, Any], expected: Route) -> None:
    assert choose_route(model, access_to(settings(**given), "live")) == expected


@pytest.mark.parametrize(
    ("model", "given", "named"),
    [
        (PICTURE, {}, ["GEMINI_API_KEY", "CALLSHEET_AGENT_PLATFORM_API_KEY", "GOOGLE_CLOUD_PROJECT"]),
        (VEO, GEMINI, ["CALLSHEET_AGENT_PLATFORM_API_KEY", "GOOGLE_CLOUD_PROJECT", "GOOGLE_GEMINI_BASE_URL"]),
        (VEO, {**GEMINI, "gemini_base_url": "https://x.googleapis.com"}, ["CALLSHEET_AGENT_PLATFORM_API_KEY"]),
        (OLD_VEO, {**EXPRESS, **PROJECT}, ["GEMINI_API_KEY"]),
        (Model("old", "video", "predict", BOTH), {**GEMINI, **PROJECT}, ["old", "predict"]),
        (OMNI, {}, ["GEMINI_API_KEY", "CALLSHEET_AGENT_PLATFORM_API_KEY", "GOOGLE_CLOUD_PROJECT"]),
    ],
)
def test_without_a_route_the_variables_to_set_are_named(model: Model, given: dict[str, Any], named: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        choose_route(model, access_to(settings(**given), "live"))
    assert all(name in str(caught.value) for name in [*named, model.id])
    assert missing_routes(access_to(settings(**given), "live"), [model, model]) == {model.id: str(caught.value)}


def test_a_rehearsal_never_sees_a_real_key() -> None:
    real = settings(**GEMINI, **EXPRESS, **PROJECT, gemini_base_url=GATEWAY, vertex_base_url=GATEWAY)
    access = access_to(real, "rehearsal", "http://127.0.0.1:8080")
    assert (access.scope("gemini_api"), access.express_key, access.project) == (
        "rehearsal:gemini_api",
        None,
        "rehearsal",
    )
    assert access.gemini_key == SecretStr("rehearsal")
    assert {base_url(way, access) for way in Way} == {"http://127.0.0.1:8080/"}
    assert choose_route(VEO, access) == Route("veo_agent", Way.PROJECT)
    assert choose_route(OLD_VEO, access) == Route("veo_gemini", Way.GEMINI)
    assert choose_route(PICTURE, access) == Route("genai_images", Way.GEMINI)


def test_every_driven_model_of_the_catalogue_has_a_rehearsal_route() -> None:
    access = access_to(settings(), "rehearsal", "http://localhost:1")
    driven = [model for model in load_catalogue().models() if model.driven]
    providers = {"genai_images", "genai_looks", "veo_agent", "veo_gemini", "omni"}
    assert {choose_route(model, access).provider for model in driven} == providers


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com",
        "ftp://127.0.0.1",
        "https://",
        "https://u:p@h/",
        "http://127.0.0.1.evil.example",
        "x",
        "http://[::1",
    ],
)
def test_base_urls_are_https_or_on_this_machine(url: str) -> None:
    with pytest.raises(SettingsError, match="GOOGLE_GEMINI_BASE_URL"):
        access_to(settings(gemini_base_url=url), "live")


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:9/x/", "https://h/x"])
def test_sound_base_urls_end_with_one_slash(url: str) -> None:
    assert check_url("X", url) == url.rstrip("/") + "/"


@pytest.mark.parametrize(
    ("given", "token"),
    [({}, "anonymous"), (EXPRESS, "e"), ({**GEMINI, **EXPRESS}, "g")],
)
def test_a_loopback_service_gets_a_static_token(given: dict[str, Any], token: str) -> None:
    access = access_to(settings(**given, vertex_base_url="http://127.0.0.1:1"), "live")
    assert access.static_token == SecretStr(token)


def test_real_credentials_are_left_to_google(tmp_path: Path) -> None:
    assert access_to(settings(vertex_base_url=GATEWAY), "live").static_token is None
    adc = tmp_path / ".config/gcloud/application_default_credentials.json"
    adc.parent.mkdir(parents=True)
    adc.write_text("{}")
    assert access_to(settings(vertex_base_url="http://127.0.0.1:1"), "live").static_token is None


def test_a_credentials_file_that_is_not_there_is_reported(tmp_path: Path) -> None:
    given = settings(**PROJECT, google_application_credentials=tmp_path / "none.json")
    assert "GOOGLE_APPLICATION_CREDENTIALS" in missing_routes(access_to(given, "live"), [VEO])[VEO.id]


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("us-central1", "https://us-central1-aiplatform.googleapis.com/"),
        ("global", "https://aiplatform.googleapis.com/"),
        ("eu", "https://aiplatform.eu.rep.googleapis.com/"),
    ],
)
def test_agent_platform_is_asked_in_its_location(location: str, url: str) -> None:
    assert base_url(Way.PROJECT, access_to(settings(**PROJECT, google_cloud_location=location), "live")) == url


async def test_tls_is_always_verified_and_the_sdk_takes_our_options() -> None:
    access = access_to(settings(**GEMINI), "live")
    session = open_session(access.gemini_url, fresh=True)
    client = open_client(Way.GEMINI, access, session, 12.5)
    options = client._api_client._http_options
    context = options.async_client_args["ssl"]
    assert (context.verify_mode.name, context.check_hostname) == ("CERT_REQUIRED", True)
    assert (options.retry_options.attempts, options.timeout, options.base_url) == (1, 12500, access.gemini_url)
    assert options.async_client_args["allow_redirects"] is False
    await session.close()
    await client.aio.aclose()


def test_providers_are_imported_without_the_sdk() -> None:
    code = (
        "import sys, callsheet.providers; sys.exit(any(m in sys.modules for m in ('google.genai', 'aiohttp', 'gcsfs')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


GEMINI_SENT = access_to(Settings(gemini_api_key="g"), "live").credential(Way.GEMINI)


@pytest.mark.parametrize(
    ("model", "given", "sent", "way"),
    [
        (VEO, {**GEMINI, **PROJECT, "gemini_base_url": GATEWAY}, GEMINI_SENT, Way.GEMINI),
        (OMNI, {**GEMINI, **EXPRESS, **PROJECT}, "project other", Way.PROJECT),
        (OMNI, {**GEMINI, **EXPRESS, **PROJECT}, "the express key key-00000000", Way.EXPRESS),
        (OMNI, {**GEMINI, **EXPRESS}, GEMINI_SENT.rpartition(" ")[2], Way.GEMINI),
        (OMNI, {**PROJECT, **EXPRESS}, "", Way.EXPRESS),
        (OMNI, {**PROJECT, **EXPRESS}, "key-00000000", Way.EXPRESS),
        (replace(OMNI, begun_on="gemini_api"), {**GEMINI, **PROJECT}, "project other", Way.PROJECT),
        (replace(OMNI, begun_on="agent_platform"), {**GEMINI, **PROJECT}, "the Gemini API key key-1", Way.GEMINI),
        (OMNI, GEMINI, "project other", None),
        (OMNI, {**EXPRESS, **PROJECT}, "the Gemini API key key-00000000", None),
        (VEO, PROJECT, "the express key key-00000000", None),
    ],
)
def test_an_attempt_keeps_its_route(model: Model, given: Any, sent: str, way: Way | None) -> None:
    access = access_to(settings(**given), "live").as_sent(sent, "gemini_api", "projects/x/locations/europe-west4/o")
    if way is None:
        with pytest.raises(SettingsError, match="No credentials for video model"):
            choose_route(model, access)
        return
    assert choose_route(model, access).way is way
    assert access.project == ("other" if sent == "project other" else access.project)
    assert access.location == ("europe-west4" if access.only else Settings().google_cloud_location)


@pytest.mark.parametrize(
    ("scope", "way"), [("rehearsal:gemini_api", Way.GEMINI), ("rehearsal:agent_platform", Way.PROJECT)]
)
def test_an_attempt_of_a_rehearsal_keeps_its_route(scope: str, way: Way) -> None:
    access = access_to(settings(), "rehearsal", "http://127.0.0.1:1")
    assert choose_route(OMNI, access.as_sent(access.credential(way), scope)).way is way
