"""Cuts with captions and logo through a whole batch: what is made anew, what is kept, and what the archive has."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from callsheet.archive.sidecar import Sidecar
from callsheet.archive.sidecar_io import parse_sidecar
from callsheet.batch.recut import CutsRequest, more_cuts
from callsheet.batch.request import RunRequest
from callsheet.clock import Clock
from callsheet.cuts.encode.cut_plan import find_cut, recipe
from callsheet.errors import ArchiveError
from callsheet.ledger import Ledger
from callsheet.maintenance.service import MODES
from callsheet.platforms import Zone, load_platforms
from callsheet.providers.routing import scope_of
from callsheet.reconcile.rebuild_ledger import rebuild
from callsheet.reconcile.sidecar_check import check
from callsheet.settings import Settings, load_settings
from callsheet.shots import Finish
from tests.support.cared_for import BATCH, PREFIX, Kept, copy_of
from tests.support.service import start_service
from tests.support.whole_batch import whole_batch

SHEET = """id,prompt,takes,seed,motion_prompt,duration_s,cuts,captions,logo,focus
kite,A kite over dunes,1,5,It climbs,4,tiny,{captions},logo.png,left
sail,A sail,1,6,It turns,4,{other},,,
"""


# Small pictures, so that the tests are quick.
OWN = """platforms:
  tiny: {inherits: stories, title: Instagram Tiny, size: {width: 180, height: 320, min_short: 0}}
  slim: {inherits: tiktok, title: TikTok Slim, size: {width: 180, height: 320, min_short: 0}}
