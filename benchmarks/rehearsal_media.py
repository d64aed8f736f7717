"""What the rehearsal's own pictures and clips cost."""

from __future__ import annotations

from itertools import count

from benchmarks.bench import Bench, Row, median_cpu_s
from callsheet.rehearsal import render_image, render_video


def rehearsal_media(bench: Bench) -> list[Row]:
    """Measure the CPU time of a picture and of a clip; every one is different."""
    numbers = count()
    picture_s = median_cpu_s(
        bench.size(20, 2),
        lambda: render_image.render(render_image.PictureSpec(f"A lighthouse {next(numbers)}", 1376, 768)),
    )
    clip_s = median_cpu_s(
        bench.size(5, 1),
        lambda: render_video.render(render_video.ClipWish(f"A lighthouse {next(numbers)}", 1280, 720, 8)),
    )
    return [
        Row("rehearsal picture, 1376x768 PNG", f"{picture_s * 1000:.0f} ms of CPU"),
        Row("rehearsal clip, 720p, 8 s, with sound", f"{clip_s:.2f} CPU-s"),
    ]
