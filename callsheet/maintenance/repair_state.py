"""What a repair of one batch works with.

Also how a wrong file is kept aside before another takes its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from callsheet.archive.sidecar import Sidecar
from callsheet.archive.store import Stat, StoredFile, name_kept_file
from callsheet.archive.verify import ArchiveContents, Finding, is_gone_for_good
from callsheet.context.context import RunContext
from callsheet.errors import ArchiveError
from callsheet.files import Digests
from callsheet.shots import Asset


@dataclass
class Repair:
    """One batch's repair so far.

    `done` says by finding what was done, or why nothing could be. `refused` says by job why its provider did not give a
    file again. `sidecars` are those that can be believed, by name, the ones written by the repair among them.
    """

    run: RunContext
    evidence: ArchiveContents
    found: Sequence[Finding]
    refused: Mapping[str, str]
    sidecars: dict[str, Sidecar] = field(default_factory=dict)
    done: dict[tuple[str, str], str] = field(default_factory=dict)
    given_up: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.sidecars.update(self.evidence.believed)
        self.wrong = {one.name: one for one in self.found if one.wrong in ("missing", "changed")}
        self.told = self.evidence.list_all()

    def note(self, finding: Finding, done: str, *, ok: bool = True) -> None:
        """Say what was done about a finding, or why (`ok` False) nothing could be."""
        self.done[finding.what] = done
        if not ok:
            self.given_up.add(finding.what)

    def list_wanted(self) -> dict[str, Asset]:
        """Return the files that are missing or changed and should be there, by name.

        Not those that only old rows list.
        """
        return {
            name: asset
            for name, asset in self.told.items()
            if name in self.wrong and not is_gone_for_good(self.evidence, name, asset)
        }


async def make_way(run: RunContext, name: str) -> str:
    """Keep a wrong file in the batch's `.damaged/` and take it away.

    "" when nothing is there, else a sentence.

    ArchiveError when it was changed by somebody else meanwhile; it is then left where it is.
    """
    store, prefix = run.resources.store, run.batch.prefix
    if await store.stat(name) is None:
        return ""
    found = await store.digests(name)
    kept = name_kept_file(prefix, found.md5, name)
    await _copy(run, name, kept, found)
    if not await store.remove(name, Stat(found.size, found.md5)):
        raise ArchiveError(f"{store.uri}/{name} changed while it was repaired. It was left as it is; verify it again.")
    return f" What was there is kept as {kept}."


async def _copy(run: RunContext, name: str, target: str, found: Digests) -> None:
    scratch = run.resources.spool.scratch()
    try:
        await run.resources.store.get_file(name, scratch, sha256=found.sha256)
        file = StoredFile(target, found.sha256, found.md5, found.size, "application/octet-stream")
        await run.resources.store.put_file(scratch, file)
    finally:
        scratch.unlink(missing_ok=True)
