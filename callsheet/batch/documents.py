"""Documents of a batch: the summary of a run, and gallery and marker written anew.

The summary is the object that `callsheet run --json` prints, a public contract with a JSON schema. Gallery and marker
are written anew over the sidecars when something but a run has changed them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from callsheet.archive import layout
from callsheet.archive.marker import BatchEnd, Success, write_success
from callsheet.archive.sidecar import Sidecar
from callsheet.archive.sidecar_io import in_order, sidecar_files
from callsheet.archive.spots import read_spots
from callsheet.archive.store import Store
from callsheet.archive.verify import ArchiveContents, Unreadable
from callsheet.context.context import RunContext
from callsheet.errors import ArchiveError
from callsheet.ledger import Ledger
from callsheet.report.page import gallery_html
from callsheet.report.view import BatchSummary, gallery_view
from callsheet.shots import Batch, Mode, ShotOutcome


async def write_page(store: Store, ledger: Ledger, batch: Batch, sidecars: Sequence[Sidecar]) -> None:
    """Write the batch's gallery over its sidecars, in their order, and its spots."""
    spent = await ledger.sum_spent(batch.name) or None
    told = BatchSummary(batch.campaign, batch.name, batch.mode, datetime.now(UTC), batch.edition, usd_spent=spent)
    spots, files = await read_spots(store, batch.prefix), await sidecar_files(store, batch.prefix)
    page = await asyncio.to_thread(lambda: gallery_html(gallery_view(list(sidecars), told, spots, files)).encode())
    await store.put_bytes(layout.document(batch.prefix, layout.GALLERY), page, "text/html; charset=utf-8")


PLAN_LIMIT = 256 << 20


async def write_gallery(run: RunContext, sidecars: Sequence[Sidecar]) -> None:
    """Write the batch's gallery over its sidecars."""
    await write_page(run.resources.store, run.resources.ledger, run.batch, sidecars)


async def write_marker(run: RunContext, evidence: ArchiveContents, lost: frozenset[str]) -> Success | None:
    """Write the marker over the sidecars of `evidence`, last of all.

    None when a run has to do it, or there are none.

    Shots of which something is `lost` count as pending, and so do those of the plan that have no sidecar, or are left
    out.
    """
    marker = evidence.marker
    if isinstance(marker, Success) and marker.status == "continuing":
        return None
    if isinstance(marker, Unreadable) and marker.newer:
        return None
    planned, left_out = await _read_planned_shots(run)
    believed = {one.shot: one for one in evidence.believed.values() if planned is None or one.shot in planned}
    if not believed:
        return None
    # What the last run called unfinished for reasons of its own stays so, whatever the sidecar says.
    earlier = set(marker.unfinished) - set(marker.damaged) if isinstance(marker, Success) else set()
    unfinished = lost | earlier | left_out
    sidecars = [pending(one) if one.shot in unfinished else one for one in in_order(list(believed.values()))]
    newest = list(evidence.parts)[-1] if evidence.parts else None
    named = marker.catalogue if isinstance(marker, Success) else newest
    end = BatchEnd(
        catalogue=named if named in evidence.parts else newest,
        finished=datetime.now(UTC),
        hashes={one.shot: evidence.hashes[name] for name, one in evidence.believed.items() if name in evidence.hashes},
        absent=[shot for shot in planned or () if shot not in believed],
        damaged=sorted(lost),
        ledger=marker.ledger if isinstance(marker, Success) else None,
    )
    return await write_success(run.resources.store, run.batch.prefix, sidecars, end)


def pending(sidecar: Sidecar) -> Sidecar:
    """Return the sidecar of a shot that is not done any more."""
    done = sidecar.state == ShotOutcome.DONE.value
    return sidecar.model_copy(update={"state": ShotOutcome.PENDING.value}) if done else sidecar


