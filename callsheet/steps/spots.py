"""Spots: clips or cuts of a batch joined into one file in its folder `spots/`.

Nothing here is paid for.

The files are archived first, then the record that lists them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from callsheet.archive import layout
from callsheet.archive.sidecar import ClipRecord, CutRecord, FileRecord, Sidecar
from callsheet.archive.sidecar_parts import Disclosure, disclosure_for
from callsheet.archive.spots import SpotPartRecord, SpotRecord, SpotWish, read_spots, record_name, spot_recipe
from callsheet.archive.store import StoredFile, about_file
from callsheet.context.context import RunContext
from callsheet.cuts.encode.spot import Spot, make_spot
from callsheet.errors import ArchiveLost, SettingsError
from callsheet.jobs.store import fetch
from callsheet.media.contact_sheet import preview_sheet
from callsheet.media.facts import VideoProbe
from callsheet.media.probe import probe_image
from callsheet.media.provenance import Provenance, xmp_packet
from callsheet.media.stills import poster, thumbnail
from callsheet.platforms import PlatformSpec


def choose_parts(sidecars: Sequence[Sidecar], shots: Sequence[str], cut: str | None) -> tuple[SpotPartRecord, ...]:
    """Return the clips (or their cuts `cut`) of these shots, in their order.

    Of all shots when none is named. SettingsError for a shot that is not there or has none, and where there is nothing
    to join. Shots that are not named and have none are passed over.
    """
    known = {sidecar.shot: sidecar for sidecar in sidecars}
    what = f"cut {cut}" if cut else "clip"
    chosen: list[SpotPartRecord] = []
    for shot in shots or known:
        if shot not in known:
            raise SettingsError(
                f"The batch has no shot {shot!r}. Nothing was joined. It has: {', '.join(known)[:500]}."
            )
        found = _of_shot(known[shot], cut)
        if shots and not found:
            hint = f" Make it with `callsheet cuts {known[shot].batch} --for {cut}`." if cut else ""
            raise SettingsError(f"The shot {shot} has no {what} in the archive. Nothing was joined.{hint}")
        chosen += found
    if len(chosen) < 2:
        raise SettingsError(f"A spot needs two parts; the batch has {len(chosen)} {what}(s). Nothing was joined.")
    return tuple(chosen)


def _of_shot(sidecar: Sidecar, cut: str | None) -> list[SpotPartRecord]:
    every: list[ClipRecord | CutRecord] = [*sidecar.clips]
    if cut:
        every = [one for one in sidecar.cuts if one.spec == cut]
    return [
        SpotPartRecord(shot=sidecar.shot, take=one.take, file=one.file.file, sha256=one.file.sha256)
        for one in every
        if one.file
    ]


@dataclass(frozen=True, slots=True)
class SpotPlanned:
    """A spot to be made: what it joins and is for.

    `cut` and `title` are "" for clips; `max_s` None for no limit.
    """

    name: str
    parts: tuple[SpotPartRecord, ...]
    wanted: SpotWish = field(default_factory=SpotWish)
    cut: str = ""
    title: str = ""
    max_s: float | None = None
    disclosure: Disclosure = field(default_factory=Disclosure)

    @property
    def recipe(self) -> str:
        """Return the hash of all that determines it."""
        return spot_recipe(self.parts, self.wanted)


def plan_spot(
    name: str, parts: tuple[SpotPartRecord, ...], spec: PlatformSpec | None, crossfade_s: float
) -> SpotPlanned:
    """Return the spot of these parts.

    `spec` is what they were cut for, None for clips.
    """
    if spec is None:
        return SpotPlanned(name, parts, SpotWish(crossfade_s=crossfade_s))
    wanted = SpotWish(crossfade_s=crossfade_s, lufs=spec.lufs, peak_dbtp=spec.peak_dbtp)
    return SpotPlanned(name, parts, wanted, spec.name, spec.title, spec.max_s, disclosure_for(spec))


def replan_spot(record: SpotRecord) -> SpotPlanned:
    """Return the very spot of a record, whatever the platform's numbers are now."""
    wanted = record.wanted or SpotWish(crossfade_s=record.crossfade_s)
    return SpotPlanned(record.name, record.parts, wanted, record.cut, record.title, disclosure=record.disclosure)


