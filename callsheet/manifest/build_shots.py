"""Building shots from completed drafts.

Defaults of the models, legality, pictures, and what depends on each other.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

from callsheet.errors import Problem
from callsheet.manifest.cell_rules import check_cuts
from callsheet.manifest.columns import COLUMNS, SELECT_WORDS, items_of
from callsheet.manifest.draft import Draft
from callsheet.manifest.finish import Finishing
from callsheet.manifest.inputs import InputFiles, InputKind, Refused
from callsheet.manifest.model_rules import Legality
from callsheet.manifest.problems import Findings
from callsheet.models import Catalogue, Model, Refusal
from callsheet.models.rules import PictureValues, VideoValues, image_findings, person_word, video_findings, video_task
from callsheet.models.schema import PersonTask, Platform
from callsheet.models.suggestions import nearest_ratio
from callsheet.platforms import Platforms
from callsheet.shots import Reference, Select, Shot

_Paid = Literal["image", "video"]
_VIDEO_COLUMNS = tuple(name for name, column in COLUMNS.items() if column.video)


@dataclass(frozen=True, slots=True)
class Assembler:
    """Builds the shots of one manifest.

    `wrong` holds what the table check has already reported.
    """

    legality: Legality
    platforms: Platforms
    inputs: InputFiles
    pictures: InputKind
    finishing: Finishing
    wrong: set[tuple[int, str]]

    @property
    def catalogue(self) -> Catalogue:
        """The models that shots may name."""
        return self.legality.catalogue

    def shots(self, drafts: Sequence[Draft], stretch: slice) -> tuple[Shot, ...]:
        """Build one shot per draft of the stretch.

        The shots are worthless if any problem was noted on the way.
        """
        return tuple(self._build_shot(index, draft) for index, draft in list(enumerate(drafts))[stretch])

    def _build_shot(self, index: int, draft: Draft) -> Shot:
        skip = frozenset(column for column in COLUMNS if (index, column) in self.wrong) if self.wrong else frozenset()
        takes = _parse_number(draft, "takes", skip, default=1)
        motion = draft.text("motion_prompt")
        if takes == 0 and not motion:
            self._note(draft, "takes", "0 takes make nothing without a motion prompt", "allowed: 1 to 20")
        references = self._open_pictures(draft, "reference_images")
        seed = _parse_number(draft, "seed", skip, default=-1)
        shot = Shot(
            id=draft.text("id") or "",
            line=draft.line,
            prompt=draft.text("prompt") or motion or "",
            image_model=draft.text("image_model") or self.catalogue.default_image,
            aspect_ratio="",
            image_size="",
            takes=takes,
            negative_prompt=draft.text("negative_prompt"),
            seed=None if seed < 0 else seed,
            reference_images=references,
            person_generation=draft.text("person_generation"),
            tags=items_of(draft.cells.get("tags")),
            variables=tuple(sorted(draft.variables.items())),
        )
        shot = self._add_image(draft, shot, motion is not None, skip=skip)
        self._note_unsendable(draft, "image" if takes else "video", self._find_damaged(references, "reference_images"))
        for kind, column in _collect_texts(draft, takes, motion):
            self._note_unsendable(draft, kind, _find_controls(draft, column))
        if takes or motion is None:
            self._check_fit(draft, references, "reference_images", model_id=shot.image_model)
        return shot if motion is None else self._animate(draft, shot, motion, skip=skip)

    def _translate(self, model_id: str, task: PersonTask, wish: str | None) -> str | None:
        """Return the model's word for a wish about people.

        The wish itself where the model has no word for it.
        """
        model = self.catalogue.find(model_id)
        return person_word(wish, model.person_values(task)) if wish and model else wish

    def _add_image(self, draft: Draft, shot: Shot, animated: bool, *, skip: frozenset[str]) -> Shot:
        """Return the shot with the values of its pictures, defaults applied."""
        model_id, takes = shot.image_model, shot.takes
        model = self.legality.model(draft, "image_model", model_id, "image") if takes else self.catalogue.find(model_id)
        video = self.catalogue.find(draft.text("video_model") or self.catalogue.default_video) if animated else None
        ratio = draft.text("aspect_ratio") or (draft.text("video_aspect_ratio") if animated else None)
        ratio = ratio or _choose_ratio(model, video)
        size = draft.text("image_size") or (model.defaults.size if model else None) or "1K"
        person = self._translate(model_id, "image", shot.person_generation) if takes else shot.person_generation
        if model is not None and takes:
            picture = PictureValues(ratio, size, len(shot.reference_images), person, shot.seed)

            def rules(model: Model, platform: Platform | None) -> list[Refusal]:
                return image_findings(model, picture, platform)

            combination = (model.id, ratio, size, picture.references, person, picture.seed is None)
            self.legality.judge(draft, model, combination, (rules, rules), skip)
        return replace(shot, aspect_ratio=ratio, image_size=size, person_generation=person)

    def _animate(self, draft: Draft, shot: Shot, motion: str, *, skip: frozenset[str]) -> Shot:
        model_id = draft.text("video_model") or self.catalogue.default_video
        model = self.legality.model(draft, "video_model", model_id, "video")
        ratio = draft.text("video_aspect_ratio") or nearest_ratio(
            shot.aspect_ratio, model.kept_defaults.ratios if model else ()
        )
        resolution = draft.text("resolution") or (model.defaults.resolution if model else None) or "720p"
        duration = _parse_number(draft, "duration_s", skip, default=(model.defaults.duration_s if model else None) or 8)
        last = self._open_pictures(draft, "last_frame")
        self._check_fit(draft, last, "last_frame", model_id=model_id)
        self._note_unsendable(draft, "video", self._find_damaged(last, "last_frame"))
        kept_to = () if shot.takes else shot.reference_images
        self._note_unsendable(draft, "video", _find_unfit(kept_to, "reference_images", model) if model else ())
        task = video_task(shot.takes > 0, len(kept_to))
        shot = replace(shot, video_person_generation=self._translate(model_id, task, draft.text("person_generation")))
        cuts = check_cuts(draft, items_of(draft.cells.get("cuts")), self.platforms, self.legality.findings)
        values = (ratio or "16:9", resolution, duration)
        if model is not None:
            self._judge_video(draft, model, _add_video(shot, motion, model_id, values=values, last=last), skip=skip)
        select = self._parse_select(draft, shot.takes, skip)
        finish = self.finishing.of(draft, duration)
        return replace(
            _add_video(shot, motion, model_id, values=values, last=last), cuts=cuts, finish=finish, select=select
        )

    def _judge_video(self, draft: Draft, model: Model, shot: Shot, *, skip: frozenset[str]) -> None:
        motion, references = shot.motion_prompt or "", 0 if shot.takes else len(shot.reference_images)
        asked = (
            shot.video_aspect_ratio or "",
            shot.resolution or "",
            shot.duration_s or 0,
            shot.takes > 0,
            shot.last_frame is not None,
            shot.seed,
            shot.video_person_generation,
        )
        # What a video keeps to was not sent before 2026-11-30: what was made without it stays made.
        self.legality.judge(
            draft,
            model,
            ("video", model.id, *asked[:5], shot.seed is None, asked[6], references),
            (
                lambda model, platform: video_findings(model, VideoValues(*asked), platform),
                lambda model, platform: video_findings(model, VideoValues(*asked, references), platform),
            ),
            skip,
        )
        # A token is about four characters of English (ai.google.dev/gemini-api/docs/tokens, 2026).
        if model.prompt_tokens and len(motion) > 4 * model.prompt_tokens:
            what = f"the text has {len(motion)} characters, about {len(motion) // 4} tokens"
            self._note(draft, "motion_prompt", what, f"allowed for {model.id}: {model.prompt_tokens} tokens")

    def _parse_select(self, draft: Draft, takes: int, skip: frozenset[str]) -> Select:
        text = draft.text("select")
        if text == "approve" and not takes:
            what = "0 takes make the video from text alone: there is nothing to approve"
            self._note(draft, "select", what, "", "leave select out, or raise takes")
        if text is None or "select" in skip or text in SELECT_WORDS:
            return cast(Select, text if text and "select" not in skip else "best")
        numbers = tuple(dict.fromkeys(int(item) for item in items_of(text)))
        if takes and any(not 1 <= number <= takes for number in numbers):
            self._note(draft, "select", f"there is no take {max(numbers)}", f"allowed: 1 to {takes}", "raise takes")
        return numbers

    def _open_pictures(self, draft: Draft, column: str) -> tuple[Reference, ...]:
        cell = draft.cells.get(column)
        locations = items_of(cell) if COLUMNS[column].kind == "list" else ((draft.text(column) or "",) if cell else ())
        found = []
        for location in locations:
            opened = self.inputs.open(location, self.pictures)
            if isinstance(opened, Refused):
                self._note(draft, column, opened.what, opened.allowed, opened.suggestion)
            else:
                found.append(opened)
        return tuple(found)

    def _check_fit(self, draft: Draft, given: tuple[Reference, ...], column: str, *, model_id: str) -> None:
        """Note pictures that the model does not take."""
        model = self.catalogue.find(model_id)
        for finding in _find_unfit(given, column, model) if model else ():
            self._note(draft, *finding)

    def _note_unsendable(self, draft: Draft, kind: _Paid, findings: Iterable[Refusal]) -> None:
        """Note what keeps requests of a kind from being sent."""
        for finding in findings:
            draft.unsendable(self.legality.findings, kind, finding)

    def _find_damaged(self, given: tuple[Reference, ...], column: str) -> list[Refusal]:
        """Return a finding for each of the pictures that cannot be decoded."""
        damaged = (self.inputs.damage_of(picture) for picture in given)
        return [Refusal(column, damage, "allowed: whole pictures", "save it anew") for damage in damaged if damage]

    def _note(self, draft: Draft, column: str, what: str, allowed: str = "", suggestion: str = "") -> None:
        draft.problem(self.legality.findings, column, what, allowed, suggestion)


def _find_unfit(pictures: tuple[Reference, ...], column: str, model: Model) -> list[Refusal]:
    """Return why the model does not take pictures."""
    found = []
    for picture in pictures:
        if picture.size > model.max_bytes:
            allowed = f"allowed for {model.id}: at most {model.max_bytes}"
            found.append(Refusal(column, f"{picture.uri} has {picture.size} bytes", allowed, "shrink it"))
        if picture.mime_type not in model.mime_types:
            allowed = f"allowed for {model.id}: {', '.join(model.mime_types)}"
            found.append(Refusal(column, f"{picture.uri} is {picture.mime_type}", allowed, "convert it"))
    return found


def _collect_texts(draft: Draft, takes: int, motion: str | None) -> Iterator[tuple[_Paid, str]]:
    """Yield the texts that go out with a request of a kind, or with what comes of it."""
    if takes:
        yield from (("image", column) for column in ("prompt", "negative_prompt", "tags"))
    if motion:
        yield from (("video", column) for column in ("motion_prompt", "negative_prompt", "tags"))


def _find_controls(draft: Draft, column: str) -> list[Refusal]:
    """Return findings about control characters other than tabs and line breaks.

    Providers refuse them, and terminals and logs obey them.
    """
    text = draft.text(column) or ""
    found = next(((n, c) for n, c in enumerate(text, 1) if unicodedata.category(c) == "Cc" and c not in "\t\n\r"), None)
    if found is None:
        return []
    what = f"there is a control character, U+{ord(found[1]):04X}, at character {found[0]}"
    return [Refusal(column, what, "allowed: text, tabs and line breaks", "remove it")]


def warn_of_idle_columns(draft: Draft, findings: Findings) -> None:
    """Warn of video settings that have no effect because the shot stays a picture.

    Only of the shot's own settings.
    """
    if "motion_prompt" in draft.cells:
        return
    idle = [column for column in _VIDEO_COLUMNS if column in draft.own]
    if idle:
        what = "no effect: the shot has no motion prompt and stays a picture"
        findings.warn(Problem(*draft.place_of(idle[0]), ", ".join(idle), what, "", "add motion_prompt"))


def _choose_ratio(image: Model | None, video: Model | None) -> str:
    """Return the aspect ratio of pictures that name none.

    A picture that will be animated has the video's aspect, so that nothing is cropped.
    """
    allowed = image.kept_defaults.ratios if image else ()
    wanted = video.defaults.aspect_ratio if video else None
    if wanted and wanted in allowed:
        return wanted
    return (image.defaults.aspect_ratio if image else None) or "1:1"


def _parse_number(draft: Draft, column: str, skip: frozenset[str], *, default: int) -> int:
    text = draft.text(column)
    return int(text) if text and column not in skip else default


def _add_video(
    shot: Shot,
    motion: str,
    model_id: str,
    *,
    values: tuple[str, str, int],
    last: tuple[Reference, ...],
) -> Shot:
    return replace(
        shot,
        motion_prompt=motion,
        video_model=model_id,
        video_aspect_ratio=values[0],
        resolution=values[1],
        duration_s=values[2],
        last_frame=last[0] if last else None,
    )
