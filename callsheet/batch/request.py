"""What a run is asked to do, as small values that a scheduler can store and show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter

from callsheet.plan.grouping import Shard


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a run is asked to do: small values that a scheduler can store and show.

    `wait` sleeps through a full day's quota instead of ending parked. `only` limits the work to these shots, and
    `free` to what costs nothing. `plan` names a plan file that the run has to follow exactly. With a `shard` the run
    does its shots for another one, which has opened the batch and ends it.
    """

    manifest: str
    live: bool = False
    edition: str | None = None
    campaign: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    budget_usd: Decimal | None = None
    remake: bool = False
    wait: bool = False
    only: tuple[str, ...] = ()
    free: bool = False
    plan: str | None = None
    shard: Shard | None = None

    def wants(self, shot: str) -> bool:
        """Return whether the run is to work on the shot."""
        return not self.only or shot in self.only

    def asked(self) -> dict[str, Any]:
        """Return what the ledger keeps of the request: JSON, no secrets.

        The batch can be carried on later as it was asked for.
        """
        return {
            "campaign": self.campaign,
            "variables": dict(self.variables),
            "budget_usd": None if self.budget_usd is None else str(self.budget_usd),
            "wait": self.wait,
        }


def json_schema() -> dict[str, Any]:
    """Return the JSON schema (2020-12) of a run's request."""
    return TypeAdapter(RunRequest).json_schema()
