"""What derived files say of themselves: XMP in all, Content Credentials when asked for; and what to tell of cuts."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import av
import c2pa
import pytest
from PIL import Image

from callsheet.archive.sidecar import SCHEMA_VERSION, CutRecord, Sidecar
from callsheet.archive.sidecar_io import parse_sidecar, sidecar_bytes
from callsheet.archive.sidecar_parts import Disclosure
from callsheet.archive.spool import Spool
from callsheet.batch.open import open_run
from callsheet.batch.request import RunRequest
from callsheet.context.context import RunContext
from callsheet.context.shot_state import ShotState
from callsheet.errors import SettingsError
from callsheet.files import digest_file
from callsheet.ledger import Ledger
from callsheet.media.provenance import AI_GENERATED, read_jpeg_xmp, read_mp4_xmp
from callsheet.media.signing import is_signed
from callsheet.report.page_parts import posting
from callsheet.settings import load_settings
from callsheet.shots import Asset, ShotOutcome
from callsheet.steps.clips import make_clips
from callsheet.steps.cuts import make_cuts
from callsheet.steps.frames import choose_takes
from callsheet.steps.images import make_images
from callsheet.steps.sidecar import sidecar_of
from tests.support.self_made_chain import Chain, make_chain
from tests.support.service import Service

# What the module makes once is made in one process.
pytestmark = pytest.mark.xdist_group("disclosure")

SHEET = "id,prompt,takes,seed,motion_prompt,duration_s,cuts\nkite,A kite over dunes,1,5,It climbs,4,{cuts}\n"


@contextlib.asynccontextmanager
async def studio_at(
    service: Service, folder: Path, chain: Chain | None = None, cuts: str = "16x9"
) -> AsyncIterator[tuple[RunContext, ShotState]]:
    (folder / "sheet.csv").write_text(SHEET.format(cuts=cuts))
    signing = {"c2pa_cert": chain.cert, "c2pa_key": chain.key} if chain else {}
    given = load_settings(home=folder / "home", gemini_base_url=service.url, **signing)
    async with open_run(RunRequest(str(folder / "sheet.csv")), given) as (run, asked):
        await run.resources.ledger.open_batch(run.batch, [("kite", 0)])
        yield run, ShotState(asked.shots[0])


async def make(run: RunContext, work: ShotState) -> None:
    await make_images(run, work)
    await choose_takes(run, work)
    await make_clips(run, work)
    await make_cuts(run, work)


def xmp_of(path: Path) -> str:
    """As other programs read it."""
    if path.suffix == ".mp4":
        with av.open(str(path), options={"export_xmp": "1"}) as container:
            return str(container.metadata.get("xmp", ""))
    with Image.open(path) as image:
        return image.info.get("xmp", b"").decode()


@pytest.mark.long
async def test_every_derived_file_is_marked_and_no_original_is_touched(service: Service, tmp_path: Path) -> None:
    async with studio_at(service, tmp_path, cuts="9x16;16x9") as (run, work):
        await make(run, work)
        assert work.failures_of_all() == []
        assert {cut.making.how for cut in work.cuts} == {"copy", "crop"}, "both ways of making a cut"
        assets = list(run.state.assets["kite"].values())
        received = {job.sha256 for job in await run.resources.ledger.find_stored()}
    originals = [asset for asset in assets if asset.kind in ("take", "clip")]
    derived = [asset for asset in assets if asset not in originals]
    assert {asset.kind for asset in derived} == {"cut", "poster", "thumbnail"}
    assert len(derived) == 2 + 3 + 1
    for asset in derived:
        path = Path(asset.uri)
        packet = xmp_of(path)
        assert packet == (read_mp4_xmp if path.suffix == ".mp4" else read_jpeg_xmp)(path)
        assert f'DigitalSourceType="{AI_GENERATED}"' in packet
        assert f'dc:identifier="{asset.parent}"' in packet
        assert 'AISystemUsed="' in packet
        assert 'AISystemUsed=""' not in packet
    for asset in originals:
        path = Path(asset.uri)
        assert digest_file(path).sha256 == asset.sha256
        assert asset.sha256 in received, "what is archived is what was received"
        assert AI_GENERATED not in xmp_of(path)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return make_chain(tmp_path_factory.mktemp("chain"))


@pytest.mark.long
async def test_cuts_are_signed_once_though_the_run_is_killed(
    service: Service, chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at the worst moment: the archive has the cut, and nobody wrote that down."""

    class Killed(BaseException):
        pass

    async def kill(ledger: Ledger, assets: list[Asset]) -> None:
        if assets[0].kind == "cut":
            raise Killed
        await add(ledger, assets)

    add = Ledger.add_assets
    monkeypatch.setattr(Ledger, "add_assets", kill)
    with pytest.raises((Killed, BaseExceptionGroup)):
        async with studio_at(service, tmp_path, chain) as (run, work):
            await make(run, work)
    monkeypatch.undo()
    before = cuts_in(tmp_path)
    assert before
    async with studio_at(service, tmp_path, chain) as (run, work):
        await make(run, work)
        assert work.failures_of_all() == []
        record = sidecar_of(run.batch, work, ShotOutcome.DONE, datetime.now(UTC))
    after = cuts_in(tmp_path)
    assert after == before, "the same one file"
    assert len(after) == 1
    assert [cut.signed for cut in record.cuts] == [True]
    check_signed(work)
    # Once more, with the cuts on record and another run's settings: they are what they are.
    async with studio_at(service, tmp_path) as (run, work):
        for asset in await run.resources.ledger.assets_of(run.batch.name):
            run.state.add_asset(asset)
        await make(run, work)
    assert [cut.signed for cut in work.cuts] == [True]
    assert cuts_in(tmp_path) == after


