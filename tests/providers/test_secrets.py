"""Keys are kept out of messages whatever their kind, and a message names the variable that the key came from."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from callsheet import errors
from callsheet.models import load_catalogue
from callsheet.providers import access, open_providers
from callsheet.providers.plain_client import HIDDEN, Secrets
from callsheet.providers.protocol import ImageRequest
from callsheet.settings import load_settings
from tests.support.gateways import Asked, Said, gateway

OLD, NEW, EXPRESS = "AIzaSy" + "a1-_" * 9, "AQ.Ab8RN6" + "b2-_" * 11, "AQ.Ab8RN6" + "c3_-" * 11
UNSUPPORTED = b"""{"error": {"code": 401, "message": "Request had invalid authentication credentials.",
 "status": "UNAUTHENTICATED", "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo",
 "reason": "ACCESS_TOKEN_TYPE_UNSUPPORTED"}]}}"""
MODEL = "gemini-3.1-flash-image"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(access, "_told", [])


@pytest.mark.parametrize("key", [OLD, NEW, EXPRESS, "ya29." + "d4-_" * 20])
@pytest.mark.parametrize(
    "text",
    [
        "key {} is bad",
        '"{}"',
        "x-goog-api-key: {}",
        '{{"x-goog-api-key": "{}"}}',
        "https://h/v1?key={}&a=b",
        "({})",
        "k={};",
    ],
)
def test_what_looks_like_a_key_is_masked_wherever_it_stands(key: str, text: str) -> None:
    told = Secrets().scrub(text.format(key))
    assert key not in told
    assert key[8:] not in told
    assert HIDDEN in told


@pytest.mark.parametrize(
    "text",
    [
        "FAQ.this-is-a-page-of-questions",
        "An AQ. of 20",
        "see faq.example-of-a-long-host-name",
        "aq.lower-case-words-here",
    ],
)
def test_words_are_not_masked(text: str) -> None:
    assert Secrets().scrub(text) == text


@pytest.mark.parametrize(
    ("given", "variable"),
    [
        ({"GEMINI_API_KEY": NEW}, "GEMINI_API_KEY"),
        ({"GOOGLE_API_KEY": NEW}, "GOOGLE_API_KEY"),
        ({"GOOGLE_API_KEY": NEW, "GEMINI_API_KEY": OLD}, "GOOGLE_API_KEY"),
        ({"GOOGLE_API_KEY": "", "GEMINI_API_KEY": NEW}, "GEMINI_API_KEY"),
        ({"CALLSHEET_AGENT_PLATFORM_API_KEY": EXPRESS}, "CALLSHEET_AGENT_PLATFORM_API_KEY"),
    ],
)
@pytest.mark.parametrize(
    ("status", "body", "advice"),
    [
        (401, UNSUPPORTED, "make a new one in AI Studio"),
        (
            400,
            b'{"error": {"code": 400, "message": "API key not valid."}}',
            "Check the key",
        ),
        (403, b'{"error": {"code": 403, "message": "No.", "status": "PERMISSION_DENIED"}}', "permissions"),
    ],
)
async def test_refused_key_is_told_with_its_own_variable_and_no_other(
    given: dict[str, str], variable: str, status: int, body: bytes, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)

    def refusing(asked: Asked) -> Said:
        return Said(status, body)

    with gateway(refusing) as server:
        settings = load_settings(gemini_base_url=server.url, vertex_base_url=server.url)
        opened = open_providers(settings, mode="live", rehearsal_url=None, catalogue=load_catalogue())
        async with opened as providers:
            with pytest.raises(errors.Unauthorised) as caught:
                await providers.images_for(MODEL).make(ImageRequest(MODEL, "A cup"))
    assert advice in str(caught.value)
    names = ("GEMINI_API_KEY", "GOOGLE_API_KEY", "AGENT_PLATFORM_API_KEY")
    named = {name for name in names if name in str(caught.value)}
    assert named == {variable.removeprefix("CALLSHEET_")}
    assert server.asked[0].headers.get("x-goog-api-key") == given[variable]


@pytest.mark.parametrize(("other", "times"), [(OLD, 1), (NEW, 0), ("", 0)])
async def test_two_different_keys_are_told_once_and_not_shown(
    other: str, times: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", NEW)
    monkeypatch.setenv("GEMINI_API_KEY", other)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            async with open_providers(load_settings(), mode="live", rehearsal_url=None, catalogue=load_catalogue()):
                pass
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == times
    assert all("GOOGLE_API_KEY" in text and "GEMINI_API_KEY" in text for text in told)
    assert not any(NEW in text or OLD in text for text in told)
