"""What an answer costs.

By the tokens that it tells, else the price of what was asked for, or by its error's class.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from callsheet.errors import NothingMade, OperationCancelled, ProviderError
from callsheet.ledger import JobOrder
from callsheet.ledger.spend_window import SpendLimits
from callsheet.models import Catalogue, Model
from callsheet.models.model import MICRO_USD
from callsheet.models.prices import PictureTokens, VideoTokens, picture_cost, video_cost, words_cost
from callsheet.settings import Settings


def spend_limits(settings: Settings, catalogue: Catalogue, scope: str) -> SpendLimits:
    """Give the limits of a scope's money: the live Gemini API has some, by tier.

    0 in the settings takes one away.
    """
    if scope.partition(":")[0] != "gemini_api":
        return SpendLimits()
    known = catalogue.spend_usd.get(str(settings.tier)) or catalogue.spend_usd.get("any")
    return SpendLimits(
        _choose_limit(settings.spend_10min_usd, known.per_10min if known else None),
        _choose_limit(settings.spend_month_usd, known.per_month if known else None),
    )


def _choose_limit(setting: Decimal | None, known: Decimal | None) -> Decimal | None:
    return (known if setting is None else setting) or None


# Tokens that would cost so many times what was reserved are not believed. Thoughts that fill the whole output (32,768
# tokens) of the cheapest picture are four times its price.
MOST_TIMES = 6
# A video is one of the seconds and the size that were asked for: what its tokens cost is near its price.
MOST_TIMES_OF_VIDEO = 4


def charge_of(error: ProviderError, order: JobOrder, model: Model, reserved: Decimal) -> Decimal | None:
    """USD that a failed attempt has cost; None for nothing, or nothing that is known.

    What usage says was produced is booked: pictures as if they had come, texts by their tokens.
    """
    if error.charged or error.tokens.get("output_image"):
        return picture_charge(error.tokens, order, model, reserved) if order.kind == "image" else reserved
    words = _sum(error.tokens, "output") + error.tokens.get("thoughts", 0)
    if not isinstance(error, NothingMade) or not words or not {"input", "output"} <= set(model.per_mtok_usd):
        return None
    cost = model.token_price(_sum(error.tokens, "input"), words).quantize(MICRO_USD)
    return cost if cost <= MOST_TIMES * reserved else reserved


def picture_charge(tokens: Mapping[str, int], order: JobOrder, model: Model, reserved: Decimal) -> Decimal:
    """USD that a reply with a picture has cost.

    The price of the size when its tokens are not told, or absurd.

    `tokens` are those of `ImageResult`, `reserved` is what was held for the request. Never raises: it is paid for.
    """
    size = str(order.request.get("image_size") or "")
    if size not in model.per_image_usd:  # a catalogue of today that has no price for a picture of before
        return reserved
    # Tokens of no known modality are the picture's, which has its price.
    words = tokens.get("output_text", 0) + tokens.get("thoughts", 0)
    told = PictureTokens(_sum(tokens, "input"), words, tokens.get("output_image", 0))
    cost, fixed = picture_cost(model, size, told), picture_cost(model, size, PictureTokens())
    return cost if cost <= MOST_TIMES * max(fixed, reserved) else fixed


def video_charge(tokens: Mapping[str, int], request: Mapping[str, object], model: Model, price: Decimal) -> Decimal:
    """USD that a video has cost, as its reply tells, else its price.

    Tokens of a cost far from the price are not believed. Never raises: it is paid for.
    """
    cost = video_cost(model, str(request.get("resolution") or ""), _billed(tokens))
    is_near = cost is not None and price / MOST_TIMES_OF_VIDEO <= cost <= price * MOST_TIMES_OF_VIDEO
    return cost if cost is not None and is_near else price


def failed_video_charge(error: ProviderError, request: Mapping[str, object], model: Model, price: Decimal) -> Decimal:
    """USD that a submission without a video has cost.

    The words of a refusal are billed, and so is a video that is lost.
    """
    if error.tokens.get("output_video"):
        return video_charge(error.tokens, request, model, price)
    if error.charged:
        return price
    return min(price, words_cost(model, _billed(error.tokens))) if error.tokens else Decimal(0)


def doubt_of(error: ProviderError, price: Decimal) -> Decimal:
    """USD that a submission without a video may have cost, and only the bill can tell.

    A cancelled one tells its cost by its usage, or not at all: then all of its price counts until the bill is read.
    """
    is_told = bool(error.charged) or bool(error.tokens)
    return price if isinstance(error, OperationCancelled) and not is_told else Decimal(0)


def _billed(tokens: Mapping[str, int]) -> VideoTokens:
    words = _sum(tokens, "output") - tokens.get("output_video", 0) + tokens.get("thoughts", 0)
    return VideoTokens(_sum(tokens, "input"), words, tokens.get("output_video", 0))


def _sum(tokens: Mapping[str, int], side: str) -> int:
    return sum(count for name, count in tokens.items() if name.partition("_")[0] == side)
