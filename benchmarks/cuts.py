"""Cuts of many clips for several platforms, beside plain ffmpeg commands.

One command per cut, with the same encoder settings.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from benchmarks.bench import Bench, Row, Spent, median_cpu_s, spent
from callsheet.cuts.encode.encode import CutResult, analyse, make_cut
from callsheet.cuts.encode.fitness import Analysis
from callsheet.cuts.encode.quality import check_cut
from callsheet.cuts.sound.make import Sounds
from callsheet.media.ffmpeg import EncoderSlots, ffmpeg_exe
from callsheet.platforms import PlatformSpec, load_platforms
from callsheet.rehearsal import render_video

ENCODED, COPIED = ("shorts", "reels", "feed"), ("x",)
# What callsheet gives the encoder. The gain is one that it would find: here nobody measures.
AAC = ["-c:a", "aac", "-b:a", "128k", "-ar", "48000", "-ac", "2"]
SOUND = ["-af", "volume=3dB,alimiter=limit=0.891:level=false", *AAC]
X264 = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-profile:v", "high", "-bf", "2", "-flags:v", "+cgop"]
PLAIN = {
    "shorts": ["-vf", "crop=404:718:438:0,scale=720:1280:flags=bicubic,setsar=1", *X264, "-g", "12"],
    "reels": ["-vf", "crop=404:718:438:0,scale=720:1280:flags=bicubic,setsar=1", *X264, "-g", "24"],
    "feed": ["-vf", "crop=576:720:352:0,scale=720:900:flags=bicubic,setsar=1", *X264, "-g", "24"],
    "x": ["-vf", "scale=1280:720:flags=bicubic,setsar=1", *X264, "-g", "24"],
}


@dataclass(frozen=True, slots=True)
class Desk:
    """A clip with what its cuts share."""

    clip: Path
    analysis: Analysis
    sounds: Sounds
    slots: EncoderSlots


def cuts(bench: Bench) -> list[Row]:
    """Measure all cuts of all clips; then what one of each kind costs.

    Where pixels change and where packets are copied, checked in both.
    """
    folder = bench.new_folder("cuts")
    desks, made, encoded, copied, peak_mb = asyncio.run(_cut_everything(folder, bench.size(20, 2)))
    alone = median_cpu_s(bench.repeats, partial(_copy_alone, desks[0]))
    plain = {name: median_cpu_s(bench.repeats, partial(_run_ffmpeg, desks[0].clip, name)) for name in PLAIN}
    assert [result.plan.how for result in made].count("copy") == len(desks) * len(COPIED)
    checks = [
        median_cpu_s(bench.repeats, partial(_check, desks[0], result))
        for result in (made[0], made[len(desks) * len(ENCODED)])
    ]
    return [
        _build_speed_row(len(desks), len(made), encoded, copied, peak_mb),
        *_build_rows(len(desks), encoded, copied, alone, plain),
        Row("of which the check takes, encoded and copied", f"{checks[0]:.2f} and {checks[1]:.2f} CPU-s"),
    ]


async def _cut_everything(folder: Path, clips: int) -> tuple[list[Desk], list[CutResult], Spent, Spent, list[float]]:
    """Make all cuts in one event loop, which the slots of the encoders belong to."""
    desks = await _make_desks(folder, clips, 8)
    with spent() as encoded, _sample_memory() as peak_mb:
        made = await _cut_all(desks, ENCODED)
    with spent() as copied:
        made += await _cut_all(desks, COPIED)
    return desks, made, encoded, copied, peak_mb


def _build_rows(clips: int, encoded: Spent, copied: Spent, alone: float, plain: dict[str, float]) -> Iterator[Row]:
    ours, peer = encoded.cpu_s / clips / len(ENCODED), statistics.mean(plain[name] for name in ENCODED)
    yield Row(
        f"cut where pixels change (720p for {', '.join(ENCODED)}; the sound is made for the first)",
        f"{ours:.2f} CPU-s",
        f"plain ffmpeg: {peer:.2f} CPU-s",
        f"ratio {ours / peer:.2f}",
    )
    each, again = copied.cpu_s / clips / len(COPIED), f"plain ffmpeg, encoding again: {plain['x']:.2f} CPU-s"
    for what, cpu_s in (("which shares its sound", each), ("with a sound of its own", alone)):
        yield Row(
            f"cut where packets are copied (720p for x), {what}",
            f"{cpu_s:.2f} CPU-s",
            again,
            f"{plain['x'] / cpu_s:.1f} times cheaper",
        )


def _build_speed_row(clips: int, cuts: int, encoded: Spent, copied: Spent, peak_mb: list[float]) -> Row:
    seconds, cpu_s = encoded.seconds + copied.seconds, encoded.cpu_s + copied.cpu_s
    return Row(
        f"{clips} clips of 720p cut for {', '.join((*ENCODED, *COPIED))}",
        f"{cuts / seconds * 60:.0f} cuts a minute, {cpu_s / cuts:.2f} CPU-s each",
        f"memory of all processes at most {max(peak_mb):.0f} MB",
    )


async def _make_desks(folder: Path, count: int, seconds: int) -> list[Desk]:
    found, slots = [], EncoderSlots(2)
    for number in range(count):
        clip = folder / f"clip-{number}" / "clip.mp4"
        await asyncio.to_thread(clip.parent.mkdir)
        wish = render_video.ClipWish(f"A lighthouse {number}", 1280, 720, seconds)
        await asyncio.to_thread(clip.write_bytes, render_video.render(wish))
        found.append(Desk(clip, await analyse(clip), Sounds(clip, clip.parent, slots), slots))
    return found


async def _cut_all(desks: Sequence[Desk], names: Sequence[str]) -> list[CutResult]:
    platforms = load_platforms()
    return await asyncio.gather(*(_cut(desk, platforms.get(name)) for desk in desks for name in names))


async def _cut(desk: Desk, spec: PlatformSpec) -> CutResult:
    target = desk.clip.with_name(f"{spec.name}.mp4")
    return await make_cut(desk.clip, spec, target, analysis=desk.analysis, sounds=desk.sounds, encoders=desk.slots)


def _check(desk: Desk, result: CutResult) -> None:
    cut = desk.clip.with_name(f"{result.plan.spec.name}.mp4")
    check_cut(result.plan, desk.analysis.probe, result.sound, desk.clip, cut)


def _copy_alone(desk: Desk) -> None:
    asyncio.run(make_cut(desk.clip, load_platforms().get("x"), desk.clip.with_name("alone.mp4")))


def _run_ffmpeg(clip: Path, name: str) -> None:
    argv = [ffmpeg_exe(), "-nostdin", "-loglevel", "error", "-y", "-i", str(clip), *PLAIN[name], *SOUND]
    argv += ["-pix_fmt", "yuv420p", "-movflags", "+faststart", "-threads", "1"]
    subprocess.run([*argv, str(clip.with_name("peer.mp4"))], check=True)


@contextmanager
def _sample_memory() -> Iterator[list[float]]:
    """Sample the resident memory of this process and its children, in MB.

    Five times a second.
    """
    seen, ended = [0.0], threading.Event()
    watching = threading.Thread(target=_watch, args=(seen, ended))
    watching.start()
    try:
        yield seen
    finally:
        ended.set()
        watching.join()


def _watch(seen: list[float], ended: threading.Event) -> None:
    own = psutil.Process()
    while not ended.wait(0.2):
        total = 0
        for process in (own, *own.children(recursive=True)):
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        seen.append(total / 2**20)
