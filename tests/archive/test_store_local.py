# ruff: noqa: ASYNC240 - tests may block their own loop
from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import resource
import shutil
import signal
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet import files as durable
from callsheet.archive import layout
from callsheet.archive.open import open_store
from callsheet.archive.store import Stat, StoredFile, confined
from callsheet.archive.store_local import LocalStore
from callsheet.errors import ArchiveConflict, ArchiveDenied, ArchiveError, SettingsError
from callsheet.gcs.access import GoogleAccess

DATA = b"picture" * 1000


def source(folder: Path, data: bytes = DATA) -> Path:
    path = folder / f"source-{hashlib.sha256(data).hexdigest()[:8]}"
    path.write_bytes(data)
    return path


async def put(store: LocalStore, path: Path, name: str, data: bytes = DATA) -> str:
    return await store.put_file(
        path,
        StoredFile(
            name,
            sha256=hashlib.sha256(data).hexdigest(),
            md5=hashlib.md5(data, usedforsecurity=False).hexdigest(),
            size=len(data),
            content_type="image/png",
        ),
    )


@pytest.fixture(params=[False, True], ids=["copy", "link"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "archive", link=request.param)


async def test_a_file_is_stored_whole_and_can_be_stored_again(store: LocalStore, tmp_path: Path) -> None:
    path = source(tmp_path)
    uri = await put(store, path, "c/b/shots/s/take-1.png")
    assert await put(store, path, "c/b/shots/s/take-1.png") == uri
    assert Path(uri).read_bytes() == DATA
    assert path.read_bytes() == DATA
    expected = Stat(len(DATA), hashlib.md5(DATA, usedforsecurity=False).hexdigest())
    assert await store.stat("c/b/shots/s/take-1.png") == expected


async def test_other_bytes_under_the_name_are_a_conflict_and_stay(store: LocalStore, tmp_path: Path) -> None:
    await put(store, source(tmp_path, b"first"), "a/x.png", b"first")
    with pytest.raises(ArchiveConflict, match="left as it is"):
        await put(store, source(tmp_path, b"other"), "a/x.png", b"other")
    assert await store.read_bytes("a/x.png", 100) == b"first"


async def test_empty_files_are_stored(store: LocalStore, tmp_path: Path) -> None:
    await put(store, source(tmp_path, b""), "a/empty.bin", b"")
    assert await store.read_bytes("a/empty.bin", 0) == b""


async def test_a_source_that_is_not_what_was_declared_is_not_stored(store: LocalStore, tmp_path: Path) -> None:
    path = source(tmp_path)
    path.write_bytes(DATA[:-1] + b"X")
    with pytest.raises(ArchiveError, match="Nothing was stored"):
        await put(store, path, "a/x.png")
    assert await store.list("") == ()
    assert list((tmp_path / "archive" / "a").iterdir()) == []


async def test_of_many_writers_at_once_all_succeed_with_one_file(store: LocalStore, tmp_path: Path) -> None:
    path = source(tmp_path)
    await asyncio.gather(*(put(store, path, "a/b/x.png") for _ in range(20)))
    assert [file.name for file in (tmp_path / "archive/a/b").iterdir()] == ["x.png"]


async def test_leftovers_of_a_crash_are_neither_listed_nor_in_the_way(store: LocalStore, tmp_path: Path) -> None:
    target = tmp_path / "archive/a/x.png"
    target.parent.mkdir(parents=True)
    durable.unfinished_beside(target).write_bytes(DATA[:10])
    await put(store, source(tmp_path), "a/x.png")
    assert await store.list("a/") == ("a/x.png",)


async def test_without_hard_links_files_are_copied(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "link", no_links)
    path = source(tmp_path)
    uri = await put(store, path, "a/x.png")
    assert Path(uri).read_bytes() == DATA
    assert Path(uri).stat().st_ino != path.stat().st_ino
    with pytest.raises(ArchiveConflict):
        await put(store, source(tmp_path, b"other"), "a/x.png", b"other")


async def test_a_full_disk_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    store = LocalStore(tmp_path)
    with pytest.raises(ArchiveError, match="Free disk space"):
        await store.put_bytes("plan.json", b"{}", "application/json")
    assert await store.list("") == ()


async def test_a_disk_that_takes_only_a_part_keeps_none_of_it(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "archive")
    path = source(tmp_path, os.urandom(3_000_000))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, before[1]))
        with pytest.raises(ArchiveError, match="could not be stored"):
            await put(store, path, "a/x.png", path.read_bytes())
        with pytest.raises(ArchiveError, match="could not be written"):
            await store.put_bytes("a/plan.json", path.read_bytes(), "application/json")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert list((tmp_path / "archive/a").iterdir()) == []
    await put(store, path, "a/x.png", path.read_bytes())


async def test_what_was_written_is_verified_and_not_what_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lossy(stream: BinaryIO, out: BinaryIO, _: int) -> None:
        out.write(stream.read()[:-1] + b"X")

    monkeypatch.setattr(shutil, "copyfileobj", lossy)
    with pytest.raises(ArchiveError, match="Nothing was stored"):
        await put(LocalStore(tmp_path / "archive"), source(tmp_path), "a/x.png")
    assert list((tmp_path / "archive/a").iterdir()) == []


