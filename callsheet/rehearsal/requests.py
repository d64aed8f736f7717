"""Requests as values: what a JSON body asks for.

The body is that of generateContent or predictLongRunning.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from callsheet.rehearsal import errors, request_parts
from callsheet.rehearsal.request_parts import read_guidance
from callsheet.shots import Guidance

Surface = Literal["gemini_api", "agent_platform"]
PLATFORM_ONLY = frozenset(("storageUri", "generateAudio", "compressionQuality", "resizeMode", "pubsubTopic", "fps"))
VIDEO_PARAMETERS = PLATFORM_ONLY | {
    *("sampleCount", "durationSeconds", "aspectRatio", "resolution"),
    *("personGeneration", "negativePrompt", "enhancePrompt", "seed"),
}
_REFERENCE_TYPES = ("ASSET", "STYLE")
INSTANCE_FIELDS = frozenset(("prompt", "image", "lastFrame", "referenceImages", "video", "mask"))


@dataclass(frozen=True, slots=True)
class ImageAsk:
    """A generateContent request for a picture; None where it does not say."""

    model: str
    surface: Surface
    prompt: str
    aspect_ratio: str | None = None
    size: str | None = None
    seed: int | None = None
    person_generation: str | None = None
    mime_type: str | None = None
    references: tuple[bytes, ...] = field(default=(), repr=False)
    labels: tuple[tuple[str, str], ...] = ()
    guidance: Guidance = field(default_factory=Guidance)

    @property
    def words(self) -> str:
        """The words that are billed: the system instruction and the prompt."""
        return (self.guidance.system_instruction or "") + self.prompt

    def fingerprint(self) -> str:
        """Return a value that is equal for requests for the same picture."""
        hashes = [hashlib.sha256(data).hexdigest() for data in self.references]
        asked = [self.model, self.prompt, self.aspect_ratio, self.size, self.seed, hashes]
        told = asdict(self.guidance) if self.guidance != Guidance() else None
        return _compute_fingerprint(["image", *asked, *([told] if told else [])])


@dataclass(frozen=True, slots=True)
class VideoAsk:
    """A predictLongRunning request; None where it does not say.

    Durations are in seconds.
    """

    model: str
    surface: Surface
    prompt: str
    aspect_ratio: str | None = None
    resolution: str | None = None
    duration_s: int | None = None
    seed: int | None = None
    samples: int = 1
    person_generation: str | None = None
    audio: bool | None = None
    enhance_prompt: bool | None = None
    storage_uri: str | None = None
    references: int = 0
    reference_hashes: tuple[str, ...] = ()
    first_frame: bytes | None = field(default=None, repr=False)
    last_frame: bytes | None = field(default=None, repr=False)
    labels: tuple[tuple[str, str], ...] = ()
    task: str = ""
    source: str = ""
    source_data: bytes | None = field(default=None, repr=False)

    def fingerprint(self) -> str:
        """Return a value that is equal for requests for the same video."""
        frames = [hashlib.sha256(data or b"").hexdigest() for data in (self.first_frame, self.last_frame)]
        kept_to = list(self.reference_hashes)
        asked = [self.model, self.prompt, self.aspect_ratio, self.resolution, self.duration_s, self.seed, frames]
        changed: list[object] = [self.task, self.source] if self.source else []
        said = [self.audio, self.enhance_prompt]
        changed += said if said != [None, None] else []
        return _compute_fingerprint(["video", *asked, *([kept_to] if kept_to else []), *changed])


def parse_json(data: bytes) -> dict[str, Any]:
    """Return the JSON object of a request body, or raise the live service's 400."""
    try:
        loaded = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        raise errors.invalid("Invalid JSON payload received. Unexpected token.") from None
    if not isinstance(loaded, dict):
        raise errors.invalid("Invalid JSON payload received. Expected an object.")
    return loaded