async def assemble(run: RunContext, sidecars: Sequence[Sidecar], spot: SpotPlanned) -> tuple[SpotRecord, bool]:
    """Return the archived spot, and whether it was made now.

    One that is there already is not remade.

    ArchiveLost when a part is nowhere any more, MediaError when the parts cannot be joined.
    """
    if there := await _there(run, spot.name, spot.recipe):
        return there, False
    files = [await fetch(run, part.sha256, _size(sidecars, part)) for part in spot.parts]
    model, film = _models(sidecars, spot.parts), run.resources.spool.scratch(".mp4")
    xmp = xmp_packet(Provenance(asset_id=spot.recipe, model=model))
    made = await make_spot(
        files,
        film,
        crossfade_s=spot.wanted.crossfade_s,
        max_s=spot.max_s,
        lufs=spot.wanted.lufs,
        peak_dbtp=spot.wanted.peak_dbtp,
        xmp=xmp,
        encoders=run.resources.encoder_slots,
    )
    stills = await asyncio.to_thread(_stills, run, film, xmp)
    archived = {what: await _archive(run, spot.name, what, still) for what, still in stills.items()}
    archived["film"] = await _archive(run, spot.name, "", film, made.probe)
    record = _record(run, spot, made, archived, model)
    target = record_name(run.batch.prefix, record)
    await run.resources.store.put_bytes(target, record.model_dump_json(indent=1).encode(), "application/json")
    run.resources.spool.empty(one.sha256 for one in record.files)
    return record, True


def _record(
    run: RunContext, spot: SpotPlanned, made: Spot, archived: Mapping[str, FileRecord], model: str
) -> SpotRecord:
    return SpotRecord(
        name=spot.name,
        batch=run.batch.name,
        recipe=spot.recipe,
        cut=spot.cut,
        title=spot.title,
        parts=spot.parts,
        how=made.plan.how,
        why=made.plan.why,
        crossfade_s=made.plan.crossfade_s,
        wanted=spot.wanted,
        model=model,
        file=archived["film"],
        poster=archived["poster"],
        thumbnail=archived["thumb"],
        sheet=archived["sheet"],
        lufs=made.sound.after.integrated_lufs if made.sound else None,
        peak_dbtp=made.sound.after.true_peak_dbfs if made.sound else None,
        sound=made.sound.note if made.sound else "",
        disclosure=spot.disclosure,
        created=datetime.now(UTC),
    )


def _models(sidecars: Sequence[Sidecar], parts: Sequence[SpotPartRecord]) -> str:
    shots = {part.shot for part in parts}
    return ", ".join(sorted({clip.model for one in sidecars if one.shot in shots for clip in one.clips if clip.file}))


def _size(sidecars: Sequence[Sidecar], part: SpotPartRecord) -> int:
    files = [
        file
        for one in sidecars
        if one.shot == part.shot
        for file in (*(clip.file for clip in one.clips), *(cut.file for cut in one.cuts))
    ]
    size = next((file.size for file in files if file and file.sha256 == part.sha256), None)
    if size is None:
        raise ArchiveLost(f"The batch no longer lists {part.file} of the shot {part.shot}. Nothing was joined.")
    return size


def _stills(run: RunContext, film: Path, xmp: str) -> dict[str, Path]:
    """Poster, thumbnail and preview sheet, by what their names call them."""
    stills = {what: run.resources.spool.scratch(".jpg") for what in ("poster", "thumb", "sheet")}
    poster(film, stills["poster"], xmp=xmp)
    thumbnail(stills["poster"], stills["thumb"], xmp=xmp)
    preview_sheet(film, stills["sheet"], xmp=xmp)
    return stills


async def _archive(run: RunContext, name: str, what: str, source: Path, film: VideoProbe | None = None) -> FileRecord:
    """Archive a file by way of the spool.

    The spool keeps it on this disk until the archive has it.
    """
    batch, mime_type = run.batch, "video/mp4" if film else "image/jpeg"
    file = await asyncio.to_thread(run.resources.spool.adopt, source)
    target = layout.spot_name(batch.prefix, name, what, file.sha256, mime_type)
    told = about_file(batch.campaign, batch.name, None, target)
    stored = StoredFile(target, file.sha256, file.md5, file.size, mime_type, **told)
    uri = await run.resources.store.put_file(file.path, stored)
    shown = (film.width, film.height) if film else await asyncio.to_thread(_pixels, file.path)
    return FileRecord(
        file=target.rpartition("/")[2],
        sha256=file.sha256,
        md5=file.md5,
        size=file.size,
        mime_type=mime_type,
        uri=uri,
        created=datetime.now(UTC),
        width=shown[0],
        height=shown[1],
        duration_s=film.duration_s if film else None,
        fps=film.fps if film else None,
    )


def _pixels(picture: Path) -> tuple[int, int]:
    probe = probe_image(picture)
    return probe.width, probe.height


async def _there(run: RunContext, name: str, recipe: str) -> SpotRecord | None:
    """Return the record of this very spot, when all its files are there."""
    spots = await read_spots(run.resources.store, run.batch.prefix)
    return next((one for one in spots if (one.name, one.recipe) == (name, recipe)), None)