async def test_a_read_only_folder_is_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(ArchiveDenied, match="CALLSHEET_ARCHIVE"):
        await LocalStore(tmp_path).put_bytes("plan.json", b"{}", "application/json")


async def test_a_file_in_place_of_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("not a folder")
    with pytest.raises(ArchiveError, match="could not be written"):
        await LocalStore(tmp_path).put_bytes("a/b/plan.json", b"{}", "application/json")


async def test_documents_are_replaced(store: LocalStore) -> None:
    await store.put_bytes("b/plan.json", b"old", "application/json")
    await store.put_bytes("b/plan.json", b"new", "application/json")
    assert await store.read_bytes("b/plan.json", 10) == b"new"
    assert await store.list("") == ("b/plan.json",)


async def test_a_document_over_the_limit_or_missing_is_not_read(store: LocalStore) -> None:
    await store.put_bytes("plan.json", b"12345", "application/json")
    with pytest.raises(ArchiveError, match="larger than the 4 bytes"):
        await store.read_bytes("plan.json", 4)
    with pytest.raises(ArchiveError, match="it is not there"):
        await store.read_bytes("other.json", 4)
    assert await store.stat("other.json") is None


async def test_a_fetched_file_appears_only_with_the_right_bytes(store: LocalStore, tmp_path: Path) -> None:
    await put(store, source(tmp_path), "a/x.png")
    target = tmp_path / "deep/copy.png"
    await store.get_file("a/x.png", target, sha256=hashlib.sha256(DATA).hexdigest())
    assert target.read_bytes() == DATA
    with pytest.raises(ArchiveError, match="damaged"):
        await store.get_file("a/x.png", tmp_path / "wrong/copy.png", sha256="0" * 64)
    assert list((tmp_path / "wrong").iterdir()) == []


async def test_listing_goes_by_string_prefix(store: LocalStore, tmp_path: Path) -> None:
    for name in ("a/b/1", "a/b/2", "a/bc/3", "d"):
        await store.put_bytes(name, b"", "text/plain")
    assert await store.list("a/b") == ("a/b/1", "a/b/2", "a/bc/3")
    assert await store.list("a/b/") == ("a/b/1", "a/b/2")
    assert await store.list("nowhere/") == ()
    assert await store.top_folders() == ("a",)
    assert await LocalStore(tmp_path / "nowhere").top_folders() == ()


BAD_NAMES = ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/./b", "a\\..\\b", "a\0b", "a\nb", "a/", "x" * 256]


@pytest.mark.parametrize("name", BAD_NAMES)
async def test_names_cannot_leave_the_archive(name: str, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "archive")
    with pytest.raises(ArchiveError, match="Nothing was read or written"):
        await store.put_bytes(name, b"", "text/plain")
    assert list(tmp_path.iterdir()) == []


@given(st.text(max_size=400))
def test_any_confined_name_stays_below_the_root(name: str) -> None:
    try:
        confined(name)
    except ArchiveError:
        return
    root = Path("/root/archive")
    assert Path(os.path.normpath(root / name)).is_relative_to(root)
    assert Path(os.path.normpath(root / name)) != root


@given(st.text(min_size=1, max_size=200))
def test_every_shot_id_has_a_folder_that_the_archive_takes(shot: str) -> None:
    name = layout.sidecar_name("campaign/campaign.live", shot)
    assert confined(name) == name
    assert name.count("/") == 4


@given(st.text(min_size=1, max_size=60), st.text(min_size=1, max_size=60))
def test_different_shots_have_different_folders(one: str, other: str) -> None:
    assert (one == other) == (layout.folder_name(one) == layout.folder_name(other))


async def test_long_and_unicode_ids_can_be_stored(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for shot in ("x" * 200, "é" * 200, "日本語 'q' #1?", "../up", ".", "a/b", "\u202egnp.exe"):
        await store.put_bytes(layout.sidecar_name("c/c.live", shot), b"{}", "application/json")
    assert len(await store.list("c/c.live/shots/")) == 7


def test_only_folders_and_buckets_can_be_opened(tmp_path: Path) -> None:
    assert open_store(str(tmp_path)).uri == str(tmp_path)
    assert open_store(f"file://{tmp_path}").uri == str(tmp_path)
    assert open_store("gs://bucket/pre/fix/", access=GoogleAccess("127.0.0.1:1")).uri == "gs://bucket/pre/fix"
    for uri in ("s3://bucket", "gs://", "memory://x", "file://host/x"):
        with pytest.raises(SettingsError, match="CALLSHEET_ARCHIVE"):
            open_store(uri)


async def test_a_linked_file_is_neither_copied_nor_synced_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, synced = LocalStore(tmp_path / "archive", link=True), list[str]()
    sync = os.fsync

    def note(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        sync(descriptor)

    files = [source(tmp_path, os.urandom(1000)) for _ in range(6)]
    await put(store, files[0], f"c/b/shots/s/{files[0].name}", files[0].read_bytes())
    monkeypatch.setattr(os, "fsync", note)
    for path in files[1:]:
        uri = await put(store, path, f"c/b/shots/s/{path.name}", path.read_bytes())
        assert Path(uri).samefile(path)
    assert synced == [str(tmp_path / "archive/c/b/shots/s")] * 5, "the folder that got a name, once each"
