"""What the models allow, said the way the live services say it.

The facts are the catalogue's.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from callsheet.models import Catalogue, Model, Refusal
from callsheet.models.guidance_rules import guidance_findings, switch_findings
from callsheet.models.rules import PictureValues, VideoValues, image_findings, video_findings
from callsheet.providers.routing import choose_location
from callsheet.rehearsal import errors
from callsheet.rehearsal.clip_files import SourceVideo
from callsheet.rehearsal.errors import RefusedError
from callsheet.rehearsal.requests import ImageAsk, VideoAsk

# The first as the live service said it of other models (2025); the others are ours.
_GUIDANCE_TEXTS = {
    "system_instruction": "Developer instruction is not enabled for models/{model}",
    "thinking": "Thinking level is not supported for this model.",
    "safety": "Safety setting is not supported for this model.",
}


def image_model(catalogue: Catalogue, ask: ImageAsk, *, retired_before: date | None) -> Model | None:
    """Return the model of a request for a picture, None when there is none (404)."""
    return _find_served(catalogue, ask, "image", "generate_content", retired_before)


def look_model(catalogue: Catalogue, ask: ImageAsk, *, retired_before: date | None) -> Model | None:
    """Return the model of a question about pictures, None when there is none (404)."""
    return _find_served(catalogue, ask, "look", "generate_content", retired_before)


def video_model(catalogue: Catalogue, ask: VideoAsk, *, retired_before: date | None) -> Model | None:
    """Return the model of a request for a video, None when there is none (404)."""
    return _find_served(catalogue, ask, "video", "predict_long_running", retired_before)


def interactions_model(catalogue: Catalogue, ask: VideoAsk, *, retired_before: date | None) -> Model | None:
    """Return the model of an interaction that makes a video, None when there is none."""
    return _find_served(catalogue, ask, "video", "interactions", retired_before)


def is_served_in(catalogue: Catalogue, model_id: str, location: str | None) -> bool:
    """Return whether Agent Platform serves a model in a location; None for none named."""
    model = catalogue.find(model_id)
    return model is None or location is None or choose_location(model.locations, location) == location


def complete_image(model: Model, ask: ImageAsk) -> ImageAsk:
    """Return the request with the model's defaults and its true MIME type.

    Raises the 400 that the live service gives.
    """
    aspect_ratio = ask.aspect_ratio or model.defaults.aspect_ratio or "1:1"
    size = ask.size or model.defaults.size or "1K"
    picture = PictureValues(aspect_ratio, size, len(ask.references), ask.person_generation)
    if image_findings(model, picture, ask.surface):
        raise errors.invalid()
    if refused := guidance_findings(model, ask.guidance, ask.surface):
        raise errors.invalid(_GUIDANCE_TEXTS[refused[0].column].format(model=model.id))
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
    if refused := switch_findings(model, ask, ask.surface):
        wire_name = {"audio": "generateAudio", "enhance_prompt": "enhancePrompt"}[refused[0].column]
        raise errors.invalid(f"`{wire_name}` isn't supported by this model.")
    return done


def complete_extension(model: Model, ask: VideoAsk, source: SourceVideo) -> VideoAsk:
    """Return the request that makes a video longer, with its defaults.

    Raises the 400 that the live service gives, as far as its words are known.
    """
    rule, resolution = model.extension, ask.resolution or model.defaults.resolution or "720p"
    if rule is None or ask.first_frame or ask.last_frame or ask.references:
        raise errors.invalid("`video` isn't supported by this model.")
    if resolution not in rule.resolutions:
        raise errors.invalid(f"{resolution} is not supported for video extension.")
    if ask.duration_s not in (None, rule.step_s):
        raise errors.invalid(f"durationSeconds {ask.duration_s} is out of bound for this model.")
    if rule.count_steps(int(source.seconds), ask.surface) < 1:
        raise errors.invalid(f"The input video of {source.seconds:.1f} seconds is too long.")
    if ask.person_generation is not None:
        allowed = model.person_values("text_to_video", ask.surface)
        if ask.person_generation not in allowed:
            raise errors.invalid(f"{ask.person_generation} for personGeneration is currently not supported.")
    if switch_findings(model, ask, ask.surface):
        raise errors.invalid()
    return replace(
        ask,
        aspect_ratio="9:16" if source.height > source.width else "16:9",
        resolution=resolution,
        duration_s=rule.step_s,
    )


def complete_edit(model: Model, ask: VideoAsk, source: SourceVideo) -> VideoAsk:
    """Return the request that edits a video, with its defaults.

    Raises the 400 that the live service gives, as far as its words are known. What is not said is as in the source.
    """
    if not model.edit_video or ask.first_frame or ask.last_frame:
        raise errors.invalid("`video` isn't supported by this model.")
    ratio = "9:16" if source.height > source.width else "16:9"
    return complete_video(
        model, replace(ask, aspect_ratio=ask.aspect_ratio or ratio, duration_s=ask.duration_s or round(source.seconds))
    )


def _find_served(
    catalogue: Catalogue, ask: ImageAsk | VideoAsk, kind: str, surface: str, retired_before: date | None
) -> Model | None:
    model = catalogue.find(ask.model)
    if model is None or model.kind != kind or model.surface != surface or ask.surface not in model.platforms:
        return None
    return None if retired_before is not None and model.is_retired(retired_before) else model


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
