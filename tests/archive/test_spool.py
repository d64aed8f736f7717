"""The spool: a name is there only with all its bytes, and a full disk is told."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from callsheet.archive.spool import Spool
from callsheet.errors import ArchiveError, NoRoom


def test_bytes_are_found_under_their_hash(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    file = spool.write(b"picture")
    assert file.sha256 == hashlib.sha256(b"picture").hexdigest()
    assert file.md5 == hashlib.md5(b"picture", usedforsecurity=False).hexdigest()
    assert file.path.read_bytes() == b"picture"
    assert spool.holds(file.sha256, 7)
    assert not spool.holds(file.sha256, 8), "a file of another size is not the whole one"


def test_writing_the_same_bytes_again_changes_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    before = spool.write(b"picture").path.stat()
    assert spool.write(b"picture").path.stat().st_ino == before.st_ino


def test_a_finished_file_is_moved_in_and_discarded_when_it_is_archived(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    scratch = spool.scratch(".mp4")
    scratch.write_bytes(b"clip")
    file = spool.adopt(scratch)
    assert not scratch.exists()
    assert file.path.read_bytes() == b"clip"
    assert spool.empty([file.sha256])
    assert not spool.holds(file.sha256, 4)


def test_nothing_leaves_it_while_another_process_works_here(tmp_path: Path) -> None:
    spool, other = Spool(tmp_path / "spool"), Spool(tmp_path / "spool")
    file = spool.write(b"picture")
    assert not spool.empty([file.sha256])
    assert spool.holds(file.sha256, 7)
    assert not other.empty([file.sha256]), "trying does not cost the place"
    other.close()
    assert spool.empty([file.sha256])


def test_nothing_is_sent_whose_result_could_not_be_kept(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.check_room(0)
    with pytest.raises(NoRoom, match="Nothing was sent"):
        spool.check_room(10**12)


def test_what_a_killed_process_left_is_removed_after_a_day(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    old, young = spool.scratch(), spool.scratch()
    os.utime(old, (time.time() - 90_000, time.time() - 90_000))
    Spool(tmp_path / "spool")
    assert not old.exists()
    assert young.exists()


def test_a_full_disk_is_told_and_leaves_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path / "spool")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArchiveError, match="Free some space"):
        spool.write(b"picture")
    assert not spool.holds(hashlib.sha256(b"picture").hexdigest(), 7)
