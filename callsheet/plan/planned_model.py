"""A model that a plan pays for, as a value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

_NAMED = 5
Step = Literal["extend", "edit"]
_STEPS: dict[Step, tuple[str, str]] = {
    "extend": ("step that makes a clip longer", "steps that make clips longer"),
    "edit": ("edit of a clip", "edits of clips"),
}
_NOUNS = {"image": ("picture", "pictures"), "video": ("clip", "clips")}


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another model that could make the same: what one costs (USD), and all of them."""

    model: str
    how: Literal["cheaper", "better", "reachable", "fallback"]
    route: str
    usd_each: Decimal
    usd: Decimal


@dataclass(frozen=True, slots=True)
class PlannedModel:
    """What a plan asks of one model at one price (USD), and what else could make it.

    `step`: it makes clips longer or edits them, one after the other; the model that made a clip goes on with it.
    """

    kind: Literal["image", "video"]
    model: str
    route: str
    usd_each: Decimal
    count: int
    shots: tuple[str, ...]
    alternatives: tuple[Alternative, ...] = ()
    step: Step | None = None

    @property
    def usd(self) -> Decimal:
        """Return the list price of all of them."""
        return self.usd_each * self.count

    def sentences(self) -> Iterator[str]:
        """Yield a line about the model, and one for each alternative."""
        noun = (_STEPS[self.step] if self.step else _NOUNS[self.kind])[self.count > 1]
        shots = ", ".join(self.shots[:_NAMED]) + (f" and {len(self.shots) - _NAMED} more" * (len(self.shots) > _NAMED))
        route = f"by the {self.route}" if self.route else "without a route"
        total = f"{self.count} {noun} at {_dollars(self.usd_each)} each, ${self.usd:.2f}"
        yield f"{self.model}, {route}: {total} ({shots})"
        for other in self.alternatives:
            less = self.usd - other.usd
            told = f"${abs(less):.2f} {'less' if less >= 0 else 'more'}"
            each = f"{_dollars(other.usd_each)} each, ${other.usd:.2f} in all, {told}"
            route = f"by the {other.route}" if other.route else "without a route"
            yield f"  {other.how}: {other.model}, {route}: {each}"

    def as_json(self) -> dict[str, object]:
        """Return it as `callsheet plan --json` prints it."""
        return {
            "kind": self.kind,
            "model": self.model,
            "route": self.route,
            "count": self.count,
            **({"step": True, "step_kind": self.step} if self.step else {}),
            "usd_each": float(self.usd_each),
            "usd": float(self.usd),
            "alternatives": [
                {
                    "model": other.model,
                    "how": other.how,
                    "route": other.route,
                    "usd_each": float(other.usd_each),
                    "usd": float(other.usd),
                }
                for other in self.alternatives
            ],
        }


def _dollars(usd: Decimal) -> str:
    """Return a price with its cents, and parts of a cent where it has some."""
    text = f"{usd:.4f}".rstrip("0")
    return f"${text}{'0' * (2 - len(text.partition('.')[2]))}"
