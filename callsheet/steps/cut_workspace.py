"""The cutting room.

What the cuts of one clip share, found when the first of them needs it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from callsheet.context.context import RunContext
from callsheet.cuts.encode.cut_plan import cut_size, plan_cut
from callsheet.cuts.encode.encode import CutResult, analyse, as_mp4, make_cut
from callsheet.cuts.encode.fitness import Analysis, clip_length, upright
from callsheet.cuts.finishing.brand import Materials, layers_for, read_materials
from callsheet.cuts.finishing.layers import Layer
from callsheet.cuts.framing.geometry import Subject, parse_focus
from callsheet.cuts.framing.saliency import find_subject
from callsheet.cuts.sound.make import Sounds
from callsheet.jobs.store import fetch
from callsheet.media.probe import container_of
from callsheet.media.provenance import Provenance, xmp_packet
from callsheet.platforms import PlatformSpec
from callsheet.platforms.spec import has_aspect
from callsheet.shots import Asset, Finish
from callsheet.steps.cut_inputs import local_finish
from callsheet.steps.subject import look_at_subject

T = TypeVar("T")


@dataclass
class CuttingRoom:
    """One clip on the bench.

    Each thing about it is looked for once, however many cuts want it at the same time.
    """

    run: RunContext
    clip: Asset
    finish: Finish
    folder: Path
    _found: dict[str, Any] = field(default_factory=dict)
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)

    async def source(self) -> Path:
        """Return the clip's file on this disk; of one that is no MP4, a copy that is."""
        return await self._once("source", self._mp4)

    async def _mp4(self) -> Path:
        path = await fetch(self.run, self.clip.sha256, self.clip.size)
        if await asyncio.to_thread(container_of, path) == "mp4":
            return path
        copy = self.folder / "clip.mp4"
        await as_mp4(path, copy, self.run.resources.encoder_slots)
        return copy

    async def analysis(self) -> Analysis:
        """Return what the clip is; its subject is not looked for."""

        async def look() -> Analysis:
            return await analyse(await self.source())

        return await self._once("analysis", look)

    async def subject(self, focus: str) -> Subject:
        """Return where the clip's subject is, as the focus asks for."""
        return await self._once(f"subject {focus}", lambda: self._subject(focus))

    async def materials(self) -> Materials:
        """Return what the finish names, read and checked."""

        async def read() -> Materials:
            if self.finish == Finish(self.finish.focus):
                return Materials()
            local = await local_finish(self.run, self.finish)
            font = Path(local.font.uri) if local.font else None
            return await asyncio.to_thread(read_materials, local, self.folder, font)

        return await self._once("materials", read)

    async def cut(self, spec: PlatformSpec, focus: str, target: Path) -> tuple[CutResult, Subject]:
        """Cut the clip for a platform; see make_cut.

        Also where its subject was taken to be.
        """
        source, clip, materials = await self.source(), await self.analysis(), await self.materials()
        layers = await self._layers(clip, spec, materials)
        if not _keeps_aspect(clip, spec) and plan_cut(clip, spec, layers=layers, tail_s=materials.card_s).how != "copy":
            clip = replace(clip, subject=await self.subject(focus))
        sounds = await self._once("sounds", self._sounds)
        result = await make_cut(
            source,
            spec,
            target,
            analysis=clip,
            layers=layers,
            tail_s=materials.card_s,
            music=materials.music,
            sounds=sounds,
            xmp=xmp_packet(Provenance(asset_id=self.clip.sha256, model=self.clip.model or "")),
            encoders=self.run.resources.encoder_slots,
        )
        return result, clip.subject

    async def _layers(self, clip: Analysis, spec: PlatformSpec, materials: Materials) -> tuple[Layer, ...]:
        if materials == Materials():
            return ()
        folder = self.folder / spec.name
        folder.mkdir(exist_ok=True)
        clip_s, size = clip_length(clip.probe, spec, materials.card_s), cut_size(clip.probe, spec)
        async with self.run.resources.encoder_slots.take():
            return await asyncio.to_thread(layers_for, materials, spec, *size, clip_s, folder)

    async def _subject(self, focus: str) -> Subject:
        wanted = parse_focus(focus)
        given = wanted.subject()
        if given is not None:
            return given
        source, clip = await self.source(), await self.analysis()
        asked = Subject((), "centre", "")
        if wanted.how == "ask":
            asked = await look_at_subject(self.run, self.clip, source, clip.probe)
        if asked.boxes:
            return asked
        async with self.run.resources.encoder_slots.take():
            found = await asyncio.to_thread(find_subject, source, clip.probe)
        return replace(found, reason="; ".join(part for part in (asked.reason, found.reason) if part))

    async def _sounds(self) -> Sounds:
        return Sounds(await self.source(), self.folder, self.run.resources.encoder_slots)

    async def _once(self, name: str, find: Callable[[], Awaitable[T]]) -> T:
        async with self._locks.setdefault(name, asyncio.Lock()):
            if name not in self._found:
                self._found[name] = await find()
        found: T = self._found[name]
        return found


def _keeps_aspect(clip: Analysis, spec: PlatformSpec) -> bool:
    """Return whether the whole picture is shown, wherever its subject is."""
    shown = upright(clip.probe).shown
    return has_aspect(*shown, spec.aspect_for(*shown))


@asynccontextmanager
async def cutting_room(run: RunContext, clip: Asset, finish: Finish) -> AsyncIterator[CuttingRoom]:
    """Yield a cutting room for a clip, with its own folder until the end."""
    with TemporaryDirectory(prefix="callsheet-cuts-", ignore_cleanup_errors=True) as folder:
        yield CuttingRoom(run, clip, finish, Path(folder))
