"""The kinds of audio file that are taken, told by their first bytes alone: for the manifest and for the decoder."""

from __future__ import annotations

from dataclasses import dataclass

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
    """The kind of a file that begins with these 16 bytes or more; None for whatever is not taken."""
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
    """The MIME type of an audio file by its first bytes; None for whatever is not taken."""
    kind = sound_format(data[:HEAD])
    return kind.mime_type if kind else None
