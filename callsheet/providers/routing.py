"""Choose the route to a model, and name whose quota its requests use.

From model and credentials, without a running service: pure, no network.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from callsheet.errors import RouteMissing, SettingsError
from callsheet.models import Catalogue, load_catalogue
from callsheet.models.schema import PersonTask, Platform
from callsheet.providers.access import PLATFORMS, Access, Way, access_to, is_google
from callsheet.settings import Settings
from callsheet.shots import Mode

# Stands for any single region of Google Cloud in a model's locations; asked for nowhere, it is this one.
REGIONS = "regions"
DEFAULT_REGION = "us-central1"
_REGION = re.compile(r"[a-z]+-[a-z]+\d+")
_NAMES: dict[str, str] = {"gemini_api": "Gemini API", "agent_platform": "Agent Platform"}
# Whose quota requests to a model use.
Scopes = Callable[[str], str]


class SentAttempt(Protocol):
    """What tells by which route an attempt was sent."""

    @property
    def scope(self) -> str:
        """Return whose quota it used."""

    @property
    def credential(self) -> str | None:
        """Return what signed it, in words; None or "" when that is not known."""


class RoutableModel(Protocol):
    """What routing needs to know of a catalogue model."""

    @property
    def id(self) -> str:
        """Return the id that is sent."""

    @property
    def kind(self) -> str:
        """Return "image", "video" or "look"."""

    @property
    def surface(self) -> str:
        """Return its API method, such as "generate_content" or "interactions"."""

    @property
    def platforms(self) -> Iterable[str]:
        """Return "gemini_api", "agent_platform" or both."""

    @property
    def begun_on(self) -> Platform | None:
        """Return the only platform that a batch may use for it; None for any."""

    @property
    def locations(self) -> Sequence[str]:
        """Return where Agent Platform serves it, its own first; () for anywhere."""

    def person_values(self, task: PersonTask, platform: Platform | None = None) -> Sequence[str]:
        """Return what may be said about people, on one platform or (None) on any."""


class ModelSource(Protocol):
    """The part of the catalogue that routing needs."""

    def get(self, model_id: str) -> RoutableModel:
        """Return the model, or raise an error that names what is there."""
        ...


@dataclass(frozen=True, slots=True)
class Route:
    """The provider that serves a model, and the way its requests go.

    `location` is that of Agent Platform, "" where none is named.
    """

    provider: Literal["genai_images", "genai_looks", "veo_agent", "veo_gemini", "omni"]
    way: Way
    location: str = field(default="", compare=False)


def choose_location(locations: Sequence[str], wanted: str) -> str:
    """Return a model's location on Agent Platform: the wanted one, if served there."""
    if not locations or wanted in locations or (REGIONS in locations and _REGION.fullmatch(wanted)):
        return wanted
    return DEFAULT_REGION if locations[0] == REGIONS else locations[0]


def choose_route(model: RoutableModel, access: Access, *, about_people: bool = False) -> Route:
    """Return the route to `model`.

    A request that says something `about_people` goes where that can be said, when there are credentials for it. Raises
    RouteMissing that names the variables to set when there is no route, and SettingsError when there can be none.
    """
    route = _choose_provider(model, access, about_people=about_people)
    if route.way is not Way.PROJECT:
        return route
    return replace(route, location=choose_location(model.locations, access.location))


def _choose_provider(model: RoutableModel, access: Access, *, about_people: bool) -> Route:
    platforms = _list_platforms(model, access)
    if model.kind == "image" and model.surface == "generate_content":
        if about_people and not model.person_values("image", "gemini_api") and _choose_agent_way(access):
            platforms &= {"agent_platform"}
        return Route("genai_images", _choose_image_way(model, platforms or _list_platforms(model, access), access))
    if model.kind == "look" and model.surface == "generate_content":
        return Route("genai_looks", _choose_image_way(model, platforms, access))
    if model.kind == "video" and model.surface == "predict_long_running":
        return _choose_video_route(model, platforms, access)
    if model.kind == "video" and model.surface == "interactions":
        return Route("omni", _choose_omni_way(model, platforms, access))
    raise SettingsError(
        f"Model {model.id} is made through {model.surface}, which callsheet does not speak. "
        "Choose another one: `callsheet models` lists them."
    )


def _list_platforms(model: RoutableModel, access: Access) -> frozenset[str]:
    """Return where the model may be asked for.

    Where its request is under way, else where its batch was begun, if bound.
    """
    bound = access.only or model.begun_on
    return frozenset([bound] if bound else model.platforms)


