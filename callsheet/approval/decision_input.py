"""What people decide about a shot's frames: read from words or a gallery's file.

A file is untrusted input: only what it plainly says is taken from it. It is compared with the shot's takes as its
sidecar has them. Pure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from callsheet.archive.layout import link_to
from callsheet.archive.sidecar import Sidecar, TakeRecord
from callsheet.decisions import APPROVAL, FrameDecision, describe_takes
from callsheet.errors import DecisionError
from callsheet.manifest.columns import MAX_SHOTS, MAX_TAKES

MAX_NOTE, MAX_NAME = 1_000, 100
# One line without control characters: these texts are shown on terminals and pages.
LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
# At least as many digits of a sha256 as file names carry.
SEEN = r"^[0-9a-f]{12,64}$"
_TAKE = re.compile(r"(?P<take>[1-9][0-9]?)(?:@(?P<seen>[0-9a-f]{12,64}))?")
_EXAMPLE = "Write SHOT=2, SHOT=1,3 or SHOT=reject."


@dataclass(frozen=True, slots=True)
class TakeSelection:
    """The takes of a shot that a person chooses, by number.

    None of them rejects the shot. `seen` holds beginnings of the sha256 of the pictures that were looked at, by take.
    With `all_seen` they are all that were shown, so that a decision is not taken to be about a picture that came later.
    """

    shot: str
    takes: tuple[int, ...]
    note: str = ""
    seen: Mapping[int, str] = field(default_factory=dict)
    all_seen: bool = False


def wishes_in(words: Sequence[str], note: str = "") -> list[TakeSelection]:
    """Read the wishes in words of the command line, all with the same note.

    Raises DecisionError with every word that is none.
    """
    found = [_parse_wish(word, note) for word in words]
    if bad := [word for word, wish in zip(words, found, strict=True) if wish is None]:
        told = ", ".join(repr(word[:60]) for word in bad[:10])
        raise DecisionError(f"This is no decision: {told}. {_EXAMPLE} Nothing was recorded.")
    return [wish for wish in found if wish]


def _parse_wish(word: str, note: str) -> TakeSelection | None:
    shot, _, text = word.rpartition("=")
    if not shot:
        return None
    if text.casefold() == "reject":
        return TakeSelection(shot, (), note)
    found = [_TAKE.fullmatch(item.strip()) for item in re.split("[,;]", text)]
    takes = {int(one["take"]): one["seen"] for one in found if one}
    if None in found or len(takes) != len(found) or max(takes) > MAX_TAKES:
        return None
    return TakeSelection(shot, tuple(takes), note, {take: seen for take, seen in takes.items() if seen})


def check(wishes: Sequence[TakeSelection]) -> None:
    """Raise DecisionError when a shot is decided twice, or a note is no line."""
    if any(not re.fullmatch(LINE, wish.note) or len(wish.note) > MAX_NOTE for wish in wishes):
        raise DecisionError(f"A note is one line of at most {MAX_NOTE:,} characters. Nothing was recorded.")
    if twice := [shot for shot, count in Counter(wish.shot for wish in wishes).items() if count > 1]:
        told = ", ".join(shot[:60] for shot in twice[:10])
        raise DecisionError(f"Decided about more than once: {told}. Nothing was recorded. Say it once for each shot.")


def name_of(by: str) -> str:
    """Return the name of who decides, as it is recorded.

    Raises DecisionError when that is no name.
    """
    name = " ".join(by.split())
    if not name or len(name) > MAX_NAME or not re.fullmatch(LINE, name):
        raise DecisionError(
            f"Who decides is recorded: give a name of at most {MAX_NAME} characters with --by. Nothing was recorded."
        )
    return name


# A decision with twenty takes has 600 bytes.
MAX_BYTES = 64 * 1024 * 1024
_TOLD = 10

Take = Annotated[int, Field(ge=1, le=MAX_TAKES)]
Text = Annotated[str, StringConstraints(pattern=LINE, max_length=200)]
Note = Annotated[str, StringConstraints(pattern=LINE, max_length=MAX_NOTE)]
Seen = Annotated[str, StringConstraints(pattern=SEEN)]


class _DecisionRecord(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileDecision(_DecisionRecord):
    """The decision about one shot.

    `shown` are the pictures on the page, by take, with the start of their sha256.
    """

    shot: Annotated[Text, Field(min_length=1)]
    takes: Annotated[tuple[Take, ...], Field(max_length=MAX_TAKES)] = ()
    reject: bool = False
    note: Note = ""
    shown: Annotated[dict[Take, Seen], Field(min_length=1, max_length=MAX_TAKES)]

    @model_validator(mode="after")
    def _check_one_decision(self) -> Self:
        if self.reject == bool(self.takes):
            raise ValueError("give takes, or reject, not both and not neither")
        if len(set(self.takes)) != len(self.takes) or not set(self.takes) <= set(self.shown):
            raise ValueError("each take once, and only takes that were shown")
        return self

    def wish(self) -> TakeSelection:
        """Return the decision as a wish about the pictures on the page only."""
        return TakeSelection(self.shot, self.takes, self.note, self.shown, all_seen=True)


class DecisionFile(_DecisionRecord):
    """The decisions of one person about shots of one batch."""

    format: Literal[1] = 1
    batch: Annotated[Text, Field(min_length=1)]
    by: Annotated[str, StringConstraints(pattern=LINE, max_length=MAX_NAME)] = ""
    decisions: Annotated[tuple[FileDecision, ...], Field(min_length=1, max_length=MAX_SHOTS)]


def read_decisions(path: Path, batch: str) -> DecisionFile:
    """Read the decisions in a file.

    Raises DecisionError when it is none, too large, or about another batch.
    """
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


@dataclass(frozen=True, slots=True)
class TakeCandidate:
    """A take that may be chosen.

    Its number, hash, mean rank within the shot (0..1, 1 best) and where it is.
    """

    take: int
    sha256: str
    rank: float | None
    rejected: str | None
    uri: str

    @property
    def link(self) -> str:
        """The address that a browser opens."""
        return link_to(self.uri)

    def as_json(self) -> dict[str, Any]:
        """Return the candidate as `callsheet approve --json` prints it."""
        names = ("take", "sha256", "rank", "rejected", "uri", "link")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Question:
    """A shot that waits for a person, with its candidates in order."""

    shot: str
    prompt: str
    candidates: tuple[TakeCandidate, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the question as `callsheet approve --json` prints it."""
        return {"shot": self.shot, "prompt": self.prompt, "takes": [one.as_json() for one in self.candidates]}


