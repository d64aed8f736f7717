"""Choose the route to a model from model and credentials: pure, no network."""

from __future__ import annotations

import hashlib
import ipaddress
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import urlsplit

from pydantic import SecretStr

from callsheet.errors import SettingsError
from callsheet.models.schema import PersonTask, Platform
from callsheet.settings import Settings
from callsheet.shots import Mode

GEMINI_URL = "https://generativelanguage.googleapis.com/"
ADC_FILE = ".config/gcloud/application_default_credentials.json"
_REHEARSAL = "rehearsal"
# Whether this process was told of a key that is not used.
_told: list[bool] = []

log = logging.getLogger(__name__)
PLATFORMS = ("gemini_api", "agent_platform")


class Way(StrEnum):
    """How requests are addressed and signed."""

    GEMINI = "Gemini API with a key"
    EXPRESS = "Agent Platform with an express key"
    PROJECT = "Agent Platform with a project"

    @property
    def platform(self) -> Platform:
        """Return the platform at its end, as the catalogue names it."""
        return "gemini_api" if self is Way.GEMINI else "agent_platform"


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
        """Return its API method: "generate_content" and "predict_long_running" work here."""

    @property
    def platforms(self) -> Iterable[str]:
        """Return "gemini_api", "agent_platform" or both."""

    def person_values(self, task: PersonTask, platform: Platform | None = None) -> Sequence[str]:
        """Return what may be said about people, on one platform or (None) on any."""


@dataclass(frozen=True, slots=True)
class Access:
    """Credentials and addresses of one mode.

    `static_token` stands in for Google's credentials where none are required.
    """

    mode: Mode
    gemini_key: SecretStr | None
    express_key: SecretStr | None
    project: str | None
    location: str
    gemini_url: str
    vertex_url: str | None
    static_token: SecretStr | None
    quota_project: str | None = None
    gemini_variable: str = "GEMINI_API_KEY"

    def scope(self, platform: str) -> str:
        """Name whose quota is used on a platform.

        The project that was named, else whatever one it is. Never the key's: another key of the same project shares its
        quota.
        """
        if self.mode == "rehearsal":
            return f"{_REHEARSAL}:{platform}"
        project = self.quota_project or self.project
        return f"{platform}:{project}" if project else platform

    def signature(self, way: Way) -> dict[str, str]:
        """Return the header that signs a plain request to the way's own host.

        Empty where that needs a token of Google's.
        """
        key = self.gemini_key if way is Way.GEMINI else self.express_key
        if way is not Way.PROJECT:
            return {"x-goog-api-key": key.get_secret_value()} if key else {}
        return {"Authorization": f"Bearer {self.static_token.get_secret_value()}"} if self.static_token else {}

    def variable(self, way: Way) -> str:
        """Return the variable that the key of this way came from, "" without a key."""
        if self.mode == "rehearsal" or way is Way.PROJECT:
            return ""
        return self.gemini_variable if way is Way.GEMINI else "CALLSHEET_AGENT_PLATFORM_API_KEY"

    def credential(self, way: Way) -> str:
        """Name what signs requests of this way, in words and without the secret itself."""
        if self.mode == "rehearsal":
            return "the rehearsal's key"
        if way is Way.PROJECT:
            return f"project {self.project}"
        key = self.gemini_key if way is Way.GEMINI else self.express_key
        kind = "the Gemini API key" if way is Way.GEMINI else "the express key"
        return f"{kind} {fingerprint(key)}" if key else kind


def fingerprint(key: SecretStr) -> str:
    """Return a public name for a key: `key-` and 8 hex digits of its SHA-256."""
    return f"key-{hashlib.sha256(key.get_secret_value().encode()).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True)
class Route:
    """The provider that serves a model, and the way its requests go."""

    provider: Literal["genai_images", "genai_looks", "veo_agent", "veo_gemini"]
    way: Way


def access_to(settings: Settings, mode: Mode, rehearsal_url: str | None = None) -> Access:
    """Return the credentials of `mode`; a rehearsal gets dummies, never a real key.

    Raises SettingsError for a bad base URL.
    """
    if mode == "rehearsal":
        if rehearsal_url is None:
            raise SettingsError("A rehearsal needs the address of the rehearsal service; none was given.")
        url = check_url("the rehearsal service's address", rehearsal_url)
        dummy = SecretStr(_REHEARSAL)
        return Access(mode, dummy, None, _REHEARSAL, settings.google_cloud_location, url, url, dummy)
    vertex = settings.vertex_base_url
    vertex_url = check_url("GOOGLE_VERTEX_BASE_URL", vertex) if vertex else None
    token = None
    if vertex_url and is_loopback(vertex_url) and not has_adc_file(settings):
        # Google's own search for credentials would end at a metadata server, which a loopback service never needs.
        token = settings.gemini_api_key or settings.agent_platform_api_key or SecretStr("anonymous")
    return Access(
        mode="live",
        gemini_key=settings.gemini_api_key,
        express_key=settings.agent_platform_api_key,
        project=settings.google_cloud_project,
        location=settings.google_cloud_location,
        gemini_url=check_url("GOOGLE_GEMINI_BASE_URL", settings.gemini_base_url or GEMINI_URL),
        vertex_url=vertex_url,
        static_token=token,
        quota_project=settings.quota_project,
        gemini_variable=settings.gemini_key_variable,
    )


