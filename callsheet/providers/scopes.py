"""Name whose quota the requests to a model use, without a running service."""

from __future__ import annotations

from collections.abc import Callable

from callsheet.errors import SettingsError
from callsheet.models import load_catalogue
from callsheet.providers.routing import PLATFORMS, access_to, choose_route
from callsheet.settings import Settings
from callsheet.shots import Mode

# Whose quota requests to a model use.
Scopes = Callable[[str], str]


def scope_of(settings: Settings, mode: Mode) -> Scopes:
    """Return what names whose quota the requests of a mode to a model use.

    No running service is needed. Where no credentials lead to a model, it is the quota of the platform that serves it.
    Raises SettingsError for a bad URL.
    """
    access = access_to(settings, mode, "http://127.0.0.1" if mode == "rehearsal" else None)
    catalogue = load_catalogue(settings.catalogue)

    def scope(model_id: str) -> str:
        model = catalogue.find(model_id)
        if model is None:
            return access.scope(PLATFORMS[0])
        try:
            return access.scope(choose_route(model, access).way.platform)
        except SettingsError:
            return access.scope(next(iter(model.platforms), PLATFORMS[0]))

    return scope
