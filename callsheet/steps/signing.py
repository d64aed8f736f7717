"""Signing a cut once: a second signature would make another file, with another name in the archive."""

from __future__ import annotations

import asyncio
from pathlib import Path

from callsheet.context.context import Studio
from callsheet.cuts.encode.plan import CutPlan
from callsheet.files import digest_file
from callsheet.jobs.store import fetch
from callsheet.media.signing import Parent, Signer, is_signed
from callsheet.shots import Asset


async def sign_cut(studio: Studio, signer: Signer, cut: Path, plan: CutPlan, clip: Asset, source: Path) -> Path:
    """The cut of `clip` (its file is `source`) with Content Credentials, in the spool; `cut` itself is removed.

    The same cut is signed once, also when the process is killed before the archive has it, or another one signs it
    too: cuts come out the same every time, and the spool notes which signed file was made of one.
    """
    unsigned = await asyncio.to_thread(digest_file, cut)
    made = await asyncio.to_thread(studio.spool.made_of, unsigned.sha256)
    if made is None:
        target, parent = studio.spool.scratch(".mp4"), Parent(source, clip.name, clip.sha256, clip.model or "")
        async with studio.encoder_slots.take():
            await asyncio.to_thread(signer.sign, cut, target, parent, cropped=plan.how == "crop")
        file = await asyncio.to_thread(studio.spool.adopt, target)
        made = await asyncio.to_thread(studio.spool.note_made, unsigned.sha256, file.path)
    await asyncio.to_thread(cut.unlink)
    return made


async def carries_credentials(studio: Studio, cut: Asset) -> bool:
    """Whether an archived cut is signed, as its file says: it may come from a run with other settings."""
    path = await fetch(studio, cut.sha256, cut.size)
    return await asyncio.to_thread(is_signed, path)
