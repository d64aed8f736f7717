"""Who may read what callsheet writes: the archive follows the umask, ledger and spool of a new home are private."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from callsheet.archive.spool import Spool
from callsheet.archive.store import StoredFile
from callsheet.archive.store_local import LocalStore
from callsheet.clock import Clock
from callsheet.files import make_private, md5_of_bytes
from callsheet.ledger import Ledger
from tests.support.cli import Cli

DATA = b"a picture that was paid for"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o022, 0o002, 0o027, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


async def put(store: LocalStore, source: Path, name: str, data: bytes = DATA) -> Path:
    facts = {"sha256": hashlib.sha256(data).hexdigest(), "md5": md5_of_bytes(data), "size": len(data)}
    return Path(await store.put_file(source, StoredFile(name, content_type="image/png", **facts)))


@pytest.mark.parametrize("link", [True, False], ids=["linked", "copied"])
async def test_a_file_of_the_spool_gets_the_modes_of_a_new_file_in_the_archive(
    umask: int, link: bool, tmp_path: Path
) -> None:
    spooled = Spool(tmp_path / "home" / "spool").write(DATA)
    assert mode(spooled.path) == 0o600
    stored = await put(LocalStore(tmp_path / "home" / "archive", link=link), spooled.path, "c/b/shots/a/take-1.png")
    assert mode(stored) == 0o666 & ~umask
    assert {mode(folder) for folder in [stored.parent, tmp_path / "home"]} == {0o777 & ~umask}


async def test_ledger_and_spool_of_a_new_home_are_private_under_any_umask(umask: int, tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with await Ledger.open(f"sqlite:///{home / 'ledger.db'}", clock=Clock()):
        assert {mode(path) for path in home.glob("ledger.db*")} == {0o600}
    Spool(home / "spool")
    assert mode(home / "spool") == 0o700
    assert mode(home) == 0o777 & ~umask


async def test_what_is_there_already_keeps_its_modes(tmp_path: Path) -> None:
    home, before = tmp_path / "home", os.umask(0o022)
    try:
        (home / "spool").mkdir(parents=True)
        ledger = home / "ledger.db"
        async with await Ledger.open(f"sqlite:///{ledger}", clock=Clock()):
            pass
        ledger.chmod(0o660)
        async with await Ledger.open(f"sqlite:///{ledger}", clock=Clock()):
            pass
        assert mode(ledger) == 0o660
        spooled = Spool(home / "spool").write(DATA)
        assert mode(home / "spool") == 0o755
        old = home / "archive" / "old.png"
        old.parent.mkdir()
        os.link(spooled.path, old)  # as an earlier version did
        store = LocalStore(home / "archive", link=True)
        await put(store, spooled.path, "old.png")
        new = await put(store, spooled.path, "new.png")
        assert (mode(old), mode(new)) == (0o600, 0o644)
        make_private(old.parent)
        assert mode(old.parent) == 0o755
    finally:
        os.umask(before)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder to any group")
async def test_a_file_in_a_folder_that_gives_its_group_has_that_group(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    os.chown(shared, -1, 12345)
    shared.chmod(0o2770)
    spooled = Spool(tmp_path / "spool").write(DATA)
    stored = await put(LocalStore(shared, link=True), spooled.path, "campaign/take-1.png")
    assert stored.stat().st_gid == 12345
    assert spooled.path.stat().st_gid != 12345


@pytest.mark.long
def test_everything_a_batch_archives_can_be_read_by_whom_the_umask_lets(lean_cli: Cli) -> None:
    (lean_cli.folder / "sheet.csv").write_text("id,prompt,motion_prompt,cuts\na,A boat,It sails,1x1\n")
    probe = lean_cli.folder / "probe"
    probe.touch()
    assert lean_cli("run", "sheet.csv").exit_code == 0
    archived = [path for path in (lean_cli.home / "archive").rglob("*") if path.is_file()]
    assert {path.name.partition("-")[0] for path in archived} >= {"take", "clip", "cut", "poster", "shot.json"}
    assert {mode(path) for path in archived} == {mode(probe)}
    assert mode(lean_cli.home / "ledger.db") == 0o600
    assert {mode(lean_cli.home / name) for name in ("spool", "rehearsal")} == {0o700}
