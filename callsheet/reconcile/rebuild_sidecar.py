"""A lost sidecar made again.

It is pure, from what the ledger has of its shot and from the catalogue's rows. Neither knows everything: the scores of
takes, the template's variables and earlier failures of parts are gone until the next run of the shot writes them anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from callsheet.archive.lineage import asset_of_row, making_of, parameters_of
from callsheet.archive.sidecar import ClipRecord, CutRecord, FailureRecord, ImageParams, Sidecar, TakeRecord
from callsheet.decisions import APPROVAL, FrameDecision, FramePin
from callsheet.ledger import Job, JobState, ShotRow, Want
from callsheet.ledger.records import EDIT_OF, RATINGS, RECORD, REQUEST_ID, SUBMISSION_ID, TEXT, find_asked_model
from callsheet.plan.extensions import ClipSlot, read_clip_slot
from callsheet.plan.requests import clip_slot, take_slot
from callsheet.shots import CHOSEN, Asset, Batch
from callsheet.steps.sidecar import decision_record, file_record, job_record, pin_record

Row = Mapping[str, Any]
_ENDED_BADLY = {JobState.BLOCKED, JobState.FAILED, JobState.EXPIRED, JobState.UNKNOWN}


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is still known of a shot.

    The ledger's rows (None, () without them) and the catalogue's, oldest first.
    """

    batch: Batch
    shot: str
    row: ShotRow | None
    wants: Sequence[Want]
    jobs: Mapping[str, Job]
    assets: Sequence[Asset]
    rows: Sequence[Row]
    decisions: Sequence[FrameDecision] = ()
    pins: Sequence[FramePin] = ()

    def slots(self) -> dict[str, str]:
        """Return the job of every slot.

        As the ledger has it, else as the newest row of the slot tells.
        """
        told = {_slot(row): row["job_key"] for row in self.rows if row["kind"] in ("take", "clip") and row["job_key"]}
        return {want.slot: want.job_key for want in self.wants} or told

    def files(self) -> list[Asset]:
        """Return the shot's files, each once, newest first."""
        found = {row["file"]: asset_of_row(row) for row in self.rows} | {one.name: one for one in self.assets}
        return sorted(found.values(), key=lambda one: one.created, reverse=True)

    def row_of(self, asset: Asset | None) -> Row:
        """Return the newest row of a file; empty when the catalogue does not list it."""
        rows = [row for row in self.rows if asset is not None and row["file"] == asset.name]
        return rows[-1] if rows else {}


def sidecar_from(known: Remembered, *, done: bool, updated: datetime) -> Sidecar | None:
    """Return the sidecar of a shot; None when nothing is known of it.

    `done`: how it stands, should the ledger not know.
    """
    keys = known.slots()
    takes = [_take(known, slot, key) for slot, key in keys.items() if slot.startswith("take-")]
    every = [_clip(known, slot, key) for slot, key in keys.items() if slot.startswith("clip")]
    clips = _find_finished(every)
    beginnings = [clip for clip in every if clip not in clips]
    if not takes and not clips:
        return None
    first = next((known.row_of(one) for one in known.files() if known.row_of(one)), {})
    still = next((row for row in reversed(known.rows) if row["kind"] == "take"), {})
    moving = next((_read_request(known, key, "prompt") for slot, key in keys.items() if slot.startswith("clip")), None)
    state = known.row.state.value if known.row else "done" if done else "pending"
    return Sidecar(
        campaign=known.batch.campaign,
        batch=known.batch.name,
        edition=known.batch.edition,
        mode=known.batch.mode,
        shot=known.shot,
        line=int(first.get("line") or (known.row.position if known.row else 0)),
        tags=tuple(first.get("tags") or ()),
        prompt=str(still.get("prompt") or _prompt(known, keys)),
        motion_prompt=str(moving or _moving(known)) if clips else None,
        select="approve" if known.decisions or (known.row and known.row.reason_kind == APPROVAL) else "best",
        state=state,
        decisions=tuple(decision_record(decision) for decision in known.decisions),
        pins=tuple(pin_record(pin) for pin in known.pins),
        failures=_failures(known.row),
        image=_image(known, keys, still),
        takes=tuple(sorted(takes, key=lambda take: take.take)),
        clips=tuple(sorted(clips, key=lambda clip: clip.take or 0)),
        beginnings=tuple(sorted(beginnings, key=lambda clip: (clip.take or 0, clip.step, clip.variant))),
        cuts=tuple(_cuts(known, clips)),
        usd=round(sum(take.usd for take in takes) + sum(clip.usd for clip in every), 6),
        updated=updated,
    )


