"""The frames step: the takes are measured and the ones to animate are chosen, with the reason kept."""

from __future__ import annotations

import asyncio
from pathlib import Path

from callsheet.archive.layout import thumbnail_name
from callsheet.errors import CallsheetError, MediaError
from callsheet.media.frames import Candidate, choose_frames, gate
from callsheet.media.probe import probe_image
from callsheet.media.provenance import Provenance, xmp_packet
from callsheet.media.scores import FrameScore, score_image
from callsheet.media.stills import thumbnail
from callsheet.shots import Asset, Failure, Shot, ShotState
from callsheet.steps import all_of
from callsheet.steps.approval import choose_approved
from callsheet.steps.deposit import Deposit, deposit_derived, fetch
from callsheet.steps.work import TakeWork, Work, failure_of, is_transient, state_of
from callsheet.studio import Studio

JPEG = "image/jpeg"


async def choose_takes(studio: Studio, work: Work) -> None:
    """Score the takes, keep a thumbnail of each, and choose. A shot whose asked takes are missing ends here."""
    made = [take for take in work.takes.values() if take.asset]
    try:
        await all_of(_measure(studio, work.shot, take, take.asset) for take in made if take.asset)
    except CallsheetError as error:
        if is_transient(error):
            raise
        work.fail(failure_of("frames", error), state_of(error))
        return
    candidates = [Candidate(take.number, take.score, take.gate) for take in made]
    if work.shot.select == "approve":
        choose_approved(studio, work, candidates)
        return
    work.choice = choose_frames(candidates, work.shot.select)
    if work.choice.missing:
        missing = ", ".join(str(number) for number in work.choice.missing)
        message = (
            f"`select` asks for take {missing}, which was not made. Choose another take and run the manifest again."
        )
        work.fail(Failure("frames", "MissingTake", message), ShotState.FAILED)


async def _measure(studio: Studio, shot: Shot, take: TakeWork, asset: Asset) -> None:
    """The take's score, gate and thumbnail; a take that cannot be decoded gets none of them and is never chosen."""
    xmp = xmp_packet(Provenance(asset.sha256, shot.image_model))
    path, small = await fetch(studio, asset.sha256, asset.size), studio.spool.scratch(".jpg")
    try:
        async with studio.encoder_slots.take():
            take.score, take.gate, (width, height) = await asyncio.to_thread(_look, path, small, shot.aspect_ratio, xmp)
    except MediaError as error:
        take.failure = failure_of("frames", error, f"take-{take.number}")
        small.unlink(missing_ok=True)
        return
    new = Deposit("thumbnail", JPEG, width, height, parent=asset.sha256)
    take.thumbnail = await deposit_derived(studio, shot, new, small, lambda sha256: thumbnail_name(sha256, JPEG))


def _look(path: Path, small: Path, aspect_ratio: str, xmp: str) -> tuple[FrameScore, str | None, tuple[int, int]]:
    score = score_image(path)
    size = thumbnail(path, small, xmp=xmp)
    return score, gate(score, probe_image(path), aspect_ratio), size
