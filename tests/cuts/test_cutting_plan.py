from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.cuts.encode.cut_plan import cut_size, plan_cut
from callsheet.cuts.encode.fitness import Analysis
from callsheet.cuts.encode.graph import cut_argv, moving
from callsheet.cuts.finishing.layers import Layer
from callsheet.cuts.framing.geometry import CropKey, Framing, Subject, SubjectBox
from callsheet.errors import MediaError
from callsheet.media.facts import VideoPackets, VideoProbe
from callsheet.platforms import PlatformSpec, load_platforms

CLIP = Analysis(
    VideoProbe(1280, 720, 8.0, 24.0, 192, "h264", "yuv420p", "aac", 48000, 2, 2_000_000, True, True, audio_start_s=0.0),
    VideoPackets("high", 31, 192, 1900.0, 1.0, True, 2),
)
PLATFORMS = load_platforms()
PLAIN = ("9x16", "4x5", "1x1", "16x9")
BOX = SubjectBox(0.0, 0.4, 0.4, 0.6, 0.6)


def clip(**change) -> Analysis:
    packets = {key: change.pop(key) for key in tuple(change) if key in VideoPackets.__slots__ and key != "frames"}
    return replace(CLIP, probe=replace(CLIP.probe, **change), packets=replace(CLIP.packets, **packets))


def spec(name="9x16", **change) -> PlatformSpec:
    return replace(PLATFORMS.get(name), **change)


@pytest.mark.parametrize(
    ("size", "name", "expected"),
    [
        ((1280, 720), "9x16", ("crop", 720, 1280)),
        ((1280, 720), "4x5", ("crop", 720, 900)),
        ((1280, 720), "1x1", ("crop", 720, 720)),
        ((1280, 720), "16x9", ("copy", 1280, 720)),
        ((1920, 1080), "9x16", ("crop", 1080, 1920)),
        ((1920, 1080), "4x5", ("crop", 1080, 1350)),
        ((1080, 1920), "9x16", ("copy", 1080, 1920)),
        ((1080, 1920), "16x9", ("crop", 1920, 1080)),
        ((3840, 2160), "1x1", ("crop", 1080, 1080)),
        ((3840, 2160), "16x9", ("copy", 3840, 2160)),
        ((640, 360), "9x16", ("crop", 360, 640)),
        ((404, 718), "9x16", ("copy", 404, 718)),
        ((640, 360), "reels", ("crop", 540, 960)),
        ((720, 1280), "reels", ("copy", 720, 1280)),
        ((360, 640), "reels", ("crop", 540, 960)),
        ((2160, 3840), "reels", ("crop", 1080, 1920)),
        ((1080, 1080), "shorts", ("copy", 1080, 1080)),
        ((1080, 1350), "shorts", ("crop", 1080, 1920)),
        ((1920, 1080), "x", ("copy", 1920, 1080)),
        ((1080, 1350), "x", ("crop", 1280, 720)),
        ((1080, 1920), "linkedin", ("copy", 1080, 1920)),
        ((1280, 720), "pinterest", ("crop", 720, 1080)),
    ],
)
def test_a_cut_takes_the_class_of_the_clips_short_side_and_copies_what_fits(size, name, expected):
    plan = plan_cut(clip(width=size[0], height=size[1]), spec(name))
    assert (plan.how, plan.width, plan.height) == expected


