"""The cuts step: every clip is made ready for the shot's platforms.

Nothing here is paid for.
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from callsheet.archive import layout
from callsheet.archive.lineage import details_of, making_of
from callsheet.archive.sidecar import WHOLE, CutMaking, SubjectRecord
from callsheet.archive.sidecar_io import read_sidecar
from callsheet.concurrency import gather_all
from callsheet.context.context import RunContext
from callsheet.context.shot_state import CutState, ShotState, failure_of, is_transient, state_of
from callsheet.cuts.encode.cut_plan import CutPlan, find_cut, recipe
from callsheet.cuts.encode.encode import CutResult
from callsheet.cuts.encode.fitness import UNKNOWN
from callsheet.cuts.framing.geometry import Subject
from callsheet.errors import ArchiveError, CallsheetError
from callsheet.files import digest_file
from callsheet.jobs.store import Deposit, fetch, store_derived_file
from callsheet.media.signing import Parent, Signer, is_signed
from callsheet.shots import Asset, Shot
from callsheet.steps.clips import make_poster
from callsheet.steps.cut_inputs import archive_inputs
from callsheet.steps.cut_workspace import CuttingRoom, cutting_room


async def sign_cut(run: RunContext, signer: Signer, cut: Path, plan: CutPlan, parent: Parent) -> Path:
    """Sign the cut of a clip, its `parent`, with Content Credentials, in the spool.

    `cut` itself is removed.

    The same cut is signed once, also when the process is killed before the archive has it, or another one signs it
    too: cuts come out the same every time, and the spool notes which signed file was made of one.
    """
    unsigned = await asyncio.to_thread(digest_file, cut)
    made = await asyncio.to_thread(run.resources.spool.find_derived, unsigned.sha256)
    if made is None:
        target = run.resources.spool.scratch(".mp4")
        async with run.resources.encoder_slots.take():
            await asyncio.to_thread(signer.sign, cut, target, parent, cropped=plan.how == "crop")
        file = await asyncio.to_thread(run.resources.spool.adopt, target)
        made = await asyncio.to_thread(run.resources.spool.note_made, unsigned.sha256, file.path)
    await asyncio.to_thread(cut.unlink)
    return made


async def carries_credentials(run: RunContext, cut: Asset) -> bool:
    """Return whether an archived cut is signed, as its file says.

    It may come from a run with other settings.
    """
    path = await fetch(run, cut.sha256, cut.size)
    return await asyncio.to_thread(is_signed, path)


async def make_cuts(run: RunContext, work: ShotState) -> None:
    """Make every cut of every clip.

    A cut that fails leaves the others alone and the shot failed.
    """
    made = [clip for clip in work.clips if clip.asset is not None]
    specs = [run.resources.platforms.get(name) for name in work.shot.cuts]
    work.cuts = [CutState(spec, clip.take, work.shot.finish) for clip in made for spec in specs]
    if made:
        await make_these(run, work, work.cuts)


async def make_these(run: RunContext, work: ShotState, cuts: Sequence[CutState]) -> None:
    """Make these cuts of the shot's clips.

    The files that finish them are archived first, asked for now or later.
    """
    if not await _keep_inputs(run, work, cuts):
        return
    by_take: dict[int | None, list[CutState]] = defaultdict(list)
    for cut in cuts:
        by_take[cut.take].append(cut)
    clips = {clip.take: clip.asset for clip in work.clips if clip.asset}
    await gather_all(_cut_clip(run, work, clips[take], of_clip) for take, of_clip in by_take.items())


async def _keep_inputs(run: RunContext, work: ShotState, cuts: Sequence[CutState]) -> bool:
    """Return whether the files that finish the cuts are archived.

    If not, every cut says why.
    """
    try:
        await archive_inputs(run, work.shot.finish)
    except CallsheetError as error:
        if is_transient(error):
            raise
        for cut in cuts:
            _fail(run, work, cut, error)
        if not cuts:
            work.fail(failure_of("cuts", error), state_of(error))
        return False
    return True


async def _cut_clip(run: RunContext, work: ShotState, clip: Asset, cuts: Sequence[CutState]) -> None:
    async with cutting_room(run, clip, work.shot.finish) as room:
        await gather_all(_make_cut(run, work, room, cut) for cut in cuts)


async def _make_cut(run: RunContext, work: ShotState, room: CuttingRoom, cut: CutState) -> None:
    shot, there = work.shot, find_cut(run.state.assets_of(work.shot), room.clip.sha256, cut.platform, cut.finish)
    try:
        if there is not None:
            cut.asset, cut.making = there, await _making_of(run, shot, there)
            run.state.tally.count("cut", "reused")
        else:
            several = cut.take if len(work.clips) > 1 else None
            cut.asset = await _encode(run, shot, room, cut, several)
            run.state.tally.count("cut", "created")
        cut.signed = await carries_credentials(run, cut.asset)
        cut.poster = await make_poster(run, shot, cut.asset)
        run.state.progress.advance("cuts")
    except CallsheetError as error:
        if is_transient(error):
            raise
        _fail(run, work, cut, error)


def _fail(run: RunContext, work: ShotState, cut: CutState, error: CallsheetError) -> None:
    cut.failure = failure_of("cuts", error, f"cut-{cut.spec}")
    work.ended = work.ended or state_of(error)
    run.state.progress.advance("cuts", failed=cut.asset is None)


async def _encode(run: RunContext, shot: Shot, room: CuttingRoom, cut: CutState, take: int | None) -> Asset:
    target, clip = run.resources.spool.scratch(".mp4"), room.clip
    try:
        result, subject = await room.cut(cut.platform, cut.finish.focus, target)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    cut.making = making(result, subject, cut)
    if run.policy.signer is not None:
        parent = Parent(await room.source(), clip.name, clip.sha256, clip.model or "")
        target = await sign_cut(run, run.policy.signer, target, result.plan, parent)
    probe = result.quality.probe
    new = Deposit(
        "cut",
        "video/mp4",
        probe.width,
        probe.height,
        probe.duration_s,
        parent=clip.sha256,
        recipe=recipe(clip.sha256, cut.platform, cut.finish),
        details=details_of(cut.making),
    )
    return await store_derived_file(
        run, shot, new, target, lambda sha: layout.cut_name(cut.spec, sha, "video/mp4", take=take)
    )


def making(result: CutResult, subject: Subject, cut: CutState) -> CutMaking:
    """Return how a cut was made, for its record."""
    plan, framing, sound = result.plan, result.plan.framing, result.sound
    looked = framing is not None and subject is not UNKNOWN
    path = tuple((key.at_s, key.x, key.y) for key in framing.path) if framing else ()
    return CutMaking(
        how=plan.how,
        why=plan.reason,
        crop=plan.crop,
        path=path if len(path) > 1 else (),
        framing=framing.reason if framing and looked else WHOLE if framing else "",
        subject=_subject(subject) if looked else None,
        gain_db=sound.gain_db if sound else None,
        lufs_before=_finite(sound.before.integrated_lufs) if sound and sound.before else None,
        lufs=_finite(sound.after.integrated_lufs) if sound else None,
        peak_dbtp=_finite(sound.after.true_peak_dbfs) if sound else None,
        sound=sound.note if sound else "",
        platform=replace(cut.platform, facts=()),
        focus=cut.finish.focus,
    )


def _subject(subject: Subject) -> SubjectRecord:
    boxes = subject.boxes
    if not boxes:
        return SubjectRecord(how=subject.how, reason=subject.reason)
    around = (
        min(box.left for box in boxes),
        min(box.top for box in boxes),
        max(box.right for box in boxes),
        max(box.bottom for box in boxes),
    )
    left, top, right, bottom = (round(share, 4) for share in around)
    return SubjectRecord(how=subject.how, reason=subject.reason, box=(left, top, right, bottom))


def _finite(value: float) -> float | None:
    """Return a loudness; None for that of digital silence, which JSON has no word for."""
    return round(value, 2) if math.isfinite(value) else None


async def _making_of(run: RunContext, shot: Shot, cut: Asset) -> CutMaking:
    """Return how a cut that is there was made.

    As the ledger knows it, of older ones as the shot's sidecar tells it.
    """
    if cut.details is not None:
        return making_of(cut.details)
    name = layout.sidecar_name(run.batch.prefix, shot.id)
    if shot.id in run.state.sidecars:
        sidecar = run.state.sidecars[shot.id][0]
    elif name.removeprefix(f"{run.batch.prefix}/") in run.state.files:
        try:
            sidecar = await read_sidecar(run.resources.store, name)
        except ArchiveError:
            return CutMaking()  # it is written anew when the shot has ended; this is all that is lost
    else:
        return CutMaking()
    found = (one for one in sidecar.cuts if one.file and one.file.file == cut.name)
    return next(
        (CutMaking(**{field: getattr(one, field) for field in CutMaking.model_fields}) for one in found), CutMaking()
    )
