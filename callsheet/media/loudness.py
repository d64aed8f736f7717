"""How loud a clip is, by ITU-R BS.1770."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from callsheet.errors import MediaError
from callsheet.media.ffmpeg import INPUT, ffmpeg_exe, run_encoder

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
    """The figures of ffmpeg's `ebur128` summary; MediaError when it holds none."""
    figures = {name: float(value) for name, value in _FIGURE.findall(report)}
    if figures.keys() != {"I", "Peak"} or any(math.isnan(value) for value in figures.values()):
        raise MediaError("The loudness could not be measured: the encoder reported no figures.")
    return Loudness(figures["I"], figures["Peak"])


async def measure_loudness(source: Path, timeout_s: float = 120.0) -> Loudness:
    """The loudness of the first audio stream of an MP4; MediaError when there is none or it cannot be decoded."""
    return parse_loudness(await run_encoder(_measuring_argv(source), timeout_s))


def _measuring_argv(source: Path) -> list[str]:
    # The summary has the log level "info"; nothing is written.
    argv = [ffmpeg_exe(), "-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+info", *INPUT]
    filters = f"{STEREO},{METER}"
    return [*argv, f"file:{source.absolute()}", "-map", "0:a:0", "-vn", "-af", filters, "-f", "null", "-"]
