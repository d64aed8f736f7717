"""From a shot to what is asked of a provider.

Requests, and the orders (with their keys) that the ledger keeps.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from callsheet.keys import job_key, labels_of
from callsheet.ledger import Job, JobOrder, JobState
from callsheet.models import Model
from callsheet.models.picture_price import picture_estimate
from callsheet.providers.protocol import ImageRequest, InputImage, VideoRequest
from callsheet.shots import Batch, Reference, Shot

# What a request says of itself besides its prompt and inputs, and is no parameter of the result: it is in no key.
TEXT_ALONE = "text_alone"
_SENT = (JobState.SUBMITTING, JobState.UNKNOWN, JobState.SUBMITTED, JobState.FINISHED, JobState.STORED)


def take_slot(take: int) -> str:
    """Return the name of a picture's place in its shot."""
    return f"take-{take}"


def clip_slot(take: int | None) -> str:
    """Return the name of a clip's place in its shot.

    Without a take it is made of text alone.
    """
    return "clip" if take is None else f"clip-{take}"


def take_order(batch: Batch, shot: Shot, take: int) -> JobOrder:
    """Return the order for picture `take` (1-based) of a shot."""
    params = _list_image_params(shot, take)
    prompt = image_prompt(shot)
    references = [reference.sha256 for reference in shot.reference_images]
    key = job_key(
        kind="image",
        mode=batch.mode,
        model=shot.image_model,
        prompt=prompt,
        params=params,
        inputs=references,
        take=take,
        edition=batch.edition,
    )
    return JobOrder(
        key=key,
        kind="image",
        mode=batch.mode,
        model=shot.image_model,
        campaign=batch.campaign,
        batch=batch.name,
        shot=shot.id,
        slot=take_slot(take),
        request={"prompt": prompt, "take": take, "inputs": references, **_drop_unknown(params)},
    )


def clip_order(batch: Batch, shot: Shot, take: int | None, frame_sha256: str | None) -> JobOrder:
    """Return the order for the clip made of the take with these bytes.

    When both are None, of the one made of text (and references).
    """
    model = shot.video_model or ""
    params = _list_video_params(shot)
    frames = [sha for sha in (frame_sha256, shot.last_frame.sha256 if shot.last_frame else None) if sha]
    inputs = [*frames, *(reference.sha256 for reference in video_references(shot))]
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
        slot=clip_slot(take),
        request={
            "prompt": prompt,
            "take": take,
            "inputs": inputs,
            **_drop_unknown(params),
            **_mark_text_alone(shot, inputs),
        },
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


def video_references(shot: Shot) -> tuple[Reference, ...]:
    """Return the pictures that the video of a shot keeps to.

    A video made of a take has them in that already.
    """
    return () if shot.takes else shot.reference_images


def image_prompt(shot: Shot) -> str:
    """Return the text sent for a picture.

    Image models have no field for negatives (models.yaml, 2026-11): they go last.
    """
    return f"{shot.prompt}\n\nAvoid: {shot.negative_prompt}" if shot.negative_prompt else shot.prompt


def take_estimate(model: Model, shot: Shot) -> Decimal:
    """Return the USD to reserve for one picture of a shot.

    Raises CatalogueError when the catalogue has no price for it.
    """
    return picture_estimate(model, shot.image_size, image_prompt(shot), len(shot.reference_images))


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

    It is attempt `n` at the job `key`; `output_uri` is where Veo writes it.
    """
    return VideoRequest(
        model=shot.video_model or "",
        prompt=shot.motion_prompt or "",
        first_frame=first_frame,
        last_frame=last_frame,
        references=references,
        negative_prompt=shot.negative_prompt,
        aspect_ratio=shot.video_aspect_ratio,
        resolution=shot.resolution,
        duration_s=shot.duration_s,
        seed=shot.seed,
        person_generation=_choose_video_person(shot),
        output_uri=output_uri,
        labels=labels_of(key, n),
    )


def _list_image_params(shot: Shot, take: int) -> dict[str, object]:
    return {
        "aspect_ratio": shot.aspect_ratio,
        "image_size": shot.image_size,
        "seed": _choose_seed(shot, take),
        "person_generation": shot.person_generation,
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
        "references": len(video_references(shot)) or None,
    }


def _choose_video_person(shot: Shot) -> str | None:
    return shot.video_person_generation or shot.person_generation


def _mark_text_alone(shot: Shot, inputs: list[str]) -> dict[str, object]:
    return {} if shot.takes or inputs else {TEXT_ALONE: True}


def _choose_seed(shot: Shot, take: int) -> int | None:
    """Return the seed of a take: each gets the next one, so takes differ."""
    return None if shot.seed is None else shot.seed + take - 1


def _drop_unknown(params: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in params.items() if value is not None}
