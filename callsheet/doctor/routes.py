"""The routes to the models, each asked once for something that costs nothing.

What a server's reply to that means for a route is a pure table.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpx2

from callsheet.doctor.credentials import is_sound
from callsheet.doctor.diagnosis import Diagnosis, Health
from callsheet.doctor.machine import ServerTime, read_server_time
from callsheet.errors import ProviderError, RateLimited, RouteClosed, Unauthorised
from callsheet.gcs.access import GoogleAccess
from callsheet.models import Catalogue
from callsheet.providers.access import Access, Way, is_google
from callsheet.providers.error_bodies import plain, read_error
from callsheet.providers.http_errors import Phase, describe_exception, from_reply
from callsheet.providers.plain_client import base_url, plain_client
from callsheet.providers.routing import choose_location
from callsheet.settings import Settings

CLOUD_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
# A list of all models has some 100 KB.
MAX_BODY = 4 << 20
# Counting tokens is free (cloud.google.com/vertex-ai/generative-ai/docs/multimodal/get-token-count, 2026-11), and it
# needs the same rights, location and API as making a picture does.
_COUNT = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
_TRY_AGAIN = "Try again in some minutes; a gateway's owner knows more."
_BASE = {
    Way.GEMINI: "GOOGLE_GEMINI_BASE_URL",
    Way.EXPRESS: "GOOGLE_VERTEX_BASE_URL",
    Way.PROJECT: "GOOGLE_VERTEX_BASE_URL",
}


@dataclass(frozen=True, slots=True)
class RouteCheck:
    """What asking a route takes, and how long it may take."""

    settings: Settings
    access: Access
    catalogue: Catalogue
    within_s: float


def ways_of(access: Access) -> list[Way]:
    """Return the ways that the credentials lead to."""
    ways = [Way.GEMINI] if access.gemini_key and access.gemini_key.get_secret_value() else []
    if access.express_key and access.express_key.get_secret_value():
        return [*ways, Way.EXPRESS]
    return [*ways, Way.PROJECT] if access.project else ways


async def examine_route(check: RouteCheck, way: Way, times: list[ServerTime]) -> Sequence[Diagnosis]:
    """Ask a route once, unbilled, and judge the reply.

    Its server's time is added to `times`.
    """
    asked = _describe(check, way)
    key = {Way.GEMINI: check.access.gemini_key, Way.EXPRESS: check.access.express_key}.get(way)
    if way is not Way.PROJECT and not is_sound(key):
        return [Diagnosis(asked.name, Health.MEND, "Not asked: the key cannot be one.", f"Correct {asked.variable}.")]
    headers = check.access.signature(way) or await _find_token(check.settings)
    sent = datetime.now(UTC)
    try:
        async with (
            plain_client(asked.url, check.within_s, None, fresh=True) as client,
            client.stream(*_request_of(check, way), headers=headers, json=_body_of(way)) as reply,
        ):
            told = read_server_time(_host(asked.url), reply.headers.get("date"), sent, datetime.now(UTC))
            times += [told] if told else []
            body = await _read(reply)
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        return [_judge_no_reply(asked, error, check.within_s)]
    return [judge_reply(asked, reply.status_code, body, reply.headers.get("location"))]


def _describe(check: RouteCheck, way: Way) -> Asked:
    access, catalogue = check.access, check.catalogue
    models = [one for one in (catalogue.default_image, catalogue.default_video) if _is_served(catalogue, one, way)]
    there = _at_model(check)
    return Asked(way, base_url(way, there), access.variable(way), access.project or "", there.location, models)


def _at_model(check: RouteCheck) -> Access:
    """Return the access at the location that the default picture model is asked in."""
    model = check.catalogue.find(check.catalogue.default_image)
    return replace(check.access, location=choose_location(model.locations if model else (), check.access.location))


def _is_served(catalogue: Catalogue, model_id: str, way: Way) -> bool:
    model = catalogue.find(model_id)
    return model is not None and way.platform in model.platforms


def _request_of(check: RouteCheck, way: Way) -> tuple[str, str]:
    """Return method and address of the request."""
    access = _at_model(check)
    url = base_url(way, access)
    if way is Way.GEMINI:
        return "GET", f"{url}v1/models?pageSize=1000"
    place = f"projects/{access.project}/locations/{access.location}/" if way is Way.PROJECT else ""
    return "POST", f"{url}v1beta1/{place}publishers/google/models/{check.catalogue.default_image}:countTokens"


def _body_of(way: Way) -> object:
    return None if way is Way.GEMINI else _COUNT


async def _find_token(settings: Settings) -> dict[str, str]:
    """Return a token of Google's in a header.

    SettingsError or ArchiveDenied without credentials.
    """
    # Loaded here: keys do without it, and it takes half a second.
    from callsheet.gcs.credentials import Authorisation, find_credentials

    access = GoogleAccess(credentials_file=settings.google_application_credentials)
    return await Authorisation(find_credentials(access, CLOUD_SCOPE)).headers()


async def _read(reply: httpx2.Response) -> bytes:
    body = bytearray()
    async for piece in reply.aiter_bytes():
        body += piece
        if len(body) >= MAX_BODY:
            break
    return bytes(body)


def _judge_no_reply(asked: Asked, error: Exception, within_s: float) -> Diagnosis:
    host = _host(asked.url)
    if isinstance(error, httpx2.ConnectTimeout | httpx2.PoolTimeout):
        text, advice = f"No connection to {host} within {within_s:g} s.", "Check network, proxy and firewall."
    elif isinstance(error, httpx2.TimeoutException):
        text = f"{host} took the request and did not answer within {within_s:g} s."
        advice = "Try again in some minutes; a gateway's owner knows more."
    elif (refused := _find_tls_error(error)) is not None:
        text = f"The certificate of {host} is not trusted: {refused.verify_message or refused.reason}."
        advice = "Behind a company's proxy set SSL_CERT_FILE to its certificates; else somebody is in between."
    else:
        text = f"{host} cannot be reached: {describe_exception(error)}."
        advice = "Check network, proxy and firewall, and the base URL if one is set."
    return Diagnosis(asked.name, Health.MEND, text, advice)


def _find_tls_error(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _host(url: str) -> str:
    return urlsplit(url).netloc


@dataclass(frozen=True, slots=True)
class Asked:
    """An unbilled request: the way, its address, and the models of a full list."""

    way: Way
    url: str
    variable: str = ""
    project: str = ""
    location: str = ""
    models: Sequence[str] = ()

    @property
    def name(self) -> str:
        """Return the name of its line."""
        return f"route {self.way.value}"


def judge_reply(asked: Asked, status: int, body: bytes, location: str | None = None) -> Diagnosis:
    """Return what the reply means. `location` is where it would redirect to."""
    if 200 <= status < 300:
        return _judge_success(asked, body)
    if 300 <= status < 400:
        text = f"{asked.url} redirects to {plain(location or 'another place', 100)}, which is not followed."
        return Diagnosis(asked.name, Health.MEND, text, f"Correct {_BASE[asked.way]}, or the proxy on the way.")
    error = from_reply(status, body, Phase.SUBMIT, what="the check")
    read = read_error(body)
    said = f"{asked.url} answers {status} {read.reason}".rstrip() + (f": {read.message[:300]}" if read.message else "")
    health, advice = _judge_error(asked, error, status)
    return Diagnosis(asked.name, health, said.rstrip(".") + ".", advice)


def _judge_success(asked: Asked, body: bytes) -> Diagnosis:
    try:
        told: Any = json.loads(body)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        text = f"{asked.url} answers, but not as an API does: {plain(body[:2000].decode('utf-8', 'replace'), 80)!r}."
        return Diagnosis(asked.name, Health.MEND, text, f"Correct {_BASE[asked.way]}, or the proxy on the way.")
    listed = told.get("models")
    if not isinstance(listed, list):
        return Diagnosis(asked.name, Health.OK, f"{asked.url} takes the credentials.")
    names = {str(one.get("name", "")).rpartition("/")[2] for one in listed if isinstance(one, dict)}
    text = f"{asked.url} takes the key and lists {len(names)} models."
    absent = [] if told.get("nextPageToken") else [one for one in asked.models if one not in names]
    if absent:
        text = f"{text[:-1]}, without {' and '.join(absent)}."
        return Diagnosis(asked.name, Health.NOTE, text, "Name other models in the manifest if a run says not found.")
    return Diagnosis(asked.name, Health.OK, text)


def _judge_error(asked: Asked, error: ProviderError, status: int) -> tuple[Health, str]:
    if isinstance(error, RouteClosed):
        return Health.MEND, f"The account takes no requests: see {error.link}" if error.link else "See its billing."
    if isinstance(error, RateLimited):
        return Health.NOTE, "The credentials were taken; too many requests were made just now. Wait some minutes."
    if isinstance(error, Unauthorised):
        return Health.MEND, _advise_access(asked, error, status)
    if status in (404, 405, 410, 501):
        return _advise_missing(asked)
    if status >= 500 or status in (408, 499):
        return Health.MEND, _TRY_AGAIN
    return Health.MEND, f"Check {_BASE[asked.way]} and the credentials."


def _advise_access(asked: Asked, error: ProviderError, status: int) -> str:
    if error.reason == "ACCESS_TOKEN_TYPE_UNSUPPORTED":
        return "Google takes this kind of key no more: make a new one in AI Studio (it begins with AQ.)."
    if asked.way is Way.PROJECT:
        return (
            f"Enable the Vertex AI API (aiplatform.googleapis.com) and billing in project {asked.project}, and grant "
            "roles/aiplatform.user to whom the credentials belong."
        )
    if status == 403:
        return f"The key of {asked.variable} may not do this: see its restrictions, its project's APIs and billing."
    return f"The key of {asked.variable} is not taken: copy it once more, or make a new one in AI Studio."


def _advise_missing(asked: Asked) -> tuple[Health, str]:
    if not is_google(asked.url):
        return Health.NOTE, f"A gateway need not have this. If runs fail as well, correct {_BASE[asked.way]}."
    if asked.way is Way.PROJECT:
        return (
            Health.MEND,
            f"{asked.location} does not serve the model to this project: set GOOGLE_CLOUD_LOCATION=global.",
        )
    return Health.MEND, f"Check {_BASE[asked.way]}."
