"""The spool of replies that may have been paid for, as they came.

They are on this disk before anything reads them. One file a reply, in the spool's folder `replies`, named by the job's
key, the number of the attempt and the ledger that counts the attempts: one that takes the place of a lost one begins at
1 again. It is an HTTP message (a status line, the headers that matter, an empty line, the body as on the wire), so that
a person and the next run can read it alike. It is written while the reply arrives: a killed process leaves what had
come by then.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from callsheet.errors import ArchiveError
from callsheet.files import sync, sync_folder

# The largest picture measured was 21 MB (2026-09-20), so 28 MB in base64; what is longer is kept up to here.
MAX_KEPT_BYTES = 128 * 1024 * 1024
KEPT_HEADERS = (
    "content-type", "content-encoding", "retry-after", "date", "server", "via", "x-goog-request-id", "x-request-id",
)  # fmt: skip
_HEAD_BYTES = 16 * 1024
_NAME = re.compile(r"[0-9a-f]{64}-(\d{1,6})-([0-9a-z]{1,32})\.http")


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply as it came.

    `body` is as on the wire: perhaps compressed, cut off, or not what its headers say. `headers` have lower-case names.
    `is_whole` is False when the connection ended before the body did, or when the body is longer than is kept.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    is_whole: bool = True

    @property
    def request_id(self) -> str:
        """Return the id by which the provider's support finds the request, or ""."""
        named = self.headers.get("x-goog-request-id") or self.headers.get("x-request-id") or ""
        return re.sub(r"[^!-~]", "", named)[:200]


class Keeper(Protocol):
    """What makes one reply durable: `begin`, `add` each piece, `end`.

    None of them fails for a full disk but `end`.
    """

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Note the status and headers of a reply whose body is about to come.

        Header names are in lower case.
        """

    def add(self, data: bytes) -> None:
        """Note the next piece of the body."""

    async def end(self, reply: Reply) -> None:
        """Return when the reply is durable, whatever went wrong on the way.

        Raises ArchiveError when it cannot be.
        """


def may_be_paid(status: int) -> bool:
    """Return whether a reply with this HTTP status may have been paid for.

    Its request may have been accepted, so its body is kept.
    """
    return not 300 <= status < 500 or status in (408, 499)


class KeptReplies:
    """The kept replies of all jobs, in one folder of this disk.

    Attempts are numbered as the ledger of that identity numbers them.
    """

    def __init__(self, root: Path, ledger: str = "none") -> None:
        self.root = root
        self._ledger = ledger

    def path(self, key: str, n: int) -> Path:
        """Return where the reply to attempt `n` at a job is, or would be."""
        return self.root / f"{key}-{n}-{self._ledger}.http"

    def open(self, key: str, n: int) -> ReplyFile:
        """Return the file for the reply to attempt `n`.

        Nothing is written before the reply begins.
        """
        return ReplyFile(self.path(key, n))

    def write(self, key: str, n: int, reply: Reply) -> None:
        """Write a whole reply durably; ArchiveError when the disk does not take it."""
        try:
            file = self.open(key, n)
            file.begin(reply.status, reply.headers)
            file.add(reply.body)
            file.end()
        except OSError as error:
            raise ArchiveError(
                f"{self.root} cannot be written to: {error.strerror or error}. What was just answered could not be "
                "kept. Free some space, or move CALLSHEET_HOME, and run the same command again."
            ) from error

    def read(self, key: str, n: int) -> Reply | None:
        """Return the kept reply to attempt `n`, None when none can be read."""
        return _parse(self.path(key, n))

    def of_other_ledgers(self, key: str) -> list[Reply]:
        """Return the replies to a job that other ledgers kept here.

        This ledger knows no attempt of them.
        """
        files = (path for path in self.of_job(key) if not path.stem.endswith(f"-{self._ledger}"))
        return [reply for path in files if (reply := _parse(path))]

    def keys(self) -> set[str]:
        """Return the keys of the jobs of which something is kept."""
        return {path.name[:64] for path in self.root.glob("*.http") if _NAME.fullmatch(path.name)}

    def of_job(self, key: str) -> list[Path]:
        """Return the files of a job's kept replies, the earliest attempt first."""
        names = (_NAME.fullmatch(path.name) for path in self.root.glob(f"{key}-*.http"))
        return [self.root / name[0] for name in sorted((name for name in names if name), key=lambda name: int(name[1]))]

    def remove(self, key: str) -> None:
        """Remove what is kept of a job: its result is safe, or it was decided."""
        for path in self.of_job(key):
            path.unlink(missing_ok=True)


def _parse(path: Path) -> Reply | None:
    with suppress(OSError, ValueError):
        return parse_reply(path.read_bytes())
    return None


class ReplyFile:
    """One reply that is being written.

    Every method may raise OSError; a file of an earlier try is replaced.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        self._left = MAX_KEPT_BYTES

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Write the head."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        # Private: a reply may name the account. Unbuffered: what came survives a kill at any moment.
        self._file = os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0)
        self._file.write(head_of(status, headers))

    def add(self, data: bytes) -> None:
        """Write a piece of the body, as long as there is room for it."""
        if self._file is not None and self._left:
            piece = memoryview(data)[: self._left]
            self._left -= len(piece)
            while piece:
                piece = piece[self._file.write(piece) :]

    def end(self) -> None:
        """Flush all of it to the disk."""
        if self._file is not None:
            sync(self._file)
            self._file.close()
            self._file = None
            sync_folder(self.path.parent)

    def close(self) -> None:
        """Close the file as it is."""
        if self._file is not None:
            self._file.close()
            self._file = None


def head_of(status: int, headers: Mapping[str, str]) -> bytes:
    """Return status line and kept headers, with the empty line after them."""
    lines = [f"HTTP/1.1 {status} kept-by-callsheet"]
    lines += [f"{name}: {' '.join(headers[name].split())[:500]}" for name in KEPT_HEADERS if headers.get(name)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "replace")


def parse_reply(message: bytes) -> Reply:
    """Return the reply that `head_of` and the body make up.

    A head alone is of a reply whose process died before its body came: it is not whole. Raises ValueError for anything
    else.
    """
    head, found, _ = message[:_HEAD_BYTES].partition(b"\r\n\r\n")
    lines = head.decode("utf-8", "replace").split("\r\n")
    status = re.fullmatch(r"HTTP/1\.1 (\d{3}) kept-by-callsheet", lines[0])
    if not found or status is None:
        raise ValueError("not a kept reply")
    pairs = (line.partition(": ") for line in lines[1:])
    body = message[len(head) + 4 :]
    return Reply(int(status[1]), {name: value for name, _, value in pairs}, body, is_whole=bool(body))
