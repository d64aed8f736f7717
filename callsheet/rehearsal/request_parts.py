"""Parts of a request's JSON: its names, and what is said beside the prompt.

snake_case and camelCase are one. A name the API does not know is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from callsheet.models.controls import THINKING, THRESHOLDS, category_word
from callsheet.rehearsal import errors
from callsheet.shots import Guidance

# A field whose inside is not looked at: free-form, or of no interest here.
FREE: Mapping[str, Any] = {}


def _free(text: str) -> dict[str, Mapping[str, Any]]:
    return dict.fromkeys(text.split(), FREE)


_BLOB = _free("mimeType data displayName")
_PART = {
    **_free("text thought thoughtSignature functionCall functionResponse executableCode codeExecutionResult"),
    **_free("videoMetadata mediaResolution partMetadata"),
    "inlineData": _BLOB,
    "fileData": _free("mimeType fileUri displayName"),
}
_CONTENT = {"parts": _PART, "role": FREE}
_IMAGE_CONFIG = _free("aspectRatio imageSize")
_PLATFORM_IMAGE_CONFIG = {
    **_IMAGE_CONFIG,
    **_free("personGeneration prominentPeople outputMimeType outputCompressionQuality"),
    "imageOutputOptions": _free("mimeType compressionQuality"),
}
_GENERATION = _free(
    "temperature topP topK candidateCount maxOutputTokens stopSequences presencePenalty frequencyPenalty "
    "responseMimeType responseSchema responseJsonSchema seed responseModalities mediaResolution speechConfig "
    "audioTimestamp thinkingConfig responseLogprobs logprobs routingConfig modelSelectionConfig "
    "enableEnhancedCivicAnswers enableAffectiveDialog"
)
_TOP = _free("model tools toolConfig safetySettings cachedContent labels serviceTier store modelArmorConfig")


def generate_content_fields(*, agent_platform: bool) -> Mapping[str, Any]:
    """Return the fields of a generateContent request, by surface.

    google-genai 3.4.0 and the public reference, 2026-11.
    """
    image_config = _PLATFORM_IMAGE_CONFIG if agent_platform else _IMAGE_CONFIG
    return {
        **_TOP,
        "contents": _CONTENT,
        "systemInstruction": _CONTENT,
        "generationConfig": {**_GENERATION, "imageConfig": image_config},
    }


def predict_fields(*, agent_platform: bool) -> Mapping[str, Any]:
    """Return the top fields of a predictLongRunning request.

    What is inside is a free value on the wire. The Gemini API itself takes no labels for videos. Rehearsals send them
    all the same, to ask what became of them.
    """
    extra = {} if agent_platform else {"webhookConfig": FREE}
    return {"instances": FREE, "parameters": FREE, "labels": FREE, **extra}


def camel(name: str) -> str:
    """Return `mime_type` and `mimeType` both as `mimeType`."""
    head, *rest = name.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in rest)


def snake(name: str) -> str:
    """Return `imageConfig` as `image_config`, as error messages write it."""
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in name)


def normalise(value: Any, fields: Mapping[str, Any], place: str = "") -> Any:
    """Return the value with camelCase names.

    Raises the live service's 400 for a name that is not in `fields`.
    """
    if not fields:
        return value
    if isinstance(value, list):
        return [normalise(item, fields, f"{place}[{number}]") for number, item in enumerate(value)]
    if not isinstance(value, dict):
        raise errors.invalid(f"Invalid value at '{place}' (oneof), expected an object.")
    result: dict[str, Any] = {}
    for name, inner in value.items():
        known = camel(name)
        if known not in fields:
            raise errors.unknown_field(name, place)
        result[known] = normalise(inner, fields[known], f"{place}.{snake(known)}".lstrip("."))
    return result


def camel_names(value: Any) -> Any:
    """Return a free value with every object name in camelCase."""
    if isinstance(value, dict):
        return {camel(name): camel_names(inner) for name, inner in value.items()}
    return [camel_names(item) for item in value] if isinstance(value, list) else value


def read_guidance(body: Mapping[str, Any]) -> Guidance:
    """Return the system instruction, safety settings and thinking of a body.

    Raises the live service's 400 for what it does not know.
    """
    generation = body.get("generationConfig") or {}
    return Guidance(
        _read_instruction(body.get("systemInstruction")),
        tuple(sorted(_read_setting(number, each) for number, each in enumerate(body.get("safetySettings") or []))),
        _read_thinking(generation.get("thinkingConfig") or {}),
    )


def _read_instruction(content: object) -> str | None:
    parts = content.get("parts") if isinstance(content, dict) else None
    parts = parts if isinstance(parts, list) else [parts]
    texts = [part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)]
    return "\n".join(texts) or None


def _read_setting(number: int, setting: object) -> tuple[str, str]:
    told: Any = camel_names(setting)
    category, threshold = (told.get("category"), told.get("threshold")) if isinstance(told, dict) else (None, None)
    for name, value, known in (
        ("category", category, isinstance(category, str) and category_word(category) == category),
        ("threshold", threshold, threshold in THRESHOLDS.values()),
    ):
        if not known:
            raise errors.invalid(
                f"Invalid value at 'safety_settings[{number}].{name}' (TYPE_ENUM), {str(value)[:80]!r}"
            )
    return str(category), str(threshold)


def _read_thinking(config: object) -> str | None:
    told: Any = camel_names(config)
    if not isinstance(told, dict):
        raise errors.invalid("Invalid value at 'generation_config.thinking_config', expected an object.")
    level = told.get("thinkingLevel")
    if level is None:
        return None
    if not isinstance(level, str) or level.casefold() not in THINKING:
        raise errors.invalid(
            f"Invalid value at 'generation_config.thinking_config.thinking_level' (TYPE_ENUM), {str(level)[:80]!r}"
        )
    return level.casefold()
