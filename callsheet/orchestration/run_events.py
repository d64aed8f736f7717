"""Events of a batch on the Prefect server, for automations of one's own.

`callsheet.assets.archived`: files of a group of shots are in the archive. `callsheet.batch.ended`: how the batch
stands. `callsheet.batch.waits-for-approval`, `callsheet.batch.parked`: a person, a quota or a budget keeps it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from prefect.events import emit_event

from callsheet.shots import Asset, Batch

ARCHIVED, ENDED = "callsheet.assets.archived", "callsheet.batch.ended"
WAITS, PARKED = "callsheet.batch.waits-for-approval", "callsheet.batch.parked"
# Of the files of a group; the server takes events of 1.5 MB at most (Prefect 3.8.8).
MOST_FILES = 500


def tell_archived(batch: Batch, shots: Sequence[str], files: Iterable[Asset]) -> None:
    """Emit the event that these shots' files are archived; nothing without files."""
    listed = sorted(files, key=lambda one: (one.shot, one.kind, one.name))
    if listed:
        told = [
            {"uri": one.uri, "kind": one.kind, "shot": one.shot, "sha256": one.sha256} for one in listed[:MOST_FILES]
        ]
        _emit(ARCHIVED, batch, {"shots": list(shots), "count": len(listed), "files": told})


def tell_ended(batch: Batch, summary: Mapping[str, Any], later: str) -> None:
    """Emit how the batch stands, and what keeps it if something does.

    `summary` is the object that `run --json` prints; `later` says how parked work goes on.
    """
    names = ("exit_code", "shots", "usd", "archive", "gallery", "waiting_for", "parked_until")
    told = {name: summary[name] for name in names}
    _emit(ENDED, batch, told)
    if summary["waiting_for"]["approval"]:
        command = f"callsheet approve {batch.name}"
        _emit(WAITS, batch, {"to_approve": summary["waiting_for"]["approval"], "command": command, **told})
    if summary["shots"].get("parked"):
        _emit(PARKED, batch, {"why": later, **told})


def _emit(event: str, batch: Batch, payload: dict[str, Any]) -> None:
    resource = {
        "prefect.resource.id": f"callsheet.batch.{batch.name}", "prefect.resource.name": batch.name,
        "callsheet.campaign": batch.campaign, "callsheet.mode": batch.mode, "callsheet.edition": batch.edition or "",
    }  # fmt: skip
    emit_event(event, resource, payload=payload)