def _take(known: Remembered, slot: str, key: str) -> TakeRecord:
    job, number = known.jobs.get(key), int(slot.removeprefix("take-"))
    asset = next((one for one in known.files() if one.kind == "take" and one.job_key == key), None)
    thumbs = (one for one in known.files() if one.kind == "thumbnail" and asset and one.parent == asset.sha256)
    row, details = known.row_of(asset), (job.details if job else None) or {}
    return TakeRecord(
        take=number,
        job_key=key,
        file=file_record(asset, thumbnail=next((one.name for one in thumbs), row.get("thumbnail"))) if asset else None,
        failure=_failure("images", job, slot),
        job=job_record(job) if job else None,
        usd=float(job.spent_usd) if job else float(row.get("usd") or 0),
        attempts=job.attempts if job else 0,
        model_version=str(details.get("model_version") or row.get("model") or ""),
        response_id=str(details.get("response_id", "")),
        request_id=str(details.get(REQUEST_ID, "")),
        safety_ratings=tuple(details.get(RATINGS, ())),
        tokens=details.get("tokens", {}),
        chosen=bool(row.get("chosen")) or clip_slot(number) in known.slots(),
        others=tuple(file_record(one) for one in known.files() if asset and _came_with(one, asset)),
        text=str(details.get(TEXT, "")),
    )


def _came_with(one: Asset, made: Asset) -> bool:
    return one.kind == "extra" and one.parent == made.sha256


def _clip(known: Remembered, slot: str, key: str) -> ClipRecord:
    job, place = known.jobs.get(key), read_clip_slot(slot)
    asset = next((one for one in known.files() if one.kind == "clip" and one.job_key == key), None)
    row = known.row_of(asset)
    asked = {**parameters_of(row), **(job.request if job else {})}
    details = (job.details if job else None) or {}
    is_chosen = asset is not None and any(pin.sha256 == asset.sha256 for pin in known.pins)
    return ClipRecord(
        take=place.take,
        step=place.step,
        is_edit=place.is_edit,
        variant=place.variant,
        chosen=is_chosen,
        job_key=key,
        model=(job.model if job else None) or str(row.get("model") or ""),
        operation=job.operation if job else row.get("operation"),
        resolution=_text(asked.get("resolution")),
        aspect_ratio=_text(asked.get("aspect_ratio")),
        requested_duration_s=asked.get("duration_s") or asked.get("requested_duration_s"),
        file=file_record(asset, fps=details.get("fps")) if asset else None,
        poster=_poster(known, asset),
        failure=_failure("clips", job, slot),
        job=job_record(job) if job else None,
        usd=float(job.spent_usd) if job else float(row.get("usd") or 0),
        attempts=job.attempts if job else 0,
        reply=details.get(RECORD) or {},
        request_id=str(details.get(REQUEST_ID, "")),
        submission_request_id=str(details.get(SUBMISSION_ID, "")),
        others=tuple(file_record(one) for one in known.files() if asset and _came_with(one, asset)),
    )


