"""The smoke test: one picture and the shortest clip, as credentials allow."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from callsheet.errors import CatalogueError, SettingsError
from callsheet.models import Catalogue, Model
from callsheet.models.rules import VideoValues, video_findings
from callsheet.models.schema import Kind
from callsheet.providers.access import Access
from callsheet.providers.routing import platform_for
from callsheet.settings import Settings

CAMPAIGN = "doctor"
_SHOT = "smoke"
_PROMPT = "A red apple on a plain white table, soft daylight from the left."
_MOTION = "One continuous shot: the camera moves slowly towards the apple. Nothing else moves."


@dataclass(frozen=True, slots=True)
class Smoke:
    """The models of the smoke test; without a `video` it is a picture alone."""

    image: Model
    video: Model | None


def choose_smoke(catalogue: Catalogue, access: Access, today: date) -> Smoke:
    """Return the default models, or the cheapest that credentials lead to.

    SettingsError when there is no route to any picture.
    """
    image = _choose(catalogue, access, "image", today)
    if image is None:
        raise SettingsError("No credentials lead to a model for pictures. Nothing was sent; the checks say what to do.")
    return Smoke(image, _choose(catalogue, access, "video", today))


def write_smoke(smoke: Smoke, settings: Settings) -> Path:
    """Write the manifest of the smoke test into the home, and return its path.

    It is the same as long as the models are: running it again reuses what is there.
    """
    shot: dict[str, Any] = {"id": _SHOT, "prompt": _PROMPT, "image_model": smoke.image.id, "takes": 1}
    if smoke.video is not None:
        clip = find_shortest(smoke.video)
        shot |= {"motion_prompt": _MOTION, "video_model": smoke.video.id, "aspect_ratio": clip.aspect_ratio}
        shot |= {"resolution": clip.resolution, "duration_s": clip.duration_s}
    file = settings.home.absolute() / "doctor" / "smoke.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    # JSON is YAML.
    file.write_text(json.dumps({"campaign": CAMPAIGN, "shots": [shot]}, indent=2) + "\n", encoding="utf-8")
    return file


def find_shortest(model: Model) -> VideoValues:
    """Return the shortest clip that a model makes of a frame.

    It has the resolution that costs least. CatalogueError when it makes none.
    """
    aspect = model.defaults.aspect_ratio or "16:9"
    all_of_them = [
        VideoValues(aspect, resolution, seconds, has_first_frame=True)
        for seconds in model.durations_s
        for resolution in model.resolutions
        if resolution in model.per_second_usd
    ]
    legal = [one for one in all_of_them if not video_findings(model, one)]
    if not legal:
        raise CatalogueError(f"{model.id} makes no clip of a frame that has a price in the catalogue.")
    return min(legal, key=lambda one: (one.duration_s, model.video_price(one.resolution, one.duration_s)))


def _choose(catalogue: Catalogue, access: Access, kind: Kind, today: date) -> Model | None:
    """Return the default where the credentials' platform has it, else the cheapest.

    What only a gateway may serve to a key comes last.
    """
    default = catalogue.defaults[kind]
    usable = [one for one in catalogue.models(kind) if one.driven and not one.is_retired(today)]
    served = [(platform_for(one, access, about_people=False), one) for one in usable]
    ranked = [
        ((platform not in one.platforms, one.id != default, _find_price(one)), one)
        for platform, one in served
        if platform is not None
    ]
    return min(ranked, key=lambda entry: entry[0])[1] if ranked else None


def _find_price(model: Model) -> Decimal:
    try:
        if model.kind == "video":
            clip = find_shortest(model)
            return model.video_price(clip.resolution, clip.duration_s)
        return model.image_price(model.defaults.size or "")
    except CatalogueError:
        return Decimal("Infinity")
