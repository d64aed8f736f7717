"""Clips that an odd provider gives in other containers have stills, and become MP4s to be cut from."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from callsheet.cuts.encode.encode import as_mp4
from callsheet.errors import MediaError
from callsheet.media.ffmpeg import EncoderSlots
from callsheet.media.probe import probe_video
from callsheet.media.stills import small_picture, video_frame

KINDS = {
    "webm": "libvpx",
    "matroska": "libx264",
    "avi": "mpeg4",
    "flv": "flv",
    "mpeg": "mpeg2video",
}


def make_video(path: Path, kind: str) -> Path:
    """Two seconds that go from black to white."""
    with av.open(str(path), "w", format=kind) as container:
        stream = container.add_stream(KINDS[kind], rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for n in range(50):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), n * 5, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("kind", KINDS)
async def test_a_video_in_another_container_has_stills_and_becomes_the_same_mp4_each_time(
    tmp_path: Path, kind: str
) -> None:
    source, copies = make_video(tmp_path / "clip", kind), [tmp_path / "one.mp4", tmp_path / "two.mp4"]
    early, late = (video_frame(source, at_s).convert("L").getpixel((32, 24)) for at_s in (0.1, 1.9))
    assert early < 60 < 180 < late
    assert small_picture(source, 32).size == (32, 24)
    for copy in copies:
        await as_mp4(source, copy, EncoderSlots())
    probe = probe_video(copies[0])
    assert (probe.width, probe.height, probe.video_codec) == (64, 48, "h264")
    assert probe.duration_s == pytest.approx(2.0, abs=0.1)
    assert copies[0].read_bytes() == copies[1].read_bytes()


async def test_a_video_that_is_damaged_becomes_no_mp4_and_says_so(tmp_path: Path) -> None:
    source = make_video(tmp_path / "clip", "webm")
    source.write_bytes(source.read_bytes()[:200])
    with pytest.raises(MediaError):
        await as_mp4(source, tmp_path / "one.mp4", EncoderSlots())
    assert not (tmp_path / "one.mp4").exists()
