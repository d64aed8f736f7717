"""What an answer without a usable result costs: by the tokens that it tells, else by the class of its error."""

from __future__ import annotations

from decimal import Decimal

from callsheet.errors import NothingMade, ProviderError
from callsheet.models import Model
from callsheet.models.model import MICRO_USD


def charge_of(error: ProviderError, price: Decimal, model: Model) -> Decimal | None:
    """USD that a failed attempt has cost; None for nothing, or nothing that is known.

    What usage says was produced is booked: pictures at the price of the one that was asked for, texts by their tokens.
    """
    if error.charged or error.tokens.get("output_image"):
        return price
    words = _sum(error, "output") + error.tokens.get("thoughts", 0)
    if not isinstance(error, NothingMade) or not words or not {"input", "output"} <= set(model.per_mtok_usd):
        return None
    return model.token_price(_sum(error, "input"), words).quantize(MICRO_USD)


def _sum(error: ProviderError, side: str) -> int:
    return sum(count for name, count in error.tokens.items() if name.partition("_")[0] == side)