@pytest.mark.parametrize(
    ("change", "limit", "reason"),
    [
        ({"video_codec": "hevc", "profile": ""}, {}, "hevc yuv420p"),
        ({"pix_fmt": "yuv444p", "profile": "high 4:4:4"}, {}, "yuv444p"),
        ({"sar": Fraction(4, 3)}, {}, "not square"),
        ({"rotation": 180}, {}, "turned"),
        ({"constant_rate": False}, {}, "not constant"),
        ({"even": False}, {}, "not constant"),
        ({"fps": 120.0}, {}, "120.00"),
        ({"fps": 23.976}, {"min_fps": 24}, "23.98"),
        ({"colours": "pq"}, {}, "BT.709"),
        ({}, {"max_long": 1080}, "more than 1080 px"),
        ({}, {"max_kbps": 1800}, "1900 kb/s"),
        ({}, {"max_bytes": 1_900_000}, "2000000 bytes"),
        ({}, {"max_gop_s": 0.5}, "1.00 s apart"),
        ({}, {"max_b_frames": 1}, "2 B-frames"),
        ({"closed": False}, {"closed_gop": True}, "open"),
        ({}, {"profiles": ("baseline",)}, "high"),
        ({}, {"max_s": 5.0, "trims": True}, "cut off after 5 s"),
    ],
)
def test_a_clip_that_does_not_fit_the_platform_is_encoded_again_and_the_plan_says_why(change, limit, reason):
    plan = plan_cut(clip(**change), spec("16x9", **limit))
    assert plan.how == "crop"
    assert reason in plan.reason


def test_a_clip_is_encoded_when_something_is_drawn_on_it():
    layer = Layer(Path("/l.png"), 0, 0)
    assert plan_cut(CLIP, spec("16x9"), layers=[layer]).how == "crop"
    assert plan_cut(CLIP, spec("16x9"), tail_s=2.0).duration_s == 10.0
    assert plan_cut(CLIP, spec("16x9"), music=True).how == "copy"


@pytest.mark.parametrize(
    ("change", "name", "told"),
    [
        ({"duration_s": 2.0}, "reels", r"2\.00 s; Instagram Reels takes videos from 3 s.*duration_s"),
        ({"duration_s": 3.9}, "pinterest", r"from 4 s"),
        ({"duration_s": 61.0}, "stories", r"up to 60 s.*trims"),
        ({"rotation": None}, "1x1", "mirrored"),
        ({"width": 32}, "1x1", "64 px"),
        ({"sar": Fraction(10)}, "1x1", "shape 10"),
    ],
)
def test_a_clip_that_the_platform_does_not_take_is_refused_with_what_to_do(change, name, told):
    with pytest.raises(MediaError, match=told):
        plan_cut(clip(**change), spec(name))


def test_an_end_card_makes_a_short_clip_long_enough_and_is_left_room_in_a_long_one():
    assert plan_cut(clip(duration_s=2.0), spec("reels"), tail_s=1.0).duration_s == 3.0
    long = plan_cut(clip(duration_s=70.0), spec("stories", trims=True), tail_s=2.0)
    assert (long.clip_s, long.duration_s, long.is_trimmed) == (58.0, 60.0, True)


@pytest.mark.parametrize(
    ("fps", "constant", "limits", "rate"),
    [
        (24.0, True, {}, None),
        (23.976, True, {}, None),
        (23.976, True, {"min_fps": 24}, 24),
        (12.0, True, {"min_fps": 23}, 24),
        (120.0, True, {}, 60),
        (50.0, True, {"max_fps": 30}, 30),
        (26.7, False, {}, 25),
        (8.0, True, {"min_fps": 10, "max_fps": 15}, 10),
    ],
)
def test_a_frame_rate_that_is_not_taken_becomes_the_nearest_usual_one(fps, constant, limits, rate):
    assert plan_cut(clip(fps=fps, constant_rate=constant), spec("1x1", **limits)).rate == rate


def test_bitrate_and_file_size_bound_the_encoder_with_its_buffer():
    assert plan_cut(CLIP, spec("1x1")).max_kbps is None
    kbps = plan_cut(CLIP, spec("1x1", max_kbps=4500)).max_kbps
    assert kbps * (8 + 1) / 8 <= 4500
    by_size = plan_cut(CLIP, spec("1x1", max_bytes=2_000_000)).max_kbps
    assert (by_size * 9 + 128 * 8) * 1000 / 8 < 2_000_000
    with pytest.raises(MediaError, match="not worth making"):
        plan_cut(CLIP, spec("1x1", max_bytes=200_000))


