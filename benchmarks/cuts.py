"""Cuts of a clip beside plain ffmpeg with the same encoder settings."""

from __future__ import annotations

import asyncio
import subprocess
from functools import partial
from pathlib import Path

from benchmarks.bench import Bench, Row, median_cpu_s
from callsheet.cutting.encode import make_cut
from callsheet.media.ffmpeg import ffmpeg_exe
from callsheet.rehearsal import videos

AUDIO = ["-c:a", "aac", "-b:a", "128k", "-ar", "48000", "-ac", "2"]
CROP = ["-vf", "crop=404:720:438:0,scale=720:1280:flags=bicubic,setsar=1"]
X264 = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-profile:v", "high", "-bf", "2", "-g", "24"]


def cuts(bench: Bench) -> list[Row]:
    """CPU-seconds of a cut that crops and of one that copies; ours also measure loudness and check the result."""
    folder = bench.new_folder("cuts")
    clip = folder / "clip.mp4"
    clip.write_bytes(videos.render(videos.ClipWish("A lighthouse", 1280, 720, bench.size(8, 4))))
    plain = {"9x16": [*CROP, *X264, "-flags:v", "+cgop", "-pix_fmt", "yuv420p"], "16x9": ["-c:v", "copy"]}
    told = {"9x16": "crop of 720p to 9:16", "16x9": "copy at 16:9"}
    rows = []
    for spec, video in plain.items():
        ours = median_cpu_s(bench.repeats, partial(_callsheet, clip, spec, folder / "ours.mp4"))
        peer = median_cpu_s(bench.repeats, partial(_ffmpeg, clip, video, folder / "peer.mp4"))
        rows.append(
            Row(
                f"cut: {told[spec]}", f"{ours:.2f} CPU-s", f"plain ffmpeg: {peer:.2f} CPU-s", f"ratio {ours / peer:.2f}"
            )
        )
    return rows


def _callsheet(clip: Path, spec: str, target: Path) -> None:
    asyncio.run(make_cut(clip, spec, target))


def _ffmpeg(clip: Path, video: list[str], target: Path) -> None:
    argv = [ffmpeg_exe(), "-nostdin", "-loglevel", "error", "-y", "-i", str(clip), *video, *AUDIO]
    subprocess.run([*argv, "-movflags", "+faststart", "-threads", "1", str(target)], check=True)