def image_ask(model: str, surface: Surface, body: Mapping[str, Any]) -> ImageAsk:
    """Return a generateContent body as a value.

    Raises the live service's 400 for what it does not know.
    """
    fields = request_parts.generate_content_fields(agent_platform=surface == "agent_platform")
    body = request_parts.normalise(body, fields)
    texts: list[str] = []
    pictures: list[bytes] = []
    for part in _read_parts(body.get("contents")):
        if isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif "inlineData" in part:
            pictures.append(_decode_bytes(part["inlineData"].get("data"), "contents.parts.inline_data.data"))
    if not texts and not pictures:
        raise errors.invalid("* GenerateContentRequest.contents: contents is not specified")
    generation = body.get("generationConfig") or {}
    config = generation.get("imageConfig") or {}
    output = config.get("imageOutputOptions") or {}
    return ImageAsk(
        model=model,
        surface=surface,
        prompt="\n".join(texts),
        aspect_ratio=_read_text(config, "aspectRatio"),
        size=_read_text(config, "imageSize"),
        seed=_read_integer(generation, "seed"),
        person_generation=_read_text(config, "personGeneration"),
        mime_type=_read_text(config, "outputMimeType") or _read_text(output, "mimeType"),
        references=tuple(pictures),
        labels=labels(body),
        guidance=read_guidance(body),
    )


def video_ask(model: str, surface: Surface, body: Mapping[str, Any]) -> VideoAsk:
    """Return a predictLongRunning body as a value.

    Raises the live service's 400 for what it does not know.
    """
    body = request_parts.normalise(body, request_parts.predict_fields(agent_platform=surface == "agent_platform"))
    instance, parameters = _read_instance(body), request_parts.camel_names(body.get("parameters") or {})
    if not isinstance(parameters, dict):
        raise errors.invalid("Invalid value at 'parameters', expected an object.")
    _refuse_parameters(parameters, surface)
    references = _read_reference_images(instance.get("referenceImages"))
    source, source_data = _read_source(instance.get("video"), surface)
    return VideoAsk(
        model=model,
        surface=surface,
        prompt=_read_text(instance, "prompt") or "",
        aspect_ratio=_read_text(parameters, "aspectRatio"),
        resolution=_read_text(parameters, "resolution"),
        duration_s=_read_integer(parameters, "durationSeconds"),
        seed=_read_integer(parameters, "seed"),
        samples=_read_samples(parameters, surface),
        person_generation=_read_text(parameters, "personGeneration"),
        audio=_read_switch(parameters, "generateAudio"),
        enhance_prompt=_read_switch(parameters, "enhancePrompt"),
        storage_uri=_read_text(parameters, "storageUri"),
        references=len(references),
        reference_hashes=references,
        first_frame=_read_image(instance.get("image"), "image"),
        last_frame=_read_image(instance.get("lastFrame"), "lastFrame"),
        labels=labels(body),
        task="extend" if source else "",
        source=source,
        source_data=source_data,
    )


def _read_source(value: object, surface: Surface) -> tuple[str, bytes | None]:
    """Return the address of the video that is made longer, or its hash and bytes.

    The Gemini API knows its own files alone.
    """
    if value is None:
        return "", None
    known = ("uri", "mimeType") if surface == "gemini_api" else ("gcsUri", "bytesBase64Encoded", "mimeType")
    if isinstance(value, dict) and not value.keys() - set(known):
        if uri := value.get("uri") or value.get("gcsUri"):
            return str(uri)[:500], None
        if isinstance(data := value.get("bytesBase64Encoded"), str):
            decoded = _decode_bytes(data, "instances[0].video")
            return hashlib.sha256(decoded).hexdigest(), decoded
    raise errors.invalid("`video` isn't supported by this model.")


def _read_instance(body: Mapping[str, Any]) -> dict[str, Any]:
    instances = request_parts.camel_names(body.get("instances"))
    if not isinstance(instances, list) or len(instances) != 1 or not isinstance(instances[0], dict):
        raise errors.invalid("Exactly one instance is required.")
    instance: dict[str, Any] = instances[0]
    for name in instance:
        if name not in INSTANCE_FIELDS:
            raise errors.invalid(f"`{name}` isn't supported by this model.")
    if not instance.get("prompt") and not instance.get("image"):
        raise errors.invalid("Either a prompt or an image is required.")
    return instance