@given(
    width=st.integers(64, 8192),
    height=st.integers(64, 8192),
    name=st.sampled_from(PLATFORMS.names),
    rotation=st.sampled_from([0, 90, 180, 270]),
    sar=st.sampled_from([Fraction(1), Fraction(4, 3), Fraction(8, 9)]),
    where=st.tuples(st.floats(0, 0.8), st.floats(0, 0.8)),
)
@settings(max_examples=150)
def test_any_plan_is_even_inside_the_frame_and_true_to_the_aspect(width, height, name, rotation, sar, where):
    box = SubjectBox(0.0, where[0], where[1], where[0] + 0.05, where[1] + 0.05)
    seen = replace(clip(width=width, height=height, rotation=rotation, sar=sar), subject=Subject((box,), "given", ""))
    target = spec(name)
    plan = plan_cut(seen, target)
    aspects = (target.aspect, *target.keeps)
    off = min(min(abs(plan.width - plan.height * a), abs(plan.height - plan.width / a)) for a in aspects)
    assert off <= 1
    if plan.how == "copy":
        assert (plan.width, plan.height, rotation, sar) == (width, height, 0, 1)
        return
    assert plan.width % 2 == plan.height % 2 == 0
    assert target.min_short <= min(plan.width, plan.height) <= min(target.width, target.height)
    assert (plan.width, plan.height) == cut_size(seen.probe, target)
    upright = (width, height) if rotation in (0, 180) else (height, width)
    for key in plan.framing.path:
        assert 0 <= key.x <= key.x + plan.framing.width <= upright[0]
        assert 0 <= key.y <= key.y + plan.framing.height <= upright[1]
        assert key.x % 2 == key.y % 2 == 0


@given(
    width=st.integers(64, 4096), height=st.integers(64, 4096), name=st.sampled_from(PLAIN), sar=st.fractions(1 / 4, 4)
)
@settings(max_examples=100)
def test_a_padded_picture_is_whole_inside_and_fills_one_side(width, height, name, sar):
    sar = sar.limit_denominator(100)
    seen = clip(width=width, height=height, sar=sar)
    plan = plan_cut(seen, spec(name), Framing("pad", width, height, (), "too wide"))
    if plan.how == "copy":
        return
    inner, outer = plan.inner, (plan.width, plan.height)
    assert all(0 < i <= o and i % 2 == 0 for i, o in zip(inner, outer, strict=True))
    assert any(o - i <= 2 for i, o in zip(inner, outer, strict=True))
    wide, high = width * sar, Fraction(height)
    scale = min(outer[0] / wide, outer[1] / high)
    assert abs(inner[0] - wide * scale) <= 2
    assert abs(inner[1] - high * scale) <= 2


def still(width=404, height=718, x=438, y=0) -> Framing:
    return Framing("crop", width, height, (CropKey(0.0, x, y),), "")


HEAD = "-nostdin -hide_banner -loglevel error -xerror -y -progress pipe:1 -stats_period 2"
IN = " -protocol_whitelist file -f mp4 -i file:/in/-a%d.mp4"
TAGS = "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
X264 = (
    " -c:v libx264 -preset veryfast -crf 20 -profile:v high -bf 2{bounds} -g {gop} -flags:v +cgop+bitexact"
    " -pix_fmt yuv420p"
)
TAIL = (
    " -map_metadata -1 -map_chapters -1 -fflags +bitexact"
    " -movflags +faststart+negative_cts_offsets -use_editlist 0 -threads 1 -f mp4 file:/out/b.part"
)


def argv_of(plan, sound: Path | None = None) -> str:
    return " ".join(cut_argv(plan, Path("/in/-a%d.mp4"), Path("/out/b.part"), sound)[1:])


def test_the_argv_of_a_crop():
    plan = plan_cut(CLIP, spec("9x16"), still())
    assert argv_of(plan, Path("/s.mp4")) == (
        f"{HEAD}{IN} -protocol_whitelist file -f mp4 -i file:/s.mp4"
        f" -map 0:v:0 -vf crop=404:718:438:0,scale=720:1280:flags=bicubic:out_range=tv,setsar=1,format=yuv420p,{TAGS}"
        f"{X264.format(bounds='', gop=24)} -map 1:a:0 -c:a copy{TAIL}"
    )


