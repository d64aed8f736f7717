"""The local Prefect server as it is without Prefect: its files, and its answer.

Its folder has address, process and password; its answer tells its version.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from urllib.request import Request, urlopen

import httpx2

from callsheet.doctor.diagnosis import BOTH, Diagnosis, Health
from callsheet.orchestration.server_settings import (
    PASSWORD_FILE,
    password_header,
    read_password,
)
from callsheet.providers.error_bodies import plain
from callsheet.providers.http_errors import describe_exception
from callsheet.providers.plain_client import plain_client
from callsheet.settings import Settings

# A server under load answers late; one that is not there refuses at once.
LOADED_S = 15.0
PREFECT = "prefect"
_STARTED = "`callsheet run` starts one by itself."


@dataclass(frozen=True, slots=True)
class PrefectServer:
    """A running server: its process, and where API and UI are.

    `pid` is None when the process is not ours.
    """

    pid: int | None
    api_url: str

    @property
    def ui_url(self) -> str:
        """The address to open in a browser."""
        return self.api_url.removesuffix("/api")


def read_note(settings: Settings) -> PrefectServer | None:
    """Read which server was started for this home, None when none is noted."""
    with suppress(OSError, ValueError, KeyError):
        noted = json.loads(note_file(settings).read_text())
        return PrefectServer(int(noted["pid"]), str(noted["api_url"]))
    return None


def password_file(settings: Settings) -> Path | None:
    """Return where the password of the local server is kept.

    None when it asks for none of ours.
    """
    folder = note_file(settings).parent
    return folder / PASSWORD_FILE if read_password(folder) else None


def home_of(server: PrefectServer, folder: Path | None = None) -> Path | None:
    """Return the folder that a server keeps its things in, as it says.

    None when it does not say.

    `folder` is where the password of the local server is kept.
    """
    address = f"{server.api_url}/admin/settings"
    request = Request(address, headers=password_header(folder))  # noqa: S310  an address of Prefect's
    with suppress(OSError, ValueError, KeyError, TypeError), urlopen(request, timeout=LOADED_S) as reply:  # noqa: S310
        return Path(json.load(reply)["home"])
    return None


def server_folder(settings: Settings) -> Path:
    """Return the folder of the local server, as an absolute path."""
    return note_file(settings).parent.absolute()


def note_file(settings: Settings) -> Path:
    """Return the file that notes the process and address of the server."""
    return settings.home / "prefect" / "server.json"


def lock_file(settings: Settings) -> Path:
    """Return the file that a running server keeps locked."""
    return settings.home / "prefect" / "running.lock"


async def examine_prefect(settings: Settings, within_s: float) -> Sequence[Diagnosis]:
    """Ask the server of PREFECT_API_URL, else the local one, for its version.

    Starts none.
    """
    noted = read_note(settings)
    url = (settings.prefect_api_url or (noted.api_url if noted else "")).rstrip("/")
    if not url:
        return [Diagnosis(PREFECT, Health.OK, f"No server is running yet. {_STARTED}")]
    headers = password_header(None if settings.prefect_api_url else note_file(settings).parent)
    try:
        async with plain_client(url, within_s, None, fresh=True) as client:
            reply = await client.get(f"{url}/admin/version", headers=headers)
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        return [_judge_silence(settings, url, error)]
    return [_judge_reply(url, reply, version("prefect"))]


def _judge_silence(settings: Settings, url: str, error: Exception) -> Diagnosis:
    if not settings.prefect_api_url:
        return Diagnosis(PREFECT, Health.OK, f"The local server at {url} has ended. {_STARTED}")
    text = f"No server answers at PREFECT_API_URL ({url}): {describe_exception(error)}."
    return Diagnosis(PREFECT, Health.MEND, text, "Start it, or unset the variable: a local one is then used.", BOTH)


def _judge_reply(url: str, reply: httpx2.Response, ours: str) -> Diagnosis:
    if reply.status_code in (401, 403):
        text = f"The server at {url} answers {reply.status_code}: it asks for a password."
        return Diagnosis(PREFECT, Health.MEND, text, "Set PREFECT_API_AUTH_STRING to that of the server.", BOTH)
    theirs = _read_version(reply)
    if not theirs:
        said = f"{reply.status_code} {plain(reply.text[:2000], 80)}".strip()
        text = f"{url} does not tell the version of a Prefect server: {said}."
        return Diagnosis(PREFECT, Health.MEND, text, "Correct PREFECT_API_URL; it ends with /api.", BOTH)
    text = f"The server at {url} is version {theirs}, this is {ours}."
    if _numbers(theirs)[:1] != _numbers(ours)[:1]:
        return Diagnosis(PREFECT, Health.MEND, text, "Prefect works with its own major version only.", BOTH)
    if _numbers(theirs) < _numbers(ours):
        return Diagnosis(PREFECT, Health.NOTE, text, "Bring the server to the version of its clients, or a newer one.")
    return Diagnosis(PREFECT, Health.OK, text)


def _read_version(reply: httpx2.Response) -> str:
    try:
        told = reply.json() if reply.status_code == 200 else ""
    except ValueError:
        return ""
    return told if isinstance(told, str) and re.fullmatch(r"\d+(\.\d+){1,3}[\w.+-]{0,40}", told) else ""


def _numbers(text: str) -> tuple[int, ...]:
    """Return major and minor number of a version."""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])
