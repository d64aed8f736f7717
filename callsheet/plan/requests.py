"""From a shot to what is asked of a provider.

Requests, and the orders (with their keys) that the ledger keeps.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from functools import lru_cache

from callsheet.keys import job_key, labels_of
from callsheet.ledger import Job, JobOrder, JobState
from callsheet.ledger.records import EDIT_OF
from callsheet.models import Model
from callsheet.models.prices import picture_estimate, thought_tokens
from callsheet.providers.protocol import ImageRequest, InputImage, InputVideo, VideoRequest, fold_negative
from callsheet.shots import Batch, Shot

# What a request says of itself besides its prompt and inputs, and is no parameter of the result: it is in no key.
TEXT_ALONE = "text_alone"
KEPT_TO = "video_references"
# Which of several clips of one frame it is; the first does not say so, and has the key that it had alone.
VARIANT = "variant"
# Of pictures: a hundred bytes each, beside shots that are in memory anyway.
KEYS_KEPT = 1 << 16
_SENT = (JobState.SUBMITTING, JobState.UNKNOWN, JobState.SUBMITTED, JobState.FINISHED, JobState.STORED)


def take_slot(take: int) -> str:
    """Return the name of a picture's place in its shot."""
    return f"take-{take}"


def clip_slot(take: int | None, variant: int = 1) -> str:
    """Return the name of a clip's place in its shot.

    Without a take it is made of text alone. `variant` tells several clips of one frame apart.
    """
    return ("clip" if take is None else f"clip-{take}") + (f"-v{variant}" if variant > 1 else "")


@lru_cache(maxsize=KEYS_KEPT)
def take_key(batch: Batch, shot: Shot, take: int) -> str:
    """Return the key of picture `take` (1-based) of a shot.

    As long as it is not known which picture it is made of, no job has its key. Survey, plan and steps each ask for it:
    it is worked out once.
    """
    return job_key(
        kind="image",
        mode=batch.mode,
        model=shot.image_model,
        prompt=image_prompt(shot),
        params=_list_image_params(shot, take),
        inputs=_list_image_inputs(shot),
        take=take,
        edition=batch.edition,
    )


def take_keys(batch: Batch, shot: Shot) -> list[str]:
    """Return the keys of all pictures of a shot, in the order of its takes."""
    return [take_key(batch, shot, take) for take in range(1, shot.takes + 1)]


def take_order(batch: Batch, shot: Shot, take: int) -> JobOrder:
    """Return the order for picture `take` (1-based) of a shot; see take_key."""
    return JobOrder(
        key=take_key(batch, shot, take),
        kind="image",
        mode=batch.mode,
        model=shot.image_model,
        campaign=batch.campaign,
        batch=batch.name,
        shot=shot.id,
        slot=take_slot(take),
        request={
            "prompt": image_prompt(shot),
            "take": take,
            "inputs": _list_image_inputs(shot),
            **_drop_unknown(_list_image_params(shot, take)),
            **({EDIT_OF: shot.edit_of.record} if shot.edit_of else {}),
        },
        fallbacks=shot.image_fallbacks,
        fallback_on_quota=shot.fallback_on_quota,
    )


def clip_order(batch: Batch, shot: Shot, take: int | None, frame_sha256: str | None, variant: int = 1) -> JobOrder:
    """Return the order for the clip made of the take with these bytes.

    When both are None, of the one made of text (and references). Further clips of one frame are further variants.
    """
    model = shot.video_model or ""
    params = _list_video_params(seed_variant(shot, variant)) | ({VARIANT: variant} if variant > 1 else {})
    frames = [sha for sha in (frame_sha256, shot.last_frame.sha256 if shot.last_frame else None) if sha]
    inputs = [*frames, *(reference.sha256 for reference in shot.kept_references)]
    prompt = shot.motion_prompt or ""
    key = job_key(
        kind="video", mode=batch.mode, model=model, prompt=prompt, params=params, inputs=inputs, edition=batch.edition
    )
    return JobOrder(
        key=key,
        kind="video",
        mode=batch.mode,
        model=model,
        campaign=batch.campaign,
        batch=batch.name,
        shot=shot.id,
        slot=clip_slot(take, variant),
        request={
            "prompt": prompt,
            "take": take,
            "inputs": inputs,
            **_drop_unknown(params),
            **_mark_text_alone(shot, inputs),
            **({KEPT_TO: [str(one) for one in shot.video_references]} if shot.video_references else {}),
        },
        fallbacks=shot.video_fallbacks,
        fallback_on_quota=shot.fallback_on_quota,
    )


def text_clip_order(batch: Batch, shot: Shot, earlier: Job | None) -> JobOrder:
    """Return the order for the clip of a shot without takes.

    `earlier` is the job that the shot had when its batch ran last. Until 2026-11-30 such a clip was sent without its
    references, and its key said nothing of them. What was paid for then stays made.
    """
    without = clip_order(batch, replace(shot, reference_images=()), None, None)
    if earlier and earlier.key == without.key and earlier.state in _SENT and TEXT_ALONE not in earlier.request:
        return without
    return clip_order(batch, shot, None, None)


def image_prompt(shot: Shot) -> str:
    """Return the text sent for a picture.

    Image models have no field for negatives (models.yaml, 2026-11): they go last.
    """
    return fold_negative(shot.prompt, shot.negative_prompt)


