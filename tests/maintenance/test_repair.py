"""An archive is checked against its records, and repaired from whatever still has what is lost, without paying."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callsheet.archive.verify import Finding, findings, is_whole
from callsheet.clock import Clock
from callsheet.errors import SettingsError
from callsheet.ledger import Ledger
from callsheet.maintenance.service import Checked, verify_archive
from callsheet.reconcile.inspect import tell_nobody
from tests.support.cared_for import BATCH, PREFIX, Kept, copy_of, finished_batch
from tests.support.forked import Forge
from tests.support.gcs_proxy import Proxy
from tests.support.waiting import wait_for

# What the module makes once is made in one process.
pytestmark = pytest.mark.xdist_group("care")

GALLERY, MARKER = f"{PREFIX}/gallery.html", f"{PREFIX}/_SUCCESS.json"
CUP, KITE = f"{PREFIX}/shots/cup/shot.json", f"{PREFIX}/shots/kite/shot.json"
MEDIA = ("take-", "clip-", "cut-", "poster-", "thumb-")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    with finished_batch(tmp_path_factory.mktemp("made")) as made:
        yield made


@pytest.fixture
async def folder(made: Kept, tmp_path: Path) -> Kept:
    return await copy_of(made, tmp_path, None)


@pytest.fixture(params=["folder", "bucket"])
async def kept(request: pytest.FixtureRequest, made: Kept, tmp_path: Path, gcs_server: str) -> Kept:
    return await copy_of(made, tmp_path, gcs_server if request.param == "bucket" else None)


def of(checked: Checked, *wrong: str) -> set[str]:
    """The names in the findings of these kinds that are not mended."""
    return {one.name for one in checked.findings if one.wrong in wrong and not one.mended}


def told(checked: Checked, name: str) -> Finding:
    [one] = [one for one in checked.findings if one.name == name]
    return one


async def test_a_finished_batch_is_whole(kept: Kept) -> None:
    for deep in (False, True):
        checked = await kept.verify(deep=deep)
        assert (checked.whole, checked.status, checked.findings) == (True, "finished", ())
        assert checked.objects == len([name for name in await kept.names() if name.startswith(PREFIX)])


async def test_everything_that_is_lost_or_changed_is_found_and_put_right(kept: Kept) -> None:
    paid, before = kept.accepted(), {name: await kept.read(name) for name in await kept.names(*MEDIA)}
    [clip], [cut], [part] = [await kept.names(kind) for kind in ("clip-", "cut-", BATCH)]
    poster, thumbnail = (await kept.names("poster-"))[0], (await kept.names("thumb-"))[0]
    await kept.lose(clip, thumbnail, CUP, GALLERY)
    await kept.write(cut, before[cut][:-9] + b"otherwise")
    await kept.write(poster, before[poster][:-100])
    await kept.write(part, (await kept.read(part))[:-40])
    await kept.write(MARKER, b'{"schema_version": 1')
    names = await kept.names()

    found = await kept.verify(deep=True)
    assert of(found, "missing") == {clip, thumbnail, CUP, GALLERY}
    assert of(found, "changed") == {cut, poster, part, MARKER}
    assert (found.whole, await kept.names()) == (False, names), "looking changes nothing"

    repaired = await kept.verify(deep=True, repair=True)
    assert repaired.whole, repaired.findings
    assert all(one.done for one in repaired.findings)
    await kept.assert_whole()
    assert {name: await kept.read(name) for name in before} == before
    assert (await kept.marker()).complete
    aside = [name.rpartition("/")[2] for name in await kept.names() if ".damaged/" in name]
    assert sorted(aside) == sorted(name.rpartition("/")[2] for name in (cut, poster, part))
    assert kept.accepted() == paid


async def test_a_bucket_tells_by_its_metadata_what_a_folder_tells_only_by_reading(
    made: Kept, tmp_path: Path, gcs_proxy: Proxy
) -> None:
    for place, found_fast in ((None, False), (gcs_proxy.url, True)):
        kept = await copy_of(made, tmp_path / str(found_fast), place)
        [clip] = await kept.names("clip-")
        data = await kept.read(clip)
        await kept.write(clip, bytes([*data[:-1], data[-1] ^ 1]))
        gcs_proxy.seen.clear()
        assert (of(await kept.verify(), "changed") == {clip}) == found_fast
        assert not any(clip.rpartition("/")[2] in line for line in gcs_proxy.seen), "no request for a single file"
        assert of(await kept.verify(deep=True), "changed") == {clip}
        await kept.verify(deep=True, repair=True)
        await kept.assert_whole()


async def test_what_nobody_lists_is_told_and_left(kept: Kept) -> None:
    strange = {f"{PREFIX}/shots/cup/notes.txt", f"{PREFIX}/own.psd"}
    for name in strange:
        await kept.write(name, b"a person's")
    checked = await kept.verify(repair=True)
    assert (of(checked, "foreign"), checked.whole) == (strange, True)
    for name in strange:
        assert await kept.read(name) == b"a person's"


async def test_what_nobody_has_any_more_stays_lost_and_the_marker_says_so_until_it_is_back(folder: Kept) -> None:
    [take] = [name for name in await folder.names("take-") if "/cup/" in name]
    data = await folder.read(take)
    await folder.lose(take)
    checked = await folder.verify(repair=True)
    assert of(checked, "missing") == {take}
    assert "neither in" in told(checked, take).done
    marker = await folder.marker()
    assert (marker.complete, marker.unfinished, marker.damaged) == (False, ("cup",), ("cup",))
    await folder.write(take, data)
    assert (await folder.verify(repair=True)).whole
    marker = await folder.marker()
    assert (marker.complete, marker.damaged) == (True, ())


async def test_a_wrong_file_stays_where_it_is_while_the_right_bytes_are_nowhere(folder: Kept) -> None:
    [take] = [name for name in await folder.names("take-") if "/cup/" in name]
    await folder.write(take, b"retouched")
    assert of(await folder.verify(repair=True), "changed") == {take}
    assert await folder.read(take) == b"retouched"


async def test_another_shots_copy_of_the_same_bytes_serves(folder: Kept) -> None:
    [cup] = [name for name in await folder.names("take-") if "/cup/" in name]
    data, file = await folder.read(cup), cup.rpartition("/")[2]
    async with await Ledger.open(folder.settings.ledger_url, clock=Clock()) as ledger:
        [asset] = [one for one in await ledger.assets_of(BATCH) if one.name == file]
        await ledger.add_assets([replace(asset, shot="kite")])
    await folder.write(f"{PREFIX}/shots/kite/{file}", data)
    await folder.lose(cup)
    assert (await folder.verify(repair=True)).whole
    assert await folder.read(cup) == data


def _no_json(sidecar: dict[str, Any]) -> bytes:
    return json.dumps(sidecar).encode()[:-20]


def _other_schema(sidecar: dict[str, Any]) -> bytes:
    return json.dumps({**sidecar, "takes": "none"}).encode()


def _outside(sidecar: dict[str, Any]) -> bytes:
    sidecar["takes"][0]["file"]["file"] = "../../../../escaped.jpg"
    return json.dumps(sidecar).encode()


def _empty(sidecar: dict[str, Any]) -> bytes:
    return b""


@pytest.mark.parametrize("damage", [_no_json, _other_schema, _outside, _empty])
async def test_a_sidecar_that_cannot_be_believed_is_written_anew(
    folder: Kept, damage: Callable[[dict[str, Any]], bytes]
) -> None:
    before = json.loads(await folder.read(KITE))
    await folder.write(KITE, damage(json.loads(await folder.read(KITE))))
    assert KITE in of(await folder.verify(), "changed")
    assert (await folder.verify(repair=True)).whole
    await folder.assert_whole()
    after = json.loads(await folder.read(KITE))
    for part in (*before["takes"], *after["takes"]):
        del part["score"], part["why"]
    for one in (*before["takes"], *before["clips"], *after["takes"], *after["clips"]):
        del one["job"]["state"]
    for name in ("variables", "select", "updated"):
        before.pop(name), after.pop(name)
    assert after == before
    assert not list(folder.settings.home.parent.rglob("escaped*"))


async def test_what_a_newer_callsheet_wrote_is_left_alone(folder: Kept) -> None:
    newer = {**json.loads(await folder.read(CUP)), "schema_version": 99, "mood": "calm"}
    await folder.write(CUP, json.dumps(newer).encode())
    checked = await folder.verify(repair=True)
    assert of(checked, "changed") >= {CUP}
    assert "newer callsheet" in told(checked, CUP).why
    assert json.loads(await folder.read(CUP)) == newer


async def test_the_catalogue_is_rebuilt_from_sidecars_alone(kept: Kept) -> None:
    rows = sorted(map(str, (await kept.evidence()).rows))
    await kept.lose(*await kept.names(BATCH))
    assert len(of(await kept.verify(), "uncatalogued")) == len(rows)
    assert (await kept.verify(repair=True)).whole
    assert sorted(map(str, (await kept.evidence()).rows)) == rows


@pytest.mark.long
async def test_without_a_ledger_sidecars_say_what_the_provider_can_be_asked_for(kept: Kept) -> None:
    [clip] = await kept.names("clip-")
    data, paid = await kept.read(clip), kept.accepted()
    await kept.lose(clip, *await kept.names("cut-"))
    for path in kept.settings.home.glob("ledger.db*"):
        path.unlink()
    shutil.rmtree(kept.settings.home / "spool")
    assert (await kept.verify(repair=True)).whole
    assert await kept.read(clip) == data
    assert kept.accepted() == paid


async def test_what_is_made_again_with_other_bytes_has_another_name_and_no_row_of_the_old_one_is_left(
    folder: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = set(await folder.names("poster-"))
    await folder.lose(*old)
    monkeypatch.setattr("callsheet.media.stills.JPEG_QUALITY", 60)
    checked = await folder.verify(repair=True)
    assert checked.whole, checked.findings
    await folder.assert_whole()
    new = set(await folder.names("poster-"))
    assert (len(new), new & old) == (len(old), set())
    listed = {row["file"] for row in (await folder.evidence()).rows if row["kind"] == "poster"}
    assert listed == {name.rpartition("/")[2] for name in new}


async def test_a_batch_that_is_not_there_is_told_with_those_that_are(folder: Kept) -> None:
    async def verified(name: str) -> None:
        await verify_archive(folder.settings, [name], deep=False, mend=False, tell=tell_nobody)

    for name in ("sheet.rehersal", "shett.rehearsal"):
        with pytest.raises(SettingsError, match=r"Did you mean sheet\.rehearsal"):
            await verified(name)
    for name in ("../../etc", "", "sheet.rehearsal/..", "spring.live"):
        with pytest.raises(SettingsError, match="has no batch"):
            await verified(name)


async def test_a_batch_whose_folder_is_gone_is_still_looked_for(folder: Kept) -> None:
    shutil.rmtree(Path(folder.settings.archive_uri) / "sheet")
    [checked] = await verify_archive(folder.settings, [], deep=False, mend=False, tell=tell_nobody)
    assert (checked.batch, checked.objects, checked.whole) == (BATCH, 0, False)


async def test_of_any_files_that_are_gone_exactly_those_are_missing(made: Kept) -> None:
    whole = await made.evidence()

    @given(st.sets(st.sampled_from(sorted(whole.list_all()))))
    @settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
    def holds(gone: set[str]) -> None:
        left = {name: stat for name, stat in whole.files.items() if name not in gone}
        found = findings(replace(whole, files=left))
        assert {one.name for one in found if one.wrong == "missing"} == gone
        assert is_whole(found) == (not gone)

    holds()


async def test_the_command_tells_in_words_and_json_and_ends_with_3_while_something_is_wrong(
    folder: Kept, tmp_path: Path, bare_forge: Forge
) -> None:
    def ran(*args: str) -> tuple[int | None, str, str]:
        env = {**os.environ, "CALLSHEET_HOME": str(folder.settings.home)}
        process = bare_forge.start(["archive", *args, "--json"], tmp_path, env)
        wait_for(lambda: process.poll() is not None)
        return process.poll(), *process.communicate(1)

    await folder.lose(CUP)
    await folder.write(f"{PREFIX}/notes.txt", b"a person's")
    code, stdout, stderr = ran("verify", BATCH)
    told = json.loads(stdout.splitlines()[-1])
    assert (code, told["exit_code"], told["counts"]["missing"], told["counts"]["foreign"]) == (3, 3, 1, 1)
    assert {one["name"]: one["wrong"] for one in told["batches"][0]["findings"]}[CUP] == "missing"
    assert "--repair" in stderr
    code, stdout, _ = ran("verify", "--repair")
    told = json.loads(stdout.splitlines()[-1])
    assert (code, told["counts"]["repaired"], told["counts"]["foreign"]) == (0, 1, 1)
    assert "Written anew" in stdout
    code, stdout, stderr = ran("verify", "shet.rehearsal")
    assert (code, json.loads(stdout)["exit_code"], "Did you mean" in stderr) == (2, 2, True)
    code, stdout, stderr = ran("copy", BATCH, folder.settings.archive_uri)
    assert (code, "Traceback" in stdout + stderr) == (2, False)
