"""Every command, given an archive full of forged addresses, reads, copies, links and writes nothing outside of it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import unescape
from itertools import cycle
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from callsheet.archive.parts import SCHEMA
from callsheet.archive.spots import record_name
from tests.support.cared_for import BATCH, PREFIX, Kept, copy_of, finished_batch
from tests.support.cli import Cli
from tests.support.gallery_pages import spot
from tests.support.recorder import Recorder, recording

SECRET = "what only this user may read"
SHA256 = hashlib.sha256(SECRET.encode()).hexdigest()
BAD = r"^javascript:|victim|passwd|secret|\.\./|%5C"
COMMANDS = (
    ("gallery", BATCH),
    ("find", "--gallery", "page.html"),
    ("archive", "copy", BATCH, "copied"),
    ("assemble", BATCH, "--name", "another"),
    ("cuts", BATCH, "--for", "9x16"),
    ("archive", "verify", BATCH, "--repair"),
)
WITH_A_NEW_LEDGER = (("ledger", "rebuild"), ("recover", BATCH))


def forged(place: str, folder: Path) -> list[str]:
    """Return addresses of what is not in the archive; `place` is a server that notes who asks."""
    return [
        "gs://victim/private.mp4",
        f"http://{place}/private.mp4",
        "file:///etc/passwd",
        "/etc/passwd",
        f"{folder}/secret.txt",
        "../../../../../secret.txt",
        "..\\..\\secret.txt",
        "javascript:alert(1)//x",
        "..",
    ]


def files_in(told: object) -> Iterator[dict[str, Any]]:
    """Yield every record of a file in a JSON document."""
    if isinstance(told, dict):
        if {"uri", "sha256"} <= told.keys():
            yield told
        for one in told.values():
            yield from files_in(one)
    elif isinstance(told, list):
        for one in told:
            yield from files_in(one)


def forge_sidecar(told: dict[str, Any], addresses: Iterator[str]) -> None:
    """Add to a sidecar what else is an address: finishing files, reference pictures, operations."""
    music = {"file": "", "sha256": SHA256, "size": len(SECRET), "mime_type": "audio/mpeg", "uri": ""}
    told["finish"] = {"music": music, "logo": {**music, "mime_type": "image/png"}}
    told["image"]["references"] = [{"uri": "", "sha256": SHA256, "mime_type": "image/png"}]
    for clip in told["clips"]:
        clip["operation"] = next(addresses)


def forge(archive: Path, addresses: Sequence[str], key: str) -> None:
    """Put the addresses, in turn, where sidecars, spots and catalogue tell the `key` of a file: "uri" or "file"."""
    turn = cycle(addresses)
    for path in sorted((*archive.rglob("shot.json"), *archive.rglob("spots/*.json"))):
        told = json.loads(path.read_text())
        if key == "uri" and path.name == "shot.json":
            forge_sidecar(told, turn)
        for file in files_in(told):
            file[key] = next(turn)
        path.write_text(json.dumps(told))
    columns = ("uri", "operation") if key == "uri" else ("file", "thumbnail", "shot", "batch", "campaign")
    for path in archive.rglob("*.parquet"):
        rows = pl.read_parquet(path).rows(named=True)
        # Each under a name of its own: of rows that tell of the same file the last one counts.
        odd = [row | {"shot": f"odd-{n}"} for n, row in enumerate(rows * len(addresses))]
        made = [row | {column: next(turn)} for row in (*rows, *odd) for column in columns]
        pl.DataFrame(made, schema=SCHEMA).write_parquet(path)


def links_of(page: Path) -> list[str]:
    return [unescape(one) for one in re.findall(r'(?:href|src|poster)="([^"]*)"', page.read_text())]


def files_below(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() or path.is_symlink()}


@dataclass(frozen=True)
class Harm:
    """Files that tell the secret or are links, files outside, links in pages that lead out, and who was asked."""

    told: list[Path]
    outside: list[Path]
    links: list[str]
    asked: list[Any]


NONE = Harm([], [], [], [])


@dataclass
class Victim:
    """A machine with a secret, a finished batch with a spot, and a server on loopback that nobody is to ask."""

    made: Kept
    cli: Cli
    recorder: Recorder
    folder: Path

    def suffer(self, name: str, addresses: Sequence[str], key: str) -> Harm:
        """Forge a copy of the batch, give every command to it, and return what came of it that must not."""
        (self.folder / name).mkdir()
        kept = asyncio.run(copy_of(self.made, self.folder / name, None))
        home = kept.settings.home
        forge(home / "archive", addresses, key)
        before = files_below(self.folder)
        for command in (*COMMANDS, *WITH_A_NEW_LEDGER):
            self.run(home, command)
        new = {path: data for path, data in files_below(self.folder).items() if before.get(path) != data}
        assert new, "the commands wrote something"
        return Harm(
            told=[path for path, data in new.items() if SECRET.encode() in data or path.is_symlink()],
            outside=[path for path in new if not self.is_inside(path, name) and path.name != "page.html"],
            links=[one for page in new if page.suffix == ".html" for one in links_of(page) if re.search(BAD, one)],
            asked=self.recorder.seen,
        )

    def is_inside(self, path: Path, name: str) -> bool:
        """Tell whether a file is in the copy's folder, the batch's own, the copy's copy, or what commands printed."""
        first, *rest = path.relative_to(self.folder).parts
        return first in {name, "made"} or first.startswith("output-") or rest[0] == "copied"

    def run(self, home: Path, command: tuple[str, ...]) -> None:
        env = {
            "CALLSHEET_HOME": str(home.parent / "other" if command in WITH_A_NEW_LEDGER else home),
            "CALLSHEET_ARCHIVE": str(home / "archive"),
            "GOOGLE_GEMINI_BASE_URL": self.made.service.url,
            # Who follows gs:// asks here.
            "STORAGE_EMULATOR_HOST": f"http://{self.recorder.url}",
        }
        done = self.cli(*command, **env)
        assert done.exit_code in range(6), (command, done.stderr)
        assert "Traceback" not in done.stderr, (command, done.stderr)
        assert done.exit_code != 1, (command, done.stderr)


@pytest.fixture
def victim(tmp_path: Path, lean_cli: Cli) -> Iterator[Victim]:
    (tmp_path / "secret.txt").write_text(SECRET)
    # What lies beside the manifest may be read.
    (tmp_path / "made").mkdir()
    with finished_batch(tmp_path / "made") as made, recording(SECRET.encode()) as recorder:
        film = spot()
        (spots := made.settings.home / "archive" / PREFIX / "spots").mkdir()
        for file in film.files:
            (spots / file.file).write_bytes(bytes(file.size))
        (spots / Path(record_name("", film)).name).write_text(film.model_dump_json())
        yield Victim(made, lean_cli, recorder, tmp_path)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_archive_full_of_forged_addresses_leads_every_command_nowhere(victim: Victim) -> None:
    for key in ("uri", "file"):
        assert victim.suffer(key, forged(victim.recorder.url, victim.folder), key) == NONE


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_archive_with_one_forged_address_everywhere_leads_every_command_nowhere(victim: Victim) -> None:
    for n, address in enumerate(forged(victim.recorder.url, victim.folder)):
        for key in ("uri", "file"):
            assert victim.suffer(f"{key}-{n}", [address], key) == NONE
