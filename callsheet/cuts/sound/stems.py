"""Stems: the clip's own sound and the music bed.

Decoded once, cut to length, and measured on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from callsheet.cuts.sound.sound_plan import SoundSettings
from callsheet.errors import MediaError
from callsheet.media.ffmpeg import INPUT, METER, STEREO, Loudness, ffmpeg_exe, parse_loudness, run_encoder

HEAD = 16


@dataclass(frozen=True, slots=True)
class SoundFormat:
    """A kind of audio file: its MIME type, and the ffmpeg demuxer that reads it."""

    mime_type: str
    demuxer: str


_WAV = SoundFormat("audio/wav", "wav")
_FLAC = SoundFormat("audio/flac", "flac")
_OGG = SoundFormat("audio/ogg", "ogg")
_M4A = SoundFormat("audio/mp4", "mp4")
_MP3 = SoundFormat("audio/mpeg", "mp3")
_AAC = SoundFormat("audio/aac", "aac")


def sound_format(head: bytes) -> SoundFormat | None:
    """Return the kind of a file by its first 16 bytes or more.

    None for whatever is not taken.
    """
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return _WAV
    if head[4:8] == b"ftyp":
        return _M4A
    for start, kind in ((b"fLaC", _FLAC), (b"OggS", _OGG), (b"ID3", _MP3)):
        if head.startswith(start):
            return kind
    # Without a tag both begin with the sync word of a frame: layer 0 is AAC (ADTS), layer 3 is MP3.
    if len(head) > 1 and head[0] == 0xFF:
        return _MP3 if head[1] & 0xE6 == 0xE2 else _AAC if head[1] & 0xF6 == 0xF0 else None
    return None


def sound_type(data: bytes) -> str | None:
    """Return the MIME type of an audio file by its first bytes.

    None for whatever is not taken.
    """
    kind = sound_format(data[:HEAD])
    return kind.mime_type if kind else None


MAX_MUSIC_BYTES = 100 * 1024 * 1024
_RATE = 48000


@dataclass(frozen=True, slots=True)
class Stem:
    """A WAV of 48 kHz stereo that is as long as it is heard, and its loudness."""

    file: Path
    loudness: Loudness


async def own_stem(clip: Path, settings: SoundSettings, target: Path, timeout_s: float) -> Stem:
    """Decode the sound of an MP4 from its first picture on.

    Gaps are filled with silence; MediaError when it cannot be decoded.
    """
    filters = f"{STEREO},aresample=async=1:first_pts=0,atrim=end={settings.clip_s:.6f}"
    if settings.duration_s > settings.clip_s + 0.05:
        filters += f",afade=t=out:st={max(0.0, settings.clip_s - 0.05):.6f}:d=0.05"  # no click before the end card
    source = [*INPUT, f"file:{clip}"]
    if settings.lead_s:
        source = ["-itsoffset", f"-{settings.lead_s:.6f}", *source]
    try:
        return await _write([*source, "-xerror"], filters, settings.duration_s, target, timeout_s)
    except MediaError as error:
        raise MediaError(f"The sound of {clip.name} cannot be used: {error}") from error


async def music_stem(settings: SoundSettings, target: Path, timeout_s: float) -> Stem:
    """Decode the music from its start, repeated until the cut ends.

    Faded in and out; MediaError when it cannot be used. Damaged places are skipped, as players do.
    """
    music, length = settings.music, settings.duration_s
    assert music is not None  # noqa: S101 - asked for only where there is music
    with music.open("rb") as file:
        form = sound_format(file.read(HEAD))
    if form is None or music.stat().st_size > MAX_MUSIC_BYTES:
        raise MediaError(
            f"The music {music.name} cannot be used. It must be MP3, M4A, AAC, WAV, FLAC or Ogg, at most "
            f"{MAX_MUSIC_BYTES // 1024**2} MB."
        )
    # The bed is held in memory only as long as the cut; a longer piece is never decoded to its end.
    loop = f"atrim=end={length:.6f},aloop=loop=-1:size={int(length * _RATE) + 1},atrim=end={length:.6f}"
    out_s = min(1.5, length / 4)
    fades = f"afade=t=in:d={min(0.3, length / 8):.3f},afade=t=out:st={length - out_s:.6f}:d={out_s:.3f}"
    source = ["-protocol_whitelist", "file", "-f", form.demuxer, "-t", f"{length + 1:.3f}", "-i", f"file:{music}"]
    try:
        return await _write(source, f"{STEREO},{loop},asetpts=N/SR/TB,{fades}", length, target, timeout_s)
    except MediaError as error:
        raise MediaError(f"The music {music.name} cannot be used: {error}") from error


async def join_stems(
    parts: Sequence[tuple[Stem | None, float | None, float]], crossfade_s: float, target: Path, timeout_s: float
) -> Stem:
    """Join stems one after the other, each with its gain in dB and length in seconds.

    None is silence of that length. With a crossfade neighbours share so many seconds, equally loud throughout.
    """
    source: list[str] = []
    chains = []
    for number, (stem, gain, length) in enumerate(parts):
        if stem is None:
            source += ["-f", "lavfi", "-t", f"{length:.6f}", "-i", "anullsrc=r=48000:cl=stereo"]
        else:
            source += ["-protocol_whitelist", "file", "-f", "wav", "-i", f"file:{stem.file.absolute()}"]
        chains.append(f"[{number}:a]{STEREO},volume={gain or 0.0:.2f}dB[p{number}]")
    labels = [f"p{number}" for number in range(len(parts))]
    if crossfade_s:
        for number in range(1, len(parts)):
            fade = f"acrossfade=d={crossfade_s:.6f}:c1=qsin:c2=qsin"
            chains.append(f"[{labels[0]}][{labels[number]}]{fade}[x{number}]")
            labels[0] = f"x{number}"
        joined = f"[{labels[0]}]anull"
    else:
        joined = "".join(f"[{label}]" for label in labels) + f"concat=n={len(labels)}:v=0:a=1"
    length_s = sum(length for *_, length in parts) - crossfade_s * (len(parts) - 1)
    graph = ";".join([*chains, f"{joined},{_build_length(length_s)}[out]"])
    return await _run([*source, "-filter_complex", graph, "-map", "[out]"], target, timeout_s)


async def _write(source: list[str], filters: str, length_s: float, target: Path, timeout_s: float) -> Stem:
    return await _run(
        [*source, "-map", "0:a:0", "-vn", "-af", f"{filters},{_build_length(length_s)}"], target, timeout_s
    )


def _build_length(length_s: float) -> str:
    """Build the filters that make it exactly so long, and measure it."""
    return f"apad=whole_dur={length_s:.6f},atrim=end={length_s:.6f},{METER}"


async def _run(arguments: list[str], target: Path, timeout_s: float) -> Stem:
    # The summary of the meter has the log level "info". 32-bit floats: what is above full scale is kept.
    argv = [ffmpeg_exe(), "-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+info", "-y", *arguments]
    argv += ["-c:a", "pcm_f32le", "-fflags", "+bitexact", "-threads", "1", "-f", "wav", f"file:{target}"]
    return Stem(target, parse_loudness(await run_encoder(argv, timeout_s)))
