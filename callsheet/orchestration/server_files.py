"""The local Prefect server as its folder has it: address, process, password."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

from callsheet.orchestration.server_settings import (
    PASSWORD_FILE,
    password_header,
    read_password,
)
from callsheet.settings import Settings

# A server under load answers late; one that is not there refuses at once.
LOADED_S = 15.0


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
