"""A batch is copied between folders and buckets: every file verified, goes on where it stopped, complete at the end."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from callsheet.archive.marker import Success, read_success
from callsheet.archive.store_local import LocalStore
from callsheet.batch.request import RunRequest
from callsheet.clock import Clock
from callsheet.errors import ArchiveConflict, ArchiveError, SettingsError
from callsheet.ledger import Ledger
from callsheet.maintenance.copy import Copied
from callsheet.maintenance.service import copy_to, verify_archive
from callsheet.reconcile.inspect import tell_nobody
from tests.support.cared_for import BATCH, PREFIX, Kept, copy_of, finished_batch
from tests.support.forked import Forge
from tests.support.gcs_proxy import Proxy
from tests.support.waiting import wait_for
from tests.support.whole_batch import whole_batch

# What the module makes once is made in one process.
pytestmark = pytest.mark.xdist_group("copying")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    with finished_batch(tmp_path_factory.mktemp("made")) as made:
        yield made


@pytest.fixture
async def kept(made: Kept, tmp_path: Path) -> Kept:
    return await copy_of(made, tmp_path, None)


async def copied(kept: Kept, target: str) -> Copied:
    result, _ = await copy_to(kept.settings, BATCH, target, tell_nobody)
    return result


def at(kept: Kept, archive: str) -> Kept:
    return Kept(kept.settings.model_copy(update={"archive": archive}), kept.service)


def records(sidecar: dict[str, Any]) -> list[dict[str, Any]]:
    parts = (*sidecar["takes"], *sidecar["clips"], *sidecar["cuts"])
    return [part[name] for part in parts for name in ("file", "poster") if part.get(name)]


@pytest.mark.long
async def test_from_a_folder_to_a_bucket_to_another_and_back_nothing_changes_but_the_addresses(
    kept: Kept, tmp_path: Path, gcs_proxy: Proxy
) -> None:
    kept.settings = kept.settings.model_copy(update={"storage_emulator_host": gcs_proxy.url})
    before = {name: await kept.read(name) for name in await kept.names()}
    places = [f"gs://bucket/{tmp_path.name}/a", f"gs://bucket/{tmp_path.name}/b", str(tmp_path / "back")]
    for place in places:
        gcs_proxy.seen.clear()
        result = await copied(kept, place)
        media = [line for line in gcs_proxy.seen if line.startswith("media") and line.endswith((".mp4", ".jpg"))]
        # Thumbnails are read in any case: no record has their hashes.
        read = len([line for line in media if "/thumb-" not in line])
        assert read == (7 if place == places[2] else 0), "between buckets the service copies by itself"
        assert (result.left, result.complete, result.files) == ({}, True, len(before) - 1)
        kept = at(kept, place)
        await kept.assert_whole()
        for name in await kept.names("shot.json"):
            sidecar = json.loads(await kept.read(name))
            assert {one["uri"] for one in records(sidecar)} <= {f"{place}/{each}" for each in await kept.names()}
        assert {row["uri"].rpartition("/shots/")[0] for row in (await kept.evidence()).rows} == {f"{place}/{PREFIX}"}
    same = {name for name in before if "/shots/" in name and not name.endswith(".json")}
    assert {name: await kept.read(name) for name in same} == {name: before[name] for name in same}


async def test_copied_again_nothing_is_sent(kept: Kept, tmp_path: Path, gcs_proxy: Proxy) -> None:
    kept.settings = kept.settings.model_copy(update={"storage_emulator_host": gcs_proxy.url})
    target = f"gs://bucket/{tmp_path.name}"
    first = await copied(kept, target)
    gcs_proxy.seen.clear()
    again = await copied(kept, target)
    assert (again.files, again.bytes, again.present, again.complete) == (0, 0, first.files, True)
    assert {line.split()[0] for line in gcs_proxy.seen} == {"list", "find", "media"}, "nothing was written"


async def test_damaged_and_lost_files_are_not_copied_and_the_target_does_not_look_complete(
    kept: Kept, tmp_path: Path
) -> None:
    [clip], [cut] = [await kept.names(kind) for kind in ("clip-", "cut-")]
    data = await kept.read(clip)
    await kept.write(clip, bytes([*data[:-1], data[-1] ^ 1]))
    await kept.lose(cut)
    target = str(tmp_path / "target")
    result = await copied(kept, target)
    assert result.left.keys() == {clip, cut}
    names = await at(kept, target).names()
    assert clip not in names
    assert f"{PREFIX}/_SUCCESS.json" not in names
    await kept.write(clip, data)
    await kept.verify(repair=True)
    assert (await copied(kept, target)).left == {}
    await at(kept, target).assert_whole()


async def test_work_goes_on_in_the_copy_with_the_addresses_there(kept: Kept, tmp_path: Path) -> None:
    target, paid = str(tmp_path / "target"), kept.accepted()
    await copied(kept, target)
    there = at(kept, target)
    async with await Ledger.open(kept.settings.ledger_url, clock=Clock()) as ledger:
        [row] = await ledger.batches()
    await there.lose(f"{PREFIX}/shots/kite/shot.json", *await there.names("cut-"))
    report = await whole_batch(RunRequest(row.batch.manifest_uri), there.settings)
    assert (report.exit_code, kept.accepted()) == (0, paid)
    sidecar = json.loads(await there.read(f"{PREFIX}/shots/kite/shot.json"))
    assert all(one["uri"].startswith(f"{target}/") for one in records(sidecar))
    await there.assert_whole()


async def test_a_batch_that_went_on_is_copied_over_its_earlier_copy_and_never_the_other_way(
    kept: Kept, tmp_path: Path
) -> None:
    target = str(tmp_path / "target")
    await copied(kept, target)
    name = f"{PREFIX}/shots/cup/shot.json"
    sidecar = json.loads(await kept.read(name))
    await kept.write(name, json.dumps({**sidecar, "updated": "2099-01-01T00:00:00Z", "select": "first"}).encode())
    await kept.verify(repair=True)
    with pytest.raises(ArchiveConflict, match="newer one"):
        await copy_to(at(kept, target).settings, BATCH, kept.settings.archive_uri, tell_nobody)
    assert (await copied(kept, target)).complete
    assert json.loads(await at(kept, target).read(name))["select"] == "first"
    await at(kept, target).assert_whole()


async def test_the_target_never_looks_complete_before_it_is(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also over an earlier copy, and wherever it breaks off."""
    target = str(tmp_path / "target")
    await copied(kept, target)
    name = f"{PREFIX}/shots/cup/shot.json"
    sidecar = json.loads(await kept.read(name))
    await kept.write(name, json.dumps({**sidecar, "updated": "2099-01-01T00:00:00Z", "select": "first"}).encode())
    await kept.verify(repair=True)
    real = LocalStore.put_bytes
    calls, at_call = 0, 0

    async def breaking(store: LocalStore, name: str, data: bytes, content_type: str) -> str:
        await real(store, name, data, content_type)
        nonlocal calls
        calls += 1
        if store.uri == target and calls == at_call:
            raise ArchiveError("The power is out.")
        return f"{store.uri}/{name}"

    for at_call in (1, 2, 3):  # noqa: B007  `breaking` looks at it
        calls = 0
        monkeypatch.setattr(LocalStore, "put_bytes", breaking)
        try:
            await copied(kept, target)
        except ArchiveError:
            marker = await read_success(LocalStore(Path(target)), PREFIX)
            assert marker is not None
            whole = (await at(kept, target).verify()).whole
            assert whole or not marker.complete
        monkeypatch.setattr(LocalStore, "put_bytes", real)
    assert (await copied(kept, target)).complete
    await at(kept, target).assert_whole()