def check_signed(work: ShotState) -> None:
    clip = work.clips[0].asset
    assert clip is not None
    assert not is_signed(Path(clip.uri)), "the clip stays as it was received"
    for cut in work.cuts:
        assert cut.asset is not None
        path = Path(cut.asset.uri)
        assert digest_file(path).sha256 == cut.asset.sha256, "what is recorded is the hash of the signed file"
        assert AI_GENERATED in xmp_of(path)
        with c2pa.Reader(str(path)) as reader:
            assert reader.get_validation_state() == "Valid", "whole, though nobody vouches for the root"
            (parent,) = reader.get_active_manifest()["ingredients"]
        assert (parent["relationship"], parent["instance_id"]) == ("parentOf", f"sha256:{clip.sha256}")
        assert parent["title"] == clip.name


def cuts_in(folder: Path) -> set[Path]:
    return set((folder / "home" / "archive").rglob("cut-*.mp4"))


def test_the_first_file_made_of_another_is_remembered_until_the_archive_has_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    first, second = spool.write(b"first"), spool.write(b"second")
    assert spool.find_derived("ab" * 32) is None
    assert spool.note_made("ab" * 32, first.path) == first.path
    assert spool.note_made("ab" * 32, second.path) == first.path
    assert Spool(tmp_path).find_derived("ab" * 32) == first.path
    spool.close()
    spool = Spool(tmp_path)
    first.path.unlink()
    assert spool.find_derived("ab" * 32) is None, "a note of what is gone counts for nothing"
    assert spool.note_made("ab" * 32, second.path) == second.path


def test_notes_go_with_the_files_that_are_archived(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    one, other = spool.write(b"one"), spool.write(b"other")
    spool.note_made("aa" * 32, one.path)
    spool.note_made("bb" * 32, other.path)
    assert spool.empty([one.sha256])
    assert spool.find_derived("bb" * 32) == other.path
    assert len(list((tmp_path / "made").iterdir())) == 1


async def test_a_run_that_could_not_sign_does_not_begin(service: Service, chain: Chain, tmp_path: Path) -> None:
    old = make_chain(tmp_path / "old", days_left=-1)
    with pytest.raises(SettingsError, match="not today"):
        async with studio_at(service, tmp_path, old):
            pass
    assert service.counts()["accepted"] == {"image": 0, "video": 0}
    assert not (tmp_path / "home").exists()


def test_the_disclosure_names_the_box_of_each_platform() -> None:
    text = posting([Disclosure()])
    assert "tick “AI-generated content” on TikTok" in text
    assert text.index("if it looks real") < text.index("YouTube") < text.index("Meta")
    told = CutRecord(spec="9x16", take=None).model_dump()["disclosure"]
    assert told["platform_toggle"]["tiktok"]["api"] == "post_info.is_aigc"
    assert told["platform_toggle"]["youtube"]["api"] == "status.containsSyntheticMedia"
    assert (told["ai_generated"], told["digital_source_type"], told["label_text"]) == (
        True,
        AI_GENERATED,
        "Made with AI",
    )


def test_a_sidecar_of_the_first_version_is_still_read() -> None:
    sidecar = Sidecar(
        campaign="c", batch="c.live", mode="live", shot="kite", line=2, prompt="A kite", state="done",
        cuts=(CutRecord(spec="9x16", take=1, how="copy"),), updated=datetime(2026, 11, 20, tzinfo=UTC),
    )  # fmt: skip
    new = sidecar_bytes(sidecar).decode()
    assert f'"schema_version": {SCHEMA_VERSION}' in new
    old = json.loads(new)
    old["schema_version"] = 1
    for cut in old["cuts"]:
        del cut["signed"], cut["disclosure"]["platform_toggle"]
    read = parse_sidecar(json.dumps(old).encode(), "shot.json")
    assert read.cuts == sidecar.cuts