def name_route(model: RoutableModel, access: Access) -> tuple[Platform, str] | None:
    """Return the platform of the route to a model, and its name for people."""
    try:
        route = choose_route(model, access)
    except SettingsError:
        return None
    way = route.way
    where = f" in {route.location}" if route.location else ""
    return way.platform, _NAMES[way.platform] if access.mode == "rehearsal" else f"{way.value}{where}"


def platform_for(model: RoutableModel, access: Access, *, about_people: bool) -> Platform | None:
    """Return the platform for a request; None when no credentials lead to any."""
    try:
        return choose_route(model, access, about_people=about_people).way.platform
    except SettingsError:
        return None


def missing_routes(access: Access, models: Iterable[RoutableModel]) -> dict[str, str]:
    """Return the models that no credentials lead to, each with what to set."""
    missing: dict[str, str] = {}
    for model in models:
        try:
            choose_route(model, access)
        except SettingsError as error:
            missing[model.id] = str(error)
    return missing


def _choose_image_way(model: RoutableModel, platforms: frozenset[str], access: Access) -> Way:
    if "gemini_api" in platforms and access.has_key(Way.GEMINI):
        return Way.GEMINI
    if "agent_platform" in platforms and (way := _choose_agent_way(access)):
        return way
    raise _report_missing(model, platforms, access)


def _choose_omni_way(model: RoutableModel, platforms: frozenset[str], access: Access) -> Way:
    """Return the way to Omni: a key first, and a gateway for any id of it."""
    is_gateway = access.has_key(Way.GEMINI) and not is_google(access.gemini_url)
    if is_gateway and "gemini_api" not in platforms and _choose_agent_way(access) is None:
        return Way.GEMINI
    return _choose_image_way(model, platforms, access)


def _choose_video_route(model: RoutableModel, platforms: frozenset[str], access: Access) -> Route:
    if "agent_platform" in platforms and (way := _choose_agent_way(access)):
        return Route("veo_agent", way)
    # A compatible gateway behind GOOGLE_GEMINI_BASE_URL may serve any Veo id; Google's own serves what it lists.
    is_served = "gemini_api" in model.platforms or not is_google(access.gemini_url)
    if access.has_key(Way.GEMINI) and is_served and (access.only or model.begun_on) in (None, "gemini_api"):
        return Route("veo_gemini", Way.GEMINI)
    raise _report_missing(model, platforms, access)


def _choose_agent_way(access: Access) -> Way | None:
    if access.has_key(Way.EXPRESS):
        return Way.EXPRESS
    return Way.PROJECT if access.project and not access.project_fault else None


def _report_missing(model: RoutableModel, platforms: frozenset[str], access: Access) -> RouteMissing:
    ways = []
    if "gemini_api" in platforms and "gemini_api" in model.platforms:
        ways.append("GEMINI_API_KEY")
    if "agent_platform" in platforms:
        ways.append("CALLSHEET_AGENT_PLATFORM_API_KEY")
        ways.append("GOOGLE_CLOUD_PROJECT (with `gcloud auth application-default login`)")
    if model.kind == "video" and "gemini_api" not in model.platforms and model.begun_on != "agent_platform":
        ways.append("GEMINI_API_KEY together with the GOOGLE_GEMINI_BASE_URL of a compatible gateway")
    # A project whose credentials are not there is nearly a route: what is wrong with it comes first.
    fault = f"{access.project_fault} " if access.project and "agent_platform" in platforms else ""
    fault += "".join(f"{told} " for way in (Way.GEMINI, Way.EXPRESS) if (told := access.find_key_fault(way)))
    bound = f", with which this batch was begun on the {_NAMES[model.begun_on]}" if model.begun_on else ""
    return RouteMissing(
        f"{fault}No credentials for {model.kind} model {model.id}{bound}: set {', or '.join(ways) or 'another model'}."
    )


def scope_of(settings: Settings, mode: Mode, models: Catalogue | None = None) -> Scopes:
    """Return what names whose quota the requests of a mode to a model use.

    `models` are those of a batch, which may be bound to a platform. No running service is needed. Where no credentials
    lead to a model, it is the quota of the platform that serves it. Raises SettingsError for a bad URL.
    """
    access = access_to(settings, mode, "http://127.0.0.1" if mode == "rehearsal" else None)
    catalogue = models or load_catalogue(settings.catalogue)

    def scope(model_id: str) -> str:
        model = catalogue.find(model_id)
        if model is None:
            return access.scope(PLATFORMS[0])
        try:
            return access.scope(choose_route(model, access).way.platform)
        except SettingsError:
            return access.scope(next(iter(model.platforms), PLATFORMS[0]))

    return scope
