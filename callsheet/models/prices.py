"""The price of a picture or video by what its reply tells, and what to reserve.

It is that of the tokens of the reply, else that of the picture's size or the video's seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from callsheet.models.model import MICRO_USD, Model

# Tokens of an input picture at the default resolution of Gemini 3 (ai.google.dev/gemini-api/docs/media-resolution,
# from memory, 2026-11).
INPUT_PICTURE_TOKENS = 1120
# Tokens of thought that are reserved for. The models think by default (2026-11); how much is told by nobody.
THOUGHT_TOKENS = 1024
_MILLION = 1_000_000
# A list price of a size or second is that of its tokens, rounded. One further away is a user's own, and goes before it.
_ROUNDED = Decimal("0.02")


@dataclass(frozen=True, slots=True)
class PictureTokens:
    """The tokens that are billed for a reply with a picture.

    0 for what the reply does not report. `words` are texts and thoughts.
    """

    input: int = 0
    words: int = 0
    image: int = 0


def picture_cost(model: Model, size: str, tokens: PictureTokens) -> Decimal:
    """Return the USD of a reply with a picture.

    What has no price a token costs what the size costs. Raises CatalogueError when the catalogue has no price for the
    size.
    """
    words = _price_tokens(model, "input", tokens.input) + _price_tokens(model, "output", tokens.words)
    return (_price_image(model, size, tokens.image) + words).quantize(MICRO_USD)


def thought_tokens(level: str | None) -> int:
    """Return the tokens of thought that a picture may take at a level.

    A guess: what a level takes is told by nobody (2026-11).
    """
    return {"minimal": THOUGHT_TOKENS // 4, "high": 4 * THOUGHT_TOKENS}.get(level or "", THOUGHT_TOKENS)


def picture_estimate(model: Model, size: str, prompt: str, pictures: int, thoughts: int = THOUGHT_TOKENS) -> Decimal:
    """Return the USD to reserve for a picture.

    It covers its prompt, its input pictures, and tokens of `thoughts`. Raises CatalogueError when the catalogue has no
    price for the size.
    """
    sent = len(prompt.encode("utf-8", "replace")) // 2 + INPUT_PICTURE_TOKENS * pictures
    image = max(model.image_price(size), _price_image(model, size, model.image_tokens.get(size, 0)))
    words = _price_tokens(model, "input", sent) + _price_tokens(model, "output", thoughts)
    return (image + words).quantize(MICRO_USD, ROUND_CEILING)


def _price_image(model: Model, size: str, tokens: int) -> Decimal:
    """Return the USD of the picture itself.

    By its tokens, where they have the list price that the size has.
    """
    fixed, usual = model.image_price(size), _price_tokens(model, "image", model.image_tokens.get(size, 0))
    if not tokens or abs(usual - fixed) > _ROUNDED * fixed:
        return fixed
    return _price_tokens(model, "image", tokens)


def _price_tokens(model: Model, what: str, tokens: int) -> Decimal:
    return model.per_mtok_usd.get(what, Decimal(0)) * tokens / _MILLION


@dataclass(frozen=True, slots=True)
class VideoTokens:
    """The tokens that are billed for a reply with a video.

    0 for what the reply does not report. `words` are texts and thoughts.
    """

    input: int = 0
    words: int = 0
    video: int = 0


def video_cost(model: Model, resolution: str, tokens: VideoTokens) -> Decimal | None:
    """Return the USD of a reply with a video, by its tokens.

    None where these have not the list price that a second has, or are not told: then it costs what its seconds cost.
    """
    second, mtok = model.per_second_usd.get(resolution), model.per_mtok_usd.get("video", Decimal(0))
    usual = mtok * model.video_tokens.get(resolution, 0) / _MILLION
    if second is None or not tokens.video or not usual or abs(usual - second) > _ROUNDED * second:
        return None
    return (mtok * tokens.video / _MILLION + words_cost(model, tokens)).quantize(MICRO_USD)


def words_cost(model: Model, tokens: VideoTokens) -> Decimal:
    """Return the USD of what was sent and said beside a video."""
    priced = {"input": tokens.input, "output": tokens.words}
    cost = sum((model.per_mtok_usd.get(name, Decimal(0)) * n for name, n in priced.items()), Decimal(0))
    return (cost / _MILLION).quantize(MICRO_USD)