def take_estimate(model: Model, shot: Shot) -> Decimal:
    """Return the USD to reserve for one picture of a shot.

    Raises CatalogueError when the catalogue has no price for it.
    """
    words = image_prompt(shot) + (shot.guidance.system_instruction or "")
    thoughts = thought_tokens(shot.guidance.thinking)
    return picture_estimate(model, shot.image_size, words, shot.input_pictures, thoughts)


def image_request(shot: Shot, take: int, references: tuple[InputImage, ...], key: str, n: int) -> ImageRequest:
    """Return the request for picture `take` of a shot.

    It is attempt `n` at the job `key`.
    """
    return ImageRequest(
        model=shot.image_model,
        prompt=image_prompt(shot),
        aspect_ratio=shot.aspect_ratio,
        size=shot.image_size,
        seed=_choose_seed(shot, take),
        person_generation=shot.person_generation,
        references=references,
        labels=labels_of(key, n),
        system_instruction=shot.guidance.system_instruction,
        safety=shot.guidance.safety,
        thinking=shot.guidance.thinking,
    )


def video_request(
    shot: Shot,
    first_frame: InputImage | None,
    last_frame: InputImage | None,
    key: str,
    n: int,
    output_uri: str | None,
    references: tuple[InputImage, ...] = (),
) -> VideoRequest:
    """Return the request for a clip of a shot.

    It is attempt `n` at the job `key`; `output_uri` is where Veo writes it. Of the references, styles come last.
    """
    styles = sum(one.is_style for one in shot.kept_references) if references else 0
    return VideoRequest(
        model=shot.video_model or "",
        prompt=shot.motion_prompt or "",
        first_frame=first_frame,
        last_frame=last_frame,
        references=references[: len(references) - styles],
        style_references=references[len(references) - styles :],
        negative_prompt=shot.negative_prompt,
        aspect_ratio=shot.video_aspect_ratio,
        resolution=shot.resolution,
        duration_s=shot.duration_s,
        seed=shot.seed,
        person_generation=_choose_video_person(shot),
        output_uri=output_uri,
        audio=shot.audio,
        enhance_prompt=shot.enhance_prompt,
        labels=labels_of(key, n),
    )


def seed_variant(shot: Shot, variant: int) -> Shot:
    """Return the shot with the seed of this clip of several, which differ as takes do."""
    return shot if variant == 1 else replace(shot, seed=_choose_seed(shot, variant))


def _list_image_inputs(shot: Shot) -> list[str]:
    return [*_list_parent(shot), *(reference.sha256 for reference in shot.reference_images)]


def _list_parent(shot: Shot) -> list[str]:
    """Return the sha256 of what the shot's pictures are made of; "" is not known yet."""
    parent = shot.edit_of
    return [parent.picture.sha256 if parent.picture else ""] if parent else []


def _list_image_params(shot: Shot, take: int) -> dict[str, object]:
    return {
        "aspect_ratio": shot.aspect_ratio,
        "image_size": shot.image_size,
        "seed": _choose_seed(shot, take),
        "person_generation": shot.person_generation,
        "system_instruction": shot.guidance.system_instruction,
        "safety": dict(shot.guidance.safety) or None,
        "thinking": shot.guidance.thinking,
    }


def _list_video_params(shot: Shot) -> dict[str, object]:
    return {
        "negative_prompt": shot.negative_prompt,
        "aspect_ratio": shot.video_aspect_ratio,
        "resolution": shot.resolution,
        "duration_s": shot.duration_s,
        "seed": shot.seed,
        "person_generation": _choose_video_person(shot),
        # The order of inputs tells first from last frame only when it is known which of them there are.
        "last_frame": bool(shot.last_frame) or None,
        # So a video of references is not taken for one that begins with the same picture.
        "references": len(shot.kept_references) or None,
        "audio": shot.audio,
        "enhance_prompt": shot.enhance_prompt,
        "styles": sum(one.is_style for one in shot.kept_references) or None,
    }


def list_step_params(shot: Shot) -> dict[str, object]:
    """Return the parameters of a step that makes the shot's clip longer.

    What it looks like is the clip's own: aspect and length are not said again.
    """
    said = ("negative_prompt", "resolution", "seed", "person_generation", "audio", "enhance_prompt")
    params = _list_video_params(shot)
    return {name: params[name] for name in said}


def step_request(shot: Shot, source: InputVideo, prompt: str, key: str, n: int) -> VideoRequest:
    """Return the request for a step made of the clip `source` of a shot.

    It is attempt `n` at the job `key`.
    """
    return VideoRequest(
        model=shot.video_model or "",
        prompt=prompt,
        source_video=source,
        negative_prompt=shot.negative_prompt,
        resolution=shot.resolution,
        seed=shot.seed,
        person_generation=_choose_video_person(shot),
        audio=shot.audio,
        enhance_prompt=shot.enhance_prompt,
        labels=labels_of(key, n),
    )


def _choose_video_person(shot: Shot) -> str | None:
    return shot.video_person_generation or shot.person_generation


def _mark_text_alone(shot: Shot, inputs: list[str]) -> dict[str, object]:
    return {} if shot.takes or inputs else {TEXT_ALONE: True}


def _choose_seed(shot: Shot, take: int) -> int | None:
    """Return the seed of a take: each gets the next one, so takes differ."""
    return None if shot.seed is None else shot.seed + take - 1


def _drop_unknown(params: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in params.items() if value is not None}
