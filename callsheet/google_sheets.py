"""Google Sheets by their address, read as CSV by the export link.

A sheet that anyone with the link may see needs no credentials; of others Google's are used, as for buckets.
"""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from callsheet.errors import ManifestError, Problem, SettingsError
from callsheet.gcs.access import access_of
from callsheet.settings import Settings

GOOGLE = "https://docs.google.com"
#: The narrowest scope that the export link takes of an account (2026-12).
SCOPE = "https://www.googleapis.com/auth/drive.readonly"

_PAGE = re.compile(r"https://(?:docs|drive|sheets)\.google\.com(?:/.*)?", re.IGNORECASE | re.DOTALL)
_ADDRESS = re.compile(
    r"https://docs\.google\.com/(?:a/[\w.-]+/)?spreadsheets/(?:u/\d+/)?d/(?P<id>(?:e/)?[A-Za-z0-9_-]{10,200})(?:[/?#].*)?",
    re.IGNORECASE | re.DOTALL,
)
_GID = re.compile(r"[?&#]gid=(\d{1,20})")
_RESOURCE_KEY = re.compile(r"[?&]resourcekey=([\w-]{1,100})")
_TITLE = re.compile(r"<title[^>]*>\s*([^<]{1,100}?)\s*</title>", re.IGNORECASE)
_LOG_IN = (
    f"log in with: gcloud auth application-default login --scopes=openid,{SCOPE},"
    "https://www.googleapis.com/auth/cloud-platform"
)
_TIMEOUT_S = 60.0
_MOST_REDIRECTS = 5
#: Seconds before a read is tried again that Google could not answer, or was too busy to.
PAUSES_S = (1.0, 4.0)


@dataclass(frozen=True, slots=True)
class SheetAddress:
    """A Google Sheet: the document, and the tab of it ("" is the first)."""

    document: str
    gid: str = ""
    resource_key: str = ""

    @property
    def name(self) -> str:
        """Return a short name of the address, for messages and the batch."""
        parts = ("google-sheet", self.document.removeprefix("e/")[:12], self.gid)
        return "-".join(part for part in parts if part) + ".csv"

    def export_link(self, base_url: str = GOOGLE) -> str:
        """Return the link at which Google gives the tab as CSV."""
        published = self.document.startswith("e/")
        wanted = {"single": "true", "output": "csv"} if published else {"format": "csv"}
        wanted |= {"gid": self.gid} if self.gid else {}
        wanted |= {"resourcekey": self.resource_key} if self.resource_key else {}
        return f"{base_url}/spreadsheets/d/{self.document}/{'pub' if published else 'export'}?{urlencode(wanted)}"


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes
    wants_login: bool = False


def parse_sheet_address(uri: str) -> SheetAddress | None:
    """Return the Google Sheet at an address, None when it is not of Google's editors.

    Raises ManifestError for a page of theirs that is no sheet.
    """
    if not _PAGE.fullmatch(uri):
        return None
    found = _ADDRESS.fullmatch(uri)
    if not found or found["id"] == "e/":
        allowed = "needed: https://docs.google.com/spreadsheets/d/ID/edit#gid=N"
        raise _refuse(uri[:200], "this is no address of a Google Sheet", allowed, "open the sheet and copy its address")
    gid, key = _GID.findall(uri), _RESOURCE_KEY.search(uri)
    return SheetAddress(found["id"], gid[-1] if gid else "", key[1] if key else "")


def is_google_sheet(uri: str) -> bool:
    """Return whether an address is one of Google's editors."""
    return _PAGE.fullmatch(uri) is not None


def read_google_sheet(address: SheetAddress, settings: Settings, limit: int) -> bytes:
    """Return a Google Sheet as the bytes of its CSV.

    Raises ManifestError when it is not shared, not there, or larger than `limit` bytes; SettingsError for a base URL
    that may not be used. Blocks.
    """
    base_url = _check_base_url(settings.sheets_base_url)
    reply = _ask(address.export_link(base_url), base_url, {}, limit)
    reader = ""
    if reply.wants_login:
        headers, reader = _authorise(address, settings, base_url)
        reply = _ask(address.export_link(base_url), base_url, headers, limit) if headers else reply
    return _judge(reply, address, reader, limit)


def _check_base_url(given: str | None) -> str:
    """Return Google's address, or that of a stand-in on this machine."""
    if not given:
        return GOOGLE
    parts = urlsplit(given)
    if parts.scheme in ("http", "https") and parts.hostname in ("localhost", "127.0.0.1", "::1"):
        return given.rstrip("/")
    raise SettingsError(
        f"CALLSHEET_SHEETS_BASE_URL: {given[:100]!r} is not on this machine. It is for a stand-in of tests: a loopback "
        "address, or nothing. Nothing was read."
    )


