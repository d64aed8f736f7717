"""Running the ffmpeg executable: bounded in time, killed with its task, never through a shell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import cache

import imageio_ffmpeg

from callsheet.errors import MediaError

# MP4 only, and no other file or network address whatever the file says: it was made by others.
INPUT = ("-protocol_whitelist", "file", "-f", "mp4", "-i")
# Every so many seconds it is told how far the file is, on stdout.
PROGRESS = ("-progress", "pipe:1", "-stats_period", "2")
_TAIL = 1500


@cache
def ffmpeg_exe() -> str:
    """The path of the ffmpeg that the wheel imageio-ffmpeg brings; MediaError when there is none."""
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise MediaError("No ffmpeg was found. Install the imageio-ffmpeg wheel for this platform.") from error


async def run_encoder(argv: Sequence[str], timeout_s: float, reached: Callable[[float], None] | None = None) -> str:
    """Run `argv` to its end and return what it wrote to stderr.

    The process is killed and reaped when `timeout_s` passes or the task is cancelled. `reached` is told how many
    seconds of the file are made, as often as `argv` asks for by PROGRESS. MediaError with the end of stderr when it
    fails, cannot start, or takes too long.
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
            raw, _ = await asyncio.gather(_whole(process.stderr), _follow(process.stdout, reached))
            await process.wait()
    except TimeoutError:
        raise MediaError(f"The encoder was stopped after {timeout_s:.0f} s; nothing was kept. Run it again.") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    report = raw.decode(errors="replace")
    if process.returncode:
        said = _complaints(report)[-_TAIL:].strip() or "no message"
        raise MediaError(f"The encoder failed with code {process.returncode}; nothing was kept. It said: {said}")
    return report


def _complaints(report: str) -> str:
    """The lines that tell of errors, where lines are marked with their level (`-loglevel level+info`); else all."""
    marked = [line for line in report.splitlines() if "[error] " in line or "[fatal] " in line]
    return "\n".join(line.replace("[error] ", "").replace("[fatal] ", "") for line in marked) or report


async def _whole(stream: asyncio.StreamReader | None) -> bytes:
    return await stream.read() if stream else b""


async def _follow(stream: asyncio.StreamReader | None, reached: Callable[[float], None] | None) -> None:
    if stream is None or reached is None:
        return
    async for line in stream:
        name, _, value = line.decode(errors="replace").strip().partition("=")
        if name == "out_time_us" and value.lstrip("-").isdigit():  # "N/A" before the first picture
            reached(max(0.0, int(value) / 1e6))
