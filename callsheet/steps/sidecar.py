"""From a shot's work to its sidecar: pure, so that it is tested without writing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from datetime import datetime

from callsheet.archive.layout import INPUTS
from callsheet.archive.sidecar import (
    ClipRecord,
    CutRecord,
    DecisionRecord,
    FailureRecord,
    FileRecord,
    ImageParams,
    JobRecord,
    PinRecord,
    ScoreRecord,
    Sidecar,
    TakeRecord,
)
from callsheet.archive.sidecar_parts import disclosure_for, finish_of, finish_record
from callsheet.context.shot_state import ClipState, CutState, ShotState, TakeState
from callsheet.decisions import FrameDecision, FramePin
from callsheet.ledger import Job
from callsheet.ledger.records import RATINGS, RECORD, REQUEST_ID, SUBMISSION_ID, TEXT
from callsheet.media.facts import FrameScore
from callsheet.media.frames import FrameVerdict
from callsheet.plan import ShotPlan
from callsheet.plan.edited import name_edited
from callsheet.plan.extensions import length_after
from callsheet.shots import Asset, Batch, Failure, Shot, ShotOutcome

# What the manifest alone decides about a sidecar.
_ASKED = ("line", "tags", "variables", "prompt", "negative_prompt", "motion_prompt", "select", "image", "finish")


def sidecar_of(
    batch: Batch, work: ShotState, state: ShotOutcome, updated: datetime, files: Collection[str] = ()
) -> Sidecar:
    """Return everything that is known of the shot, as its sidecar.

    `files` are the names in the batch's folder.
    """
    shot = work.shot
    takes = tuple(_take(take, work) for take in work.takes.values())
    clips, beginnings = (tuple(_clip(clip, shot) for clip in some) for some in (work.clips, work.beginnings))
    return Sidecar(
        campaign=batch.campaign,
        batch=batch.name,
        edition=batch.edition,
        mode=batch.mode,
        shot=shot.id,
        line=shot.line,
        tags=shot.tags,
        variables=dict(shot.variables),
        prompt=shot.prompt,
        negative_prompt=shot.negative_prompt,
        motion_prompt=shot.motion_prompt,
        select=shot.select if isinstance(shot.select, str) else ";".join(str(take) for take in shot.select),
        state=state.value,
        failures=tuple(_failure(failure) for failure in work.failures_of_all()),
        decisions=tuple(decision_record(decision) for decision in work.decisions),
        pins=tuple(pin_record(pin) for pin in work.pins),
        image=_image(shot) if shot.takes else None,
        takes=takes,
        clips=clips,
        beginnings=beginnings,
        cuts=tuple(cut_record(cut) for cut in work.cuts),
        finish=finish_record(shot.finish, files),
        usd=round(sum(take.usd for take in takes) + sum(clip.usd for clip in (*clips, *beginnings)), 6),
        updated=updated,
    )


def tells_as_asked(sidecar: Sidecar, batch: Batch, shot: Shot) -> bool:
    """Return whether a sidecar tells of the shot as it is asked for now.

    It has every take, and nothing else is to be told.
    """
    inputs = {f"{INPUTS}/{file.file}" for file in (sidecar.finish.files() if sidecar.finish else ())}
    asked = sidecar_of(batch, ShotState(shot), ShotOutcome(sidecar.state), sidecar.updated, inputs)
    same = all(getattr(sidecar, name) == getattr(asked, name) for name in _ASKED)
    return same and [take.take for take in sidecar.takes] == list(range(1, shot.takes + 1))


def lists_all(sidecar: Sidecar, item: ShotPlan) -> bool:
    """Return whether a sidecar lists what the shot uses.

    That is exactly the pictures and clips, which clip of several goes on, and at least the cuts.
    """
    clips = sidecar.clips + sidecar.beginnings
    parts = {take.job_key for take in sidecar.takes} | {clip.job_key for clip in clips}
    chosen = {clip.job_key for clip in clips if clip.chosen and not clip.step}
    if chosen != {action.job_key for action in item.actions if action.is_chosen}:
        return False
    cuts = {f"cut-{cut.spec}" for cut in sidecar.cuts if cut.file}
    wanted = {action.job_key for action in item.actions if action.kind != "cut"}
    return parts == wanted and {action.slot for action in item.actions if action.kind == "cut"} <= cuts


def _image(shot: Shot) -> ImageParams:
    return ImageParams(
        model=shot.image_model,
        aspect_ratio=shot.aspect_ratio,
        image_size=shot.image_size,
        seed=shot.seed,
        person_generation=shot.person_generation,
        references=tuple({"uri": r.uri, "sha256": r.sha256, "mime_type": r.mime_type} for r in shot.reference_images),
        edit_of=name_edited(shot),
        system_instruction=shot.guidance.system_instruction,
        safety=dict(shot.guidance.safety),
        thinking=shot.guidance.thinking,
    )


def _take(take: TakeState, work: ShotState) -> TakeRecord:
    found = {verdict.take: verdict for verdict in work.choice.verdicts} if work.choice else {}
    verdict = found.get(take.number)
    details = (take.job.details if take.job else None) or {}
    return TakeRecord(
        take=take.number,
        job_key=take.key,
        file=file_record(take.asset, thumbnail=take.thumbnail.name if take.thumbnail else None) if take.asset else None,
        failure=_failure(take.failure) if take.failure else None,
        job=job_record(take.job) if take.job else None,
        usd=_usd(take.job),
        attempts=take.job.attempts if take.job else 0,
        model_version=str(details.get("model_version", "")),
        response_id=str(details.get("response_id", "")),
        request_id=str(details.get(REQUEST_ID, "")),
        safety_ratings=tuple(details.get(RATINGS, ())),
        tokens=details.get("tokens", {}),
        score=_score(take, verdict),
        chosen=bool(verdict and verdict.chosen),
        why=verdict.why if verdict else "",
        others=tuple(map(file_record, take.others)),
        text=str(details.get(TEXT, "")),
    )


def _score(take: TakeState, verdict: FrameVerdict | None) -> ScoreRecord | None:
    if take.score is None:
        return None
    return _record_score(take.score, verdict.rank if verdict else None, verdict.rejected if verdict else None)


def _record_score(score: FrameScore, rank: float | None, rejected: str | None = None) -> ScoreRecord:
    return ScoreRecord(
        luma=score.luma,
        clipped=score.clipped,
        entropy=score.entropy,
        sharpness=score.sharpness,
        contrast=score.contrast,
        colourfulness=score.colourfulness,
        dhash=f"{score.dhash:016x}",
        rank=rank,
        rejected=rejected,
    )


def _clip(clip: ClipState, shot: Shot) -> ClipRecord:
    details = (clip.job.details if clip.job else None) or {}
    return ClipRecord(
        take=clip.take,
        step=clip.step,
        is_edit=0 < clip.step <= len(shot.clip_edits),
        variant=clip.variant,
        score=_record_score(clip.score, clip.rank) if clip.score else None,
        chosen=clip.chosen,
        why=clip.why,
        job_key=clip.key,
        model=clip.job.model if clip.job else shot.video_model or "",
        operation=clip.job.operation if clip.job else None,
        resolution=shot.resolution,
        aspect_ratio=shot.video_aspect_ratio,
        requested_duration_s=length_after(shot, clip.step) or None,
        references=tuple({"of": str(one), "sha256": one.sha256} for one in shot.kept_references if not clip.step),
        file=file_record(clip.asset, fps=details.get("fps")) if clip.asset else None,
        poster=file_record(clip.poster) if clip.poster else None,
        failure=_failure(clip.failure) if clip.failure else None,
        job=job_record(clip.job) if clip.job else None,
        usd=_usd(clip.job),
        attempts=clip.job.attempts if clip.job else 0,
        reply=details.get(RECORD) or {},
        request_id=str(details.get(REQUEST_ID, "")),
        submission_request_id=str(details.get(SUBMISSION_ID, "")),
        others=tuple(map(file_record, clip.others)),
    )


def cut_record(cut: CutState) -> CutRecord:
    """Return a cut, or why there is none, as the sidecar has it."""
    return CutRecord(
        **dict(cut.making),
        spec=cut.spec,
        take=cut.take,
        recipe=cut.asset.recipe if cut.asset else None,
        file=file_record(cut.asset) if cut.asset else None,
        poster=file_record(cut.poster) if cut.poster else None,
        signed=cut.signed,
        failure=_failure(cut.failure) if cut.failure else None,
        disclosure=disclosure_for(cut.platform, cut.finish.label),
    )


def file_record(asset: Asset, *, fps: float | None = None, thumbnail: str | None = None) -> FileRecord:
    """Return an archived file as its sidecar has it."""
    return FileRecord(
        file=asset.name,
        sha256=asset.sha256,
        md5=asset.md5,
        size=asset.size,
        mime_type=asset.mime_type,
        uri=asset.uri,
        created=asset.created,
        width=asset.width,
        height=asset.height,
        duration_s=asset.duration_s,
        fps=fps,
        parent=asset.parent,
        thumbnail=thumbnail,
    )


def decision_record(decision: FrameDecision) -> DecisionRecord:
    """Return a person's decision, on record in the ledger, as the sidecar keeps it."""
    assert decision.at is not None  # noqa: S101  narrows the type: what the ledger has was decided at some time
    takes, shown = dict(decision.takes), dict(decision.shown)
    return DecisionRecord(n=decision.n, takes=takes, shown=shown, by=decision.by, note=decision.note, at=decision.at)


