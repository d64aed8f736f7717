"""Social cuts on demand: clips in the archive cut anew, for nothing, and listed where people look for them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from callsheet.archive.sidecar_io import parse_sidecar
from callsheet.archive.spots import SpotRecord
from callsheet.batch.recut import CutsRequest, choose_batches, more_cuts
from callsheet.batch.request import RunRequest
from callsheet.batch.spot import SpotRequest, make_spot_of
from callsheet.errors import UsageError
from callsheet.ledger import BatchRow
from callsheet.maintenance.service import copy_to
from callsheet.media.probe import probe_video
from callsheet.media.provenance import AI_GENERATED, read_jpeg_xmp, read_mp4_xmp
from callsheet.orchestration.forms import SpotOf
from callsheet.shots import Batch
from callsheet.steps.sidecar import shot_of
from tasks.on_demand import join_spot
from tests.support.cared_for import BATCH, PREFIX, Kept, copy_of, finished_batch
from tests.support.cli import Cli
from tests.support.whole_batch import whole_batch

KITE = f"{PREFIX}/shots/kite/shot.json"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    with finished_batch(tmp_path_factory.mktemp("made")) as made:
        yield made


@pytest.fixture
async def folder(made: Kept, tmp_path: Path) -> Kept:
    return await copy_of(made, tmp_path, None)


async def test_clips_are_cut_anew_for_nothing_and_listed_everywhere(folder: Kept) -> None:
    paid = folder.accepted()
    [first] = await more_cuts(folder.settings, CutsRequest(("9x16", "1x1"), batch=BATCH))
    assert first["cuts"] == {"created": 1, "reused": 1, "failed": 0}
    assert [(one["shot"], one["platform"], one["aspect"]) for one in first["files"]] == [("kite", "9x16", "9x16")]

    sidecar = parse_sidecar(await folder.read(KITE), KITE)
    assert [cut.spec for cut in sidecar.cuts] == ["1x1", "9x16"]
    assert shot_of(sidecar).cuts == ("1x1", "9x16"), "a repair makes it again"
    assert sidecar.cuts[1].file is not None
    assert sidecar.cuts[1].file.file in (await folder.read(f"{PREFIX}/gallery.html")).decode()
    assert (await folder.marker()).complete
    await folder.assert_whole()

    [again] = await more_cuts(folder.settings, CutsRequest(("9x16", "1x1"), batch=BATCH))
    assert (again["cuts"], again["files"]) == ({"created": 0, "reused": 2, "failed": 0}, [])
    assert folder.accepted() == paid


async def test_a_cut_that_a_killed_process_did_not_list_is_listed_by_the_next(folder: Kept) -> None:
    before = await folder.read(f"{PREFIX}/_SUCCESS.json")
    await more_cuts(folder.settings, CutsRequest(("4x5",), batch=BATCH))
    await folder.write(f"{PREFIX}/_SUCCESS.json", before)
    assert not (await folder.verify()).whole
    [again] = await more_cuts(folder.settings, CutsRequest(("4x5",), batch=BATCH))
    assert again["cuts"] == {"created": 0, "reused": 1, "failed": 0}
    await folder.assert_whole()


@pytest.mark.long
@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (CutsRequest(("9x16",), batch="other.live"), r"no batch 'other.live'.*Its batches: sheet.rehearsal"),
        (CutsRequest(("9x16",), campaign="sheet"), "campaign 'sheet' with live batches"),
        (CutsRequest(("9x16",)), "Name a batch or a campaign"),
        (CutsRequest(("9x16",), batch=BATCH, campaign="sheet"), "one of the two"),
        (CutsRequest(("reel",), batch=BATCH), "no cut 'reel'. Did you mean reels"),
        (CutsRequest((), batch=BATCH), "No platform was given"),
        (CutsRequest(("reels",), batch=BATCH, focus="up"), "'up'.*Nothing was cut"),
        (CutsRequest(("reels",), words=("sea",), mode="rehearsal"), "No clip in rehearsal batches fits 'sea'"),
        (CutsRequest(("9x16",), batch=BATCH, shots=("kit",)), "no shot 'kit'.*It has: kite, cup"),
    ],
)
async def test_what_cannot_be_meant_is_refused(made: Kept, asked: CutsRequest, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        await more_cuts(made.settings, asked)


def test_a_campaign_means_its_newest_batch_or_all_of_them() -> None:
    start = datetime(2026, 11, 20, tzinfo=UTC)

    def row(edition: str, mode: str, days: int) -> BatchRow:
        at = start + timedelta(days=days)
        batch = Batch("ads", edition, "live" if mode == "live" else "rehearsal")
        return BatchRow(batch, Decimal(0), Decimal(0), at, at)

    rows = [row("c", "rehearsal", 2), row("b", "live", 1), row("a", "live", 0)]
    asked = CutsRequest(("1x1",), campaign="ads", mode="live")
    assert [one.name for one in choose_batches(rows, asked)] == ["ads.b.live"]
    every = CutsRequest(("1x1",), campaign="ads", mode="live", editions="all")
    assert [one.name for one in choose_batches(rows, every)] == ["ads.b.live", "ads.a.live"]


def test_the_command_tells_what_it_cut(made: Kept, bare_cli: Cli) -> None:
    asked = ("--query", "dunes climbs", "--for", "stories", "--aspect", "16:9", "--json")
    done = bare_cli("cuts", *asked, CALLSHEET_HOME=str(made.settings.home))
    assert done.exit_code == 0, done.stderr
    assert done.json["batches"][0]["cuts"] == {"created": 2, "reused": 0, "failed": 0}
    told = [line.split(":")[0].split() for line in done.stderr.splitlines()[1:3]]
    assert told == [["stories", "kite"], ["16x9", "kite"]]


@pytest.mark.long
async def test_a_spot_is_archived_with_its_pictures_and_record_and_is_not_foreign(folder: Kept, tmp_path: Path) -> None:
    paid = folder.accepted()
    asked = SpotRequest(BATCH, "launch", shots=("kite", "kite"))
    first = await make_spot_of(folder.settings, asked)
    assert (first["made"], first["how"], [part["shot"] for part in first["parts"]]) == (True, "copy", ["kite", "kite"])
    spots = Path(first["uri"]).parent
    assert len(list(spots.glob("launch-*"))) == 5
    record = SpotRecord.model_validate_json(next(spots.glob("launch-*.json")).read_text())
    clip = probe_video(next((spots.parent / "shots" / "kite").glob("clip-*.mp4")))
    assert record.file.duration_s == pytest.approx(2 * clip.duration_s)
    for one in record.files:
        assert (spots / one.file).stat().st_size == one.size
    assert AI_GENERATED in read_mp4_xmp(spots / record.file.file)
    assert AI_GENERATED in read_jpeg_xmp(spots / record.sheet.file)
    assert (await folder.verify()).findings == ()

    again = await make_spot_of(folder.settings, asked)
    assert (again["made"], again["uri"]) == (False, first["uri"])
    (spots / record.file.file).unlink()
    [gone] = (await folder.verify()).findings
    assert (gone.name.rpartition("/")[2], gone.wrong) == (record.file.file, "missing")
    remade = await make_spot_of(folder.settings, asked)
    assert (remade["made"], remade["uri"]) == (True, first["uri"])
    assert (await folder.verify()).findings == ()
    copied, place = await copy_to(folder.settings, BATCH, str(tmp_path / "copy"), lambda *_: None)
    assert copied.complete
    assert len(list((Path(place) / "spots").glob("launch-*"))) == 5
    assert folder.accepted() == paid
    assert PREFIX in first["uri"]


@pytest.mark.long
async def test_the_gallery_shows_a_spot_and_keeps_it_when_it_is_written_again(
    folder: Kept, made: Kept, bare_cli: Cli
) -> None:
    home = str(folder.settings.home)

    async def films() -> list[str]:
        return re.findall(r'src="(spots/[^"]+)"', (await folder.read(f"{PREFIX}/gallery.html")).decode())

    done = bare_cli("assemble", BATCH, "--name", "launch", "--shot", "kite", "--shot", "kite", CALLSHEET_HOME=home)
    assert done.exit_code == 0, done.stderr
    [film] = await films()
    assert (Path(home) / "archive" / PREFIX / film).is_file()

    await more_cuts(folder.settings, CutsRequest(("9x16",), batch=BATCH))
    assert await films() == [film]
    report = await whole_batch(RunRequest(str(made.settings.home.parent / "sheet.csv")), folder.settings)
    assert report.exit_code == 0
    assert await films() == [film]


@pytest.mark.long
async def test_a_lost_spot_is_made_again_by_a_repair_with_what_it_is_joined_of(folder: Kept) -> None:
    shots = ("kite", "kite")
    film = (await make_spot_of(folder.settings, SpotRequest(BATCH, cut="1x1", shots=shots, crossfade_s=0.3)))["uri"]
    name = f"{PREFIX}/spots/{film.rpartition('/')[2]}"
    before = await folder.read(name)
    [cut] = await folder.names("cut-1x1")
    [sheet] = await folder.names("spot-sheet")
    await folder.lose(name, cut, sheet)
    repaired = await folder.verify(repair=True)
    assert repaired.whole
    assert sheet in [one.name for one in repaired.findings]
    assert await folder.names("spot-sheet") == [sheet]
    assert {one.done.partition(".")[0] for one in repaired.findings if one.name == name} == {
        "Made again of its 2 parts"
    }
    assert await folder.read(name) == before
    assert name.rpartition("/")[2] in (await folder.read(f"{PREFIX}/gallery.html")).decode()
    assert (await folder.verify()).findings == ()


async def test_a_lost_spot_whose_parts_are_not_listed_any_more_is_told_with_the_command(folder: Kept) -> None:
    film = (await make_spot_of(folder.settings, SpotRequest(BATCH, "two", shots=("kite", "kite"))))["uri"]
    name = f"{PREFIX}/spots/{film.rpartition('/')[2]}"
    record = f"{name.removesuffix('.mp4')}.json"
    told = SpotRecord.model_validate_json(await folder.read(record))
    parts = tuple(part.model_copy(update={"sha256": "0" * 64}) for part in told.parts)
    await folder.write(record, told.model_copy(update={"parts": parts}).model_dump_json().encode())
    await folder.lose(name)
    repaired = await folder.verify(repair=True)
    [finding] = repaired.findings
    assert not repaired.whole
    assert "no longer lists clip-" in finding.done
    assert f"callsheet assemble {BATCH} --name two --shot kite --shot kite`" in finding.done


async def test_the_task_of_the_flow_joins_what_the_form_asks_for(folder: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLSHEET_HOME", str(folder.settings.home))
    form = SpotOf(campaign="sheet", shots=["kite", "kite"])
    made = await join_spot.fn(form.request("1x1", 0.0, "square"))
    assert (made["made"], made["batch"], made["name"], made["how"]) == (True, BATCH, "square", "copy")
    assert await folder.read(f"{PREFIX}/spots/{made['uri'].rpartition('/')[2]}")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (SpotRequest("other.live"), r"no batch 'other.live'.*Its batches: sheet.rehearsal.*ledger rebuild"),
        (SpotRequest(campaign="other"), "no campaign 'other' with rehearsal batches"),
        (SpotRequest(), "Name a batch or a campaign"),
        (SpotRequest(BATCH, "../x"), "cannot be a spot's name"),
        (SpotRequest(BATCH, crossfade_s=-1.0), "A crossfade lasts 0 to 5 s"),
        (SpotRequest(BATCH, shots=("kit",)), "no shot 'kit'.*It has: kite, cup"),
        (SpotRequest(BATCH, shots=("kite", "cup")), "shot cup has no clip"),
        (SpotRequest(BATCH, cut="reels", shots=("kite",)), "has no cut reels.*callsheet cuts"),
        (SpotRequest(BATCH, cut="reel"), "no cut 'reel'. Did you mean reels"),
        (SpotRequest(BATCH), "needs two parts; the batch has 1 clip"),
    ],
)
async def test_a_spot_that_cannot_be_meant_is_refused(made: Kept, asked: SpotRequest, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        await make_spot_of(made.settings, asked)


def test_the_command_joins_cuts_and_says_where_the_spot_is(made: Kept, bare_cli: Cli) -> None:
    asked = ("--campaign", "sheet", "--for", "1x1", "--shot", "kite", "--shot", "kite", "--json")
    done = bare_cli("assemble", *asked, CALLSHEET_HOME=str(made.settings.home))
    assert done.exit_code == 0, done.stderr
    assert (done.json["how"], Path(done.json["uri"]).is_file()) == ("copy", True)
    assert {part["file"][:7] for part in done.json["parts"]} == {"cut-1x1"}
    assert "2 parts, pictures as they were" in done.stderr


def test_the_form_offers_every_platform_and_takes_words() -> None:
    from pydantic import TypeAdapter

    from callsheet.orchestration.forms import CutsOf, Platforms

    offered = TypeAdapter(Platforms).json_schema()["items"]["enum"]
    assert offered[:5] == ["9x16", "4x5", "1x1", "16x9", "shorts"]
    asked = CutsOf(query="kite dunes", mode="live").request(("reels",), "left")
    assert asked == CutsRequest(("reels",), words=("kite", "dunes"), mode="live", focus="left")
