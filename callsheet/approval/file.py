"""The decision file that a gallery page saves. It is untrusted input: only what it plainly says is taken from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from callsheet.approval.wish import LINE, MAX_NAME, MAX_NOTE, SEEN, Wish
from callsheet.errors import DecisionError
from callsheet.manifest.columns import MAX_SHOTS, MAX_TAKES

# A decision with twenty takes has 600 bytes.
MAX_BYTES = 64 * 1024 * 1024
_TOLD = 10

Take = Annotated[int, Field(ge=1, le=MAX_TAKES)]
Text = Annotated[str, StringConstraints(pattern=LINE, max_length=200)]
Note = Annotated[str, StringConstraints(pattern=LINE, max_length=MAX_NOTE)]
Seen = Annotated[str, StringConstraints(pattern=SEEN)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileDecision(_Record):
    """What is decided about one shot; `shown` are the pictures on the page, by take, with the start of their sha256."""

    shot: Annotated[Text, Field(min_length=1)]
    takes: Annotated[tuple[Take, ...], Field(max_length=MAX_TAKES)] = ()
    reject: bool = False
    note: Note = ""
    shown: Annotated[dict[Take, Seen], Field(min_length=1, max_length=MAX_TAKES)]

    @model_validator(mode="after")
    def _is_one_decision(self) -> Self:
        if self.reject == bool(self.takes):
            raise ValueError("give takes, or reject, not both and not neither")
        if len(set(self.takes)) != len(self.takes) or not set(self.takes) <= set(self.shown):
            raise ValueError("each take once, and only takes that were shown")
        return self

    def wish(self) -> Wish:
        """The decision as a wish that holds for the pictures on the page only."""
        return Wish(self.shot, self.takes, self.note, self.shown, all_seen=True)


class DecisionFile(_Record):
    """The decisions of one person about shots of one batch."""

    format: Literal[1] = 1
    batch: Annotated[Text, Field(min_length=1)]
    by: Annotated[str, StringConstraints(pattern=LINE, max_length=MAX_NAME)] = ""
    decisions: Annotated[tuple[FileDecision, ...], Field(min_length=1, max_length=MAX_SHOTS)]


def read_decisions(path: Path, batch: str) -> DecisionFile:
    """The decisions in a file; DecisionError when it is none, too large, or about another batch."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise DecisionError(f"{path} cannot be read: {error.strerror}. Nothing was recorded.") from error
    if len(data) > MAX_BYTES:
        raise DecisionError(f"{path} is larger than {MAX_BYTES:,} bytes: no decision file. Nothing was recorded.")
    try:
        file = DecisionFile.model_validate_json(data)
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, e['loc']))[:120] or 'the file'}: {e['msg']}"
            for e in error.errors(include_input=False)[:_TOLD]
        ]
        raise DecisionError(
            f"{path} is no decision file that a gallery saved. Nothing was recorded.\n  " + "\n  ".join(lines)
        ) from None
    if file.batch != batch:
        raise DecisionError(
            f"{path} is about batch {file.batch}, not {batch}. Nothing was recorded. Save it from {batch}'s gallery."
        )
    return file
