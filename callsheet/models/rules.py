"""The rules of a model, as pure functions of the model and a shot's values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from callsheet.models.model import Model
from callsheet.models.schema import PersonTask, Platform
from callsheet.suggestions import did_you_mean, nearest_ratio

# Words for one wish about people: ours first, then those of the models (google-genai 3.6.1, 2026-11-30).
_PEOPLE = (
    frozenset({"none", "dont_allow", "allow_none"}),
    frozenset({"adults", "allow_adult"}),
    frozenset({"all", "allow_all"}),
)


class Refusal(NamedTuple):
    """One value that a model refuses.

    The manifest column, what is wrong, what is allowed, and a suggestion.
    """

    column: str
    what: str
    allowed: str = ""
    suggestion: str = ""


@dataclass(frozen=True, slots=True)
class PictureValues:
    """The values of a picture that a model may refuse.

    `references` is the number of pictures that are sent; `is_edit`: one of them is what the picture is made from.
    """

    aspect_ratio: str
    size: str
    references: int = 0
    person_generation: str | None = None
    seed: int | None = None
    is_edit: bool = False


@dataclass(frozen=True, slots=True)
class VideoValues:
    """The values of a video that a model may refuse.

    `references` is their number, `styles` how many of them give the style; `references_of` is the column of them. It is
    edited by `edits` instructions, and made longer in `extend` steps.
    """

    aspect_ratio: str
    resolution: str
    duration_s: int
    has_first_frame: bool = True
    has_last_frame: bool = False
    seed: int | None = None
    person_generation: str | None = None
    references: int = 0
    styles: int = 0
    references_of: str = "reference_images"
    extend: int = 0
    edits: int = 0


def image_findings(model: Model, picture: PictureValues, platform: Platform | None = None) -> list[Refusal]:
    """Return everything that `model` refuses about a picture.

    `platform` None means that any platform may serve it.
    """
    ratio, size = picture.aspect_ratio, picture.size
    findings = [
        *_check_one_of(
            model, "aspect_ratio", ratio, allowed=model.aspect_ratios, suggestion=_suggest_ratio(ratio, model)
        ),
        *_check_one_of(
            model,
            "image_size",
            size,
            allowed=model.sizes,
            suggestion=_suggest_size(size, model.sizes, model.defaults.size),
        ),
        *_check_person(model, picture.person_generation, "image", platform=platform),
        *_check_seed(model, picture.seed, platform),
    ]
    if picture.is_edit and not model.reference_images:
        findings.append(Refusal("edit_of", f"{model.id} makes no picture from a picture", "", "name another model"))
    elif picture.references > model.reference_images:
        findings.append(_refuse_references(model, picture.references))
    return findings


def video_findings(model: Model, video: VideoValues, platform: Platform | None = None) -> list[Refusal]:
    """Return everything that `model` refuses about a video.

    `platform` None means that any platform may serve it.
    """
    task = video_task(video.has_first_frame, video.references)
    ratio, resolution = video.aspect_ratio, video.resolution
    near = _suggest_size(resolution, model.resolutions, model.defaults.resolution)
    findings = [
        *_check_one_of(
            model, "video_aspect_ratio", ratio, allowed=model.aspect_ratios, suggestion=_suggest_ratio(ratio, model)
        ),
        *_check_one_of(model, "resolution", resolution, allowed=model.resolutions, suggestion=near),
        *_check_duration(model, video),
        *_check_frames(model, video.has_first_frame, video.has_last_frame),
        *_check_person(model, video.person_generation, task, platform=platform),
        *_check_seed(model, video.seed, platform),
    ]
    if video.edits and not model.edit_video:
        other = "name one that does, such as gemini-omni-1.2-flash, or edit the picture that it begins with (`edits`)"
        findings.append(Refusal("clip_edits", f"{model.id} edits no video", "allowed: none", other))
    return findings + _check_video_references(model, video) + _check_extension(model, video, platform)


def video_task(has_first_frame: bool, references: int = 0) -> PersonTask:
    """Return the task that the rules for people know such a video by.

    One that keeps to given pictures is made of pictures.
    """
    return "image_to_video" if has_first_frame or references else "text_to_video"


def person_word(wish: str, words: Sequence[str]) -> str:
    """Return the word of a model for a wish about people.

    The wish itself where it is one of them or none fits.
    """
    if wish.casefold() in {word.casefold() for word in words}:
        return wish
    said = next((same for same in _PEOPLE if wish.casefold() in same), frozenset[str]())
    return next((word for word in words if word.casefold() in said), wish)


def _suggest_ratio(wanted: str, model: Model) -> str:
    ratio = nearest_ratio(wanted, model.aspect_ratios)
    return f"the nearest is {ratio}" if ratio else did_you_mean(wanted, model.aspect_ratios)


def _check_one_of(model: Model, column: str, value: str, *, allowed: Sequence[str], suggestion: str) -> list[Refusal]:
    if value in allowed:
        return []
    return [Refusal(column, f"{model.id} does not make {value!r}", f"allowed: {', '.join(allowed)}", suggestion)]


def _suggest_size(value: str, allowed: Sequence[str], default: str | None) -> str:
    """Return a hint for a size: its spelling (`1K` for `1k`), or else the default.

    Sizes are too short to look for a similar one.
    """
    same = next((each for each in allowed if each.casefold() == value.casefold()), None)
    if same:
        return f"write {same}"
    return f"the default is {default}" if default else ""


def _check_duration(model: Model, video: VideoValues) -> list[Refusal]:
    duration_s = video.duration_s
    if duration_s not in model.durations_s:
        allowed = ", ".join(map(str, model.durations_s))
        closest = min(model.durations_s, key=lambda seconds: abs(seconds - duration_s), default=None)
        hint = f"the nearest is {closest}" if closest else ""
        return [Refusal("duration_s", f"{model.id} does not make {duration_s} s", f"allowed: {allowed}", hint)]
    for rule in model.rules:
        if (
            rule.applies(video.aspect_ratio, video.resolution, video.references > 0, video.has_last_frame)
            and duration_s not in rule.durations_s
        ):
            allowed = " or ".join(map(str, rule.durations_s))
            what = f"{model.id} does not make {duration_s} s {rule.reason(video.resolution)}"
            return [Refusal("duration_s", what, f"allowed: {allowed}", f"set duration_s to {rule.durations_s[0]}")]
    return []


def _check_frames(model: Model, has_first_frame: bool, has_last_frame: bool) -> list[Refusal]:
    findings = []
    if has_first_frame and not model.first_frame:
        findings.append(Refusal("takes", f"{model.id} does not animate a picture", "allowed: text to video, takes 0"))
    if has_last_frame and not model.last_frame:
        findings.append(Refusal("last_frame", f"{model.id} takes no last frame", "allowed: none", "leave it empty"))
    elif has_last_frame and not has_first_frame:
        findings.append(Refusal("last_frame", "a last frame needs a first frame", "allowed: takes 1 or more"))
    return findings


def _check_person(model: Model, value: str | None, task: PersonTask, *, platform: Platform | None) -> list[Refusal]:
    if value is None:
        return []
    allowed = model.person_values(task, platform)
    if value.casefold() in {each.casefold() for each in allowed}:
        return []
    where = f" on {platform}" if platform else ""
    what = f"{model.id} does not take {value!r} for {task.replace('_', ' ')}{where}"
    listed = f"allowed: {', '.join(allowed)}" if allowed else "nothing can be said about people there"
    # A word that is understood and not allowed is no misspelling: the nearest one would say the opposite.
    guess = "" if any(value.casefold() in same for same in _PEOPLE) else did_you_mean(value, allowed)
    return [Refusal("person_generation", what, listed, guess or "leave it empty")]


def _check_seed(model: Model, seed: int | None, platform: Platform | None) -> list[Refusal]:
    if seed is None or model.takes_seed(platform):
        return []
    where = f" on {platform}" if platform else ""
    return [Refusal("seed", f"{model.id} takes no seed{where}", "allowed: none", "leave it empty")]


def _check_video_references(model: Model, video: VideoValues) -> list[Refusal]:
    found = []
    if video.references > model.reference_images:
        found.append(_refuse_references(model, video.references, video.references_of))
    if video.references and video.has_first_frame:
        what = f"{model.id} begins with a picture, or keeps to pictures"
        found.append(Refusal(video.references_of, what, "allowed: takes 0, the video made of text", "set takes to 0"))
    if video.styles and not model.style_references:
        what = f"{model.id} is not told which picture is a style"
        found.append(Refusal(video.references_of, what, "allowed: pictures of what is shown", "leave out style="))
    return found


def _check_extension(model: Model, video: VideoValues, platform: Platform | None) -> list[Refusal]:
    if not video.extend:
        return []
    rule = model.extension
    if rule is None:
        return [Refusal("extend", f"{model.id} makes no video longer", "allowed: none", "leave it empty")]
    if video.resolution not in rule.resolutions:
        what = f"{model.id} makes no video of {video.resolution} longer"
        allowed = ", ".join(rule.resolutions)
        return [Refusal("extend", what, f"allowed: {allowed}", f"set resolution to {rule.resolutions[0]}")]
    most = rule.count_steps(video.duration_s, platform)
    if video.extend > most:
        where = f" on {platform}" if platform else ""
        what = f"{model.id} does not make {video.duration_s} s longer {video.extend} times by {rule.step_s} s{where}"
        return [Refusal("extend", what, f"allowed: 0 to {most}", "begin with a shorter video" if not most else "")]
    if video_task(video.has_first_frame, video.references) == "text_to_video":
        return []
    # A step is made of its prompt alone: about people that may be said which may be said there.
    return _check_person(model, video.person_generation, "text_to_video", platform=platform)


def _refuse_references(model: Model, references: int, column: str = "reference_images") -> Refusal:
    what = f"{references} reference images are too many for {model.id}"
    return Refusal(column, what, f"allowed: at most {model.reference_images}")
