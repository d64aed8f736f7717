"""Contact sheets for the Prefect UI, made of what an archive has."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image

from callsheet.archive.layout import shot_folder
from callsheet.archive.sidecar import ClipRecord, CutRecord, FileRecord, Sidecar, TakeRecord
from callsheet.archive.store_local import LocalStore
from callsheet.platforms import load_platforms
from callsheet.report.contact_sheets import SHEETS_AT_MOST, STILLS_AT_MOST, contact_sheets

NOW = datetime(2026, 11, 21, tzinfo=UTC)
PREFIX = "spring/spring.live"


def file_of(name: str, thumbnail: str | None = None) -> FileRecord:
    return FileRecord(
        file=name, sha256="", md5="", size=1, mime_type="image/jpeg", uri="", created=NOW, thumbnail=thumbnail
    )


def shot(name: str, takes: int, *, thumbnails: bool = True, clip: bool = False) -> Sidecar:
    records = [
        TakeRecord(
            take=n,
            job_key=f"{name}{n}",
            file=file_of(f"take-{n}.png", f"small-{n}.jpg" if thumbnails else None),
            chosen=n == 1,
        )
        for n in range(1, takes + 1)
    ]
    clips = [ClipRecord(take=None, job_key=name, model="veo", poster=file_of("poster.jpg"))] if clip else []
    return Sidecar(
        campaign="spring",
        batch="spring.live",
        mode="live",
        shot=name,
        line=1,
        prompt=f"A prompt of {name}",
        state="done",
        takes=tuple(records),
        clips=tuple(clips),
        updated=NOW,
    )


def store_of(folder: Path, *names: str) -> LocalStore:
    """An archive in which these files of shot folders are pictures."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (320, 180), (200, 60, 60)).save(path, "PNG" if path.suffix == ".png" else "JPEG")
    return LocalStore(folder)


def width(jpeg: bytes) -> int:
    return Image.open(io.BytesIO(jpeg)).width


async def test_a_small_batch_has_a_sheet_for_each_shot_with_pictures(tmp_path: Path) -> None:
    folders = [shot_folder(PREFIX, name) for name in ("boat", "cup", "kite")]
    names = [
        f"{folders[0]}/small-1.jpg",
        f"{folders[0]}/small-2.jpg",
        f"{folders[1]}/take-1.png",
        f"{folders[2]}/poster.jpg",
    ]
    sidecars = [shot("boat", 2), shot("cup", 1, thumbnails=False), shot("kite", 0, clip=True), shot("none", 0)]
    sheets = await contact_sheets(store_of(tmp_path, *names), PREFIX, sidecars)
    assert [sheet.label for sheet in sheets] == ["boat", "cup", "kite"]
    assert sheets[0].note == "done. A prompt of boat."
    assert [width(sheet.jpeg) // 256 for sheet in sheets] == [2, 1, 1]
    assert len({sheet.jpeg for sheet in sheets}) == 3


async def test_a_picture_that_is_gone_leaves_its_tile_blank(tmp_path: Path) -> None:
    (sheet,) = await contact_sheets(store_of(tmp_path), PREFIX, [shot("boat", 2)])
    assert width(sheet.jpeg) // 256 == 2


async def test_a_large_batch_is_put_together_and_the_gallery_has_the_rest(tmp_path: Path) -> None:
    sidecars = [shot(f"s{n:03}", 10) for n in range(SHEETS_AT_MOST * 5)]
    sheets = await contact_sheets(store_of(tmp_path), PREFIX, sidecars)
    assert len(sheets) <= SHEETS_AT_MOST
    assert sheets[0].label == "s000 to s009"
    assert sheets[0].note == "10 shots: 10 done. 90 more pictures are in the gallery"
    many = [shot(f"s{n:03}", 1, thumbnails=False) for n in range(STILLS_AT_MOST + 1)]
    assert await contact_sheets(store_of(tmp_path), PREFIX, many) == []


async def test_what_a_cut_shows_of_its_clip_is_drawn_beside_the_takes(tmp_path: Path) -> None:
    folder = shot_folder(PREFIX, "kite")
    clip = ClipRecord(
        take=None,
        job_key="k",
        model="veo",
        file=file_of("clip.mp4").model_copy(update={"width": 320, "height": 180}),
        poster=file_of("poster.jpg"),
    )
    platform = load_platforms().get("reels")
    cut = CutRecord(
        spec="reels", take=None, how="crop", crop=(0, 0, 102, 180), platform=platform, file=file_of("cut.mp4")
    )
    copy = CutRecord(spec="16x9", take=None, how="copy", file=file_of("copy.mp4"))
    told = shot("kite", 0).model_copy(update={"clips": (clip,), "cuts": (cut, copy)})
    [sheet] = await contact_sheets(store_of(tmp_path, f"{folder}/poster.jpg"), PREFIX, [told])
    assert width(sheet.jpeg) // 256 == 3, "clip, reels, 16x9"
    picture = Image.open(io.BytesIO(sheet.jpeg)).convert("RGB")
    plain, shaded = picture.getpixel((8 + 200, 60)), picture.getpixel((272 + 200, 60))
    assert isinstance(plain, tuple)
    assert isinstance(shaded, tuple)
    assert shaded[0] < plain[0] - 60, "what the cut leaves away is dark"


async def test_a_poster_that_is_no_picture_leaves_the_tile_of_its_cut_blank(tmp_path: Path) -> None:
    folder = shot_folder(PREFIX, "kite")
    clip_file = file_of("clip.mp4").model_copy(update={"width": 320, "height": 180})
    clip = ClipRecord(take=None, job_key="k", model="veo", file=clip_file, poster=file_of("poster.jpg"))
    cut = CutRecord(spec="1x1", take=None, how="crop", crop=(0, 0, 180, 180), file=file_of("cut.mp4"))
    told = shot("kite", 0).model_copy(update={"clips": (clip,), "cuts": (cut,)})
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "poster.jpg").write_bytes(b"no picture")
    assert len(await contact_sheets(LocalStore(tmp_path), PREFIX, [told])) == 1
