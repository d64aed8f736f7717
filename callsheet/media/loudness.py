"""How loud a clip is, and by how much to change it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from callsheet.errors import MediaError
from callsheet.media.ffmpeg import INPUT, ffmpeg_exe, run_encoder

# The common aim of the platforms that name one (-14 LUFS, peaks below -1 dBFS); third-party table, 2026-11-21.
TARGET_LUFS = -14.0
MAX_GAIN_DB = 20.0
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


def gain_db(loudness: Loudness | None) -> float:
    """The constant gain towards -14 LUFS, at most 20 dB either way; 0 for silence or unknown loudness."""
    if loudness is None or not loudness.integrated_lufs > SILENT_LUFS:
        return 0.0
    return round(max(-MAX_GAIN_DB, min(MAX_GAIN_DB, TARGET_LUFS - loudness.integrated_lufs)), 1)


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
