"""What one run did: counted as it happens, for the `run --json` object and the reports."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from callsheet.ledger import Job

Made = Literal["image", "video", "cut", "look"]
How = Literal["created", "reused", "resumed"]


@dataclass
class Tally:
    """Counts of one run. A job counts when it has a result; `submissions` counts requests that were accepted."""

    made: Counter[tuple[Made, How]] = field(default_factory=Counter)
    submissions: Counter[Literal["image", "video", "look"]] = field(default_factory=Counter)

    def count(self, made: Made, how: How, job: Job | None = None) -> None:
        """Count a result; a job that gave none is not counted."""
        if job is None or job.sha256 is not None:
            self.made[made, how] += 1

    def accepted(self, kind: Literal["image", "video", "look"]) -> None:
        """Count a request that the provider accepted."""
        self.submissions[kind] += 1

    def as_json(self) -> dict[str, dict[str, int]]:
        """The counts as `run --json` prints them."""
        return {
            "images": {how: self.made["image", how] for how in ("created", "reused")},
            "videos": {how: self.made["video", how] for how in ("created", "reused", "resumed")},
            "cuts": {how: self.made["cut", how] for how in ("created", "reused")},
            "looks": {how: self.made["look", how] for how in ("created", "reused")},
            # Requests that most batches never send are told only where there were some.
            "submissions": {
                kind: self.submissions[kind]
                for kind in ("image", "video", "look")
                if kind != "look" or self.submissions[kind]
            },
        }
