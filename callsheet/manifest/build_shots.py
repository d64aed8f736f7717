"""Building shots from drafts: defaults, legality, pictures, dependencies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

from callsheet.manifest.cell_rules import check_cuts, collect_texts, find_controls
from callsheet.manifest.chains import Chains, read_clip_edits
from callsheet.manifest.columns import COLUMNS, SELECT_WORDS, items_of, models_of
from callsheet.manifest.draft import Draft
from callsheet.manifest.finish import Finishing
from callsheet.manifest.model_rules import Legality
from callsheet.manifest.picture_cells import COLUMN as REFERENCES
from callsheet.manifest.picture_cells import PaidKind, PictureCells, read_guidance, read_switch, reference_items
from callsheet.models import Catalogue, Model, Refusal
from callsheet.models.guidance_rules import guidance_findings, switch_findings
from callsheet.models.rules import PictureValues, VideoValues, image_findings, person_word, video_findings, video_task
from callsheet.models.schema import PersonTask, Platform
from callsheet.platforms import Platforms
from callsheet.shots import ParentTake, Reference, Select, Shot, VideoReference
from callsheet.suggestions import nearest_ratio


@dataclass(frozen=True, slots=True)
class Assembler:
    """Builds the shots of one manifest.

    `wrong` holds what the table check has already reported.
    """

    legality: Legality
    platforms: Platforms
    pictures: PictureCells
    finishing: Finishing
    wrong: set[tuple[int, str]]
    chains: Chains

    @property
    def catalogue(self) -> Catalogue:
        """The models that shots may name."""
        return self.legality.catalogue

    def shots(self, stretch: slice) -> tuple[Shot, ...]:
        """Build one shot per draft of the stretch, and what these are made of.

        The shots are worthless if any problem was noted on the way.
        """
        return tuple(self._find_shot(index) for index in range(len(self.chains.drafts))[stretch])

    def _find_shot(self, index: int) -> Shot:
        """Return the shot at a place, built after all that it is made of."""
        built, link = self.chains.built, self.chains.links.of.get(index)
        if index not in built:
            parent = ParentTake(self._find_shot(link.parent), link.take) if link else None
            built[index] = self._build_shot(index, self.chains.drafts[index], parent)
        return built[index]

    def _build_shot(self, index: int, draft: Draft, parent: ParentTake | None) -> Shot:
        skip = frozenset(column for column in COLUMNS if (index, column) in self.wrong) if self.wrong else frozenset()
        takes = _parse_number(draft, "takes", skip, default=1)
        motion = draft.text("motion_prompt")
        if takes == 0 and not motion:
            self._note(draft, "takes", "0 takes make nothing without a motion prompt", "allowed: 1 to 20")
        edited = self.pictures.open(draft, "edit_of") if index in self.chains.links.files else ()
        references = (*edited, *self.pictures.open(draft, "reference_images"))
        seed = _parse_number(draft, "seed", skip, default=-1)
        shot = Shot(
            id=draft.text("id") or "",
            line=draft.line,
            prompt=draft.text("prompt") or motion or "",
            image_model=self._first_model(draft, "image"),
            aspect_ratio="",
            image_size="",
            takes=takes,
            negative_prompt=draft.text("negative_prompt"),
            seed=None if seed < 0 else seed,
            reference_images=references,
            person_generation=draft.text("person_generation"),
            guidance=read_guidance(draft, self.legality.findings, "image" if takes else "video"),
            tags=items_of(draft.cells.get("tags")),
            variables=tuple(sorted(draft.variables.items())),
            edit_of=parent,
            edits_file=bool(edited),
            is_parent=index in self.chains.parents,
            fallback_on_quota=read_switch(draft, self.legality.findings, "fallback_on_quota") or False,
        )
        shot = self._add_image(draft, shot, motion is not None or draft.begins_clip, skip=skip)
        self.pictures.note_damage(draft, "reference_images", references, "image" if takes else "video")
        for kind, column in collect_texts(draft, takes, motion):
            self.pictures.note_unsendable(draft, kind, find_controls(draft, column))
        if takes or motion is None:
            for name in (shot.image_model, *shot.image_fallbacks):
                self.pictures.note_unfit(draft, {"reference_images": references}, self.catalogue.find(name))
        if motion is not None:
            return self._animate(draft, shot, motion, skip=skip)
        return replace(shot, select=self._parse_select(draft, takes, skip)) if shot.is_parent else shot

    def _first_model(self, draft: Draft, kind: PaidKind) -> str:
        default = self.catalogue.default_image if kind == "image" else self.catalogue.default_video
        return next(iter(models_of(draft.cells.get(f"{kind}_model"))), default)

    def _translate(self, model_id: str, task: PersonTask, wish: str | None) -> str | None:
        """Return the model's word for a wish about people.

        The wish itself where the model has no word for it.
        """
        model = self.catalogue.find(model_id)
        return person_word(wish, model.person_values(task)) if wish and model else wish

    def _add_image(self, draft: Draft, shot: Shot, animated: bool, *, skip: frozenset[str]) -> Shot:
        """Return the shot with the values of its pictures, defaults applied."""
        model_id, takes = shot.image_model, shot.takes
        others = self.legality.fallbacks(draft, "image_model", "image") if takes else []
        model = self.legality.model(draft, "image_model", model_id, "image") if takes else self.catalogue.find(model_id)
        video = self.catalogue.find(self._first_model(draft, "video")) if animated else None
        ratio = draft.text("aspect_ratio") or (draft.text("video_aspect_ratio") if animated else None)
        above = shot.edit_of.shot if shot.edit_of else None
        ratio = ratio or (above.aspect_ratio if above else _choose_ratio(model, video))
        size = draft.text("image_size") or _choose_size(model, above)
        shot = replace(shot, aspect_ratio=ratio, image_size=size, image_fallbacks=tuple(each.id for each in others))
        for each in [model, *others] if takes else ():
            if each is not None:
                self._judge_picture(draft, each, shot, skip=skip)
        person = self._translate(model_id, "image", shot.person_generation) if takes else shot.person_generation
        return replace(shot, person_generation=person)

    def _judge_picture(self, draft: Draft, model: Model, shot: Shot, *, skip: frozenset[str]) -> None:
        person = self._translate(model.id, "image", shot.person_generation)
        is_edit = shot.edits_file or shot.edit_of is not None
        given = shot.aspect_ratio, shot.image_size, shot.input_pictures
        picture = PictureValues(*given, person, shot.seed, is_edit)

        def anywhere(model: Model, platform: Platform | None) -> list[Refusal]:
            return image_findings(model, picture, platform)

        def here(model: Model, platform: Platform | None) -> list[Refusal]:
            return anywhere(model, platform) + guidance_findings(model, shot.guidance, platform)

        combination = (model.id, replace(picture, seed=None), picture.seed is None, shot.guidance)
        self.legality.judge(draft, model, combination, (anywhere, here), skip)

    def _animate(self, draft: Draft, shot: Shot, motion: str, *, skip: frozenset[str]) -> Shot:
        model_id = self._first_model(draft, "video")
        model = self.legality.model(draft, "video_model", model_id, "video")
        ratio = draft.text("video_aspect_ratio") or nearest_ratio(
            shot.aspect_ratio, model.kept_defaults.ratios if model else ()
        )
        resolution = draft.text("resolution") or (model.defaults.resolution if model else None) or "720p"
        duration = _parse_number(draft, "duration_s", skip, default=(model.defaults.duration_s if model else None) or 8)
        extend, rule = _parse_number(draft, "extend", skip, default=0), model.extension if model else None
        shot = replace(shot, extend=extend, extend_s=rule.step_s if extend and rule else 0)
        shot = self._add_clips(draft, replace(shot, clip_edits=read_clip_edits(draft, self.legality.findings)), skip)
        last = self.pictures.open(draft, "last_frame")
        self.pictures.note_damage(draft, "last_frame", last, "video")
        shot = replace(
            shot,
            audio=read_switch(draft, self.legality.findings, "audio"),
            enhance_prompt=read_switch(draft, self.legality.findings, "enhance_prompt"),
        )
        shot = replace(shot, video_references=self._read_video_references(draft))
        cuts = check_cuts(draft, items_of(draft.cells.get("cuts")), self.platforms, self.legality.findings)
        shot = _add_video(shot, motion, model_id, values=(ratio or "16:9", resolution, duration), last=last)
        others = self.legality.fallbacks(draft, "video_model", "video")
        if others and (extend or shot.clip_edits):
            self._note(draft, "video_model", "a clip goes on by the model that began it", "allowed: one model")
        for each in (model, *others):
            if each is not None:
                self._judge_video(draft, each, self._name_people(draft, shot, each.id), skip=skip)
        select, finish = self._parse_select(draft, shot.takes, skip), self.finishing.of(draft, shot.length_s)
        fallbacks = tuple(each.id for each in others)
        shot = self._name_people(draft, shot, model_id)
        return replace(shot, cuts=cuts, finish=finish, select=select, video_fallbacks=fallbacks)

    def _add_clips(self, draft: Draft, shot: Shot, skip: frozenset[str]) -> Shot:
        """Return the shot with how many clips are made of a frame, and which goes on."""
        clips, chosen = _parse_number(draft, "clips", skip, default=1), draft.text("select_clip")
        number = int(chosen) if chosen and chosen.isdecimal() and "select_clip" not in skip else None
        if number and number > clips:
            self._note(draft, "select_clip", f"there is no clip {number}", f"allowed: 1 to {clips}", "raise clips")
            number = None
        return replace(shot, clips=clips, select_clip="first" if chosen == "first" else number)

    def _name_people(self, draft: Draft, shot: Shot, model_id: str) -> Shot:
        """Return the shot with its wish about people in the words of a video model."""
        task = video_task(shot.takes > 0, len(shot.kept_references))
        return replace(shot, video_person_generation=self._translate(model_id, task, draft.text("person_generation")))

    def _read_video_references(self, draft: Draft) -> tuple[VideoReference, ...]:
        """Return what a video keeps to besides its shot's reference images."""
        found, links = [], self.chains.links.videos.get(draft.text("id") or "", {})
        for item in reference_items(draft):
            if (link := links.get(item.text)) is not None:
                found.append(VideoReference(ParentTake(self._find_shot(link.parent), link.take), item.is_style))
            elif not item.names_take and (file := self.pictures.open_one(draft, REFERENCES, item.text)) is not None:
                found.append(VideoReference(file, item.is_style))
        files = [one.source for one in found if isinstance(one.source, Reference)]
        self.pictures.note_damage(draft, REFERENCES, files, "video")
        return tuple(found)

    def _judge_video(self, draft: Draft, model: Model, shot: Shot, *, skip: frozenset[str]) -> None:
        motion, kept_to = shot.motion_prompt or "", shot.kept_references
        files = [one.source for one in shot.video_references if isinstance(one.source, Reference)]
        frame, kept = (shot.last_frame,) if shot.last_frame else (), () if shot.takes else shot.reference_images
        self.pictures.note_unfit(draft, {"last_frame": frame, "reference_images": kept, REFERENCES: files}, model)
        of = REFERENCES if shot.video_references else "reference_images"
        references = (len(kept_to), sum(one.is_style for one in kept_to), of, shot.extend, len(shot.clip_edits))
        asked = (
            shot.video_aspect_ratio or "",
            shot.resolution or "",
            shot.duration_s or 0,
            shot.takes > 0,
            shot.last_frame is not None,
            shot.seed,
            shot.video_person_generation,
        )
        told = (shot.audio, shot.enhance_prompt, shot.takes or shot.guidance)
        # What a video keeps to was not sent before 2026-11-30: what was made without it stays made.
        self.legality.judge(
            draft,
            model,
            ("video", model.id, *asked[:5], shot.seed is None, asked[6], references, told),
            (
                lambda model, platform: video_findings(model, VideoValues(*asked), platform),
                lambda model, platform: [
                    *video_findings(model, VideoValues(*asked, *references), platform),
                    *(() if shot.takes else guidance_findings(model, shot.guidance, platform)),
                    *switch_findings(model, shot, platform),
                ],
            ),
            skip,
        )
        pictures = shot.takes > 0 or bool(kept_to) or shot.last_frame is not None
        uploads = "extend" if shot.extend else "clip_edits" if shot.clip_edits else ""
        self.legality.judge_region(draft, model, pictures=pictures, uploads=uploads)
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

    def _note(self, draft: Draft, column: str, what: str, allowed: str = "", suggestion: str = "") -> None:
        draft.problem(self.legality.findings, column, what, allowed, suggestion)


def _choose_ratio(image: Model | None, video: Model | None) -> str:
    """Return the aspect ratio of pictures that name none.

    A picture that will be animated has the video's aspect, so that nothing is cropped.
    """
    allowed = image.kept_defaults.ratios if image else ()
    wanted = video.defaults.aspect_ratio if video else None
    if wanted and wanted in allowed:
        return wanted
    return (image.defaults.aspect_ratio if image else None) or "1:1"


def _choose_size(model: Model | None, parent: Shot | None) -> str:
    """Return the size of pictures that name none: an edit is as large as its parent."""
    if parent is not None and (model is None or parent.image_size in model.sizes):
        return parent.image_size
    return (model.defaults.size if model else None) or "1K"


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