def _authorise(address: SheetAddress, settings: Settings, base_url: str) -> tuple[dict[str, str], str]:
    """Return a header with a token, and whose it is; none without credentials."""
    access = access_of(settings)
    if base_url != GOOGLE and not access.credentials_file:
        return {}, ""  # Google's own search for credentials would end at a metadata server
    # google-auth takes half a second, which shared sheets do without.
    import requests
    from google.auth import exceptions
    from google.auth.transport.requests import Request

    from callsheet.gcs.credentials import find_credentials

    try:
        credentials: Any = find_credentials(access, SCOPE)
    except SettingsError:
        if access.credentials_file:
            raise
        return {}, ""
    headers: dict[str, str] = {}
    try:
        with requests.Session() as session:
            credentials.refresh(functools.partial(Request(session), timeout=_TIMEOUT_S))
    except exceptions.GoogleAuthError as error:
        first = (str(error.args[0]) if error.args else type(error).__name__).splitlines()[0][:200]
        raise _refuse(address.name, f"Google gave no token to read the sheet with: {first}", "", _LOG_IN) from error
    credentials.apply(headers)
    return headers, str(getattr(credentials, "service_account_email", "") or "your Google account")


def _ask(url: str, base_url: str, headers: Mapping[str, str], limit: int) -> _Reply:
    """Ask for a sheet, once more after each pause while Google is busy."""
    import httpx2  # takes 0.1 s, which files do without

    for pause_s in (*PAUSES_S, None):
        try:
            with httpx2.Client(timeout=_TIMEOUT_S, trust_env=base_url == GOOGLE, verify=_trust()) as client:
                reply = _follow(client, url, base_url, headers, limit)
        except httpx2.HTTPError as error:
            if pause_s is None:
                what = f"{urlsplit(base_url).hostname} cannot be reached: {type(error).__name__}: {str(error)[:200]}"
                raise _refuse(url, what, "", "check network and proxy, and run again") from error
        else:
            if pause_s is None or (reply.status != 429 and reply.status < 500):
                return reply
        time.sleep(pause_s)
    raise AssertionError  # the last try returns or raises


@functools.cache  # 0.2 s
def _trust() -> Any:
    import httpx2

    return httpx2.create_ssl_context()


def _follow(client: Any, url: str, base_url: str, headers: Mapping[str, str], limit: int) -> _Reply:
    """Ask, following redirects to Google's own hosts only.

    A token goes to the first of them alone.
    """
    here, sent = url, headers
    for _ in range(_MOST_REDIRECTS + 1):
        with client.stream("GET", here, headers=dict(sent)) as reply:
            if not reply.is_redirect:
                body = bytearray()
                for piece in reply.iter_bytes():
                    body += piece
                    if len(body) > limit:
                        break
                denied = reply.status_code in (401, 403, 404) or _is_page(reply.headers)
                return _Reply(reply.status_code, dict(reply.headers), bytes(body), denied)
            target = urljoin(here, reply.headers.get("location", ""))
        parts = urlsplit(target)
        if parts.hostname == "accounts.google.com":
            return _Reply(401, {}, b"", wants_login=True)
        if not _is_of_google(target, base_url):
            raise _refuse(url, f"Google Sheets sends on to {(parts.hostname or target)[:100]!r}, which is not Google's")
        here, sent = target, headers if target.startswith(f"{base_url}/") else {}
    raise _refuse(url, "Google Sheets sends on and on")


def _is_of_google(url: str, base_url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    is_known = host == "docs.google.com" or host.endswith(".googleusercontent.com")
    return url.startswith(f"{base_url}/") or (parts.scheme == "https" and is_known and parts.port in (None, 443))


def _is_page(headers: Mapping[str, str]) -> bool:
    return "html" in headers.get("content-type", "").lower()


def _judge(reply: _Reply, address: SheetAddress, reader: str, limit: int) -> bytes:
    """Return the CSV of a reply, or raise what it says instead."""
    name, status = address.name, reply.status
    if "insufficient_scope" in reply.headers.get("www-authenticate", ""):
        raise _refuse(name, "the credentials may not read Google Sheets", "", _LOG_IN)
    if status in (401, 403) or (status == 200 and _is_page(reply.headers)):
        title = _TITLE.search(reply.body[:10_000].decode("utf-8", "replace"))
        told = f" (Google answered with the page {title[1]!r})" if title else ""
        if reader:
            raise _refuse(
                name, f"the sheet is not shared with {reader}{told}", "", f"share it with {reader} as a viewer"
            )
        hint = (
            'let "Anyone with the link" view it, or set GOOGLE_APPLICATION_CREDENTIALS and share it with that account'
        )
        raise _refuse(
            name, f"the sheet is not shared with everybody, and there are no Google credentials{told}", "", hint
        )
    if status == 404:
        raise _refuse(name, "there is no such Google Sheet, or none to be seen", "", "copy its address again")
    if status == 400:
        raise _refuse(
            name, f"the document has no tab with gid={address.gid or '(none)'}", "", "open the tab and copy its address"
        )
    if status == 429 or status >= 500:
        raise _refuse(name, f"Google Sheets is too busy to answer ({status})", "", "run again in some minutes")
    if status != 200:
        raise _refuse(name, f"Google Sheets answered with HTTP {status}", "", "copy the sheet's address again")
    if len(reply.body) > limit:
        raise _refuse(name, "the sheet is too large", f"allowed: at most {limit // 2**20} MB", "split it")
    return reply.body


def _refuse(file: str, what: str, allowed: str = "", suggestion: str = "") -> ManifestError:
    return ManifestError((Problem(file, 1, "-", what, allowed, suggestion),))