def test_the_argv_of_a_copy():
    assert argv_of(plan_cut(clip(video_start_s=0.5), spec("16x9"))) == (
        f"{HEAD} -itsoffset -0.500000{IN} -map 0:v:0 -c:v copy -an{TAIL}"
    )


def test_the_argv_of_a_crop_that_moves_and_has_limits():
    framing = Framing("crop", 404, 718, (CropKey(0.0, 100, 0), CropKey(2.0, 100, 0), CropKey(4.5, 300, 0)), "")
    plan = plan_cut(CLIP, spec("shorts", max_kbps=8000), framing)
    assert argv_of(plan) == (
        f"{HEAD}{IN} -map 0:v:0 -vf crop=404:718:'100+(200)*clip((t-2.000000)/2.500000,0,1)':0,"
        f"scale=720:1280:flags=bicubic:out_range=tv,setsar=1,format=yuv420p,{TAGS}"
        f"{X264.format(bounds=' -maxrate 7111k -bufsize 7111k', gop=12)} -an{TAIL}"
    )


def test_the_argv_of_a_padded_cut():
    plan = plan_cut(CLIP, spec("9x16"), Framing("pad", 1280, 720, (), ""))
    assert argv_of(plan) == (
        f"{HEAD}{IN} -map 0:v:0 -vf split[whole][copy];"
        "[copy]scale=90:160:force_original_aspect_ratio=increase:flags=bilinear:out_range=tv,crop=90:160,gblur=sigma=5,"
        "scale=720:1280:flags=bilinear,setsar=1[ground];[whole]scale=720:404:flags=bicubic:out_range=tv,setsar=1[inside];"
        f"[ground][inside]overlay=(W-w)/2:(H-h)/2:format=auto,setsar=1,format=yuv420p,{TAGS}"
        f"{X264.format(bounds='', gop=24)} -an{TAIL}"
    )


def test_the_argv_of_a_cut_with_layers_an_end_card_and_another_rate():
    layers = [Layer(Path("/c.png"), 65, 900, 0.5, 2.0), Layer(Path("/card.png"), 0, 0, 8.0)]
    plan = plan_cut(clip(constant_rate=False), spec("9x16"), still(), layers=layers, tail_s=2.0)
    argv = cut_argv(plan, Path("/a.mp4"), Path("/b"), Path("/s.mp4"))
    graph = argv[argv.index("-filter_complex") + 1]
    assert graph.startswith(
        f"[0:v:0]fps=24,crop=404:718:438:0,scale=720:1280:flags=bicubic:out_range=tv,setsar=1,format=yuv420p,{TAGS},"
        "tpad=stop_mode=clone:stop_duration=2.000000[picture];"
    )
    assert argv.index("file:/s.mp4") < argv.index("-filter_complex") < argv.index("1:a:0")
    assert "-vf" not in argv


@pytest.mark.parametrize(("colours", "part"), [("pq", "smpte2084"), ("hlg", "arib-std-b67"), ("bt601", "bt601")])
def test_other_colours_are_converted(colours, part):
    graph = cut_argv(plan_cut(clip(colours=colours), spec("1x1")), Path("/a"), Path("/b"))
    assert part in graph[graph.index("-vf") + 1]


def test_a_move_goes_straight_from_key_to_key_and_stays_at_its_ends():
    keys = [(0.0, 10), (1.0, 10), (3.0, 50), (4.0, 20)]
    text = moving(keys).strip("'")

    def at(t: float) -> float:
        return eval(text, {"t": t, "clip": lambda value, low, high: max(low, min(high, value))})  # noqa: S307

    assert [at(t) for t in (-1, 0, 1, 2, 3, 3.5, 4, 9)] == [10, 10, 10, 30, 50, 35, 20, 20]
    assert moving([(0.0, 7)]) == "7"
