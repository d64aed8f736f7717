"""What the models allow, said the way the live services say it.

The facts are the catalogue's.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from callsheet.models import Catalogue, Model, Refusal
from callsheet.models.rules import PictureValues, VideoValues, image_findings, video_findings
from callsheet.rehearsal import errors
from callsheet.rehearsal.errors import RefusedError
from callsheet.rehearsal.requests import ImageAsk, VideoAsk


def image_model(catalogue: Catalogue, ask: ImageAsk, *, retired_before: date | None) -> Model | None:
    """Return the model of a request for a picture, None when there is none (404)."""
    return _find_served(catalogue, ask, "image", "generate_content", retired_before)


def look_model(catalogue: Catalogue, ask: ImageAsk, *, retired_before: date | None) -> Model | None:
    """Return the model of a question about pictures, None when there is none (404)."""
    return _find_served(catalogue, ask, "look", "generate_content", retired_before)


def video_model(catalogue: Catalogue, ask: VideoAsk, *, retired_before: date | None) -> Model | None:
    """Return the model of a request for a video, None when there is none (404)."""
    return _find_served(catalogue, ask, "video", "predict_long_running", retired_before)


def complete_image(model: Model, ask: ImageAsk) -> ImageAsk:
    """Return the request with the model's defaults and its true MIME type.

    Raises the 400 that the live service gives.
    """
    aspect_ratio = ask.aspect_ratio or model.defaults.aspect_ratio or "1:1"
    size = ask.size or model.defaults.size or "1K"
    picture = PictureValues(aspect_ratio, size, len(ask.references), ask.person_generation)
    if image_findings(model, picture, ask.surface):
        raise errors.invalid()
    return replace(ask, aspect_ratio=aspect_ratio, size=size, mime_type=_choose_mime_type(ask))


def complete_video(model: Model, ask: VideoAsk) -> VideoAsk:
    """Return the request with the model's defaults.

    Raises the 400 that the live service gives.
    """
    defaults = model.defaults
    done = replace(
        ask,
        aspect_ratio=ask.aspect_ratio or defaults.aspect_ratio or "16:9",
        resolution=ask.resolution or defaults.resolution or "720p",
        duration_s=ask.duration_s if ask.duration_s is not None else defaults.duration_s or 8,
    )
    video = VideoValues(
        done.aspect_ratio or "",
        done.resolution or "",
        done.duration_s or 0,
        has_first_frame=ask.first_frame is not None,
        has_last_frame=ask.last_frame is not None,
        person_generation=ask.person_generation,
        references=ask.references,
    )
    if findings := video_findings(model, video, ask.surface):
        raise _build_video_refusal(model, done, findings[0])
    return done


def _find_served(
    catalogue: Catalogue, ask: ImageAsk | VideoAsk, kind: str, surface: str, retired_before: date | None
) -> Model | None:
    model = catalogue.find(ask.model)
    if model is None or model.kind != kind or model.surface != surface or ask.surface not in model.platforms:
        return None
    return None if retired_before is not None and model.retired(retired_before) else model


def _choose_mime_type(ask: ImageAsk) -> str:
    """Return the MIME type that the model gives.

    PNG from the larger models, JPEG from nano-banana-2.1 and lite (measured 2026-09-20; the sources disagree).
    """
    if ask.mime_type in ("image/png", "image/jpeg"):
        return ask.mime_type
    return "image/jpeg" if "-lite-" in ask.model or "nano-banana-2.1" in ask.model else "image/png"


def _build_video_refusal(model: Model, ask: VideoAsk, finding: Refusal) -> RefusedError:
    """Return the refusal in a text seen from the live service in 2026.

    The one without a field where none is known.
    """
    if finding.column == "duration_s":
        if ask.duration_s in model.durations_s and ask.resolution != model.defaults.resolution:
            return errors.invalid(f"{ask.resolution} is not supported for a duration of {ask.duration_s} seconds.")
        return errors.invalid(f"durationSeconds {ask.duration_s} is out of bound for this model.")
    if finding.column == "person_generation":
        return errors.invalid(f"{ask.person_generation} for personGeneration is currently not supported.")
    wire_name = {"last_frame": "lastFrame", "takes": "image", "reference_images": "referenceImages"}.get(finding.column)
    if wire_name:
        return errors.invalid(f"`{wire_name}` isn't supported by this model.")
    return errors.invalid()