def pin_record(pin: FramePin) -> PinRecord:
    """Return a choice of frame, on record in the ledger, as the sidecar keeps it."""
    assert pin.at is not None  # noqa: S101  narrows the type: what the ledger has was chosen at some time
    return PinRecord(n=pin.n, wish=pin.wish, take=pin.take, sha256=pin.sha256, why=pin.why, at=pin.at)


def job_record(job: Job) -> JobRecord:
    """Return a paid job as the sidecar keeps it."""
    # A finished job becomes stored with its file, which `ShotState` holds beside the job as it was before.
    return JobRecord(
        state=job.state.value,
        batch=job.batch,
        shot=job.shot,
        slot=job.slot,
        model=job.model,
        request=dict(job.request),
        operation=job.operation,
        estimated_usd=float(job.estimated_usd),
        reason_kind=job.reason_kind,
        reason=job.reason,
        reason_code=job.reason_code,
        created=job.created,
        submitted_at=job.submitted_at,
        finished_at=job.finished_at,
    )


def with_open_takes(sidecar: Sidecar, told: Sidecar) -> Sidecar:
    """Return the sidecar with the open takes of another one of the shot."""
    now = {take.job_key: take for take in told.takes}

    def renew(take: TakeRecord) -> TakeRecord:
        other = now.get(take.job_key)
        if other is None or take.file is not None:
            return take
        return take.model_copy(update={"job": other.job, "usd": other.usd, "attempts": other.attempts})

    listed = {take.job_key for take in sidecar.takes}
    added = [take for take in told.takes if take.job_key not in listed]
    return sidecar.model_copy(update={"takes": (*map(renew, sidecar.takes), *added), "updated": told.updated})


def _failure(failure: Failure) -> FailureRecord:
    return FailureRecord(**asdict(failure))


def _usd(job: Job | None) -> float:
    return float(job.spent_usd) if job else 0.0


def shot_of(sidecar: Sidecar) -> Shot:
    """Return the shot as far as its derived files are concerned."""
    image = sidecar.image
    return Shot(
        id=sidecar.shot,
        line=sidecar.line,
        prompt=sidecar.prompt,
        image_model=image.model if image else "",
        aspect_ratio=image.aspect_ratio if image else "",
        image_size=image.image_size if image else "",
        takes=len(sidecar.takes),
        motion_prompt=sidecar.motion_prompt,
        video_model=next((clip.model for clip in sidecar.clips + sidecar.beginnings), None),
        cuts=tuple(dict.fromkeys(cut.spec for cut in sidecar.cuts)),
        finish=finish_of(sidecar.finish),
    )
