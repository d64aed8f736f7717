"""The question to decide: a shot's takes, and a wish compared with them.

The takes are as its sidecar has them. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from callsheet.approval.file import TakeSelection
from callsheet.archive.layout import link_to
from callsheet.archive.sidecar import Sidecar, TakeRecord
from callsheet.decisions import APPROVAL, FrameDecision, describe_takes


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
    """Return whether a take can be animated: it is there, and can be decoded."""
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
        return f"{wish.shot}: {describe_takes(strange)} cannot be animated; choose among {describe_takes(usable)}."
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
