"""The plan of a cut's sound, as values: its aim, the gains, and their correction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from callsheet.media.ffmpeg import SILENT_LUFS, Loudness

# Everything that is not silence can be brought to the usual -14 LUFS.
MAX_GAIN_DB = 46.0
# A peak that the limiter presses down further than this is no longer the sound that was recorded.
MAX_LIMITING_DB = 24.0
# How far the music lies below the clip's own sound before it is ducked.
BED_LU = 10.0
TOLERANCE_LU = 0.5
# A block of BS.1770.
SHORTEST_S = 0.4
# Half the tolerance is left for other meters. The encoder's figures have one decimal, hence the margin of peaks.
_AIM_LU = 0.25
_PEAK_MARGIN_DB = 0.05
# The limiter's first ceiling below the aim: AAC at 128 kb/s adds 0.3 dB to speech-like peaks, 1.5 dB to bursts of noise
# (measured 2026-11-21).
_HEADROOM_DB = 1.0
_STEP_DB = 0.2
# Of what is added before the limiter some is taken again.
_EAGER = 1.25


@dataclass(frozen=True, slots=True)
class SoundSettings:
    """The aim of a cut's sound.

    Equal settings for the same clip give the same bytes, so such cuts share one file. The clip's own sound from
    `lead_s` (when the first picture appears) is heard for `clip_s` seconds; the sound is as long as the cut with its
    end card, `duration_s`. `lufs` and `peak_dbtp` are the aim, by ITU-R BS.1770. `music` is an audio file that is laid
    under it.
    """

    clip_s: float
    duration_s: float
    lufs: float = -14.0
    peak_dbtp: float = -1.0
    lead_s: float = 0.0
    music: Path | None = None


@dataclass(frozen=True, slots=True)
class SoundPlan:
    """The gains in dB of a sound, the same from start to end, and a limiter.

    `own_db` is for the clip's own sound (None: it has none, or music takes the place of its silence), `music_db` for
    the music bed (None: no music), `gain_db` for both together. `ceiling_db` is where the limiter stops the peaks;
    None: there is no limiter. `most_db` is how far `gain_db` may go up.
    """

    settings: SoundSettings
    own_db: float | None
    music_db: float | None
    gain_db: float
    ceiling_db: float | None
    most_db: float


def plan_sound(settings: SoundSettings, own: Loudness | None, music: Loudness | None) -> SoundPlan | None:
    """Plan the sound of a clip and a music bed that are as loud as this.

    None when there is nothing to hear. Silence is left as it is: amplifying it would only raise noise.
    """
    heard, bed = _keep_audible(own), _keep_audible(music)
    if heard is None and bed is None:
        return None if own is None else _leave_alone(settings, own)
    loudest = heard or bed
    assert loudest is not None  # noqa: S101 - for the type checker: one of them is there
    most = min(MAX_GAIN_DB, settings.peak_dbtp - loudest.true_peak_dbfs + MAX_LIMITING_DB)
    first = _find_gain(settings.lufs, loudest, most)
    own_db = first if heard else None
    music_db = first if bed and not heard else _find_gain(settings.lufs - BED_LU, bed, MAX_GAIN_DB) if bed else None
    peak = loudest.true_peak_dbfs + first
    ceiling = settings.peak_dbtp - _HEADROOM_DB if bed or peak > settings.peak_dbtp - _HEADROOM_DB else None
    return SoundPlan(settings, own_db, music_db, 0.0, ceiling, most - first)


def corrected(plan: SoundPlan, outcome: Loudness) -> SoundPlan | None:
    """Correct a plan, knowing what became of it, to come nearer to the aim.

    None when it cannot or need not.
    """
    aim = plan.settings
    over = outcome.true_peak_dbfs - (aim.peak_dbtp - _PEAK_MARGIN_DB)
    ceiling = plan.ceiling_db
    if over > 0:
        ceiling = aim.peak_dbtp - _HEADROOM_DB if ceiling is None else round(ceiling - over - _STEP_DB, 2)
    lacking = aim.lufs - outcome.integrated_lufs
    gain = plan.gain_db
    if abs(lacking) > _AIM_LU and outcome.integrated_lufs > SILENT_LUFS:
        gain = round(min(plan.most_db, gain + lacking * (_EAGER if ceiling is not None else 1.0)), 2)
    if gain > plan.gain_db and ceiling is None and outcome.true_peak_dbfs + gain - plan.gain_db > aim.peak_dbtp:
        ceiling = aim.peak_dbtp - _HEADROOM_DB
    better = replace(plan, gain_db=gain, ceiling_db=ceiling)
    return None if better == plan else better


def shortfall(plan: SoundPlan, outcome: Loudness) -> str:
    """Describe why the outcome misses the loudness aimed at; "" when it does not."""
    aim = plan.settings
    if abs(outcome.integrated_lufs - aim.lufs) <= TOLERANCE_LU:
        return ""
    got = f"{outcome.integrated_lufs:.1f} LUFS instead of {aim.lufs:.1f}"
    if aim.duration_s < SHORTEST_S:
        return f"The sound has {got}: it takes {SHORTEST_S:g} s of sound to measure how loud it is."
    if outcome.integrated_lufs <= SILENT_LUFS:
        return f"The sound has {got}: silence or room tone, which is not amplified."
    if plan.gain_db >= plan.most_db:
        return (
            f"The sound has {got}: more would take over {MAX_GAIN_DB:.0f} dB of gain or press its peaks down by over "
            f"{MAX_LIMITING_DB:.0f} dB."
        )
    return f"The sound has {got}: it is too uneven to be levelled."


def level(lufs: float, loudness: Loudness) -> float:
    """Return the gain in dB that brings a sound to `lufs`; 0.0 for silence.

    At most 46 dB up.
    """
    return _find_gain(lufs, loudness, MAX_GAIN_DB) if _keep_audible(loudness) else 0.0


def _keep_audible(loudness: Loudness | None) -> Loudness | None:
    return loudness if loudness is not None and loudness.integrated_lufs > SILENT_LUFS else None


def _find_gain(lufs: float, loudness: Loudness, most_db: float) -> float:
    return round(min(most_db, lufs - loudness.integrated_lufs), 2)


def _leave_alone(settings: SoundSettings, own: Loudness) -> SoundPlan:
    loud = own.true_peak_dbfs > settings.peak_dbtp - _HEADROOM_DB
    return SoundPlan(settings, 0.0, None, 0.0, settings.peak_dbtp - _HEADROOM_DB if loud else None, 0.0)