"""


def write_sheet(folder: Path, captions: str = "Fly higher", other: str = "16x9") -> None:
    (folder / "sheet.csv").write_text(SHEET.format(captions=captions, other=other))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    folder = tmp_path_factory.mktemp("made")
    data = BytesIO()
    Image.new("RGBA", (64, 32), "orange").save(data, "PNG")
    (folder / "logo.png").write_bytes(data.getvalue())
    write_sheet(folder)
    (folder / "own.yaml").write_text(OWN)
    service = start_service(folder / "service", factor=600, latency={"image": 0, "video": 20})
    settings = load_settings(home=folder / "home", gemini_base_url=service.url, platforms=folder / "own.yaml")
    try:
        report = asyncio.run(whole_batch(RunRequest(str(folder / "sheet.csv")), settings))
        assert report.exit_code == 0, report.sidecars
        yield Kept(settings, service)
    finally:
        service.process.terminate()
        service.process.wait(timeout=20)


@pytest.fixture
async def kept(made: Kept, tmp_path: Path) -> Kept:
    shutil.copy(made.settings.home.parent / "logo.png", tmp_path)
    kept = await copy_of(made, tmp_path, None)
    return Kept(kept.settings.model_copy(update={"platforms": made.settings.platforms}), kept.service)


async def sidecar_of(kept: Kept, shot: str = "kite") -> Sidecar:
    name = f"{PREFIX}/shots/{shot}/shot.json"
    return parse_sidecar(await kept.read(name), name)


async def run_again(kept: Kept, settings: Settings | None = None, **sheet: str) -> dict[str, int]:
    folder = kept.settings.home.parent
    write_sheet(folder, **sheet)
    report = await whole_batch(RunRequest(str(folder / "sheet.csv")), settings or kept.settings)
    assert report.exit_code == 0, report.sidecars
    return dict(report.summary["cuts"])


@pytest.mark.long
async def test_the_sidecar_tells_how_each_cut_was_made(made: Kept) -> None:
    sidecar = await sidecar_of(made)
    assert sidecar.finish is not None
    assert (sidecar.finish.captions, sidecar.finish.focus) == ("Fly higher", "left")
    [logo] = sidecar.finish.files()
    assert await made.names(logo.file) == [f"{PREFIX}/inputs/{logo.file}"]
    [tiny] = sidecar.cuts
    assert (tiny.spec, tiny.how, tiny.crop and tiny.crop[:2]) == ("tiny", "crop", (0, 0))
    assert tiny.subject is not None
    assert (tiny.subject.how, tiny.focus) == ("given", "left")
    assert tiny.lufs is not None
    assert abs(tiny.lufs + 14) < 0.5
    assert tiny.platform is not None
    assert tiny.platform.title == "Instagram Tiny"
    boxes = tiny.disclosure.platform_toggle
    assert (boxes.meta is not None, boxes.tiktok, boxes.youtube) == (True, None, None)
    page = (await made.read(f"{PREFIX}/gallery.html")).decode()
    assert "Instagram Tiny" in page
    assert f"reframed · {tiny.framing}" in page
    await made.assert_whole()


@pytest.mark.long
async def test_edited_captions_make_only_their_own_cuts_anew_and_nothing_is_paid(kept: Kept) -> None:
    paid, before = kept.accepted(), await sidecar_of(kept, "sail")
    assert await run_again(kept, captions="Fly far") == {"created": 1, "reused": 1}
    assert (await sidecar_of(kept)).finish.captions == "Fly far"  # type: ignore[union-attr]
    assert await sidecar_of(kept, "sail") == before
    assert await run_again(kept, captions="Fly far") == {"created": 0, "reused": 2}
    assert await run_again(kept) == {"created": 0, "reused": 2}, "the first ones are still there"
    assert kept.accepted() == paid
    await kept.assert_whole()


@pytest.mark.long
async def test_a_platform_with_other_numbers_gets_another_cut(kept: Kept, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(f"{OWN}  stories: {{loudness: {{lufs: -20}}}}\n")
    assert await run_again(kept, kept.settings.model_copy(update={"platforms": own})) == {"created": 1, "reused": 1}
    [quiet] = (await sidecar_of(kept)).cuts
    assert quiet.lufs is not None
    assert abs(quiet.lufs + 20) < 0.5


@pytest.mark.long
async def test_an_old_cut_without_a_recipe_counts_where_nothing_is_finished(made: Kept) -> None:
    async with await Ledger.open(made.settings.ledger_url, clock=Clock()) as ledger:
        cuts = [one for one in await ledger.assets_of(BATCH) if one.kind == "cut"]
    old = [replace(one, recipe=None) for one in cuts]
    spec, sail = load_platforms().get("16x9"), next(one for one in old if one.shot == "sail")
    clip = sail.parent or ""
    assert find_cut(old, clip, spec, Finish()) == sail
    assert find_cut(old, clip, spec, Finish(label="AI")) is None
    assert find_cut(old, clip, load_platforms().get("reels"), Finish()) is None


def test_a_recipe_leaves_out_what_does_not_show() -> None:
    spec = load_platforms().get("reels")
    plain, lettered = Finish(), Finish(captions="Hello")
    moved = replace(spec, title="Else", facts=(), safe=Zone(0.1, 0.1, 0.1, 0.1))
    assert recipe("a" * 64, spec, plain) == recipe("a" * 64, moved, plain)
    assert recipe("a" * 64, spec, lettered) != recipe("a" * 64, moved, lettered)
    assert recipe("a" * 64, spec, plain) != recipe("b" * 64, spec, plain)
    assert recipe("a" * 64, spec, plain) != recipe("a" * 64, spec, Finish("left"))
    assert recipe("a" * 64, spec, plain) != recipe("a" * 64, replace(spec, max_kbps=1), plain)


@pytest.mark.long
async def test_cuts_are_made_again_from_the_archive_alone(kept: Kept) -> None:
    sidecar = await sidecar_of(kept)
    lost = [cut.file.file for cut in sidecar.cuts if cut.file]
    shutil.rmtree(kept.settings.home / "spool")
    (kept.settings.home.parent / "logo.png").unlink()
    await kept.lose(*(f"{PREFIX}/shots/kite/{name}" for name in lost))
    assert (await kept.verify(repair=True)).whole
    again = await sidecar_of(kept)
    assert [cut.file and cut.file.file for cut in again.cuts] == lost, "to the byte"
    assert [cut.recipe for cut in again.cuts] == [cut.recipe for cut in sidecar.cuts]
    await kept.assert_whole()


async def test_a_finishing_file_that_is_lost_is_put_back_from_the_manifest(kept: Kept) -> None:
    [name] = [name for name in await kept.names() if "/inputs/" in name]
    await kept.lose(name)
    assert [(one.name, one.wrong) for one in (await kept.verify()).findings] == [(name, "missing")]
    assert (await kept.verify(repair=True)).whole
    await kept.assert_whole()


async def test_further_cuts_are_finished_as_the_manifest_asked_without_it(kept: Kept) -> None:
    (kept.settings.home.parent / "logo.png").unlink()
    [told] = await more_cuts(kept.settings, CutsRequest(("slim",), words=("kite",), mode="rehearsal", focus="right"))
    assert told["cuts"] == {"created": 1, "reused": 0, "failed": 0}
    [*_, cut] = (await sidecar_of(kept)).cuts
    assert (cut.spec, cut.focus, cut.subject and cut.subject.how) == ("slim", "right", "given")
    clip, slim = (await sidecar_of(kept)).clips[0].file, load_platforms(kept.settings.platforms).get("slim")
    assert clip is not None
    assert cut.recipe != recipe(clip.sha256, slim, Finish("right")), "with captions and logo"
    await kept.assert_whole()


@pytest.mark.long
async def test_a_run_after_a_kill_still_tells_how_the_cuts_were_made(kept: Kept) -> None:
    before = await sidecar_of(kept)
    await kept.lose(f"{PREFIX}/shots/kite/shot.json")
    assert await run_again(kept) == {"created": 0, "reused": 2}
    [told], [again] = (
        [cut.model_dump(exclude={"file", "poster"}) for cut in one.cuts] for one in (before, await sidecar_of(kept))
    )
    assert told == again
    assert told["lufs"] is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"file": "../../shots/kite/shot.json"}, "not the name of a file that finishes cuts"),
        ({"uri": "http://127.0.0.1/secret"}, "not a file that a manifest can name"),
        ({"size": 2**40}, "not a file that a manifest can name"),
    ],
)
async def test_a_sidecar_that_names_strange_finishing_files_is_not_believed(
    made: Kept, change: dict[str, object], message: str
) -> None:
    sidecar = await sidecar_of(made)
    assert sidecar.finish is not None
    assert sidecar.finish.logo is not None
    finish = sidecar.finish.model_copy(update={"logo": sidecar.finish.logo.model_copy(update=change)})
    with pytest.raises(ArchiveError, match=message):
        check(f"{PREFIX}/shots/kite/shot.json", sidecar.model_copy(update={"finish": finish}))


async def test_a_ledger_that_is_rebuilt_knows_the_recipes(kept: Kept, tmp_path: Path) -> None:
    (kept.settings.home / "ledger.db").unlink()

    async def again(store: object) -> None:
        async with await Ledger.open(kept.settings.ledger_url, clock=Clock()) as ledger:
            await rebuild(ledger, store, {mode: scope_of(kept.settings, mode) for mode in MODES})  # type: ignore[arg-type]

    await kept.having(again)
    assert await run_again(kept) == {"created": 0, "reused": 2}
    async with await Ledger.open(kept.settings.ledger_url, clock=Clock()) as ledger:
        cuts = [one for one in await ledger.assets_of(BATCH, "kite") if one.kind == "cut"]
    assert {(one.details or {}).get("how") for one in cuts} == {"crop"}
