"""Running the ffmpeg executable.

It is bounded in time, killed with its task, and never run through a shell.
"""

from __future__ import annotations

import asyncio
import math
import os
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import imageio_ffmpeg

from callsheet.errors import MediaError

SMALL_MB = 64
_CGROUP = Path("/sys/fs/cgroup/memory.max")  # control groups, version 2


class EncoderSlots:
    """A semaphore of encoders: at most `count`, with at most `memory_mb` together.

    A larger one runs alone.
    """

    def __init__(self, count: int = 2, memory_mb: int | None = None) -> None:
        self._count, self._memory_mb = count, memory_mb or machine_mb() // 2
        self._running, self._taken_mb = 0, 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def take(self, memory_mb: int = SMALL_MB) -> AsyncIterator[None]:
        """Wait for a place for one encoder that needs so much memory."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._has_room(memory_mb))
            self._running, self._taken_mb = self._running + 1, self._taken_mb + memory_mb
        try:
            yield
        finally:
            async with self._changed:
                self._running, self._taken_mb = self._running - 1, self._taken_mb - memory_mb
                self._changed.notify_all()

    def _has_room(self, memory_mb: int) -> bool:
        fits = self._taken_mb + memory_mb <= self._memory_mb
        return self._running < self._count and (fits or not self._running)


def machine_mb() -> int:
    """Return the memory in MB of this machine, or of this process's container."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = int(_CGROUP.read_text())
    except (OSError, ValueError):  # no such file, or "max": there is no limit
        limit = whole
    return min(whole, limit) // 2**20


# MP4 only, and no other file or network address whatever the file says: it was made by others.
INPUT = ("-protocol_whitelist", "file", "-f", "mp4", "-i")
# Every so many seconds it is told how far the file is, on stdout.
PROGRESS = ("-progress", "pipe:1", "-stats_period", "2")
_TAIL = 1500


@cache
def ffmpeg_exe() -> str:
    """Return the path of the ffmpeg that the wheel imageio-ffmpeg brings.

    Raises MediaError when there is none.
    """
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise MediaError("No ffmpeg was found. Install the imageio-ffmpeg wheel for this platform.") from error


async def run_encoder(argv: Sequence[str], timeout_s: float, reached: Callable[[float], None] | None = None) -> str:
    """Run `argv` to its end and return what it wrote to stderr.

    The process is killed and reaped when `timeout_s` passes or the task is cancelled. `reached` is called with how many
    seconds of the file are made, as often as `argv` asks for by PROGRESS. Raises MediaError with the end of stderr when
    it fails, cannot start, or takes too long.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE if reached else asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise MediaError(f"The encoder could not be started: {error}.") from error
    try:
        async with asyncio.timeout(timeout_s):
            raw, _ = await asyncio.gather(_read_whole(process.stderr), _follow(process.stdout, reached))
            await process.wait()
    except TimeoutError:
        raise MediaError(f"The encoder was stopped after {timeout_s:.0f} s; nothing was kept. Run it again.") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    report = raw.decode(errors="replace")
    if process.returncode:
        said = _find_complaints(report)[-_TAIL:].strip() or "no message"
        raise MediaError(f"The encoder failed with code {process.returncode}; nothing was kept. It said: {said}")
    return report


def _find_complaints(report: str) -> str:
    """Return the lines that report errors.

    All lines, unless they are marked with their level (`-loglevel level+info`).
    """
    marked = [line for line in report.splitlines() if "[error] " in line or "[fatal] " in line]
    return "\n".join(line.replace("[error] ", "").replace("[fatal] ", "") for line in marked) or report


async def _read_whole(stream: asyncio.StreamReader | None) -> bytes:
    return await stream.read() if stream else b""


async def _follow(stream: asyncio.StreamReader | None, reached: Callable[[float], None] | None) -> None:
    if stream is None or reached is None:
        return
    async for line in stream:
        name, _, value = line.decode(errors="replace").strip().partition("=")
        if name == "out_time_us" and value.lstrip("-").isdigit():  # "N/A" before the first picture
            reached(max(0.0, int(value) / 1e6))


# Quieter than this is room tone or silence; amplifying it would only raise noise.
SILENT_LUFS = -60.0
STEREO = "aformat=sample_rates=48000:channel_layouts=stereo"
# Passes the sound on; the figures are in what ffmpeg writes to stderr at the log level "info".
METER = "ebur128=peak=true:framelog=quiet"

_FIGURE = re.compile(r"^\s+(I|Peak):\s+(-?[\d.]+|-?inf|nan) (?:LUFS|dBFS)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Loudness:
    """Integrated loudness and true peak by EBU R 128; -inf for digital silence."""

    integrated_lufs: float
    true_peak_dbfs: float


def parse_loudness(report: str) -> Loudness:
    """Read the figures of ffmpeg's `ebur128` summary.

    Raises MediaError when the report has none.
    """
    figures = {name: float(value) for name, value in _FIGURE.findall(report)}
    if figures.keys() != {"I", "Peak"} or any(math.isnan(value) for value in figures.values()):
        raise MediaError("The loudness could not be measured: the encoder reported no figures.")
    return Loudness(figures["I"], figures["Peak"])


async def measure_loudness(source: Path, timeout_s: float = 120.0) -> Loudness:
    """Measure the loudness of the first audio stream of an MP4.

    Raises MediaError when there is none or it cannot be decoded.
    """
    return parse_loudness(await run_encoder(_make_measuring_argv(source), timeout_s))


def _make_measuring_argv(source: Path) -> list[str]:
    # The summary has the log level "info"; nothing is written.
    argv = [ffmpeg_exe(), "-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+info", *INPUT]
    filters = f"{STEREO},{METER}"
    return [*argv, f"file:{source.absolute()}", "-map", "0:a:0", "-vn", "-af", filters, "-f", "null", "-"]
