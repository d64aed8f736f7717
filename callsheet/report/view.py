"""The gallery as values: the view of each shot, made from sidecars alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from urllib.parse import quote

from callsheet.archive.layout import SIDECAR, SPOTS, folder_name
from callsheet.archive.sidecar import WHOLE, ClipRecord, CutRecord, FailureRecord, FileRecord, Sidecar, TakeRecord
from callsheet.archive.spots import SpotRecord
from callsheet.report import page_parts as parts
from callsheet.report.format import advice, dollars, format_count, join_facts, size, truncate, visible
from callsheet.shots import Mode

_LONGEST = 600


@dataclass(frozen=True, slots=True)
class SpotView:
    """A spot: its film, the platform it is made for, and the shots that it joins.

    The shots are in their order. `posting` says what to declare when posting.
    """

    name: str
    media: parts.MediaView | None
    made_for: str
    note: str
    joins: str
    sheet: str
    posting: str


def spot_views(spots: Sequence[SpotRecord]) -> tuple[SpotView, ...]:
    """Build the views of these spots, in their order."""
    return tuple(_view_spot(spot) for spot in spots)


def _view_spot(spot: SpotRecord) -> SpotView:
    made_for = spot.title or (spot.cut.replace("x", ":") if spot.cut[:1].isdigit() else spot.cut)
    length = f"{spot.file.duration_s:.0f} s" if spot.file.duration_s else ""
    fades = f"crossfades of {spot.crossfade_s:g} s" if spot.crossfade_s else ""
    facts = (length, format_count(len(spot.parts), "part"), fades, size(spot.file.size))
    return SpotView(
        name=visible(spot.name),
        media=parts.media_view(spot.file, SPOTS, f"Spot {spot.name}", spot.poster),
        made_for=truncate(made_for, 100) or "Clips as they are",
        note=" · ".join(filter(None, facts)),
        joins=truncate(", ".join(part.shot for part in spot.parts), _LONGEST),
        sheet=quote(f"{SPOTS}/{spot.sheet.file}"),
        posting=parts.posting([spot.disclosure]),
    )


# The order in which states are told: what went well first, then what needs a person.
STATES = ("done", "waiting", "parked", "pending", "blocked", "failed")
# All prompts of a page together, so a page of thousands of shots opens on a phone; the sidecar has the whole text.
_PAGE_TEXT = 650_000
_LONGEST_TEXT = 4_000
_SHORTEST_TEXT = 200


@dataclass(frozen=True, slots=True)
class BatchSummary:
    """The facts of a batch that its sidecars do not have.

    Dollars; None where it is not known.
    """

    campaign: str
    batch: str
    mode: Mode
    made: datetime
    edition: str | None = None
    usd_estimated: Decimal | None = None
    usd_spent: Decimal | None = None


@dataclass(frozen=True, slots=True)
class FailureView:
    """The reason why a step gave nothing, and what to do."""

    what: str
    message: str
    advice: str


@dataclass(frozen=True, slots=True)
class TakeView:
    """One candidate: its picture or why there is none.

    `rank` is 0..100, None when it was not scored.
    """

    number: int
    media: parts.MediaView | None
    failure: FailureView | None
    rank: int | None
    chosen: bool
    why: str
    note: str


@dataclass(frozen=True, slots=True)
class VideoView:
    """A clip or cut: its video or why there is none.

    `name` is what it is called on the page.
    """

    name: str
    media: parts.MediaView | None
    failure: FailureView | None
    note: str


@dataclass(frozen=True, slots=True)
class ShotView:
    """One shot on the page."""

    id: str
    state: str
    tags: tuple[str, ...]
    prompt: str
    motion_prompt: str
    negative_prompt: str
    models: tuple[str, ...]
    facts: tuple[str, ...]
    usd: str
    sidecar: str
    takes: tuple[TakeView, ...]
    clips: tuple[VideoView, ...]
    cuts: tuple[VideoView, ...]
    failures: tuple[FailureView, ...]
    ask: parts.ApprovalQuestion | None
    decided: str
    anchor: str
    edit_of: parts.ShotLink | None = None
    edits: tuple[parts.ShotLink, ...] = ()


@dataclass(frozen=True, slots=True)
class GalleryView:
    """The whole page: counts by state and tag in the order they are shown.

    `posting` says what whoever the cuts are for must declare.
    """

    summary: BatchSummary
    shots: tuple[ShotView, ...]
    spots: tuple[SpotView, ...]
    states: tuple[tuple[str, int], ...]
    tags: tuple[tuple[str, int], ...]
    pictures: int
    clips: int
    cuts: int
    spent: str
    estimated: str
    shapes: tuple[tuple[int, int], ...]
    posting: str

    @property
    def asks(self) -> int:
        """The number of shots that wait for a person's approval."""
        return sum(shot.ask is not None for shot in self.shots)


_HOW = {"copy": "same video", "crop": "reframed", "pad": "shown whole", None: ""}