def _refuse_parameters(parameters: Mapping[str, Any], surface: Surface) -> None:
    for name in parameters:
        if name not in VIDEO_PARAMETERS or (surface == "gemini_api" and name in PLATFORM_ONLY):
            raise errors.invalid(f"`{name}` isn't supported by this model.")


def _read_samples(parameters: Mapping[str, Any], surface: Surface) -> int:
    samples = _read_integer(parameters, "sampleCount")
    most = 1 if surface == "gemini_api" else 4
    if samples is not None and not 1 <= samples <= most:
        raise errors.invalid(f"`sampleCount` must be between 1 and {most}.")
    return samples or 1


def _read_parts(contents: object) -> Iterator[dict[str, Any]]:
    for content in contents if isinstance(contents, list) else [contents]:
        parts = content.get("parts") if isinstance(content, dict) else None
        for part in parts if isinstance(parts, list) else [parts]:
            if isinstance(part, dict):
                yield part


def _read_image(value: object, name: str) -> bytes | None:
    """Return a picture's bytes, None without one.

    It is `bytesBase64Encoded` (the SDK) or `inlineData` (the documentation's samples).
    """
    if value is None:
        return None
    if isinstance(value, dict):
        inline = value.get("inlineData")
        data = inline.get("data") if isinstance(inline, dict) else value.get("bytesBase64Encoded")
        if isinstance(data, str):
            return _decode_bytes(data, f"instances[0].{name}")
    raise errors.invalid(f"`{name}` needs `bytesBase64Encoded` and `mimeType`.")


def _read_reference_images(value: object) -> tuple[str, ...]:
    """Return the sha256 of each picture that the video keeps to."""
    given = value if isinstance(value, list) else []
    if not all(isinstance(one, dict) and str(one.get("referenceType")).upper() in _REFERENCE_TYPES for one in given):
        raise errors.invalid("`referenceImages` needs `image` and a `referenceType` of ASSET or STYLE.")
    return tuple(hashlib.sha256(_read_image(one.get("image"), "referenceImages") or b"").hexdigest() for one in given)


def _decode_bytes(data: object, place: str) -> bytes:
    try:
        if not isinstance(data, str):
            raise ValueError
        # URL-safe letters are taken too, as protobuf's JSON form does.
        return base64.b64decode(data.replace("-", "+").replace("_", "/") + "=" * (-len(data) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise errors.invalid(f"Invalid value at '{place}' (TYPE_BYTES), Base64 decoding failed.") from None


def _read_text(values: Mapping[str, Any], name: str) -> str | None:
    value = values.get(name)
    if value is None or isinstance(value, str):
        return value
    raise errors.invalid(f"Invalid value at '{request_parts.snake(name)}' (TYPE_STRING), {json.dumps(value)[:80]}")


def _read_integer(values: Mapping[str, Any], name: str) -> int | None:
    value = values.get(name)
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and -(2**31) <= value < 2**32:
        return value
    raise errors.invalid(f"Invalid value at '{request_parts.snake(name)}' (TYPE_INT32), {json.dumps(value)[:80]}")


def _read_switch(values: Mapping[str, Any], name: str) -> bool | None:
    value = values.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise errors.invalid(f"Invalid value at '{request_parts.snake(name)}' (TYPE_BOOL), {json.dumps(value)[:80]}")


def labels(body: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the labels of a request body, sorted by name.

    Raises the live service's 400 when they are none.
    """
    given = body.get("labels") or {}
    if not isinstance(given, dict) or len(given) > 64:
        raise errors.invalid("Invalid value at 'labels'.")
    return tuple(sorted((str(name), str(value)) for name, value in given.items()))


def _compute_fingerprint(values: list[object]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()