def is_waiting(sidecar: Sidecar) -> bool:
    """Return whether the shot waits for a person to approve a take."""
    return sidecar.state == "waiting" and any(failure.kind == APPROVAL for failure in sidecar.failures)


def question_of(sidecar: Sidecar) -> Question:
    """Return the question that a person is asked about a shot."""
    takes = [take for take in sidecar.takes if is_usable(take)]
    return Question(sidecar.shot, sidecar.prompt, tuple(_to_candidate(take) for take in takes))


def is_usable(take: TakeRecord) -> bool:
    """Return whether a take can be chosen: it is there, and can be decoded."""
    return take.file is not None and take.failure is None


def decision_on(
    wish: TakeSelection, sidecar: Sidecar, hashes: Mapping[str, str | None], by: str
) -> FrameDecision | str:
    """Return the decision that a wish makes about the takes as they are.

    Returns a sentence that says why when it makes none. `hashes` are those that the ledger has of the takes, by job
    key.
    """
    if sidecar.select != "approve":
        return f"{wish.shot}: nobody is asked about it: its `select` is {sidecar.select}."
    shown = {take.take: take.file.sha256 for take in sidecar.takes if take.file}
    if not shown:
        return f"{wish.shot}: none of its takes is made yet. Run the batch first."
    usable = [take.take for take in sidecar.takes if is_usable(take)]
    if strange := [take for take in wish.takes if take not in usable]:
        return f"{wish.shot}: {describe_takes(strange)} cannot be chosen; choose among {describe_takes(usable)}."
    if other := _find_unseen(wish, shown):
        return f"{wish.shot}: {describe_takes(other)} is another picture than the one decided on. Look at it again."
    made_anew = [t.take for t in sidecar.takes if t.file and hashes.get(t.job_key) != t.file.sha256]
    if made_anew:
        return f"{wish.shot}: {describe_takes(made_anew)} is being made again. Run the batch first, then look again."
    takes = {take: shown[take] for take in wish.takes}
    return FrameDecision(sidecar.batch, sidecar.shot, takes, shown, by, wish.note)


def _find_unseen(wish: TakeSelection, shown: Mapping[int, str]) -> list[int]:
    """Return the takes that are not known to be the pictures that were looked at."""
    asked = shown if wish.all_seen else {take: shown[take] for take in wish.seen}
    return [take for take, sha256 in asked.items() if not (take in wish.seen and sha256.startswith(wish.seen[take]))]


def _to_candidate(take: TakeRecord) -> TakeCandidate:
    assert take.file is not None  # noqa: S101  only usable takes are asked about
    score = take.score
    return TakeCandidate(
        take.take, take.file.sha256, score.rank if score else None, score.rejected if score else None, take.file.uri
    )