def tell_of_other_key(settings: Settings) -> None:
    """Warn, once in a process, that one of two different keys is not used."""
    if settings.has_two_keys and not _told:
        _told.append(True)
        log.warning(
            "GOOGLE_API_KEY and GEMINI_API_KEY hold different keys: that of GOOGLE_API_KEY is used, as in Google's SDK."
            " Unset the other one."
        )


def choose_route(model: RoutableModel, access: Access, *, about_people: bool = False) -> Route:
    """Return the route to `model`.

    A request that says something `about_people` goes where that can be said, when there are credentials for it. Raises
    SettingsError that names the variables to set when there is no route.
    """
    platforms = frozenset(model.platforms)
    if model.kind == "image" and model.surface == "generate_content":
        if about_people and not model.person_values("image", "gemini_api") and _choose_agent_way(access):
            platforms &= {"agent_platform"}
        return Route("genai_images", _choose_image_way(model, platforms or frozenset(model.platforms), access))
    if model.kind == "look" and model.surface == "generate_content":
        return Route("genai_looks", _choose_image_way(model, platforms, access))
    if model.kind == "video" and model.surface == "predict_long_running":
        return _choose_video_route(model, platforms, access)
    raise SettingsError(
        f"Model {model.id} is made through {model.surface}, which callsheet does not speak. "
        "Choose another one: `callsheet models` lists them."
    )


def platform_for(model: RoutableModel, access: Access, *, about_people: bool) -> Platform | None:
    """Return the platform for a request; None when no credentials lead to any."""
    try:
        return choose_route(model, access, about_people=about_people).way.platform
    except SettingsError:
        return None


def live_ready(settings: Settings, models: Iterable[RoutableModel]) -> list[str]:
    """List, as sentences, what is missing to use `models` live. No network."""
    missing: list[str] = []
    adc = settings.google_application_credentials
    if adc is not None and not adc.is_file():
        missing.append(f"GOOGLE_APPLICATION_CREDENTIALS names {adc}, which is not a file.")
    try:
        access = access_to(settings, "live")
    except SettingsError as error:
        return [*missing, str(error)]
    for model in models:
        try:
            choose_route(model, access)
        except SettingsError as error:
            missing.append(str(error))
    return list(dict.fromkeys(missing))


def check_url(name: str, url: str) -> str:
    """Return the base URL with one slash at its end.

    Raises SettingsError unless it is https, or http to this machine.
    """
    try:
        parts = urlsplit(url)
        sound = bool(parts.hostname) and parts.port != 0 and not (parts.username or parts.query or parts.fragment)
    except ValueError:
        sound = False
    if not sound:
        raise SettingsError(f"{name} is not a URL of the form https://host[:port][/path].")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(url)):
        raise SettingsError(f"{name} must be https; plain http is allowed only to this machine (127.0.0.1, localhost).")
    return url.rstrip("/") + "/"


def is_loopback(url: str) -> bool:
    """Return whether the URL's host is this machine."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_google(url: str) -> bool:
    """Return whether the URL's host belongs to googleapis.com."""
    return (urlsplit(url).hostname or "").endswith(".googleapis.com")


def has_adc_file(settings: Settings) -> bool:
    """Return whether Google's library would find its default credentials in a file."""
    given = settings.google_application_credentials
    return given.is_file() if given is not None else (Path.home() / ADC_FILE).is_file()


def _choose_image_way(model: RoutableModel, platforms: frozenset[str], access: Access) -> Way:
    if "gemini_api" in platforms and access.gemini_key:
        return Way.GEMINI
    if "agent_platform" in platforms and (way := _choose_agent_way(access)):
        return way
    raise _report_missing(model, platforms)


def _choose_video_route(model: RoutableModel, platforms: frozenset[str], access: Access) -> Route:
    if "agent_platform" in platforms and (way := _choose_agent_way(access)):
        return Route("veo_agent", way)
    # A compatible gateway behind GOOGLE_GEMINI_BASE_URL may serve any Veo id; Google's own serves what it lists.
    if access.gemini_key and ("gemini_api" in platforms or not is_google(access.gemini_url)):
        return Route("veo_gemini", Way.GEMINI)
    raise _report_missing(model, platforms)


def _choose_agent_way(access: Access) -> Way | None:
    if access.express_key:
        return Way.EXPRESS
    return Way.PROJECT if access.project else None


def _report_missing(model: RoutableModel, platforms: frozenset[str]) -> SettingsError:
    ways = []
    if "gemini_api" in platforms:
        ways.append("GEMINI_API_KEY")
    if "agent_platform" in platforms:
        ways.append("CALLSHEET_AGENT_PLATFORM_API_KEY")
        ways.append("GOOGLE_CLOUD_PROJECT (with `gcloud auth application-default login`)")
    if model.kind == "video" and "gemini_api" not in platforms:
        ways.append("GEMINI_API_KEY together with the GOOGLE_GEMINI_BASE_URL of a compatible gateway")
    return SettingsError(
        f"No credentials for {model.kind} model {model.id}: set {', or '.join(ways) or 'another model'}."
    )
