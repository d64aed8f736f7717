"""The sound of cuts: as loud as asked for whatever came in, peaks held, music under it, in step with the picture."""

from __future__ import annotations

import subprocess
from pathlib import Path

import av
import numpy as np
import pytest

from callsheet.cuts.sound.make import make_sound, mix_argv
from callsheet.cuts.sound.sound_plan import SoundPlan, SoundSettings, corrected, plan_sound, shortfall
from callsheet.cuts.sound.stems import sound_format
from callsheet.errors import MediaError
from callsheet.manifest.finish import MUSIC
from callsheet.media.ffmpeg import Loudness
from tests.support.sound_samples import FFMPEG, SOUNDS, STEREO, metered, sound_file, sounding_clip

AIM = SoundSettings(3.0, 3.0)
TONE = "sine=f=500:r=48000,volume=-10dB"
QUICK = ("near_silent_bursts", "speech_like_bursts", "square_wave_at_full_scale", "mono_44100", "surround")


@pytest.mark.long
@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in SOUNDS]
)
async def test_every_sound_comes_to_the_aim_and_its_true_peak_stays_below(tmp_path, name):
    clip = sounding_clip(tmp_path / "clip.mp4", SOUNDS[name])
    sound = await make_sound(clip, AIM, tmp_path / "sound.mp4")
    lufs, peak = metered(sound.file)
    assert lufs == pytest.approx(-14.0, abs=0.5)
    assert peak <= -1.0
    assert sound.note == ""
    with av.open(str(sound.file)) as container:
        stream = container.streams.audio[0]
        assert (stream.codec_context.name, stream.rate, stream.channels) == ("aac", 48000, 2)
        assert float(stream.duration * stream.time_base) == pytest.approx(3.0, abs=0.022)


async def test_other_aims_are_reached_too(tmp_path):
    clip = sounding_clip(tmp_path / "clip.mp4", TONE)
    sound = await make_sound(clip, SoundSettings(3.0, 3.0, lufs=-23.0, peak_dbtp=-9.0), tmp_path / "sound.mp4")
    assert metered(sound.file)[0] == pytest.approx(-23.0, abs=0.5)
    assert sound.gain_db == pytest.approx(-23.0 - sound.before.integrated_lufs, abs=0.5)


async def test_silence_is_left_as_it_is_and_told(tmp_path):
    clip = sounding_clip(tmp_path / "clip.mp4", f"anoisesrc=r=48000:a=0.0005:seed=2,{STEREO}")
    sound = await make_sound(clip, AIM, tmp_path / "sound.mp4")
    assert sound.after.integrated_lufs == pytest.approx(sound.before.integrated_lufs, abs=2)
    assert "silence or room tone, which is not amplified" in sound.note


async def test_a_clip_without_audio_gets_no_track(tmp_path):
    clip = sounding_clip(tmp_path / "clip.mp4", None, 1.0)
    assert await make_sound(clip, SoundSettings(1.0, 1.0), tmp_path / "sound.mp4") is None
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


@pytest.mark.long
async def test_a_click_stays_where_it_was(tmp_path):
    click = f"aevalsrc='if(between(t,1,1.01),0.8*sin(2000*PI*t),0.01*sin(400*PI*t))':s=48000,{STEREO}"
    sound = await make_sound(sounding_clip(tmp_path / "clip.mp4", click), AIM, tmp_path / "sound.mp4")
    # The encoder of the clip puts 1024 samples before its sound and says so; the cut cannot, and must be in step.
    assert _loudest_at(sound.file) == pytest.approx(1.005, abs=0.005)


async def test_the_same_clip_gives_the_same_bytes(tmp_path):
    clip = sounding_clip(tmp_path / "clip.mp4", SOUNDS["speech_like_bursts"], 1.0)
    settings = SoundSettings(1.0, 1.0)
    one, two = [await make_sound(clip, settings, tmp_path / name) for name in ("one.mp4", "two.mp4")]
    assert one.file.read_bytes() == two.file.read_bytes()


@pytest.mark.parametrize("form", ["mp3", "m4a", "aac", "wav", "flac", "ogg"])
@pytest.mark.quick_cases("mp3", "ogg")
async def test_music_is_the_sound_of_a_silent_clip_from_start_to_end(tmp_path, form):
    clip = sounding_clip(tmp_path / "clip.mp4", None, 2.0)
    music = sound_file(tmp_path / f"music.{form}", TONE, 0.7)  # shorter than the cut: it is repeated
    sound = await make_sound(clip, SoundSettings(2.0, 3.0, music=music), tmp_path / "sound.mp4")
    assert metered(sound.file)[0] == pytest.approx(-14.0, abs=0.5)
    levels = _levels(sound.file)
    assert len(levels) == 30
    assert min(levels[3:20]) > max(levels) - 3
    assert levels[0] < levels[5] - 3
    assert levels[-1] < levels[15] - 10


async def test_music_sinks_while_the_clip_is_heard(tmp_path):
    voice = f"sine=f=3000:r=48000,volume='if(lt(t,1.5),0.5,0)':eval=frame,{STEREO}"
    clip = sounding_clip(tmp_path / "clip.mp4", voice)
    music = sound_file(tmp_path / "music.wav", TONE, 5)
    sound = await make_sound(clip, SoundSettings(3.0, 3.0, music=music), tmp_path / "sound.mp4")
    low = "lowpass=f=700,lowpass=f=700,lowpass=f=700"
    under = _levels(sound.file, low)
    assert np.mean(under[5:14]) < np.mean(under[21:24]) - 5
    assert metered(sound.file)[0] == pytest.approx(-14.0, abs=0.5)


