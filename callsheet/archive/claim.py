"""The claim `_LEDGER.json`: the ledger by which a live batch is worked on.

It is there from a run's start to its end. What was sent and has not come back is known to that ledger alone, so another
one must not send anything meanwhile. A run that is killed leaves its claim behind, and the same ledger goes on under
it. It is a file of its own, beside the success marker, because readers of an archive may wait for the marker to appear.
"""

from __future__ import annotations

import secrets
import socket
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, ValidationError

from callsheet.archive import layout
from callsheet.archive.sidecar_io import check_version
from callsheet.archive.store import Stat, Store, create_document
from callsheet.errors import ArchiveConflict, ArchiveError, SettingsError
from callsheet.files import md5_of_bytes
from callsheet.shots import Batch

SCHEMA_VERSION = 1
MAX_CLAIM = 64 * 1024
# Says of a claim that cannot be read whose it is: nobody's that is known.
UNKNOWN = "unknown"


class BatchClaim(BaseModel):
    """The content of `_LEDGER.json`.

    The ledger's identity, and the machine and time of the run that wrote it.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    schema_version: int = SCHEMA_VERSION
    ledger: str
    host: str = ""
    since: datetime
    nonce: str = ""


async def claim_batch(store: Store, batch: Batch, ledger: str) -> bool:
    """Claim the batch for a ledger; False when the claim was this ledger's already.

    True when the batch had no claim. Of several ledgers that ask at once, one gets it. SettingsError, with what to do,
    when it is another one's.
    """
    if await read_claim(store, batch) is None:
        mine = BatchClaim(ledger=ledger, host=socket.gethostname(), since=datetime.now(UTC), nonce=secrets.token_hex(8))
        try:
            data = mine.model_dump_json(indent=2).encode() + b"\n"
            await create_document(store, layout.document(batch.prefix, layout.CLAIM), data, "application/json")
            return True
        except ArchiveConflict:
            pass  # another run was faster; whose it is, is looked at now
    await check_claim(store, batch, ledger)
    return False


async def check_claim(store: Store, batch: Batch, ledger: str) -> None:
    """Raise SettingsError when another ledger works on the live batch.

    Or when it did until it was killed. The message says what to do.
    """
    if batch.mode != "live":
        return  # a rehearsal costs nothing, so nobody is kept from it
    found = await read_claim(store, batch)
    if found is not None and found.ledger != ledger:
        raise SettingsError(f"{describe(store, batch, found)} Nothing was sent and nothing was changed.")


async def release_batch(store: Store, batch: Batch, ledger: str) -> None:
    """Remove this ledger's claim, if there is one; another ledger's stays."""
    found, stat = await _read(store, batch)
    if found is not None and found.ledger == ledger:
        await store.remove(layout.document(batch.prefix, layout.CLAIM), stat)


async def take_over_batch(store: Store, batch: Batch, ledger: str) -> BatchClaim | None:
    """Remove another ledger's claim and return it, None when there is none.

    What the archive proves is entered in this ledger before. ArchiveError when the claim changed meanwhile.
    """
    found, stat = await _read(store, batch)
    if found is None or found.ledger == ledger:
        return None
    if not await store.remove(layout.document(batch.prefix, layout.CLAIM), stat):
        raise ArchiveError(f"The claim on {batch.name} changed meanwhile, so it was left: a run of it is alive.")
    return found


async def read_claim(store: Store, batch: Batch) -> BatchClaim | None:
    """Read the batch's claim; None when there is none.

    ArchiveConflict when a newer callsheet wrote it.
    """
    return (await _read(store, batch))[0]


def describe(store: Store, batch: Batch, claim: BatchClaim) -> str:
    """Describe who works on a batch, and how another ledger may go on with it.

    Returns sentences for a person.
    """
    host = f" on {claim.host}" if claim.host else ""
    return (
        f"Batch {batch.name} in {store.uri} is worked on by another ledger ({claim.ledger[:12]}{host}, since "
        f"{claim.since:%Y-%m-%d %H:%M} UTC): what it has sent and not yet stored is known to that ledger alone. "
        "Go on with it by its CALLSHEET_HOME or CALLSHEET_LEDGER. Only when it is lost, and no run of it is alive: "
        f"`callsheet ledger rebuild --batch {batch.name} --take-over` enters what the archive proves and lets this "
        "ledger go on."
    )


async def _read(store: Store, batch: Batch) -> tuple[BatchClaim | None, Stat]:
    name = layout.document(batch.prefix, layout.CLAIM)
    gone = None, Stat(0, "")
    if await store.stat(name) is None:
        return gone
    try:
        data = await store.read_bytes(name, MAX_CLAIM)
    except ArchiveError:
        if await store.stat(name) is None:
            return gone
        raise
    check_version(data, f"{store.uri}/{name}", SCHEMA_VERSION)
    stat = Stat(len(data), md5_of_bytes(data))
    try:
        return BatchClaim.model_validate_json(data), stat
    except ValidationError:
        return BatchClaim(ledger=UNKNOWN, since=datetime.fromtimestamp(0, UTC)), stat
