"""The sound of a cut: made once, measured as it will be heard, and shared by all cuts that are to sound alike."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from callsheet.media.loudness import Loudness


@dataclass(frozen=True, slots=True)
class SoundSettings:
    """What a cut is to sound like. Equal settings for the same clip give the same bytes, so such cuts share one file.

    The clip's own sound from `lead_s` (when the first picture appears) is heard for `clip_s` seconds; the sound is as
    long as the cut with its end card, `duration_s`. `lufs` and `peak_dbtp` are the aim, by ITU-R BS.1770. `music` is an
    audio file that is laid under it.
    """

    clip_s: float
    duration_s: float
    lufs: float = -14.0
    peak_dbtp: float = -1.0
    lead_s: float = 0.0
    music: Path | None = None


@dataclass(frozen=True, slots=True)
class SoundPlan:
    """How the sound is made: gains in dB that stay the same from start to end, and a limiter.

    `own_db` is for the clip's own sound (None: it has none or is silent), `music_db` for the music bed (None: no
    music), `gain_db` for both together. `ceiling_db` is where the limiter holds the peaks; None: there is no limiter.
    `note` tells in a sentence why the aim is not reached, "" where it can be.
    """

    settings: SoundSettings
    own_db: float | None
    music_db: float | None
    gain_db: float
    ceiling_db: float | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Sound:
    """An AAC file that cuts take as it is (`-c:a copy`), with its plan, and the loudness before and after."""

    file: Path
    plan: SoundPlan
    before: Loudness
    after: Loudness

    @property
    def note(self) -> str:
        """Why the loudness is not the one aimed at, in a sentence; "" when it is."""
        return self.plan.note


async def make_sound(clip: Path, settings: SoundSettings, target: Path, timeout_s: float = 120.0) -> Sound | None:
    """Write the sound of `clip` to `target` (MP4 with AAC-LC, 48 kHz, stereo); None when there is nothing to hear.

    There is nothing to hear where the clip has no audio stream and no music is given. The loudness of the file is
    within 0.5 LU of the aim and its true peak at most `peak_dbtp`, or the plan's note tells why not. MediaError when
    clip or music cannot be decoded; `target` is then untouched. One encoder runs at a time.
    """
    raise NotImplementedError
