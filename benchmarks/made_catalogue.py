"""A catalogue as runs write it, of made-up shots.

Eight files each, through the sidecar and its rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.prompts_table import made_up
from callsheet.archive import layout
from callsheet.archive.catalogue import catalogue_rows, part_bytes
from callsheet.archive.sidecar import ClipRecord, CutRecord, FileRecord, ImageParams, Sidecar, TakeRecord

FILES = 8
BEGAN = datetime(2026, 1, 1, 9, tzinfo=UTC)
TAGS = ("hero", "autumn", "night", "product", "street")


def made_catalogue(root: Path, assets: int, parts: int) -> None:
    """Write a catalogue of about so many assets in so many parts.

    One part a day, each of a batch of its own.
    """
    prompts = [line.partition("\t")[0] for line in made_up(1632)]
    each = assets // FILES // parts
    for number in range(parts):
        campaign, day = f"campaign-{number:04}", BEGAN + timedelta(days=number)
        sidecars = [_build_sidecar(root, campaign, number * each + n, day, prompts) for n in range(each)]
        rows = [row for sidecar in sidecars for row in catalogue_rows(sidecar)]
        target = root / layout.catalogue_part(f"{campaign}.live", day.date(), 1)
        target.parent.mkdir(parents=True)
        target.write_bytes(part_bytes(rows))


def _build_sidecar(root: Path, campaign: str, number: int, day: datetime, prompts: list[str]) -> Sidecar:
    shot, made = f"shot-{number:06}", day + timedelta(seconds=number % 30_000)
    files = _build_files(root, campaign, shot, made)
    stills = [next(files) for _ in range(3)]
    clip, poster, *cuts = files
    texts = [prompts[(number + step) % len(prompts)] for step in (0, 411, 822, 1233)]
    return Sidecar(
        campaign=campaign,
        batch=f"{campaign}.live",
        mode="live",
        shot=shot,
        line=number + 2,
        tags=(TAGS[number % len(TAGS)], "spring"),
        prompt=". ".join(texts),
        motion_prompt=f"Slow dolly towards {texts[0]}, leaves drift by, no speech",
        state="done",
        image=ImageParams(model="gemini-nano-banana-2.1", aspect_ratio="16:9", image_size="2K", seed=number),
        takes=tuple(
            TakeRecord(take=n, job_key=file.sha256[::-1], file=file, usd=0.067) for n, file in enumerate(stills)
        ),
        clips=(ClipRecord(take=1, job_key=clip.sha256[::-1], model="veo-3.1", file=clip, poster=poster, usd=3.2),),
        cuts=tuple(
            CutRecord(spec=spec, take=1, file=file) for spec, file in zip(("9x16", "1x1", "4x5"), cuts, strict=True)
        ),
        updated=made,
    )


def _build_files(root: Path, campaign: str, shot: str, made: datetime) -> Iterator[FileRecord]:
    """Yield three pictures, clip, poster and three cuts.

    Their hashes do not compress, as real ones do not.
    """
    kinds = [("take", "png")] * 3 + [("clip", "mp4"), ("poster", "jpg")] + [("cut", "mp4")] * 3
    for index, (kind, ending) in enumerate(kinds):
        sha256 = hashlib.sha256(f"{shot}/{index}".encode()).hexdigest()
        file = f"{kind}-{sha256[:12]}.{ending}"
        yield FileRecord(
            file=file,
            sha256=sha256,
            md5=sha256[32:],
            size=1_500_000 + index,
            mime_type="video/mp4" if ending == "mp4" else f"image/{ending}",
            uri=f"{root}/{layout.shot_folder(f'{campaign}/{campaign}.live', shot)}/{file}",
            created=made + timedelta(seconds=index),
            width=1280,
            height=720,
            duration_s=8.0 if ending == "mp4" else None,
            parent=sha256[::-1] if kind != "take" else None,
        )
