"""Records of spots: what each was joined of and how, beside its file.

And the records of a batch, read safely.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from callsheet.archive import layout
from callsheet.archive.sidecar import FileRecord
from callsheet.archive.sidecar_parts import Disclosure
from callsheet.archive.store import Stat, Store
from callsheet.concurrency import gather_bounded

log = logging.getLogger(__name__)

# Another number makes every spot anew.
SPOT_VERSION = 1
# What a record may be: far above any real one, a bound against a file that is something else.
MAX_RECORD = 1 << 20
MAX_RECORDS = 200
SPOT_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,59}$"
_FILE = re.compile(r"[A-Za-z0-9][\w.-]{0,90}-(?P<hash>[0-9a-f]{12})\.(mp4|jpg)", re.ASCII)
_SHA256 = r"^[0-9a-f]{64}$"
_AT_ONCE = 32


def _check_in_folder(file: FileRecord) -> FileRecord:
    name = _FILE.fullmatch(file.file)
    if not (name and re.fullmatch(_SHA256, file.sha256) and file.sha256.startswith(name["hash"])):
        raise ValueError("not the name of a spot's file")
    return file


# A file in the batch's folder of spots: its name leads nowhere else.
SpotFile = Annotated[FileRecord, AfterValidator(_check_in_folder)]


class _SpotPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class SpotPartRecord(_SpotPart):
    """A clip or cut in a spot, in its place."""

    shot: Annotated[str, Field(max_length=1000)]
    take: int | None
    file: str
    sha256: Annotated[str, Field(pattern=_SHA256)]


class SpotWish(_SpotPart):
    """The parameters with which a spot is joined.

    Seconds that neighbours share, loudness (LUFS) and true peak (dBTP) that were aimed at.
    """

    crossfade_s: Annotated[float, Field(ge=0, le=60)] = 0.0
    lufs: Annotated[float, Field(ge=-60, le=0)] = -14.0
    peak_dbtp: Annotated[float, Field(ge=-20, le=0)] = -1.0


class SpotRecord(_SpotPart):
    """One spot.

    `cut` is what its parts were cut for, "" for clips as they are, and `title` that platform's name. Seconds; loudness
    by ITU-R BS.1770. `recipe` is the hash of all that determines it. `sound` says why it is not as loud as was aimed
    at, `why` why it was not joined by stream copy. `wanted` is what was to be made, None in the oldest records: what
    came out may differ, for a crossfade lasts whole frames.
    """

    schema_version: int = 1
    name: Annotated[str, Field(pattern=SPOT_NAME)]
    batch: str
    recipe: str
    cut: str = ""
    title: str = ""
    parts: Annotated[tuple[SpotPartRecord, ...], Field(max_length=100)]
    how: Literal["copy", "encode"]
    why: str = ""
    crossfade_s: float = 0.0
    wanted: SpotWish | None = None
    model: str = ""
    file: SpotFile
    poster: SpotFile
    thumbnail: SpotFile
    sheet: SpotFile
    lufs: float | None = None
    peak_dbtp: float | None = None
    sound: str = ""
    disclosure: Disclosure = Disclosure()
    created: AwareDatetime

    @property
    def files(self) -> tuple[FileRecord, ...]:
        """All files of the spot; their names are relative to the batch's `spots/`."""
        return self.file, self.poster, self.thumbnail, self.sheet


def spot_recipe(parts: tuple[SpotPartRecord, ...], wanted: SpotWish) -> str:
    """Return the sha256 (64 hex digits) of what determines a spot."""
    told = [SPOT_VERSION, [part.sha256 for part in parts], wanted.crossfade_s, wanted.lufs, wanted.peak_dbtp]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


async def read_spots(store: Store, prefix: str) -> list[SpotRecord]:
    """Read the spots of the batch of which every file is there, oldest first.

    The batch is that at `prefix`; at most 200 are looked at. What is no record of a spot is passed over with a warning.
    Raises ArchiveError when the archive cannot be read.
    """
    root = f"{prefix}/{layout.SPOTS}/"
    files = await store.stats(root)
    names = [name for name in files if name.endswith(".json") and layout.is_spot(prefix, name)]
    if len(names) > MAX_RECORDS:
        log.warning("%s has %d records of spots; %d of them are looked at.", root, len(names), MAX_RECORDS)
    reads = (read_spot(store, prefix, name, files[name]) for name in names[:MAX_RECORDS])
    records = await gather_bounded(_AT_ONCE, reads)
    there = (one for one in records if one and all(f"{root}{file.file}" in files for file in one.files))
    return sorted(there, key=lambda one: (one.created, one.name))


async def read_spot(store: Store, prefix: str, name: str, stat: Stat) -> SpotRecord | None:
    """Read the record of a spot; None, with a warning, when it is something else.

    Also when it is not under its own name.
    """
    if stat.size > MAX_RECORD:
        log.warning("%s/%s is left aside: %d bytes are too many for a spot's record.", store.uri, name, stat.size)
        return None
    try:
        record = SpotRecord.model_validate_json(await store.read_bytes(name, MAX_RECORD))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        log.warning("%s/%s is left aside: no record of a spot: %s: %s", store.uri, name, place, first["msg"])
        return None
    if name != record_name(prefix, record):
        log.warning("%s/%s is left aside: it is the record of another spot, %s.", store.uri, name, record.file.file)
        return None
    return record


def record_name(prefix: str, record: SpotRecord) -> str:
    """Return the name of a spot's record: that of its film, but for the ending."""
    return layout.spot_name(prefix, record.name, "", record.file.sha256, "application/json")