@pytest.mark.parametrize(
    "data", [b"", b"ID3" + b"x" * 4000, b"#EXTM3U\nfile:///etc/passwd\n", b"RIFF" + b"\0" * 60, b"\0\0\0\x20ftypM4A "]
)
async def test_music_that_is_none_is_refused_and_nothing_is_left(tmp_path, data):
    clip = sounding_clip(tmp_path / "clip.mp4", None, 1.0)
    music = tmp_path / "music.mp3"
    music.write_bytes(data)
    with pytest.raises(MediaError, match=r"The music music\.mp3 cannot be used"):
        await make_sound(clip, SoundSettings(1.0, 1.0, music=music), tmp_path / "sound.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "music.mp3"]


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", ("audio/wav", "wav")),
        (b"RIFF\x24\x00\x00\x00WEBPVP8 ", None),
        (b"\x00\x00\x00\x20ftypM4A ", ("audio/mp4", "mp4")),
        (b"OggS\x00", ("audio/ogg", "ogg")),
        (b"fLaC\x00", ("audio/flac", "flac")),
        (b"ID3\x04", ("audio/mpeg", "mp3")),
        (b"\xff\xfb\x90", ("audio/mpeg", "mp3")),
        (b"\xff\xf1\x50", ("audio/aac", "aac")),
        (b"\xff\xd8\xff", None),
        (b"<svg", None),
        (b"", None),
    ],
)
def test_the_first_bytes_tell_manifest_and_decoder_the_same_of_music(head, kind):
    found = sound_format(head)
    assert (found and (found.mime_type, found.demuxer)) == kind
    assert MUSIC.mime_type(head) == (kind and kind[0])


def test_what_cannot_be_reached_is_told():
    aim = SoundSettings(3.0, 3.0)
    plan = plan_sound(aim, Loudness(-40.0, -1.0), None)
    assert plan == SoundPlan(aim, 24.0, None, 0.0, -2.0, 0.0)  # the peaks may be pressed down by 24 dB, not by 26
    assert corrected(plan, Loudness(-20.0, -1.5)) is None
    assert "-20.0 LUFS instead of -14.0: more would take" in shortfall(plan, Loudness(-20.0, -1.5))


def test_what_is_too_short_to_be_measured_is_not_called_silence():
    plan = plan_sound(SoundSettings(0.3, 0.3), Loudness(-70.0, -3.0), None)
    assert (plan.own_db, plan.gain_db) == (0.0, 0.0)
    assert "it takes 0.4 s of sound to measure" in shortfall(plan, Loudness(-70.0, -3.0))


async def test_sound_that_cannot_be_decoded_is_told_in_the_decoders_words(tmp_path):
    clip = sounding_clip(tmp_path / "clip.mp4", TONE, 1.0)
    data = clip.read_bytes()
    with av.open(str(clip)) as container:
        hurt = next(packet.pos for packet in container.demux(audio=0) if packet.size > 300)
    clip.write_bytes(data[: hurt + 20] + b"\xff" * 200 + data[hurt + 220 :])
    with pytest.raises(MediaError, match=r"The sound of clip\.mp4 cannot be used: .* It said: \[aac @"):
        await make_sound(clip, SoundSettings(1.0, 1.0), tmp_path / "sound.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_gain_is_added_for_what_limiter_and_encoder_took_and_the_ceiling_sinks_by_what_they_added():
    plan = plan_sound(AIM, Loudness(-24.0, -6.0), None)
    better = corrected(plan, Loudness(-15.0, -0.5))
    assert (plan.own_db, plan.ceiling_db) == (10.0, -2.0)
    assert better.gain_db == 1.25
    assert better.ceiling_db == pytest.approx(-2.75)
    assert corrected(better, Loudness(-14.1, -1.1)) is None


def test_no_limiter_works_where_no_peak_comes_near():
    plan = plan_sound(AIM, Loudness(-20.0, -15.0), None)
    assert plan.ceiling_db is None
    assert "alimiter" not in " ".join(mix_argv(plan, Path("own.wav"), None, Path("out.mp4")))


def _samples(path: Path, filters: str = "anull") -> np.ndarray:
    argv = [
        FFMPEG,
        "-loglevel",
        "error",
        "-i",
        str(path),
        "-af",
        filters,
        "-ac",
        "1",
        "-ar",
        "48000",
        "-f",
        "f32le",
        "-",
    ]
    return np.frombuffer(subprocess.run(argv, capture_output=True, check=True).stdout, np.float32)


def _loudest_at(path: Path) -> float:
    return float(np.argmax(np.abs(_samples(path)))) / 48000


def _levels(path: Path, filters: str = "anull") -> list[float]:
    """The level of each tenth of a second, in dB."""
    samples = _samples(path, filters)
    tenths = samples[: len(samples) // 4800 * 4800].reshape(-1, 4800)
    return [float(10 * np.log10(np.mean(tenth**2) + 1e-12)) for tenth in tenths]
