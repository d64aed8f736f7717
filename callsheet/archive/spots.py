"""The record of a spot: what it was joined of and how, beside its file."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from callsheet.archive.disclosure import Disclosure
from callsheet.archive.sidecar import FileRecord

# Another number makes every spot anew.
SPOT_VERSION = 1


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class SpotPartRecord(_Part):
    """A clip or cut in a spot, in its place."""

    shot: str
    take: int | None
    file: str
    sha256: str


class SpotRecord(_Part):
    """One spot. `cut` is what its parts were cut for, "" for clips as they are. Seconds; loudness by ITU-R BS.1770.

    `recipe` is the hash of all that determines it. `sound` says why it is not as loud as was aimed at, `why` why it
    was not joined by stream copy.
    """

    schema_version: int = 1
    name: str
    batch: str
    recipe: str
    cut: str = ""
    parts: tuple[SpotPartRecord, ...]
    how: Literal["copy", "encode"]
    why: str = ""
    crossfade_s: float = 0.0
    model: str = ""
    file: FileRecord
    poster: FileRecord
    thumbnail: FileRecord
    sheet: FileRecord
    lufs: float | None = None
    peak_dbtp: float | None = None
    sound: str = ""
    disclosure: Disclosure = Disclosure()
    created: datetime

    @property
    def files(self) -> tuple[FileRecord, ...]:
        """All files of the spot; their names are relative to the batch's folder `spots/`."""
        return self.file, self.poster, self.thumbnail, self.sheet


def spot_recipe(parts: tuple[SpotPartRecord, ...], crossfade_s: float, lufs: float, peak_dbtp: float) -> str:
    """The sha256 (64 hex digits) of what determines a spot."""
    told = [SPOT_VERSION, [part.sha256 for part in parts], crossfade_s, lufs, peak_dbtp]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()
