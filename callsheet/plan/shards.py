"""Shards: a large batch in stretches of its manifest, each worked on by a run of its own, on whatever machine."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shard:
    """Shots `first` to `last` of a manifest (1-based, both included) in the revision with this sha256.

    The same revision and size give the same shards, so a batch that is started again finds its runs.
    """

    first: int
    last: int
    revision: str

    @property
    def stretch(self) -> slice:
        """Where its shots are among those of the manifest."""
        return slice(self.first - 1, self.last)

    @property
    def label(self) -> str:
        """`shots 501 to 1000`."""
        return f"shots {self.first} to {self.last}"


def shards_of(shots: Sequence[str], going: Collection[str], size: int, revision: str) -> list[Shard]:
    """The stretches of `size` shots (ids, in the manifest's order) in which some are still `going`."""
    starts = range(0, len(shots), size)
    stretches = [Shard(start + 1, min(start + size, len(shots)), revision) for start in starts]
    asked = set(going)
    return [shard for shard in stretches if not asked.isdisjoint(shots[shard.stretch])]
