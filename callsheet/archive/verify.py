"""Findings in a batch's part of an archive, from a listing and its records.

Pure: sidecars, catalogue and success marker are compared with each other and with the files. Nothing is read here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from callsheet.archive import layout
from callsheet.archive.catalogue import catalogue_rows, identity
from callsheet.archive.lineage import DERIVED, asset_of, asset_of_row, list_files, thumbnails
from callsheet.archive.marker import Success
from callsheet.archive.sidecar import Sidecar
from callsheet.archive.sidecar_parts import InputRecord
from callsheet.archive.spots import SpotRecord
from callsheet.archive.store import DAMAGED, Stat
from callsheet.files import Digests
from callsheet.shots import Asset, Batch

# missing: listed and not there. changed: not what its record tells, or a record that cannot be believed.
# uncatalogued: in a sidecar and in no part of the catalogue. foreign: in the batch's folder and listed by nobody.
Wrong = Literal["missing", "changed", "uncatalogued", "foreign"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with one object, and what was done about it.

    `name` is relative to the archive. `mended`: it was looked at again, and it is right now.
    """

    name: str
    wrong: Wrong
    why: str
    done: str = ""
    mended: bool = False

    @property
    def what(self) -> tuple[str, str]:
        """The values that make two findings the same."""
        return self.name, self.wrong


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The reason why a record cannot be trusted.

    One that is `newer` than this callsheet is never replaced.
    """

    why: str
    newer: bool = False


@dataclass(frozen=True, slots=True)
class ArchiveContents:
    """All that an archive has of one batch, by names in the archive.

    `files` are those in its folder; `hashes` the sha256 of sidecars' bytes; `known` what a ledger has on record;
    `digests` what was read of files, when the bytes themselves were looked at; `spots` the records of spots that can be
    trusted.
    """

    batch: Batch
    files: Mapping[str, Stat]
    sidecars: Mapping[str, Sidecar | Unreadable]
    hashes: Mapping[str, str]
    parts: Mapping[str, Sequence[Mapping[str, Any]] | Unreadable]
    marker: Success | Unreadable | None
    known: frozenset[str] = frozenset()
    digests: Mapping[str, Digests] = field(default_factory=dict)
    spots: Mapping[str, SpotRecord] = field(default_factory=dict)

    @property
    def believed(self) -> dict[str, Sidecar]:
        """The sidecars that can be trusted, by name."""
        return {name: one for name, one in self.sidecars.items() if isinstance(one, Sidecar)}

    @property
    def rows(self) -> list[Mapping[str, Any]]:
        """The rows of the parts that can be read."""
        return [row for part in self.parts.values() if not isinstance(part, Unreadable) for row in part]

    @property
    def marker_name(self) -> str:
        """The name of the success marker."""
        return layout.document(self.batch.prefix, layout.SUCCESS)

    def place_of(self, shot: str, file: str) -> str:
        """Return the name of a shot's file."""
        return f"{layout.shot_folder(self.batch.prefix, shot)}/{file}"

    def list_all(self) -> dict[str, Asset]:
        """Return the files that sidecars and catalogue list, without thumbnails.

        What a sidecar says comes first. Of what a shot used earlier and costs nothing, only what is there.
        """
        found = {
            name: asset_of(one, each, each.file.uri)
            for one in self.believed.values()
            for each in list_files(one)
            if (name := self.place_of(one.shot, each.file.file)) in self.files or not each.can_be_gone
        }
        # Of several rows for a file the last one counts.
        for row in reversed(self.rows):
            found.setdefault(self.place_of(row["shot"], row["file"]), asset_of_row(row))
        return found

    def thumbnails(self) -> dict[str, tuple[Sidecar, str]]:
        """Return the thumbnails by name, each with its sidecar and its take's sha256.

        Earlier ones only if they are there.
        """
        used = {
            self.place_of(one.shot, name): (one, parent)
            for one in self.believed.values()
            for name, parent in thumbnails(one.takes).items()
        }
        earlier = {
            self.place_of(one.shot, name): (one, parent)
            for one in self.believed.values()
            for name, parent in thumbnails(one.earlier_takes).items()
        }
        return {name: each for name, each in earlier.items() if name in self.files} | used

    def inputs(self) -> dict[str, InputRecord]:
        """Return the files used to finish cuts, by name, as the sidecars list them."""
        return {
            f"{self.batch.prefix}/{layout.INPUTS}/{file.file}": file
            for one in self.believed.values()
            for file in (one.finish.files() if one.finish else ())
            if file.file
        }


