"""A rehearsal batch over all platforms, by the command line: every cut is there and is what its platform takes."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import av
import pytest

from callsheet.platforms import PlatformSpec, load_platforms
from tests.support.cli import Cli
from tests.support.looked_at import look_at

SHEET = """campaign: everywhere
defaults: {cuts: [%s], duration_s: 4, takes: 1, motion_prompt: It turns}
shots:
  - {id: wide, prompt: A cup on a sill}
  - {id: tall, prompt: A kite over dunes, aspect_ratio: "9:16", captions: Higher than the dunes, label: yes}
"""


def check(path: Path, spec: PlatformSpec) -> None:
    seen = look_at(path)
    shown = spec.aspect_for(seen.width, seen.height)
    assert abs(seen.width - seen.height * shown) <= 2, (spec.name, seen.width, seen.height)
    assert min(seen.width, seen.height) >= spec.min_short
    assert max(seen.width, seen.height) <= max(spec.max_long or 0, spec.width, spec.height)
    assert spec.min_fps - 0.01 <= seen.fps <= spec.max_fps + 0.01
    assert max(abs((after - before) * seen.fps - 1) for before, after in pairwise(seen.times)) < 0.1
    assert spec.min_s - 0.05 <= seen.duration_s <= (spec.max_s or 10_000) + 0.05
    assert seen.size <= (spec.max_bytes or seen.size)
    assert seen.video_kbps <= (spec.max_kbps or seen.video_kbps)
    assert seen.longest_gop_s <= (spec.max_gop_s or seen.longest_gop_s) + 0.01
    assert not (spec.closed_gop and seen.open_gop)
    assert (seen.boxes.index("moov") < seen.boxes.index("mdat"), seen.has_elst) == (True, False)
    assert seen.audio is not None
    assert seen.lufs is not None
    assert seen.peak_dbtp is not None
    assert abs(seen.lufs - spec.lufs) <= 0.5
    assert seen.peak_dbtp <= spec.peak_dbtp + 0.05


def packets_of(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


@pytest.mark.slow
def test_every_cut_of_a_batch_over_all_platforms_passes_an_independent_probe(lean_cli: Cli) -> None:
    platforms = load_platforms()
    (lean_cli.folder / "everywhere.yaml").write_text(SHEET % ", ".join(f'"{name}"' for name in platforms.names))
    done = lean_cli("run", "everywhere.yaml", "--json")
    assert done.exit_code == 0, done.stderr
    assert done.json["cuts"] == {"created": 2 * len(platforms.names), "reused": 0}
    copied = 0
    for folder in (lean_cli.home / "archive").glob("everywhere/*/shots/*"):
        sidecar = json.loads((folder / "shot.json").read_text())
        assert [cut["spec"] for cut in sidecar["cuts"]] == list(platforms.names)
        for cut in sidecar["cuts"]:
            check(folder / cut["file"]["file"], platforms.get(cut["spec"]))
            if cut["how"] == "copy":
                copied += 1
                clip = folder / sidecar["clips"][0]["file"]["file"]
                assert packets_of(folder / cut["file"]["file"]) == packets_of(clip), cut["spec"]
    assert copied >= 3, "x, linkedin and 16x9 of the wide clip"
    again = lean_cli("run", "everywhere.yaml", "--json")
    assert again.json["cuts"] == {"created": 0, "reused": 2 * len(platforms.names)}
