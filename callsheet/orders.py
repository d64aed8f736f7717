"""From a shot to what is asked of a provider: requests, and the orders (with their keys) that the ledger keeps."""

from __future__ import annotations

from callsheet.keys import job_key, labels_of
from callsheet.ledger import JobOrder
from callsheet.providers.protocol import ImageRequest, InputImage, VideoRequest
from callsheet.shots import Batch, Shot


def take_slot(take: int) -> str:
    """The name of a picture's place in its shot."""
    return f"take-{take}"


def clip_slot(take: int | None) -> str:
    """The name of a clip's place in its shot; without a take it is made of text alone."""
    return "clip" if take is None else f"clip-{take}"


def take_order(batch: Batch, shot: Shot, take: int) -> JobOrder:
    """The order for picture `take` (1-based) of a shot."""
    params = _image_params(shot, take)
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
        request={"prompt": prompt, "take": take, "inputs": references, **_known(params)},
    )


def clip_order(batch: Batch, shot: Shot, take: int | None, frame_sha256: str | None) -> JobOrder:
    """The order for the clip made of the take with these bytes, or of text alone when both are None."""
    model = shot.video_model or ""
    params = _video_params(shot)
    inputs = [sha for sha in (frame_sha256, shot.last_frame.sha256 if shot.last_frame else None) if sha]
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
        request={"prompt": prompt, "take": take, "inputs": inputs, **_known(params)},
    )


def image_prompt(shot: Shot) -> str:
    """The text sent for a picture. Image models have no field for negatives (models.yaml, 2026-11): they go last."""
    return f"{shot.prompt}\n\nAvoid: {shot.negative_prompt}" if shot.negative_prompt else shot.prompt


def image_request(shot: Shot, take: int, references: tuple[InputImage, ...], key: str, n: int) -> ImageRequest:
    """The request for picture `take` of a shot, as attempt `n` at the job `key`."""
    return ImageRequest(
        model=shot.image_model,
        prompt=image_prompt(shot),
        aspect_ratio=shot.aspect_ratio,
        size=shot.image_size,
        seed=_take_seed(shot, take),
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
) -> VideoRequest:
    """The request for a clip of a shot, as attempt `n` at the job `key`; `output_uri` is where Veo writes it."""
    return VideoRequest(
        model=shot.video_model or "",
        prompt=shot.motion_prompt or "",
        first_frame=first_frame,
        last_frame=last_frame,
        negative_prompt=shot.negative_prompt,
        aspect_ratio=shot.video_aspect_ratio,
        resolution=shot.resolution,
        duration_s=shot.duration_s,
        seed=shot.seed,
        person_generation=shot.person_generation,
        output_uri=output_uri,
        labels=labels_of(key, n),
    )


def _image_params(shot: Shot, take: int) -> dict[str, object]:
    return {
        "aspect_ratio": shot.aspect_ratio,
        "image_size": shot.image_size,
        "seed": _take_seed(shot, take),
        "person_generation": shot.person_generation,
    }


def _video_params(shot: Shot) -> dict[str, object]:
    return {
        "negative_prompt": shot.negative_prompt,
        "aspect_ratio": shot.video_aspect_ratio,
        "resolution": shot.resolution,
        "duration_s": shot.duration_s,
        "seed": shot.seed,
        "person_generation": shot.person_generation,
        # The order of inputs tells first from last frame only when it is known which of them there are.
        "last_frame": bool(shot.last_frame) or None,
    }


def _take_seed(shot: Shot, take: int) -> int | None:
    """Takes differ: each gets the next seed."""
    return None if shot.seed is None else shot.seed + take - 1


def _known(params: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in params.items() if value is not None}