def findings(evidence: ArchiveContents) -> tuple[Finding, ...]:
    """Return everything that is wrong, by name; () when the batch is whole."""
    found = [
        *_check_marker(evidence),
        *_check_sidecars(evidence),
        *_check_parts(evidence),
        *_check_files(evidence),
        *_check_spots(evidence),
        *_find_foreign(evidence),
    ]
    return tuple(sorted(found, key=lambda one: (one.name, one.wrong)))


def is_whole(found: Iterable[Finding]) -> bool:
    """Return whether nothing listed is missing or other than it should be.

    Foreign files do no harm.
    """
    return all(one.wrong == "foreign" or one.mended for one in found)


def is_gone_for_good(evidence: ArchiveContents, name: str, asset: Asset) -> bool:
    """Return whether only an old catalogue row lists a missing file.

    Its shot has another one, made since under another name. Only files that cost nothing are made again; the row can
    go.
    """
    sidecar = evidence.sidecars.get(layout.sidecar_name(evidence.batch.prefix, asset.shot))
    if asset.kind not in DERIVED or name in evidence.files or not isinstance(sidecar, Sidecar):
        return False
    return all(each.file.file != asset.name for each in list_files(sidecar) if not each.earlier)


def _check_marker(evidence: ArchiveContents) -> Iterator[Finding]:
    name, marker = evidence.marker_name, evidence.marker
    if marker is None:
        yield Finding(name, "missing", "No run of the batch has ended, or its marker is lost.")
    elif isinstance(marker, Unreadable):
        yield Finding(name, "changed", marker.why)
    elif back := [shot for shot in marker.damaged if shot not in _find_damaged(evidence)]:
        yield Finding(name, "changed", f"It calls {len(back)} shots damaged of which nothing is missing any more.")
    elif marker.catalogue and marker.catalogue not in evidence.parts:
        yield Finding(marker.catalogue, "missing", f"{layout.SUCCESS} names this part of the catalogue.")
    gallery = layout.document(evidence.batch.prefix, layout.GALLERY)
    if marker is not None and gallery not in evidence.files:
        yield Finding(gallery, "missing", "The batch's gallery is not there.")


def _find_damaged(evidence: ArchiveContents) -> set[str]:
    """Return the shots of which a file is missing or changed."""
    told = evidence.list_all()
    return {told[one.name].shot for one in _check_files(evidence) if one.name in told}


def _check_sidecars(evidence: ArchiveContents) -> Iterator[Finding]:
    for name, sidecar in evidence.sidecars.items():
        if isinstance(sidecar, Unreadable):
            yield Finding(name, "changed", sidecar.why)
    in_rows = {layout.sidecar_name(evidence.batch.prefix, row["shot"]) for row in evidence.rows}
    marker = evidence.marker if isinstance(evidence.marker, Success) else None
    in_marker = {one.name: one.sha256 for one in marker.sidecars} if marker else {}
    in_folder = set() if marker and marker.status == "continuing" else _find_used_sidecars(evidence)
    for name in sorted((in_rows | in_marker.keys() | in_folder) - evidence.sidecars.keys()):
        by = layout.SUCCESS if name in in_marker else "the catalogue" if name in in_rows else "a file in its folder"
        yield Finding(name, "missing", f"The sidecar is not there; {by} tells of its shot.")
    if marker is None or marker.status == "continuing":
        return  # a run is at work, or was: it writes sidecars anew, and then the marker
    for name, digest in evidence.hashes.items():
        if isinstance(evidence.sidecars.get(name), Sidecar) and in_marker.get(name, digest) != digest:
            yield Finding(name, "changed", f"Its sha256 is {digest[:12]}, not {in_marker[name][:12]} as in the marker.")


def _find_used_sidecars(evidence: ArchiveContents) -> set[str]:
    """Return the sidecars of the folders that have files of callsheet's.

    A run writes files first.
    """
    root = f"{evidence.batch.prefix}/shots/"
    ours = (name for name in evidence.files if name.startswith(root) and layout.is_asset_name(name.rpartition("/")[2]))
    return {f"{name.rpartition('/')[0]}/{layout.SIDECAR}" for name in ours}


