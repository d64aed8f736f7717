"""The sound of a cut, made once and measured as it will be heard.

It is shared by all cuts that are to sound alike.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path

from callsheet.cuts.sound.sound_plan import SoundPlan, SoundSettings, corrected, plan_sound, shortfall
from callsheet.cuts.sound.stems import Stem, music_stem, own_stem
from callsheet.files import replacing
from callsheet.media.ffmpeg import STEREO, EncoderSlots, Loudness, ffmpeg_exe, measure_loudness, run_encoder
from callsheet.media.probe import probe_video

# The limiter sees samples. At four times the rate it sees the peaks between them as well (ITU-R BS.1770-5, annex 2).
_LIMITER = "aresample=192000,alimiter=limit={limit:.6f}:attack=5:release=50:level=false:latency=true,aresample=48000"
# The bed sinks by about 9 dB while something is heard at -14 LUFS, and comes back in half a second.
_DUCK = "sidechaincompress=threshold=0.05:ratio=4:attack=30:release=500"
# The AAC encoder begins with 1024 samples of its own, and a file without edit list cannot tell players to skip them.
# Dropping as many keeps picture and sound together (measured with FFmpeg 9.0.2, 2026-11-21). The fade is for what would
# begin with a click.
_PRIMING = "atrim=start_sample=1024,asetpts=PTS-STARTPTS,afade=t=in:d=0.005"
_PASSES = 6


@dataclass(frozen=True, slots=True)
class Sound:
    """An AAC file that cuts take as it is (`-c:a copy`), with its plan.

    `before` is the loudness of the clip's own sound (None: it has none), `after` that of the file. `note` says in a
    sentence why it is not the loudness aimed at, "" when it is.
    """

    file: Path
    plan: SoundPlan
    before: Loudness | None
    after: Loudness
    note: str

    @property
    def gain_db(self) -> float | None:
        """The change of the clip's own sound in dB; None when it is not heard.

        The same from start to end.
        """
        return None if self.plan.own_db is None else round(self.plan.own_db + self.plan.gain_db, 2)


async def make_sound(clip: Path, settings: SoundSettings, target: Path, timeout_s: float = 120.0) -> Sound | None:
    """Write the sound of `clip` to `target`; None when there is nothing to hear.

    The target is MP4 with AAC-LC, 48 kHz, stereo. There is nothing to hear where the clip has no audio stream and no
    music is given. The loudness of the file is within 0.5 LU of the aim, or the note says why not; its true peak is at
    most `peak_dbtp`. MediaError when clip or music cannot be decoded; `target` is then untouched. One encoder runs at a
    time.
    """
    has_audio = (await asyncio.to_thread(probe_video, clip)).audio_codec is not None
    if not has_audio and settings.music is None:
        return None
    with tempfile.TemporaryDirectory(prefix=".sound-", dir=target.parent) as name:
        folder = Path(name)
        own = await own_stem(clip, settings, folder / "own.wav", timeout_s) if has_audio else None
        bed = await music_stem(settings, folder / "bed.wav", timeout_s) if settings.music else None
        plan = plan_sound(settings, own.loudness if own else None, bed.loudness if bed else None)
        if plan is None:
            return None
        with replacing(target) as part:
            plan, after = await master(plan, own, bed, part, timeout_s)
    return Sound(target, plan, own.loudness if own else None, after, shortfall(plan, after))


async def master(
    plan: SoundPlan, own: Stem | None, bed: Stem | None, target: Path, timeout_s: float
) -> tuple[SoundPlan, Loudness]:
    """Write the sound of `plan` to `target`, and correct the plan by what is measured.

    Returns the corrected plan, and how loud the file is. What comes out is measured each time: the limiter and the
    encoder change what was planned.
    """
    for count in range(1, _PASSES + 1):
        await run_encoder(mix_argv(plan, own.file if own else None, bed.file if bed else None, target), timeout_s)
        outcome = await measure_loudness(target, timeout_s)
        better = corrected(plan, outcome)
        if better is None or count == _PASSES:
            break
        plan = better
    return plan, outcome


def mix_argv(plan: SoundPlan, own: Path | None, bed: Path | None, target: Path) -> list[str]:
    """Build the ffmpeg arguments that make the sound of `plan` out of its stems.

    The same bytes for the same input.
    """
    stems = [
        (file, gain)
        for file, gain in ((own, plan.own_db), (bed, plan.music_db))
        if file is not None and gain is not None
    ]
    argv = [ffmpeg_exe(), "-nostdin", "-hide_banner", "-loglevel", "error", "-xerror", "-y"]
    for file, _ in stems:
        argv += ["-protocol_whitelist", "file", "-f", "wav", "-i", f"file:{file.absolute()}"]
    argv += ["-filter_complex", _build_graph(plan, [gain for _, gain in stems]), "-map", "[out]"]
    argv += ["-c:a", "aac", "-b:a", "128k", "-ar", "48000", "-ac", "2", "-flags:a", "+bitexact", "-fflags", "+bitexact"]
    argv += ["-map_metadata", "-1", "-movflags", "+faststart", "-use_editlist", "0", "-threads", "1"]
    return [*argv, "-f", "mp4", f"file:{target.absolute()}"]


def _build_graph(plan: SoundPlan, gains: list[float]) -> str:
    chains = [f"[{number}:a]volume={gain:.2f}dB[s{number}]" for number, gain in enumerate(gains)]
    mix = "s0"
    if len(gains) > 1:
        chains += ["[s0]asplit[own][key]", f"[s1][key]{_DUCK}[bed]", "[own][bed]amix=duration=longest:normalize=0[mix]"]
        mix = "mix"
    last = [f"volume={plan.gain_db:.2f}dB"]
    if plan.ceiling_db is not None:
        last.append(_LIMITER.format(limit=10 ** (plan.ceiling_db / 20)))
    return ";".join([*chains, f"[{mix}]{','.join([*last, STEREO, _PRIMING])}[out]"])


class Sounds:
    """Sounds of `clip` in `folder`, which is the caller's to make and to remove."""

    def __init__(self, clip: Path, folder: Path, encoders: EncoderSlots | None = None) -> None:
        self._clip, self._folder, self._encoders = clip, folder, encoders or EncoderSlots()
        self._made: dict[SoundSettings, Sound | None] = {}
        self._lock = asyncio.Lock()

    async def get(self, settings: SoundSettings, timeout_s: float) -> Sound | None:
        """Return the sound for these settings, making it when it is not there yet.

        None when there is nothing to hear.
        """
        async with self._lock:
            if settings not in self._made:
                target = self._folder / f"sound-{len(self._made)}.mp4"
                async with self._encoders.take():
                    self._made[settings] = await make_sound(self._clip, settings, target, timeout_s)
            return self._made[settings]
