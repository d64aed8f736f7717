"""The root of the error tree; import its classes from callsheet.errors.

Also the problem: what is wrong at one place of a manifest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem at one place of a manifest.

    Its text is `file:line: column: what is wrong; what is allowed; suggestion`. Of a workbook the `cell` stands in
    place of the line: Sheet1!B7.
    """

    file: str
    line: int
    column: str
    what: str
    allowed: str = ""
    suggestion: str = ""
    cell: str = ""

    def __str__(self) -> str:
        tail = "".join(f"; {part}" for part in (self.allowed, self.suggestion) if part)
        return f"{self.file}:{self.cell or self.line}: {self.column}: {self.what}{tail}"


class CallsheetError(Exception):
    """The root of all errors that callsheet raises on purpose.

    `str()` is fit for a user to read.
    """


class UsageError(CallsheetError):
    """The user can correct it; nothing was created and nothing was spent."""


class ManifestError(UsageError):
    """The manifest has problems; `problems` lists all of them, in file order."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))

    def __reduce__(self) -> tuple[type[ManifestError], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


class ProviderError(CallsheetError):
    """The provider, or the way to it, did not give the asset.

    `reason` keeps the provider's own code (a finishReason, blockReason, status or support code), `status` the HTTP
    status or None, `charged` whether the provider bills for it (None: not known). `tokens` are those that the reply
    reports, by modality; `kept` is the file in which the reply lies as it came, "" for none. `record` is what an
    operation that ended so reported, as JSON.
    """

    charged: bool | None = False
    kept: str = ""

    def __init__(self, message: str, *, reason: str = "", status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.status = status
        self.tokens: Mapping[str, int] = {}
        self.record: Mapping[str, object] = {}

    @property
    def kind(self) -> str:
        """The class name, as ledger, sidecar and gallery show it."""
        return type(self).__name__


class SettingsError(UsageError):
    """A setting, credential or option is missing or wrong."""


class BegunElsewhere(SettingsError):
    """Another process began the batch meanwhile, with other models or routes."""


class CatalogueError(UsageError):
    """A file of models or platforms is unreadable or wrong, or lacks what is named."""


class DecisionError(UsageError):
    """A decision names a batch, shot or take that is not there, or comes too late."""


class CannotContinue(UsageError):
    """A batch cannot be asked for again: its manifest is gone or another one now."""


class NotAccepted(ProviderError):
    """Known not to have been accepted; `retry_after_s` is the provider's hint, if any."""

    def __init__(
        self, message: str, *, reason: str = "", status: int | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, reason=reason, status=status)
        self.retry_after_s = retry_after_s


class ParentAwaited(CallsheetError):
    """A take that this shot is made of is still to come (exit code 4)."""


class ParentStuck(ParentAwaited):
    """It comes only when a person decides, or changes its shot (exit code 5)."""


class Parked(CallsheetError):
    """Work that goes on later, `until` (UTC) or, if None, when a limit is raised."""

    def __init__(self, message: str, *, until: datetime | None = None) -> None:
        super().__init__(message)
        self.until = until


class RouteMissing(Parked, SettingsError):
    """No credentials lead to a model: its shots are parked, the others are made."""
