"""Running the ffmpeg executable: bounded in time, killed with its task, never through a shell."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cache

import imageio_ffmpeg

from callsheet.errors import MediaError

# MP4 only, and no other file or network address whatever the file says: it was made by others.
INPUT = ("-protocol_whitelist", "file", "-f", "mp4", "-i")
_TAIL = 1500


@cache
def ffmpeg_exe() -> str:
    """The path of the ffmpeg that the wheel imageio-ffmpeg brings; MediaError when there is none."""
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise MediaError("No ffmpeg was found. Install the imageio-ffmpeg wheel for this platform.") from error


async def run_encoder(argv: Sequence[str], timeout_s: float) -> str:
    """Run `argv` to its end and return what it wrote to stderr.

    The process is killed and reaped when `timeout_s` passes or the task is cancelled. MediaError with the end of
    stderr when it fails, cannot start, or takes too long.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise MediaError(f"The encoder could not be started: {error}.") from error
    try:
        _, raw = await asyncio.wait_for(process.communicate(), timeout_s)
    except TimeoutError:
        raise MediaError(f"The encoder was stopped after {timeout_s:.0f} s; nothing was kept. Run it again.") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    report = raw.decode(errors="replace")
    if process.returncode:
        tail = report[-_TAIL:].strip() or "no message"
        raise MediaError(f"The encoder failed with code {process.returncode}; nothing was kept. It said: {tail}")
    return report
