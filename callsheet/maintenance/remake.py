"""Making a shot's derived files again from what is archived.

Thumbnails, posters and cuts, by the steps that made them. Works from the sidecar alone, without the manifest, and costs
nothing.
"""

from __future__ import annotations

from dataclasses import replace

from callsheet.archive.sidecar import ClipRecord, CutRecord, Sidecar, TakeRecord
from callsheet.context.context import RunContext
from callsheet.context.shot_state import ClipState, CutState, ShotState, TakeState
from callsheet.errors import CallsheetError
from callsheet.shots import Asset, Shot
from callsheet.steps.clips import make_poster
from callsheet.steps.cuts import make_these
from callsheet.steps.frames import choose_takes
from callsheet.steps.sidecar import cut_record, file_record, shot_of


async def remake(
    run: RunContext, sidecar: Sidecar, whole: dict[str, Asset], thumbnails: frozenset[str]
) -> tuple[Sidecar, list[str]]:
    """Make what is missing, and return the sidecar that tells of it.

    With it come the reasons of what could not be made. `whole` are the shot's files, by name, that are as they should
    be, `thumbnails` the names of those that are there. A file made anew has the name of its own hash, which is that of
    the old one where the encoder is the same.
    """
    shot, problems = shot_of(sidecar), list[str]()
    if not any(cut.signed for cut in sidecar.cuts):
        run = replace(run, policy=replace(run.policy, signer=None))
    run.state.set_assets(shot.id, whole)
    takes = await _thumbnails(run, sidecar, whole, thumbnails, problems)
    clips = await _posters(run, shot, sidecar, whole, problems)
    cuts = await _cuts(run, shot, sidecar, whole, problems)
    return sidecar.model_copy(update={"takes": takes, "clips": clips, "cuts": cuts}), problems


async def _thumbnails(
    run: RunContext, sidecar: Sidecar, whole: dict[str, Asset], thumbnails: frozenset[str], problems: list[str]
) -> tuple[TakeRecord, ...]:
    wanting = [
        take
        for take in sidecar.takes
        if take.file and take.file.thumbnail and take.file.file in whole and take.file.thumbnail not in thumbnails
    ]
    if not wanting:
        return sidecar.takes
    work = ShotState(shot_of(sidecar))
    work.takes = {
        take.take: TakeState(take.take, take.job_key, asset=whole[take.file.file]) for take in wanting if take.file
    }
    await choose_takes(run, work)
    problems += [failure.message for failure in work.failures_of_all() if failure.kind != "MissingTake"]
    made = {take.number: take.thumbnail.name for take in work.takes.values() if take.thumbnail}
    return tuple(
        take.model_copy(update={"file": take.file.model_copy(update={"thumbnail": made[take.take]})})
        if take.file and take.take in made
        else take
        for take in sidecar.takes
    )


async def _posters(
    run: RunContext, shot: Shot, sidecar: Sidecar, whole: dict[str, Asset], problems: list[str]
) -> tuple[ClipRecord, ...]:
    made = []
    for clip in sidecar.clips:
        asset = whole.get(clip.file.file) if clip.file else None
        if asset is not None and clip.poster and clip.poster.file not in whole:
            try:
                poster = await make_poster(run, shot, asset)
                made.append(clip.model_copy(update={"poster": file_record(poster)}))
                continue
            except CallsheetError as error:
                problems.append(str(error))
        made.append(clip)
    return tuple(made)


async def _cuts(
    run: RunContext, shot: Shot, sidecar: Sidecar, whole: dict[str, Asset], problems: list[str]
) -> tuple[CutRecord, ...]:
    wanted = [cut for cut in sidecar.cuts if not _is_whole(cut, whole)]
    work = ShotState(shot)
    work.clips = [
        ClipState(clip.take, clip.job_key, asset=whole.get(clip.file.file) if clip.file else None)
        for clip in sidecar.clips
    ]
    takes = {clip.take for clip in work.clips if clip.asset}
    work.cuts = [_as_it_was(run, shot, cut) for cut in wanted if cut.take in takes]
    if not work.cuts:
        return sidecar.cuts
    await make_these(run, work, work.cuts)
    problems += [cut.failure.message for cut in work.cuts if cut.failure]
    made: dict[tuple[str, int | None], CutState] = {(cut.spec, cut.take): cut for cut in work.cuts if cut.poster}
    return tuple(cut_record(made[cut.spec, cut.take]) if (cut.spec, cut.take) in made else cut for cut in sidecar.cuts)


def _as_it_was(run: RunContext, shot: Shot, cut: CutRecord) -> CutState:
    """Return a cut to be made by the numbers and with the focus on record.

    By today's numbers where there are none.
    """
    platform = cut.platform or run.resources.platforms.get(cut.spec)
    return CutState(platform, cut.take, replace(shot.finish, focus=cut.focus))


def _is_whole(cut: CutRecord, whole: dict[str, Asset]) -> bool:
    return all(file.file in whole for file in (cut.file, cut.poster) if file)
