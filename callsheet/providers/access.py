"""The credentials and addresses of a process: the ways to a model. No network."""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import re
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from callsheet.errors import SettingsError
from callsheet.models.schema import Platform
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


# What signs a request, in words, before a key's fingerprint or a project's name.
_KINDS = {Way.GEMINI: "the Gemini API key", Way.EXPRESS: "the express key"}
_PROJECT = "project "
# What headers carry, but for quotation marks and brackets. A line end or a mark comes along when a key is copied.
_KEY_CHARACTERS = re.compile(r"[\x21\x23-\x26\x28-\x3b\x3d\x3f-\x5f\x61-\x7e]+")
_ADDRESS = re.compile(r"/|~|\.{1,2}[/\\]|[A-Za-z]:[/\\]|[a-z]+://")
_PLACE = re.compile(r"projects/[^/]+/locations/([a-z0-9-]{1,40})/")


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
    # Why the project cannot be used, "" when nothing is known against it.
    project_fault: str = ""
    # The one platform that is asked, of a request that is under way there; None for any.
    only: Platform | None = None

    @property
    def has_any(self) -> bool:
        """Return whether there is any key that can be one, or any project."""
        return self.has_key(Way.GEMINI) or self.has_key(Way.EXPRESS) or bool(self.project)

    def has_key(self, way: Way) -> bool:
        """Return whether there is a key for a way, and it can be one."""
        key = self.gemini_key if way is Way.GEMINI else self.express_key
        return bool(key) and not self.find_key_fault(way)

    def find_key_fault(self, way: Way) -> str:
        """Say why what is given for a key is none, "" when nothing is known against it."""
        key = self.gemini_key if way is Way.GEMINI else self.express_key
        text = key.get_secret_value() if key else ""
        if text and not _KEY_CHARACTERS.fullmatch(text):
            return f"{self.variable(way)} holds quotation marks, spaces or letters that no key has: copy it once more."
        if _ADDRESS.match(text) or text.endswith((".json", ".txt", ".pem")):
            return f"{self.variable(way)} holds a path or an address, and not a key: set it to the key itself."
        return ""

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
            return f"{_PROJECT}{self.project}"
        key = self.gemini_key if way is Way.GEMINI else self.express_key
        kind = _KINDS[way]
        return f"{kind} {fingerprint(key)}" if key else kind

    def as_sent(self, credential: str, scope: str, operation: str = "") -> Access:
        """Return this access limited to the way by which a request was sent.

        `credential` and `scope` are what those methods returned then. Nothing is left of it when this process has no
        credentials of that way; itself, when nobody knows how the request was sent.
        """
        way = self._find_way(credential, scope)
        if way is None:
            return self
        place = _PLACE.match(operation)
        # Google's credentials are of no project: they look wherever it was.
        project = credential.removeprefix(_PROJECT) if credential.startswith(_PROJECT) else self.project
        return replace(
            self,
            only=way.platform,
            gemini_key=self.gemini_key if way is Way.GEMINI else None,
            express_key=self.express_key if way is Way.EXPRESS else None,
            project=project if way is Way.PROJECT and self.project else None,
            location=place[1] if place else self.location,
            quota_project=self.quota_project or self.project,
        )

    def _find_way(self, credential: str, scope: str) -> Way | None:
        if self.mode == "rehearsal":
            return {f"{_REHEARSAL}:{each.platform}": each for each in (Way.GEMINI, Way.PROJECT)}.get(scope)
        if credential.startswith(_PROJECT):
            return Way.PROJECT
        if credential.startswith("key-"):  # earlier attempts have a key's fingerprint alone
            own = {Way.GEMINI: self.gemini_key, Way.EXPRESS: self.express_key}
            return next((way for way, key in own.items() if key and fingerprint(key) == credential), None)
        return next((way for way, kind in _KINDS.items() if credential.startswith(kind)), None)


def fingerprint(key: SecretStr) -> str:
    """Return a public name for a key: `key-` and 8 hex digits of its SHA-256."""
    return f"key-{hashlib.sha256(key.get_secret_value().encode()).hexdigest()[:8]}"


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
        project_fault=_find_project_fault(settings),
    )


def tell_of_other_key(settings: Settings) -> None:
    """Warn, once in a process, that one of two different keys is not used."""
    if settings.has_two_keys and not _told:
        _told.append(True)
        log.warning(
            "GOOGLE_API_KEY and GEMINI_API_KEY hold different keys: that of GOOGLE_API_KEY is used, as in Google's SDK."
            " Unset the other one."
        )


def _find_project_fault(settings: Settings) -> str:
    file = settings.google_application_credentials
    if file is None or file.is_file():
        return ""
    return f"GOOGLE_APPLICATION_CREDENTIALS names {file}, which is not a file."


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
