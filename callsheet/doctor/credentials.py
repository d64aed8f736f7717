"""Keys and credentials: their kinds and variables, never the keys themselves.

Secrets of the settings are kept out of everything that is told.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from pydantic import SecretStr

from callsheet.doctor.diagnosis import Diagnosis, Health
from callsheet.models import Catalogue
from callsheet.providers.access import Access, Way, fingerprint, has_adc_file
from callsheet.providers.plain_client import Secrets
from callsheet.providers.routing import choose_location
from callsheet.settings import Settings

KEYS, LOCATION = "keys", "location"
GET_A_KEY = (
    "For live runs make a key at https://aistudio.google.com/apikey and set GEMINI_API_KEY. Rehearsals need none."
)
_LOG_IN = "Run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to a credentials file."
# What headers carry. A line end or a quotation mark comes along when a key is copied.
_SOUND_KEY = re.compile(r"[\x21\x23-\x26\x28-\x3b\x3d\x3f-\x7e]{8,}")
_LOCATION = re.compile(r"[a-z]{2,}(-[a-z]+\d{1,2})?")


def describe_kind(key: str) -> str:
    """Return what kind of key this is, by its first characters."""
    if key.startswith("AQ."):
        return "AQ. key"
    # Google's page on API keys: unrestricted ones are rejected since 2026-06-19.
    return "AIza key" if key.startswith("AIza") else "key of another kind than AQ. or AIza"


def is_sound(key: SecretStr | None) -> bool:
    """Return whether a key can be sent at all.

    It has no spaces, quotation marks or foreign letters.
    """
    return key is not None and _SOUND_KEY.fullmatch(key.get_secret_value()) is not None


def examine_keys(settings: Settings, access: Access) -> list[Diagnosis]:
    """Say which credentials there are; one line each. No network."""
    found = []
    if settings.gemini_api_key and settings.gemini_api_key.get_secret_value():
        found.append(_describe_key(settings.gemini_api_key, settings.gemini_key_variable))
    if settings.has_two_keys:
        text = "GOOGLE_API_KEY and GEMINI_API_KEY hold different keys: that of GOOGLE_API_KEY is used."
        found.append(Diagnosis(KEYS, Health.NOTE, text, "Unset the other one."))
    if access.express_key and access.express_key.get_secret_value():
        found.append(_describe_key(access.express_key, access.variable(Way.EXPRESS), "express "))
    if access.project:
        found.append(_describe_project(settings, access))
    return found or [Diagnosis(KEYS, Health.MEND, "There are no credentials for Google's models.", GET_A_KEY)]


def _describe_key(key: SecretStr, variable: str, express: str = "") -> Diagnosis:
    text = f"{variable}: {express}{describe_kind(key.get_secret_value())}, {fingerprint(key)}."
    if not is_sound(key):
        advice = "It has spaces, quotation marks or letters that no key has, or is too short: copy it once more."
        return Diagnosis(KEYS, Health.MEND, text, advice)
    return Diagnosis(KEYS, Health.OK, text)


def _describe_project(settings: Settings, access: Access) -> Diagnosis:
    text = f"GOOGLE_CLOUD_PROJECT: {access.project}, signed by "
    file = settings.google_application_credentials
    if access.express_key:
        return Diagnosis(KEYS, Health.OK, f"{text}the express key.")
    if access.static_token:
        return Diagnosis(KEYS, Health.OK, f"{text}what a server on this machine takes.")
    if file is not None and not file.is_file():
        return Diagnosis(KEYS, Health.MEND, f"GOOGLE_APPLICATION_CREDENTIALS names {file}, which is no file.", _LOG_IN)
    if file is not None:
        return Diagnosis(KEYS, Health.OK, f"{text}{file} (GOOGLE_APPLICATION_CREDENTIALS).")
    if has_adc_file(settings):
        return Diagnosis(KEYS, Health.OK, f"{text}the login of `gcloud auth application-default login`.")
    text = f"{text}this machine's own service account, if it is one of Google's: no credentials file was found."
    return Diagnosis(KEYS, Health.NOTE, text, f"Anywhere else: {_LOG_IN[0].lower()}{_LOG_IN[1:]}")


def examine_location(access: Access, ways: Sequence[Way], catalogue: Catalogue) -> list[Diagnosis]:
    """Say where Agent Platform is asked for the default models. No network."""
    if Way.EXPRESS in ways:
        return [Diagnosis(LOCATION, Health.OK, "Agent Platform with an express key works from everywhere (global).")]
    if Way.PROJECT not in ways:
        return [Diagnosis(LOCATION, Health.OK, "Not needed: no credentials lead to Agent Platform.")]
    if not _LOCATION.fullmatch(access.location):
        text = f"GOOGLE_CLOUD_LOCATION is {access.location[:40]!r}, which is no location of Google Cloud."
        return [Diagnosis(LOCATION, Health.MEND, text, "Set it to us-central1, europe-west4 or global, say.")]
    names = dict.fromkeys(catalogue.defaults.values())
    models = [model for name in names if (model := catalogue.find(name)) and "agent_platform" in model.platforms]
    places = {model.id: choose_location(model.locations, access.location) for model in models}
    by_place = {place: [name for name in places if places[name] == place] for place in places.values()}
    asked = "; ".join(f"{place} for {', '.join(of_it)}" for place, of_it in by_place.items()) or access.location
    told = "" if set(by_place) <= {access.location} else f" GOOGLE_CLOUD_LOCATION is {access.location}."
    return [Diagnosis(LOCATION, Health.OK, f"On Agent Platform: {asked}.{told}")]


def hide_secrets(settings: Settings, one: Diagnosis) -> Diagnosis:
    """Return the diagnosis without keys and passwords, a line each.

    Whatever looks like a key goes too.
    """
    secrets = Secrets(tuple(sorted(_find_secrets(settings), key=len, reverse=True)))
    text, advice = (" ".join(secrets.scrub(part).split()) for part in (one.text, one.advice))
    return replace(one, text=text, advice=advice)


def _find_secrets(settings: Settings) -> set[str]:
    values = (value for _, value in settings)
    found = {value.get_secret_value() for value in values if isinstance(value, SecretStr)}
    for url in (settings.ledger, settings.prefect_api_url, settings.gemini_base_url, settings.vertex_base_url):
        try:
            found |= {urlsplit(url or "").password or ""}
        except ValueError:
            continue
    return found - {""}
