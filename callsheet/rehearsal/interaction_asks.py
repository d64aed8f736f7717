"""Interactions as values: what a JSON body asks of Omni.

Names are snake_case alone. What the live service refuses is refused in its words, as far as they are known.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from callsheet.rehearsal import errors
from callsheet.rehearsal.requests import Surface, VideoAsk, labels

_TOP = {"model", "background", "store", "input", "response_format", "generation_config", "labels", "stream"}
_NOT_SUPPORTED = ("system_instruction", "safety_settings", "tools", "cached_content", "previous_interaction_id")
_FORMAT = {"type", "aspect_ratio", "resolution", "duration", "delivery", "gcs_uri"}
_CONFIG = {"video_config", "seed"}
_TASKS = ("text_to_video", "image_to_video", "reference_to_video", "edit", "extend")
_DURATION = re.compile(r"(\d{1,4})s")
_DELIVERIES = ("inline", "uri")
MAX_SEED = 2**31


@dataclass(frozen=True, slots=True)
class InteractionAsk:
    """A request for a video by an interaction; `is_waited_for` without `background`."""

    video: VideoAsk
    delivery: str = "inline"
    is_waited_for: bool = False


@dataclass(slots=True)
class _Inputs:
    texts: list[str] = field(default_factory=list)
    images: list[bytes] = field(default_factory=list)
    videos: list[str] = field(default_factory=list)
    video_data: bytes | None = None


def interaction_ask(surface: Surface, body: Mapping[str, Any]) -> InteractionAsk:
    """Return the body of `POST interactions` as a value.

    Raises the live service's 400 for what it does not know.
    """
    for name in body:
        if name in _NOT_SUPPORTED:
            raise errors.invalid(f"`{name}` is not supported by this model.")
    _check_names(body, _TOP, "")
    wanted = _read_object(body, "response_format", _FORMAT)
    config = _read_object(body, "generation_config", _CONFIG)
    inputs = _read_inputs(body.get("input"))
    delivery = _read_delivery(wanted, surface)
    if body.get("store") is False and (delivery == "uri" or body.get("background") is True):
        raise errors.invalid("`store` must be true for background interactions and for delivery by uri.")
    task = _read_task(config, inputs)
    frames = inputs.images if task == "image_to_video" else []
    kept_to = () if frames else tuple(hashlib.sha256(data).hexdigest() for data in inputs.images)
    video = VideoAsk(
        model=_read_text(body, "model") or "",
        surface=surface,
        prompt="\n".join(inputs.texts),
        aspect_ratio=_read_text(wanted, "aspect_ratio"),
        resolution=_read_text(wanted, "resolution"),
        duration_s=_read_duration(wanted.get("duration")),
        seed=_read_seed(config),
        storage_uri=_read_text(wanted, "gcs_uri"),
        references=len(kept_to),
        reference_hashes=kept_to,
        first_frame=frames[0] if frames else None,
        last_frame=frames[1] if len(frames) > 1 else None,
        labels=labels(body),
        task=task,
        source=" ".join(inputs.videos),
        source_data=inputs.video_data,
    )
    return InteractionAsk(video, delivery, is_waited_for=body.get("background") is not True)


def _check_names(values: Mapping[str, Any], known: set[str], place: str) -> None:
    for name in values:
        if name not in known:
            raise errors.unknown_field(name, place)


def _read_object(body: Mapping[str, Any], name: str, known: set[str]) -> Mapping[str, Any]:
    value = body.get(name) or {}
    if not isinstance(value, dict):
        raise errors.invalid(f"Invalid value at '{name}', expected an object.")
    _check_names(value, known, name)
    return value


def _read_inputs(given: object) -> _Inputs:
    found = _Inputs()
    if isinstance(given, str):
        found.texts.append(given)
    for step in given if isinstance(given, list) else []:
        content = step.get("content") if isinstance(step, dict) and step.get("type") == "user_input" else [step]
        for part in content if isinstance(content, list) else [content]:
            _add_part(found, part)
    if not (found.texts or found.images or found.videos):
        raise errors.invalid("`input` is not specified.")
    return found


def _add_part(found: _Inputs, part: object) -> None:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(part, dict) or kind not in ("text", "image", "video"):
        raise errors.invalid(f"Invalid value at 'input.content.type': {str(kind)[:40]}.")
    if kind == "text":
        found.texts.append(str(part.get("text") or ""))
    elif kind == "image":
        found.images.append(_decode(part.get("data"), "image"))
    elif part.get("uri"):
        found.videos.append(str(part["uri"])[:500])
    else:
        found.video_data = _decode(part.get("data"), "video")
        found.videos.append(hashlib.sha256(found.video_data).hexdigest())


def _decode(data: object, kind: str) -> bytes:
    try:
        decoded = base64.b64decode(data, validate=True) if isinstance(data, str) else b""
    except (binascii.Error, ValueError):
        decoded = b""
    if not decoded:
        raise errors.invalid(f"Invalid value at 'input.content.data' of type {kind}, expected base64.")
    return decoded


def _read_task(config: Mapping[str, Any], inputs: _Inputs) -> str:
    """Return the task; without one the inputs tell it.

    Raises the 400 for inputs that it does not take.
    """
    wanted = (
        (config.get("video_config") or {}).get("task") if isinstance(config.get("video_config") or {}, dict) else ""
    )
    guess = "edit" if inputs.videos else "image_to_video" if inputs.images else "text_to_video"
    task = str(wanted or guess)
    if task not in _TASKS:
        raise errors.invalid(f"Invalid value at 'generation_config.video_config.task': {task[:40]}.")
    images, videos = len(inputs.images), len(inputs.videos)
    fits = {
        "text_to_video": not images and not videos,
        "image_to_video": 1 <= images <= 2 and not videos,
        "reference_to_video": images >= 1 and not videos,
        "edit": videos == 1,
        "extend": videos == 1 and not images,
    }
    if not fits[task]:
        raise errors.invalid(f"The inputs do not fit the task {task}: {images} images and {videos} videos.")
    return task


def _read_delivery(wanted: Mapping[str, Any], surface: Surface) -> str:
    if wanted.get("type") != "video":
        raise errors.invalid("`response_format.type` must be video for this model.")
    delivery = str(wanted.get("delivery") or "inline")
    if delivery not in _DELIVERIES:
        raise errors.invalid(f"Invalid value at 'response_format.delivery': {delivery[:40]}.")
    if surface == "gemini_api" and wanted.get("gcs_uri"):
        raise errors.invalid("`gcs_uri` is not supported.")
    if surface == "agent_platform" and delivery == "uri" and not wanted.get("gcs_uri"):
        raise errors.invalid("`gcs_uri` is required for delivery by uri.")
    return delivery


def _read_duration(value: object) -> int | None:
    """Return the seconds of "8s"; a bare number is refused."""
    if value is None:
        return None
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise errors.invalid(
            "Invalid value at 'response_format.duration' (type.googleapis.com/google.protobuf.Duration)"
        )
    return int(found[1])


def _read_seed(config: Mapping[str, Any]) -> int | None:
    seed = config.get("seed")
    if seed is None or (isinstance(seed, int) and not isinstance(seed, bool) and -MAX_SEED <= seed < MAX_SEED):
        return seed
    raise errors.invalid("Invalid value at 'generation_config.seed' (TYPE_INT32)")


def _read_text(values: Mapping[str, Any], name: str) -> str | None:
    value = values.get(name)
    if value is None or isinstance(value, str):
        return value
    raise errors.invalid(f"Invalid value at '{name}' (TYPE_STRING)")
