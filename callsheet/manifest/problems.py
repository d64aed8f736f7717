"""Collecting the problems of a manifest, so that one pass reports every row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from callsheet.errors import ManifestError, Problem
from callsheet.manifest.columns import MAX_PROBLEMS
from callsheet.models.suggestions import did_you_mean

__all__ = ["Findings", "Unsendable", "did_you_mean", "quote_value"]


@dataclass(frozen=True, slots=True)
class Unsendable:
    """A reason why a request of a shot may not be sent.

    It is no reason against what was made of the shot already.
    """

    shot: str
    kind: Literal["image", "video"]
    problem: Problem


@dataclass(slots=True)
class Findings:
    """Problems and warnings about one manifest, in the order found."""

    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    unsendable: list[Unsendable] = field(default_factory=list)
    _seen: set[tuple[str, int, str, str]] = field(default_factory=set)

    def problem(self, problem: Problem) -> None:
        """Note a problem; the same words about the same place are noted once."""
        key = (problem.file, problem.line, problem.column, problem.what)
        if key not in self._seen:
            self._seen.add(key)
            self.problems.append(problem)

    def warn(self, warning: Problem) -> None:
        """Note something that does not stop the batch."""
        self.warnings.append(warning)

    def raise_if_any(self) -> None:
        """Raise ManifestError with all problems sorted by line.

        Beyond the first 1,000 only their number.
        """
        if self.problems:
            raise ManifestError(_cap(self.problems))


def _cap(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    ordered = sorted(problems, key=lambda problem: (problem.file, problem.line))
    if len(ordered) <= MAX_PROBLEMS:
        return tuple(ordered)
    last = ordered[-1]
    more = Problem(last.file, last.line, "-", f"and {len(ordered) - MAX_PROBLEMS} more problems")
    return (*ordered[:MAX_PROBLEMS], more)


def quote_value(value: str, limit: int = 60) -> str:
    """Return a value quoted for a message: shortened, control characters escaped."""
    return repr(value if len(value) <= limit else value[: limit - 3] + "...")
