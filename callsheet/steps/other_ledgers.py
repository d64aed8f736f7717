"""What tells that a batch may be known to another ledger than the one in use: sentences for plan and run."""

from __future__ import annotations

from pathlib import Path

from callsheet.archive.claim import describe, read_claim
from callsheet.archive.marker import read_success
from callsheet.archive.store import Store
from callsheet.errors import ArchiveError
from callsheet.plan import Known, Plan
from callsheet.settings import Settings
from callsheet.shots import Batch
from callsheet.steps.witness import doubts_of

_TOLD = 5


def home_warning(settings: Settings, folder: Path) -> str:
    """Whether a home that depends on the working `folder` hides one in a folder above; "" when it does not."""
    home = settings.home
    if home.is_absolute() or settings.ledger is not None or ".." in home.parts:
        return ""
    above = [parent / home for parent in folder.absolute().parents if (parent / home / "ledger.db").is_file()]
    if not above:
        return ""
    new = "a new ledger" if not (folder / home / "ledger.db").is_file() else "the ledger of this folder"
    return (
        f"This works with {new} ({folder.absolute() / home}), and {above[0]} has another one. What that one paid for "
        f"is not known here. Go to {above[0].parent}, or set CALLSHEET_HOME={above[0]}, to go on with it."
    )


async def ledger_warnings(store: Store, batch: Batch, ledger: str) -> list[str]:
    """Who else works, or has worked, on the batch in this archive."""
    try:
        claim, marker = await read_claim(store, batch), await read_success(store, batch.prefix)
    except ArchiveError as error:
        return [str(error)]
    if claim is not None and claim.ledger != ledger:
        return [describe(store, batch, claim)]
    if marker is not None and marker.ledger not in (None, ledger):
        return [
            f"Batch {batch.name} in {store.uri} was last worked on with another ledger ({marker.ledger[:12]}). What "
            "the archive proves is taken from there; what only that ledger knows, such as its budget, is not."
        ]
    return []


def doubt_warnings(plan: Plan, known: Known) -> list[str]:
    """What the archive has and nothing explains, where the plan would pay for it."""
    doubts = doubts_of(plan, known)
    more = [f"... and {len(doubts) - _TOLD} more such files."] if len(doubts) > _TOLD else []
    return [f"{one.name} may be what is planned to be paid for. {one.why}" for one in doubts[:_TOLD]] + more