async def _read_planned_shots(run: RunContext) -> tuple[list[str] | None, frozenset[str]]:
    """Return the shots of the batch's last plan, and those of them that are left out.

    None when there is no plan to read.
    """
    name = layout.document(run.batch.prefix, layout.PLAN)
    try:
        plan = json.loads(await run.resources.store.read_bytes(name, PLAN_LIMIT))
        left_out = [str(shot["shot"]) for shot in plan.get("left_out", ())]
        return [*(str(shot["shot"]) for shot in plan["shots"]), *left_out], frozenset(left_out)
    except (ArchiveError, ValueError, KeyError, TypeError):
        return None, frozenset()


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ShotCounts(_Part):
    """The shots of the whole batch by state. What is in none of these is pending."""

    total: int = Field(description="All shots of the manifest.")
    done: int = Field(description="Everything that was asked for is in the archive.")
    blocked: int = Field(description="Refused by the provider's filters, or rejected by a person.")
    failed: int = Field(description="Over without a result; `--remake` pays for another try.")
    parked: int = Field(
        description="Goes on later: a quota, a budget, missing credentials, or a video still being made."
    )
    waiting: int = Field(description="A person has to decide.")
    left_out: int = Field(
        default=0, description="Their rows are wrong (`--on-bad-row skip`): see below; absent when there are none."
    )


class LeftOutShot(_Part):
    """A shot that is left out, because its row is wrong."""

    shot: str = Field(description="The id of the shot; `line N` where it has none that is fit.")
    line: int = Field(description="The line of the sheet.")
    problems: list[str] = Field(description="What is wrong, with file, line and column.")


class WaitingFor(_Part):
    """How many shots wait for a person, by what has to be decided."""

    approval: int = Field(description="Takes to be approved: `callsheet approve`.")
    resolve: int = Field(description="Requests in doubt: `callsheet resolve`.")
    parent: int = Field(
        default=0, description="Edits whose picture does not come by itself: see `status`; absent when there are none."
    )


class OpenCounts(_Part):
    """Requests that are not over."""

    parked: int = Field(description="Not sent yet, because a quota or a budget is used up.")
    submitted: int = Field(description="Accepted; the provider still works on them.")
    in_doubt: int = Field(description="Nobody knows whether they were accepted.")


class Counts(_Part):
    """Results of this run: made now, or there before."""

    created: int = Field(description="Made by this run.")
    reused: int = Field(description="There before; not paid for again.")


class VideoCounts(Counts):
    """Results of this run.

    Each was made now, there before, or submitted before and fetched now.
    """

    resumed: int = Field(description="Submitted by an earlier run and fetched by this one.")


class Submissions(_Part):
    """Requests of this run that the provider accepted."""

    image: int = Field(description="Pictures.")
    video: int = Field(description="Videos.")
    look: int = Field(default=0, description="Questions where a clip's subject is; absent when there were none.")


class Usd(_Part):
    """The batch's money in USD at list price; a rehearsal charges none of it."""

    estimated: float = Field(description="What the plan expected this run to cost at most.")
    spent: float = Field(description="What the batch has cost in all its runs.")
    held: float = Field(description="Reserved for requests that are not settled.")
    in_doubt: float = Field(default=0.0, description="The part of `spent` and `held` that only the bill can settle.")


class RunSummary(_Part):
    """How a batch stands after a run."""

    batch: str = Field(description="The batch's name.")
    mode: Mode = Field(description="`live`, or `rehearsal`, which costs nothing.")
    exit_code: int = Field(description="The exit code of the command, for the shots that the run was asked for.")
    shots: ShotCounts
    left_out: list[LeftOutShot] = Field(
        default=[], description="The shots whose rows are wrong; absent when there are none."
    )
    waiting_for: WaitingFor
    open_requests: OpenCounts
    images: Counts
    videos: VideoCounts
    cuts: Counts
    looks: Counts
    submissions: Submissions
    usd: Usd
    archive: str = Field(description="The address of the batch's folder in the archive.")
    gallery: str = Field(description="The address of the gallery page.")
    elapsed_s: float = Field(description="Seconds from the start of the run to its end.")
    parked_until: str | None = Field(
        default=None, description="When parked work goes on (ISO 8601, UTC); null when no quota is in its way."
    )
    status_sheet: str | None = Field(
        default=None, description="The copy of the sheet with the state of its rows; absent without --write-back."
    )

    def as_json(self) -> dict[str, Any]:
        """Return the summary as `run --json` prints it."""
        told = self.model_dump(mode="json")
        if not self.submissions.look:  # requests that most batches never send are told only where there were some
            del told["submissions"]["look"]
        if self.status_sheet is None:
            del told["status_sheet"]
        if not self.left_out:
            del told["left_out"], told["shots"]["left_out"]
        if not self.waiting_for.parent:
            del told["waiting_for"]["parent"]
        return told


def json_schema() -> dict[str, Any]:
    """Return the JSON schema (2020-12) of what `callsheet run --json` prints."""
    schema = RunSummary.model_json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "callsheet run --json"}