def _find_finished(clips: Sequence[ClipRecord]) -> list[ClipRecord]:
    """Return of each frame the clip as it is in the end.

    The one that was made longer most often; of several the chosen one.
    """
    best: dict[int | None, ClipRecord] = {}
    for clip in sorted(clips, key=lambda one: (one.step, one.chosen, -one.variant)):
        best[clip.take] = clip
    return list(best.values())


def _cuts(known: Remembered, clips: Sequence[ClipRecord]) -> list[CutRecord]:
    """Return the newest cut of every clip and aspect."""
    takes = {clip.file.sha256: clip.take for clip in clips if clip.file}
    found: dict[tuple[str, int | None], CutRecord] = {}
    for asset in known.files():
        if asset.kind != "cut" or asset.parent not in takes:
            continue
        row, take = known.row_of(asset), takes[asset.parent]
        spec = str(row.get("spec") or asset.name.split("-")[1])
        making = making_of(asset.details or parameters_of(row))
        files = {"file": file_record(asset), "poster": _poster(known, asset)}
        made = CutRecord(**dict(making), spec=spec, take=take, recipe=asset.recipe, **files)
        found.setdefault((spec, take), made)
    order = [row["file"] for row in known.rows]

    def place(cut: CutRecord) -> int:
        return order.index(cut.file.file) if cut.file and cut.file.file in order else len(order)

    return sorted(found.values(), key=lambda cut: (cut.take or 0, place(cut), cut.spec))


def _poster(known: Remembered, asset: Asset | None) -> Any:
    posters = (one for one in known.files() if one.kind == "poster" and asset and one.parent == asset.sha256)
    found = next(posters, None)
    return file_record(found) if found else None


def _image(known: Remembered, keys: Mapping[str, str], still: Row) -> ImageParams | None:
    key = keys.get(take_slot(1)) or next((key for slot, key in keys.items() if slot.startswith("take-")), None)
    if key is None:
        return None
    job = known.jobs.get(key)
    asked = {**(job.request if job else {}), **parameters_of(still)}
    given = {name: asked[name] for name in ImageParams.model_fields if asked.get(name) is not None}
    if isinstance(given.get(EDIT_OF), str):
        given[EDIT_OF] = given[EDIT_OF].replace(f":{CHOSEN}:", ":")
    model = find_asked_model(job) if job else str(still.get("model") or "")
    return ImageParams.model_validate({"aspect_ratio": "", "image_size": "", **given, "model": model})


def _failure(step: str, job: Job | None, slot: str) -> FailureRecord | None:
    if job is None or job.state not in _ENDED_BADLY:
        return None
    kind = job.reason_kind or job.state.value
    return FailureRecord(
        step=step, kind=kind, message=job.reason or "No reason was given.", reason=job.reason_code or "", slot=slot
    )


def _failures(row: ShotRow | None) -> tuple[FailureRecord, ...]:
    if row is None or not row.reason_kind:
        return ()
    return (FailureRecord(step=row.step, kind=row.reason_kind, message=row.reason),)


def _prompt(known: Remembered, keys: Mapping[str, str]) -> str:
    asked = (_read_request(known, key, "prompt") for slot, key in keys.items() if slot.startswith("take-"))
    return next((prompt for prompt in asked if prompt), "") or _moving(known)


def _moving(known: Remembered) -> str:
    rows = (row for row in reversed(known.rows) if row["kind"] == "clip")
    return str(next(rows, {}).get("prompt") or "")


def _read_request(known: Remembered, key: str, name: str) -> str | None:
    job = known.jobs.get(key)
    return _text(job.request.get(name)) if job else None


def _slot(row: Row) -> str:
    if row["kind"] == "take":
        return take_slot(row["take"] or 1)
    told = parameters_of(row)
    step, variant = told.get("step", 0), told.get("variant", 1)
    step, variant = (step if isinstance(step, int) else 0), (variant if isinstance(variant, int) else 1)
    return str(ClipSlot(row["take"], step, variant, told.get("edit") is True))


def _text(value: object) -> str | None:
    return None if value is None else str(value)