def gallery_view(
    sidecars: Sequence[Sidecar],
    summary: BatchSummary,
    spots: Sequence[SpotRecord] = (),
    files: Mapping[str, str] | None = None,
) -> GalleryView:
    """Build what the page shows, in the order of `sidecars` and of `spots`."""
    limit = max(_SHORTEST_TEXT, min(_LONGEST_TEXT, _PAGE_TEXT // max(1, len(sidecars))))
    states: Counter[str] = Counter(sidecar.state for sidecar in sidecars)
    tags = Counter(visible(tag) for sidecar in sidecars for tag in dict.fromkeys(sidecar.tags))
    kin = parts.find_kin(sidecars)
    spent = summary.usd_spent if summary.usd_spent is not None else sum(sidecar.usd for sidecar in sidecars)
    return GalleryView(
        summary=summary,
        shots=tuple(_view_shot(sidecar, limit, files or {}, kin) for sidecar in sidecars),
        spots=spot_views(spots),
        states=tuple((state, states[state]) for state in STATES if states[state]),
        tags=tuple(tags.most_common(24)),
        pictures=sum(1 for sidecar in sidecars for take in sidecar.takes if take.file),
        clips=sum(1 for sidecar in sidecars for clip in parts.list_clips(sidecar) if clip.file),
        cuts=sum(1 for sidecar in sidecars for cut_ in sidecar.cuts if cut_.file),
        spent=dollars(spent),
        estimated=dollars(summary.usd_estimated),
        shapes=tuple(sorted({parts.shape(file.width, file.height) for file in _list_files(sidecars, spots)})),
        posting=parts.posting(cut_.disclosure for sidecar in sidecars for cut_ in sidecar.cuts if cut_.file),
    )


def _list_files(sidecars: Sequence[Sidecar], spots: Sequence[SpotRecord]) -> Iterator[FileRecord]:
    for sidecar in sidecars:
        records: list[TakeRecord | ClipRecord | CutRecord] = [*sidecar.takes, *parts.list_clips(sidecar), *sidecar.cuts]
        yield from (record.file for record in records if record.file)
    yield from (spot.file for spot in spots)


def _view_shot(sidecar: Sidecar, limit: int, files: Mapping[str, str], kin: parts.Kin) -> ShotView:
    name = folder_name(sidecar.shot)
    folder = f"shots/{name}"
    own = [take.failure for take in sidecar.takes] + [clip.failure for clip in parts.list_clips(sidecar)]
    shown = {(f.kind, f.message) for f in [*own, *(cut_.failure for cut_ in sidecar.cuts)] if f}
    return ShotView(
        id=truncate(sidecar.shot, 200),
        state=sidecar.state,
        tags=tuple(visible(tag) for tag in dict.fromkeys(sidecar.tags)),
        prompt=truncate(sidecar.prompt, limit),
        motion_prompt=truncate(sidecar.motion_prompt or "", limit // 2),
        negative_prompt=truncate(sidecar.negative_prompt or "", limit // 2),
        models=_list_models(sidecar),
        facts=parts.list_facts(sidecar),
        usd=dollars(sidecar.usd),
        sidecar=quote(f"{folder}/{files.get(name, SIDECAR)}"),
        takes=tuple(_view_take(take, folder, sidecar) for take in sidecar.takes),
        clips=tuple(_view_clip(clip, folder, sidecar) for clip in parts.list_clips(sidecar)),
        cuts=tuple(_view_cut(cut_, folder, sidecar) for cut_ in sidecar.cuts),
        failures=tuple(_view_failure(f) for f in sidecar.failures if (f.kind, f.message) not in shown),
        ask=parts.ask_about(sidecar),
        decided=truncate(parts.describe_decision(sidecar), 600),
        anchor=kin.anchors.get(sidecar.shot, ""),
        edit_of=kin.parents.get(sidecar.shot),
        edits=kin.children.get(sidecar.shot, ()),
    )


def _view_take(take: TakeRecord, folder: str, sidecar: Sidecar) -> TakeView:
    rank = take.score.rank if take.score else None
    return TakeView(
        number=take.take,
        media=parts.media_view(take.file, folder, f"{sidecar.shot}, take {take.take}"),
        failure=_view_failure(take.failure) if take.failure else None,
        rank=None if rank is None else round(min(1.0, max(0.0, rank)) * 100),
        chosen=take.chosen,
        why=truncate(take.why, 300),
        note=truncate((take.score.rejected if take.score else None) or "", 200),
    )


def _view_clip(clip: ClipRecord, folder: str, sidecar: Sidecar) -> VideoView:
    name, choice = parts.name_clip(clip, sidecar)
    about = f"{sidecar.shot}, {name.lower()}"
    longer = f"made in {format_count(clip.step, 'further step')}" if clip.step else ""
    return VideoView(
        name=name,
        media=parts.media_view(clip.file, folder, about, clip.poster),
        failure=_view_failure(clip.failure) if clip.failure else None,
        note=join_facts(_format_length(clip.file), longer, clip.resolution, _format_size(clip.file), choice),
    )


def _view_cut(record: CutRecord, folder: str, sidecar: Sidecar) -> VideoView:
    name = visible(record.platform.title if record.platform else record.spec.replace("x", ":"))
    return VideoView(
        name=name,
        media=parts.media_view(record.file, folder, f"{sidecar.shot}, cut {name}", record.poster),
        failure=_view_failure(record.failure) if record.failure else None,
        note=truncate(join_facts(*_describe_framing(record), "signed" if record.signed else ""), 300),
    )


def _describe_framing(record: CutRecord) -> tuple[str, str]:
    whole = record.framing == WHOLE
    return "" if whole else _HOW[record.how], record.framing


def _view_failure(failure: FailureRecord) -> FailureView:
    reason = f" ({failure.reason})" if failure.reason and failure.reason not in failure.message else ""
    return FailureView(
        what=visible(f"{failure.step}: {failure.kind}"),
        message=truncate(failure.message + reason, 600),
        advice=advice(failure.kind),
    )


def _list_models(sidecar: Sidecar) -> tuple[str, ...]:
    pictures = [sidecar.image.model] if sidecar.image and sidecar.takes else []
    return tuple(visible(name) for name in dict.fromkeys([*pictures, *(clip.model for clip in sidecar.clips)]))


def _format_length(file: FileRecord | None) -> str:
    return f"{file.duration_s:.0f} s" if file and file.duration_s else ""


def _format_size(file: FileRecord | None) -> str:
    return size(file.size) if file else ""
