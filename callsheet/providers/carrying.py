"""What a route cannot carry is refused before anything is sent: a dropped wish would be paid for all the same."""

from __future__ import annotations

from callsheet.errors import Rejected


def not_carried(field: str, value: object, why: str) -> Rejected:
    """Return the refusal of a request that would lose a wish on its way; nothing was sent, nothing is charged."""
    return Rejected(
        f"{field} {str(value)[:80]!r} cannot be sent: {why}. Nothing was sent. Leave it out, or use other credentials.",
        reason="NOT_CARRIED",
    )
