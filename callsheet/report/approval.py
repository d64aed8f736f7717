"""Questions of gallery and Prefect UI about shots that wait for approval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from callsheet.approval.waiting import is_usable, is_waiting, question_of
from callsheet.archive.sidecar import Sidecar
from callsheet.decisions import describe_takes
from callsheet.report.markdown import escaped, table
from callsheet.shots import ShotOutcome

# As many digits of a picture's sha256 as its file name carries.
_SEEN = 12
# An artifact is one row in the server's database and one page in a browser.
_MOST_ROWS = 200


@dataclass(frozen=True, slots=True)
class ApprovalQuestion:
    """The takes that may be chosen, by number.

    `shown` has every take on the page with the start of its sha256.
    """

    shot: str
    takes: tuple[int, ...]
    shown: dict[str, str]


def ask_about(sidecar: Sidecar) -> ApprovalQuestion | None:
    """Build the question about a shot.

    None when it does not wait for a person's approval.
    """
    if not is_waiting(sidecar):
        return None
    takes = tuple(take.take for take in sidecar.takes if is_usable(take))
    return ApprovalQuestion(sidecar.shot, takes, {str(t.take): t.file.sha256[:_SEEN] for t in sidecar.takes if t.file})


def describe_decision(sidecar: Sidecar) -> str:
    """Describe the decision that the shot goes on by; "" when there is none.

    Until a run has done so.
    """
    if sidecar.state != ShotOutcome.PENDING.value or not sidecar.decisions:
        return ""
    last = sidecar.decisions[-1]
    told = f"{describe_takes(last.takes)} approved by {last.by}" if last.takes else f"rejected by {last.by}"
    return f"{told[0].upper()}{told[1:]}" + (f": {last.note}" if last.note else "")


def waiting_for_approval(sidecars: Sequence[Sidecar]) -> list[Sidecar]:
    """Return the sidecars of shots that wait for a person."""
    return [sidecar for sidecar in sidecars if is_waiting(sidecar)]


def approval_markdown(waiting: Sequence[Sidecar], form: str | None = None) -> str:
    """Format the shots that wait and their takes, the first 200, for the Prefect UI.

    At least one waits. `form` is where they are decided about on the server's own pages.
    """
    rows = [[escaped(one.shot), escaped(one.prompt), _describe_takes(one)] for one in waiting[:_MOST_ROWS]]
    name = waiting[0].batch
    deployment = f"in the [form of approve-frames]({form})" if form else "with the deployment *approve-frames*"
    told = f"Choose takes in the gallery, {deployment}, or: `callsheet approve {name}`"
    more = f"and {len(waiting) - _MOST_ROWS:,} more; the gallery has them all" if len(waiting) > _MOST_ROWS else ""
    return f"{told}\n\n{table(('Shot', 'Prompt', 'Takes'), rows)}\n\n{more}".strip()


def _describe_takes(sidecar: Sidecar) -> str:
    told = []
    for one in question_of(sidecar).candidates:
        rank = f"rank {one.rank:.2f}" if one.rank is not None else ""
        about = ", ".join(part for part in (rank, one.rejected or "") if part)
        told.append(f"{one.take} ({about})" if about else str(one.take))
    return escaped("; ".join(told), 400)
