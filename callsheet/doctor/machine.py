"""This machine: room on its disks, the encoder, the fonts, and its clock.

The clock is held against those of servers that answered.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

from callsheet.cuts.finishing.lettering import missing_glyphs
from callsheet.cuts.finishing.shaping import typefaces
from callsheet.doctor.diagnosis import BOTH, Diagnosis, Health
from callsheet.errors import MediaError
from callsheet.media.ffmpeg import ffmpeg_exe
from callsheet.settings import Settings

DISK, FFMPEG, FONTS = "disk", "ffmpeg", "fonts"
# A live clip has some 20 MB, and its cuts as much again.
SCARCE_MB = 2048
_ENCODERS = ("libx264", "aac")
# A letter of each of some of the scripts that the shipped fonts have.
_LETTERS = "Aé€Жאبกक"
CLOCK = "clock"
# A Date header has whole seconds, and a reply may have been on its way for some.
NEAR_S = 30.0
# From here on Google's token service refuses what is signed by this clock, and quota days turn at the wrong time.
FAR_S = 300.0


def why_not_writable(path: Path) -> str:
    """Return why a folder cannot be made or written into; "" when it can."""
    nearest = find_nearest(path)
    if not nearest.is_dir():
        return f"{nearest} is not a folder."
    return "" if os.access(nearest, os.W_OK | os.X_OK) else f"{nearest} cannot be written to."


def find_nearest(path: Path) -> Path:
    """Return the path itself, else the nearest one above it that is there."""
    return next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())


async def examine_disk(settings: Settings) -> Sequence[Diagnosis]:
    """Say how much room the home's disk has, and whether the home can be written."""
    if why := why_not_writable(settings.home):
        return [Diagnosis(DISK, Health.MEND, why, "Set CALLSHEET_HOME to a folder where you may write.", BOTH)]
    free_mb = shutil.disk_usage(find_nearest(settings.home)).free // 2**20
    text = f"{free_mb:,} MB free for {settings.home.absolute()}."
    if free_mb < settings.min_free_mb:
        advice = f"Make room: below {settings.min_free_mb} MB (CALLSHEET_MIN_FREE_MB) nothing is sent."
        return [Diagnosis(DISK, Health.MEND, text, advice, BOTH)]
    if free_mb < SCARCE_MB:
        return [Diagnosis(DISK, Health.NOTE, text, "Enough for some clips; make room before a large batch.")]
    return [Diagnosis(DISK, Health.OK, text)]


async def examine_ffmpeg(within_s: float) -> Sequence[Diagnosis]:
    """Start the encoder, and see that it has what cuts are made with."""
    exe = ffmpeg_exe()
    process = await asyncio.create_subprocess_exec(
        exe,
        "-hide_banner",
        "-encoders",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        told, _ = await asyncio.wait_for(process.communicate(), within_s)
    finally:
        if process.returncode is None:
            process.kill()
    words = told.decode(errors="replace").split()
    if process.returncode or (absent := [name for name in _ENCODERS if name not in words]):
        what = f"ended with {process.returncode}" if process.returncode else f"has no {' and no '.join(absent)}"
        advice = "Unset IMAGEIO_FFMPEG_EXE, or reinstall the imageio-ffmpeg wheel."
        return [Diagnosis(FFMPEG, Health.MEND, f"{exe} {what}.", advice, BOTH)]
    return [Diagnosis(FFMPEG, Health.OK, f"{Path(exe).name} encodes H.264 and AAC.")]


async def examine_fonts(settings: Settings) -> Sequence[Diagnosis]:
    """Open the fonts, and see that they have letters."""
    try:
        faces, absent = typefaces(settings.font), missing_glyphs(_LETTERS, settings.font)
    except MediaError as error:
        return [Diagnosis(FONTS, Health.MEND, str(error), "Correct or unset CALLSHEET_FONT.", BOTH)]
    if absent:
        return [Diagnosis(FONTS, Health.MEND, f"No font has {absent}.", "Install callsheet again.", BOTH)]
    own = f", {settings.font.name} of CALLSHEET_FONT first" if settings.font else ""
    return [Diagnosis(FONTS, Health.OK, f"{len(faces)} open{own}.")]


@dataclass(frozen=True, slots=True)
class ServerTime:
    """How far this machine's clock is ahead of a server's, in seconds."""

    host: str
    ahead_s: float


def read_server_time(host: str, header: str | None, sent: datetime, came: datetime) -> ServerTime | None:
    """Return what a reply's Date header says of this machine's clock.

    None when it says nothing.
    """
    try:
        told = parsedate_to_datetime(header or "")
    except (ValueError, IndexError, TypeError):
        return None
    told = told if told.tzinfo else told.replace(tzinfo=UTC)
    # The second that is cut off, and the way: both halved.
    middle = sent + (came - sent) / 2 - timedelta(seconds=0.5)
    return ServerTime(host, (middle - told).total_seconds())


def judge_clock(times: Sequence[ServerTime]) -> Diagnosis:
    """Judge this machine's clock by the server that agrees with it most."""
    if not times:
        text = "Not compared: no server told the time."
        return Diagnosis(CLOCK, Health.NOTE, text, "See that this machine gets its time from the network (NTP).")
    nearest = min(times, key=lambda one: abs(one.ahead_s))
    away = abs(nearest.ahead_s)
    if away <= NEAR_S:
        return Diagnosis(CLOCK, Health.OK, f"Right, by the clock of {nearest.host}.")
    which = "ahead of" if nearest.ahead_s > 0 else "behind"
    text = f"{timedelta(seconds=round(away))} {which} that of {nearest.host}."
    advice = "Set this machine's clock, and have it follow the network (NTP): quota days and signatures go by it."
    return Diagnosis(CLOCK, Health.MEND if away > FAR_S else Health.NOTE, text, advice)
