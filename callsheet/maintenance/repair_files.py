"""Repairing a batch's files.

Their very bytes from spool, other copies or provider; derived ones are made again.
"""

from __future__ import annotations

import asyncio
import shlex
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from callsheet import files as durable
from callsheet.archive import layout
from callsheet.archive.lineage import DERIVED, list_files, thumbnails
from callsheet.archive.sidecar import Sidecar
from callsheet.archive.sidecar_io import in_order, write_sidecar
from callsheet.archive.sidecar_parts import InputRecord
from callsheet.archive.spots import SpotRecord
from callsheet.archive.verify import Finding, is_gone_for_good
from callsheet.concurrency import gather_bounded
from callsheet.context.context import RunContext
from callsheet.errors import ArchiveDenied, ArchiveLost, CallsheetError
from callsheet.jobs.store import describe_file, fetch
from callsheet.maintenance.remake import remake
from callsheet.maintenance.repair_state import Repair, make_way
from callsheet.shots import Asset, Reference
from callsheet.steps.cut_inputs import input_path, put_input
from callsheet.steps.spots import assemble, replan_spot


async def put_back_inputs(work: Repair) -> None:
    """Put back the finishing files that are missing or changed.

    Cuts that are made again may need them.
    """
    for name, record in work.evidence.inputs().items():
        if name in work.wrong:
            await _put_input_back(work, name, record)


async def _put_input_back(work: Repair, name: str, record: InputRecord) -> None:
    run, finding = work.run, work.wrong[name]
    try:
        path = await input_path(run, Reference(record.uri, record.sha256, record.mime_type, record.size))
        kept = await make_way(run, name)
        await put_input(run, name, path)
    except CallsheetError as error:
        work.note(finding, f"Not put back: {error}", ok=False)
        return
    work.note(finding, f"Put back with the right bytes.{kept}")


async def remake_spots(work: Repair) -> bool:
    """Make the spots again that have lost a file, after their parts are back.

    Whether there is one more now.
    """
    lost: dict[str, list[Finding]] = defaultdict(list)
    for name, finding in work.wrong.items():
        if layout.is_spot(work.run.batch.prefix, name):
            lost[_record_of(work, name)].append(finding)
    return any([await _remake(work, name, found) for name, found in lost.items()])


def _record_of(work: Repair, lost: str) -> str:
    """Return the name of the record that tells of a spot's file.

    A film's own carries its hash.
    """
    file = lost.rpartition("/")[2]
    every = work.evidence.spots.items()
    own = (name for name, record in every if file in {one.file for one in record.files})
    return next(own, f"{lost.removesuffix('.mp4')}.json")


async def _remake(work: Repair, name: str, lost: Sequence[Finding]) -> bool:
    run, record = work.run, work.evidence.spots.get(name)
    if record is None:
        again = f"Make it with `callsheet assemble {run.batch.name}`."
        _note(work, lost, f"Not made again: its record cannot be believed, and was left as it is. {again}", ok=False)
        return False
    try:
        made, _ = await assemble(run, in_order(list(work.sidecars.values())), replan_spot(record))
        kept = await _old_record(run, name, record, made)
    except ArchiveDenied:
        raise
    except CallsheetError as error:
        _note(work, lost, f"Not made again: {error} Then: `{command(record)}`.", ok=False)
        return False
    _note(work, lost, f"Made again of its {len(made.parts)} parts.{kept}")
    return True


def _note(work: Repair, lost: Sequence[Finding], done: str, *, ok: bool = True) -> None:
    for finding in lost:
        work.note(finding, done, ok=ok)


async def _old_record(run: RunContext, name: str, old: SpotRecord, made: SpotRecord) -> str:
    """Keep the old record aside when another encoder gave the film another name.

    Other bytes are another name.
    """
    if old.file.file == made.file.file:
        return ""
    return f" It is {made.file.file} now.{await make_way(run, name)}"


def command(record: SpotRecord) -> str:
    """Return what makes such a spot of what the batch has now."""
    fade_s = record.wanted.crossfade_s if record.wanted else record.crossfade_s
    words = ["callsheet", "assemble", record.batch, "--name", record.name]
    words += ["--for", record.cut] if record.cut else []
    words += ["--crossfade", f"{fade_s:g}"] if fade_s else []
    return shlex.join([*words, *(word for part in record.parts for word in ("--shot", part.shot))])


AT_ONCE = 8


