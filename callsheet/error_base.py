"""The root of the error tree, and what is wrong at one place of a manifest; import them from callsheet.errors."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding about a manifest: `file:line: column: what is wrong; what is allowed; suggestion`."""

    file: str
    line: int
    column: str
    what: str
    allowed: str = ""
    suggestion: str = ""

    def __str__(self) -> str:
        tail = "".join(f"; {part}" for part in (self.allowed, self.suggestion) if part)
        return f"{self.file}:{self.line}: {self.column}: {self.what}{tail}"


class CallsheetError(Exception):
    """Root of all errors that callsheet raises on purpose; `str()` is fit for a user to read."""


class UsageError(CallsheetError):
    """The user can mend it; nothing was created and nothing was spent."""


class ManifestError(UsageError):
    """The manifest has problems; `problems` holds every one of them, in file order."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))

    def __reduce__(self) -> tuple[type[ManifestError], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)
