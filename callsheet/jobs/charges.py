"""What an answer costs: by the tokens that it tells, else the price of what was asked for, or by its error's class."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from callsheet.errors import NothingMade, ProviderError
from callsheet.ledger import JobOrder
from callsheet.ledger.spend_window import SpendLimits
from callsheet.models import Catalogue, Model
from callsheet.models.model import MICRO_USD
from callsheet.models.picture_price import PictureTokens, picture_cost
from callsheet.settings import Settings


def spend_limits(settings: Settings, catalogue: Catalogue, scope: str) -> SpendLimits:
    """Give the limits of a scope's money: the live Gemini API has some, by tier.

    0 in the settings takes one away.
    """
    if scope.partition(":")[0] != "gemini_api":
        return SpendLimits()
    known = catalogue.spend_usd.get(str(settings.tier)) or catalogue.spend_usd.get("any")
    return SpendLimits(
        _given(settings.spend_10min_usd, known.per_10min if known else None),
        _given(settings.spend_month_usd, known.per_month if known else None),
    )


def _given(setting: Decimal | None, known: Decimal | None) -> Decimal | None:
    return (known if setting is None else setting) or None


# Tokens that would cost so many times what was reserved are not believed. Thoughts that fill the whole output (32,768
# tokens) of the cheapest picture are four times its price.
MOST_TIMES = 6


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


def _sum(tokens: Mapping[str, int], side: str) -> int:
    return sum(count for name, count in tokens.items() if name.partition("_")[0] == side)