async def put_back(work: Repair) -> set[str]:
    """Put back the files whose bytes are still somewhere.

    The names of all files that are as they should be then.
    """
    wanted = work.list_wanted()
    back = await gather_bounded(AT_ONCE, (_put_back(work, name, asset) for name, asset in wanted.items()))
    right = {name for name in work.told if name not in work.wrong}
    return right | {name for name, done in zip(wanted, back, strict=True) if done}


async def _put_back(work: Repair, name: str, asset: Asset) -> bool:
    run, finding = work.run, work.wrong[name]
    try:
        path = await bytes_of(run, asset)
        kept = await make_way(run, name)
        uri = await run.resources.store.put_file(path, describe_file(asset, name))
        await run.resources.ledger.add_assets([replace(asset, uri=uri)])
    except CallsheetError as error:
        if not (isinstance(error, ArchiveLost) and asset.kind in DERIVED):
            why = " ".join(part for part in (str(error), work.refused.get(asset.job_key or "")) if part)
            work.note(finding, f"Not put back: {why}", ok=False)
        return False
    work.note(finding, f"Put back with the right bytes.{kept}")
    return True


async def bytes_of(run: RunContext, asset: Asset) -> Path:
    """Return the right bytes of an asset on this disk.

    ArchiveLost when neither spool nor archive has them.
    """
    path = await fetch(run, asset.sha256, asset.size)
    if (await asyncio.to_thread(durable.digests, path)).sha256 != asset.sha256:
        path.unlink()  # a damaged file in the spool helps nobody
        path = await fetch(run, asset.sha256, asset.size)
    return path


async def remake_files(work: Repair, right: set[str]) -> None:
    """Make derived files again whose bytes are nowhere, shot by shot.

    `right` are the names of files that are right.

    Where a file made anew has other bytes than the old one, and so another name, the sidecar is rewritten.
    """
    by_shot: dict[str, list[Finding]] = defaultdict(list)
    small = work.evidence.thumbnails()
    for name, finding in work.wrong.items():
        asset = work.told.get(name)
        if asset is not None and is_gone_for_good(work.evidence, name, asset):
            work.note(finding, "Its row was taken out of the catalogue.")
        elif name in small or (asset is not None and asset.kind in DERIVED and finding.what not in work.done):
            by_shot[name.rpartition("/")[0]].append(finding)
    for folder, findings in by_shot.items():
        await _remake_shot(work, f"{folder}/{layout.SIDECAR}", findings, right)


async def _remake_shot(work: Repair, name: str, findings: Sequence[Finding], right: set[str]) -> None:
    sidecar, run = work.sidecars.get(name), work.run
    if sidecar is None:
        for finding in findings:
            work.note(finding, "Not made again: its sidecar is not there. Repair once more when it is.", ok=False)
        return
    try:
        kept = {finding.what: await make_way(run, finding.name) for finding in findings}
        new, problems = await remake(run, sidecar, *_whole(work, sidecar, right))
        gone = {finding.name.rpartition("/")[2] for finding in findings if await _is_gone(run, finding)}
        if new != sidecar or gone:
            new = new.model_copy(update={"updated": datetime.now(UTC)})
            work.sidecars[name], _ = await write_sidecar(run.resources.store, run.batch.prefix, new, gone=gone)
    except CallsheetError as error:
        for finding in findings:
            work.note(finding, f"Not made again: {error}", ok=False)
        return
    for finding in findings:
        work.note(finding, await _describe_left(run, sidecar, finding, problems) + kept[finding.what])


def _whole(work: Repair, sidecar: Sidecar, right: set[str]) -> tuple[dict[str, Asset], frozenset[str]]:
    """Return the shot's files that are right, and its thumbnails' names.

    The files by their names in its folder; of thumbnails those that are there.
    """
    evidence = work.evidence
    files = {
        one.file.file: work.told[name]
        for one in list_files(sidecar)
        if (name := evidence.place_of(sidecar.shot, one.file.file)) in right
    }
    small = (file for file in thumbnails(sidecar.takes) if evidence.place_of(sidecar.shot, file) not in work.wrong)
    return files, frozenset(small)


async def _is_gone(run: RunContext, finding: Finding) -> bool:
    return await run.resources.store.stat(finding.name) is None


async def _describe_left(run: RunContext, sidecar: Sidecar, finding: Finding, problems: Sequence[str]) -> str:
    if not await _is_gone(run, finding):
        return "Made again."
    if finding.name.rpartition("/")[2] in {one.file.file for one in list_files(sidecar) if one.can_be_gone}:
        return "Taken away: its shot uses another one."
    if problems:
        return f"Not made again: {'; '.join(problems)}"
    return "Made again; its bytes are other ones, so it has another name, which the sidecar lists."
