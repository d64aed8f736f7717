"""Clips with known sounds, made by ffmpeg's own generators, and a meter that shares no code with callsheet."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import imageio_ffmpeg

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
_PICTURE = "testsrc2=s=160x90:r=24"
STEREO = "aformat=channel_layouts=stereo"
SQUARE = "if(lt(mod(t*200,1),0.5),1,-1)"

# Around -51 LUFS at the quiet end, +10 dBTP at the loud one.
SOUNDS = {
    "near_silent_noise": f"anoisesrc=r=48000:a=0.004:seed=1,{STEREO}",
    "near_silent_bursts": "anoisesrc=r=48000:a=0.5:c=pink:seed=4,"
    f"volume='if(lt(mod(t,1.3),0.2),0.05,0.0005)':eval=frame,{STEREO}",
    "speech_like_bursts": "anoisesrc=r=48000:a=0.5:c=pink:seed=4,"
    f"volume='if(lt(mod(t,0.9),0.35),0.15+0.25*mod(t,0.35),0.001)':eval=frame,{STEREO}",
    "square_wave_at_full_scale": f"aevalsrc='{SQUARE}|{SQUARE}':s=48000",
    "clipped_noise": "anoisesrc=r=48000:a=1:c=brown:seed=3,volume=30dB,aformat=sample_fmts=s16:channel_layouts=stereo",
    "white_noise": f"anoisesrc=r=48000:a=0.9:seed=5,{STEREO}",
    "bang_in_quiet": f"aevalsrc='if(between(t,1,1.05),0.95*sin(240*PI*t),0.002*sin(880*PI*t))':s=48000,{STEREO}",
    "mono_44100": "sine=f=440:r=44100,volume=-6dB,aformat=channel_layouts=mono",
    "mono_8000": "sine=f=440:r=8000,aformat=channel_layouts=mono",
    "surround": "aevalsrc='0.3*sin(600*PI*t)|0.2*sin(1000*PI*t)|0.3*sin(1400*PI*t)|0|0.2*sin(1800*PI*t)|0'"
    ":c=5.1:s=48000",
}


def sounding_clip(path: Path, sound: str | None, seconds: float = 3.0) -> Path:
    """A small clip with this sound (a generator of ffmpeg); None: without an audio stream."""
    argv = [FFMPEG, "-y", "-loglevel", "error", "-f", "lavfi", "-i", f"{_PICTURE}:d={seconds}"]
    if sound is not None:
        argv += ["-f", "lavfi", "-i", sound, "-c:a", "aac", "-b:a", "192k"]
    subprocess.run([*argv, "-t", str(seconds), "-c:v", "libx264", "-preset", "ultrafast", str(path)], check=True)
    return path


def sound_file(path: Path, sound: str, seconds: float) -> Path:
    """An audio file; its format follows from its name."""
    subprocess.run(
        [FFMPEG, "-y", "-loglevel", "error", "-f", "lavfi", "-i", f"{sound},atrim=end={seconds}", str(path)], check=True
    )
    return path


def metered(path: Path, filters: str = "anull") -> tuple[float, float]:
    """Integrated loudness in LUFS and true peak in dBTP of the part that `filters` leave."""
    argv = [
        FFMPEG,
        "-nostats",
        "-i",
        str(path),
        "-af",
        f"{filters},ebur128=peak=true:framelog=quiet",
        "-f",
        "null",
        "-",
    ]
    report = subprocess.run(argv, capture_output=True, text=True, check=True).stderr
    figures = dict(re.findall(r"^\s+(I|Peak):\s+(\S+)", report, re.MULTILINE))
    return float(figures["I"]), float(figures["Peak"])