def _check_parts(evidence: ArchiveContents) -> Iterator[Finding]:
    for name, part in evidence.parts.items():
        if isinstance(part, Unreadable):
            yield Finding(name, "changed", part.why)
    rows = {identity(row) for row in evidence.rows}
    for sidecar in evidence.believed.values():
        for row in catalogue_rows(sidecar):
            if identity(row) not in rows:
                name = evidence.place_of(sidecar.shot, str(row["file"]))
                yield Finding(name, "uncatalogued", "Its sidecar lists it, no part of the catalogue does.")


def _check_files(evidence: ArchiveContents) -> Iterator[Finding]:
    for name, asset in evidence.list_all().items():
        stat = evidence.files.get(name)
        if stat is None:
            yield Finding(name, "missing", _explain_missing(evidence, name, asset))
        elif why := _describe_difference(asset, stat, evidence.digests.get(name)):
            yield Finding(name, "changed", why)
    for name, record in evidence.inputs().items():
        stat = evidence.files.get(name)
        if stat is None:
            yield Finding(name, "missing", "The file is not there, with which cuts are finished.")
        elif why := _describe_difference(record, stat, evidence.digests.get(name)):
            yield Finding(name, "changed", why)
    for name in evidence.thumbnails():
        digests = evidence.digests.get(name)
        if name not in evidence.files:
            yield Finding(name, "missing", "The thumbnail is not there.")
        elif digests and digests.sha256[:12] not in name:
            yield Finding(name, "changed", f"Its sha256 is {digests.sha256[:12]}, which its name does not carry.")


def _explain_missing(evidence: ArchiveContents, name: str, asset: Asset) -> str:
    if is_gone_for_good(evidence, name, asset):
        return f"Only the catalogue still lists this {asset.kind}; its shot has another one."
    return f"The {asset.kind} is not there."


def _describe_difference(asset: Asset | InputRecord, stat: Stat, digests: Digests | None) -> str:
    """Describe how a file differs from its record; "" when it does not."""
    if stat.size != asset.size:
        return f"It has {stat.size} bytes, not {asset.size}."
    if isinstance(asset, Asset) and stat.md5 and stat.md5 != asset.md5:
        return f"Its md5 is {stat.md5}, not {asset.md5}."
    if digests and digests.sha256 != asset.sha256:
        return f"Its sha256 is {digests.sha256}, not {asset.sha256}."
    return ""


def _check_spots(evidence: ArchiveContents) -> Iterator[Finding]:
    """Yield the spots of which a file is gone.

    Film and record carry the same hash in their names.
    """
    for record in evidence.spots.values():
        for file in (record.poster, record.thumbnail, record.sheet):
            name = f"{evidence.batch.prefix}/{layout.SPOTS}/{file.file}"
            if name not in evidence.files:
                yield Finding(name, "missing", f"The picture of the spot {record.name} is not there.")
    for name in evidence.files:
        film = f"{name.removesuffix('.json')}.mp4"
        if name.endswith(".json") and layout.is_spot(evidence.batch.prefix, name) and film not in evidence.files:
            yield Finding(film, "missing", "The spot is not there, its record is.")


def _find_foreign(evidence: ArchiveContents) -> Iterator[Finding]:
    listed_names = evidence.list_all().keys() | evidence.thumbnails().keys() | evidence.sidecars.keys() | evidence.known
    for name in evidence.files:
        prefix = evidence.batch.prefix
        own = is_document(evidence.batch, name) or layout.is_input(prefix, name) or layout.is_spot(prefix, name)
        if name not in listed_names and not own:
            yield Finding(name, "foreign", "It is in the batch's folder, and nothing lists it. It is left alone.")


def is_document(batch: Batch, name: str) -> bool:
    """Return whether this is a document of the batch, or something a repair kept."""
    relative = name.removeprefix(f"{batch.prefix}/")
    own = relative in (layout.PLAN, layout.GALLERY, layout.SUCCESS, layout.CLAIM)
    return own or layout.holds_manifest(batch.prefix, name) or relative.startswith(f"{DAMAGED}/")