async def test_a_copy_that_was_killed_is_ended_by_the_same_command(
    kept: Kept, tmp_path: Path, bare_forge: Forge
) -> None:
    target, env = str(tmp_path / "target"), {**os.environ, "CALLSHEET_HOME": str(kept.settings.home)}
    dying = bare_forge.start([BATCH, target], tmp_path, env, "tests.support.whole_batch:copy_and_die")
    wait_for(lambda: dying.poll() is not None)
    assert dying.returncode == -9, dying.communicate(1)
    assert await at(kept, target).names("_SUCCESS") == []
    done = bare_forge.start(["archive", "copy", BATCH, target, "--json"], tmp_path, env)
    wait_for(lambda: done.poll() is not None)
    stdout, stderr = done.communicate(1)
    told = json.loads(stdout.splitlines()[-1])
    assert (told["exit_code"], told["complete"], told["left"]) == (0, True, {}), stderr
    assert told["present"] >= 1
    await at(kept, target).assert_whole()
    names = await at(kept, target).names()
    assert len(names) == len(await kept.names())


async def test_what_cannot_be_a_target_is_refused(kept: Kept, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    (tmp_path / "link").symlink_to(kept.settings.archive_uri)
    for same in (kept.settings.archive_uri, f"{kept.settings.archive_uri}/", str(tmp_path / "link")):
        with pytest.raises(SettingsError, match="is the archive that the batch is in"):
            await copied(kept, same)
    with pytest.raises(SettingsError, match=r"gs://bucket/prefix"):
        await copied(kept, "s3://bucket")
    with pytest.raises(ArchiveError, match="file"):
        await copied(kept, str(tmp_path / "file"))
    with pytest.raises(SettingsError, match=r"Did you mean sheet\.rehearsal"):
        await copy_to(kept.settings, "sheet.rehersal", str(tmp_path / "target"), tell_nobody)
    assert not (tmp_path / "target").exists()
    [checked] = await verify_archive(kept.settings, [], deep=True, mend=False, tell=tell_nobody)
    assert checked.whole


async def test_a_missing_or_forbidden_bucket_ends_the_copy_at_once(kept: Kept, gcs_proxy: Proxy) -> None:
    kept.settings = kept.settings.model_copy(update={"storage_emulator_host": gcs_proxy.url})
    with pytest.raises(ArchiveError, match="gcloud storage buckets describe"):
        await copied(kept, "gs://no-such-bucket/x")
    assert isinstance(await kept.marker(), Success)
