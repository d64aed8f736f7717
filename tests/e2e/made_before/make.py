"""Make with an earlier commit's code what that commit's users have: batches, ledger, archive, plan, parked runs.

    git worktree add ../earlier COMMIT                        with its own virtual environment in .venv
    python tests/e2e/made_before/make.py ../earlier tests/e2e/made_before/COMMIT

Writes `team.tar.xz` (a team's folder with its home, and the state of the service that stood in for the provider) and
`team.json` (how each batch ended, every key, the files of each shot, parameters of flow runs) into the target.

Everything is done by the commit's own commands, without Prefect (its `tests.whole_batch`). Only the pictures and clips
of its rehearsal service are replaced by plain ones, so that the archive is small: what is under test is what callsheet
makes of them. Live batches are live runs with dummy keys against the rehearsal service in the provider's place.
"""

from __future__ import annotations

# ruff: noqa: E501, S310, S608 - sheets are written as they are; addresses and queries are its own
import argparse
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import struct
import subprocess
import tarfile
import tempfile
import time
import urllib.request
import wave
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MADE = {
    "made": """\
id,prompt,negative_prompt,image_model,aspect_ratio,image_size,takes,seed,reference_images,select,person_generation,\
motion_prompt,video_model,video_aspect_ratio,resolution,duration_s,last_frame,cuts,focus,captions,logo,end_card,music,\
label,tags,mood
best,A {mood} kite over dunes,"text, logos",gemini-3.1-flash-image,1:1,512,2,5,,best,,It climbs,,16:9,,4,,1x1,,,,,,,hero;kites,bright
all,A {mood} paper boat,,gemini-3.1-flash-image,1:1,512,2,,,all,,It sails on,veo-3.1-lite-generate-001,,,4,,,,,,,,,,calm
numbers,A {mood} lantern,,gemini-3.1-flash-image,1:1,512,2,9,,2,,It glows,,9:16,,4,,9x16,top,,,,,,,dim
finished,A {mood} quay,,gemini-3.1-flash-image,1:1,512,1,11,,first,,Fog lifts,,,,4,,1x1,left,Said the fog: stay.,logo.png,\
logo.png,music.wav,yes,,wet
ending,A {mood} door,,gemini-3.1-flash-image,1:1,512,1,12,,,,It opens,,,,4,logo.png,,,,,,,,,old
text,,,,,,0,,,,,A wave breaks on a pier,veo-3.1-fast-generate-001,9:16,720p,4,,9x16,,,,,,,,
asked,A {mood} gull,,gemini-3.1-flash-image,1:1,512,1,13,,,,It turns,,,,4,,9x16,ask,,,,,,,white
approved,A {mood} cup,,gemini-3.1-flash-image,1:1,512,2,14,,approve,,Steam rises,,,,4,,1x1,,,,,,,,warm
rejected,A {mood} spoon,,gemini-3.1-flash-image,1:1,512,2,15,,approve,,It falls,,,,4,,,,,,,,,,bent
undecided,A {mood} plate,,gemini-3.1-flash-image,1:1,512,2,16,,approve,,It spins,,,,4,,,,,,,,,,blue
referred,A {mood} sign,,gemini-3.1-flash-image,1:1,512,1,17,logo.png;logo.png,,,,,,,,,,,,,,,,signs,red
still,"A {mood} stair, nobody on it",people,,,,1,,,,,,,,,,,,,,,,,,,steep
""",
    "live": """\
id,prompt,negative_prompt,image_model,image_size,takes,seed,reference_images,select,motion_prompt,duration_s,cuts,music
best,A kite over a pier,"text, logos",gemini-3.1-flash-image,512,2,5,,best,It climbs over the pier,4,1x1,music.wav
text,,,,,0,,,,A wave breaks on a quay,4,,
approved,A cup on a sill,,gemini-3.1-flash-image,512,2,14,logo.png,approve,Steam rises from the cup,4,,
still,A stair in the sun,,gemini-3.1-flash-image,512,1,,,,,,,
""",
}
MATRIX = """\
campaign: fog
budget_usd: 15.00
defaults: {image_model: gemini-3.1-flash-image, image_size: "512", aspect_ratio: "4:5", takes: 1, tags: [fog, gifts]}
vars: {brand: Fogline Coffee, look: soft light}
shots:
  - id: gift
    prompt: "{product} by {brand}, {season}. {look}."
    negative_prompt: text
    matrix: {product: [a tin, a bag], season: [first snow]}
  - id: card
    prompt: A card for {brand}, {guest}
    motion_prompt: It opens
    duration_s: 4
"""
# What goes wrong: a prompt says how. Pictures and clips in doubt stay so only when a live provider cannot be asked.
TROUBLE = """\
id,prompt,image_model,image_size,takes,seed,motion_prompt,duration_s,cuts
fine,A fine lamp,gemini-3.1-flash-image,512,1,1,,,
refused,A lamp [[block:SAFETY]],gemini-3.1-flash-image,512,1,2,,,
filtered,A lamp in fog,gemini-3.1-flash-image,512,1,3,Fog [[rai:17301594]],4,
failed,A lamp without an answer,gemini-3.1-flash-image,512,1,4,,,
expired,A lamp at night,gemini-3.1-flash-image,512,1,5,It goes out,4,
"""
DOUBT = """\
id,prompt,image_model,image_size,takes,seed,motion_prompt,duration_s,cuts
fine,A fine rope,gemini-3.1-flash-image,512,1,1,,,
picture,A rope that nobody answers for,gemini-3.1-flash-image,512,1,2,,,
clip,A rope on deck,gemini-3.1-flash-image,512,1,3,A clip that nobody answers for,4,
"""
SUBMITTED = """\
id,prompt,image_model,image_size,takes,seed,motion_prompt,duration_s,cuts
slow,A slow snail,gemini-3.1-flash-image,512,1,1,It crosses the path,4,1x1
"""
PARKED = """\
id,prompt,image_model,image_size,takes,seed,motion_prompt,duration_s,cuts
one,A first bell,gemini-3.1-flash-image,512,1,1,,,
two,A second bell for tomorrow,gemini-3.1-flash-image,512,1,2,It rings,4,
"""
PLANNED = """\
id,prompt,image_model,image_size,takes,seed,reference_images
lamp,A lamp on a quay,gemini-3.1-flash-image,512,2,1,logo.png
cup,A cup on a sill,gemini-3.1-flash-image,512,1,2,
"""
SHEETS = {
    **MADE,
    "trouble": TROUBLE,
    "doubt": DOUBT,
    "submitted": SUBMITTED,
    "parked": PARKED,
    "planned": PLANNED,
}
RULES: list[dict[str, Any]] = [
    {"match": {"kind": "image", "prompt": "without an answer"}, "fault": "empty"},
    {"match": {"kind": "image", "prompt": "nobody answers for"}, "fault": "drop-after"},
    {"match": {"kind": "video", "prompt": "nobody answers for"}, "fault": "drop-after"},
    {"match": {"kind": "poll", "prompt": "It goes out"}, "fault": "expired"},
    {"match": {"kind": "image", "prompt": "for tomorrow", "first": 2}, "fault": "429-day"},
]
LIVE = {"GEMINI_API_KEY": "one-key", "CALLSHEET_AGENT_PLATFORM_API_KEY": "other-key"}
COMMAND = "from tests.whole_batch import command_without_prefect as command; command()"
# In the rehearsal service's process: pictures and clips of some kilobytes instead of its landscapes.
PLAIN = """
import functools, hashlib, io, sys
import numpy as np
from PIL import Image, ImageDraw
from callsheet.rehearsal import images, videos

def picture(wish):
    seed = hashlib.sha256(repr((wish.prompt, wish.seed, wish.take)).encode()).digest()
    image = Image.new("RGB", (wish.width, wish.height), tuple(80 + b // 3 for b in seed[:3]))
    draw, side = ImageDraw.Draw(image), min(image.size) // 3
    x, y = (b * (size - side) // 255 for b, size in zip(seed[3:5], image.size))
    draw.rectangle((x, y, x + side, y + side), tuple(seed[5:8]))
    return image

def encode(image, mime_type):
    out = io.BytesIO()
    image.save(out, "JPEG", quality=50) if mime_type == "image/jpeg" else image.save(out, "PNG")
    return out.getvalue()

def configure(video, width, height, real=videos._configure):
    real(video, width, height)
    video.options = {**video.options, "preset": "medium", "crf": "45"}

def configure_audio(audio, real=videos._configure_audio):
    real(audio)
    audio.bit_rate = 16000

images.picture, images.encode, videos._configure, videos._configure_audio = picture, encode, configure, configure_audio
from callsheet.rehearsal.__main__ import main
sys.exit(main())
"""


@dataclass
class Maker:
    """An earlier checkout, and the place in which its commands work."""

    checkout: Path
    place: Path
    url: str = ""
    ends: dict[str, Any] = field(default_factory=dict)

    @property
    def team(self) -> Path:
        return self.place / "team"

    @property
    def env(self) -> dict[str, str]:
        strange = ("CALLSHEET_", "GOOGLE_", "GEMINI_", "PREFECT_", "STORAGE_EMULATOR", "PYTHON")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(strange)}
        return {
            **clean,
            "PYTHONPATH": str(self.checkout),
            "NO_GCE_CHECK": "true",
            "GOOGLE_GEMINI_BASE_URL": self.url,
            "GOOGLE_VERTEX_BASE_URL": self.url,
        }

    def start(self, code: str, *args: str, **env: str) -> subprocess.Popen[str]:
        python = self.checkout / ".venv/bin/python"
        return subprocess.Popen(
            [python, "-c", code, *args],
            cwd=self.team,
            env={**self.env, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def command(self, *args: str, **env: str) -> dict[str, Any]:
        """Run a command to its end; its JSON object, with the exit code."""
        process = self.start(COMMAND, *args, "--json", **env)
        stdout, stderr = process.communicate(timeout=600)
        lines = stdout.strip().splitlines()
        assert lines, f"callsheet {' '.join(args)} ended with {process.returncode}:\n{stderr}"
        found: dict[str, Any] = {**json.loads(lines[-1]), "exit_code": process.returncode}
        print(f"{' '.join(args)}: {process.returncode}")  # noqa: T201  progress
        return found

    def run(self, sheet: str, *args: str, **env: str) -> dict[str, Any]:
        """Run a batch and keep how it ended."""
        ended = self.command("run", sheet, *args, **env)
        assert "shots" in ended, ended
        self.ends[ended["batch"]] = {"sheet": sheet, "args": list(args), "live": bool(env), **ended}
        return ended

    @contextlib.contextmanager
    def service(self, **settings: Any) -> Iterator[None]:
        """The rehearsal service on the place's state, with plain pictures."""
        process = self.start(PLAIN, "--state", str(self.place / "service"), "--settings", json.dumps(settings))
        assert process.stdout is not None
        self.url = process.stdout.readline().strip()
        body = json.dumps({"rules": RULES}).encode()
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/rehearsal/script", body, method="POST")).close()
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)

    def ledger(self, query: str) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self.team / ".callsheet/ledger.db")) as ledger:
            return ledger.execute(query).fetchall()


def make_all(maker: Maker) -> None:
    """Make everything, in an order in which no batch disturbs another."""
    write_inputs(maker.team)
    with maker.service(factor=60, latency={"image": 0, "video": 20}, retention_s=400 * 86400):
        for sheet, env in (("made.csv", {}), ("live.csv", LIVE)):
            live = ["--live", "--yes"] if env else []
            batch = maker.run(sheet, *live, **env)["batch"]
            words = ["approved=2", *([] if live else ["rejected=reject"])]
            maker.command("approve", batch, *words, "--by", "Ada", "--note", "the second", **env)
            maker.run(sheet, *live, **env)
        maker.run("fog.yaml", "--edition", "2026-11-21", "--var", "guest=for two")
        maker.run("trouble.csv")
        maker.run("trouble.csv", "--live", "--yes", **LIVE)
        maker.run("doubt.csv", "--live", "--yes", **LIVE)
        maker.command("plan", "planned.csv", "--out", "planned.json")
        maker.command("plan", "made.csv", "--out", "made.json")
        write_decisions(maker)
    leave_submitted(maker)
    with maker.service(factor=60, latency={"image": 0, "video": 20}, retention_s=400 * 86400):
        # The last: the model's quota is full for today after these.
        for args, env in (([], {}), (["--live", "--yes"], LIVE)):
            assert maker.run("parked.csv", *args, **env)["exit_code"] == 4


def leave_submitted(maker: Maker) -> None:
    """Runs that are killed when their clips are submitted, long before these are done."""
    with maker.service(factor=60, latency={"image": 0, "video": 86400}, retention_s=400 * 86400):
        for args, env in (([], {}), (["--live", "--yes"], LIVE)):
            process = maker.start(COMMAND, "run", "submitted.csv", *args, **env)
            name = f"submitted.{'live' if args else 'rehearsal'}"
            query = f"SELECT state FROM jobs WHERE kind = 'video' AND batch = '{name}'"
            while not (states := maker.ledger(query)) or states[0][0] != "submitted":
                assert process.poll() is None, process.communicate()
                time.sleep(0.1)
            process.kill()
            process.communicate()
            maker.ends[name] = {"sheet": "submitted.csv", "args": args, "live": bool(env), "batch": name}


def write_inputs(team: Path) -> None:
    """The sheets and the files that they name."""
    team.mkdir()
    for name, text in SHEETS.items():
        (team / f"{name}.csv").write_text(text)
    (team / "fog.yaml").write_text(MATRIX)
    (team / "logo.png").write_bytes(png(64, (200, 40, 40)))
    with wave.open(str(team / "music.wav"), "wb") as music:
        music.setparams((1, 2, 8000, 0, "NONE", ""))
        music.writeframes(b"".join(struct.pack("<h", 4000 if n // 20 % 2 else -4000) for n in range(16000)))


def png(side: int, colour: tuple[int, int, int]) -> bytes:
    """A square of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes(colour) * side) * side
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def write_decisions(maker: Maker) -> None:
    """The file that the gallery's page saves for the shot that nobody has decided about."""
    query = "SELECT name, sha256 FROM assets WHERE batch = 'made.rehearsal' AND shot = 'undecided' AND kind = 'take'"
    shown = {name.split("-")[1]: sha256[:12] for name, sha256 in maker.ledger(query)}
    decision = {"shot": "undecided", "takes": [1], "reject": False, "note": "calm", "shown": shown}
    file = {"format": 1, "batch": "made.rehearsal", "by": "Grace", "decisions": [decision]}
    (maker.team / "decisions.json").write_text(json.dumps(file))


PARAMETERS = """
import asyncio, importlib, json, sys
from ruamel.yaml import YAML
file = YAML(typ="safe").load(open(sys.argv[1]))
told = {}
for one in file["deployments"]:
    module, _, name = one["entrypoint"].partition(":")
    schema = getattr(importlib.import_module(module), name).parameters.model_dump()
    told[one["name"]] = {"entrypoint": one["entrypoint"], "parameters": one.get("parameters", {}),
        "accepts": sorted(schema["properties"]), "requires": sorted(schema.get("required", []))}
print(json.dumps(told))
"""


def account_of(maker: Maker) -> dict[str, Any]:
    """What the tests hold today's code against, as JSON."""
    columns = "key, kind, mode, model, state, batch, shot, slot"
    jobs = [dict(zip(columns.split(", "), row, strict=True)) for row in maker.ledger(f"SELECT {columns} FROM jobs")]
    wants = maker.ledger("SELECT batch, shot, slot, job_key FROM wants ORDER BY batch, shot, slot")
    cuts = maker.ledger("SELECT batch, shot, name, recipe FROM assets WHERE kind = 'cut' ORDER BY batch, shot, name")
    flows = maker.start(PARAMETERS, str(maker.checkout / "deployments/prefect.yaml"))
    stdout, stderr = flows.communicate(timeout=120)
    assert flows.returncode == 0, stderr
    archive = maker.team / ".callsheet/archive"
    return {
        "commit": subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=maker.checkout, text=True).strip(),
        "place": str(maker.place),
        "schema": maker.ledger("SELECT version_num FROM callsheet_schema")[0][0],
        "batches": maker.ends,
        "jobs": jobs,
        "keys": {"/".join(slot): key for *slot, key in wants},
        "recipes": {"/".join(cut): recipe for *cut, recipe in cuts},
        "files": sorted(str(path.relative_to(archive)) for path in archive.glob("*/*/shots/*/*")),
        "flows": json.loads(stdout),
    }


def pack(maker: Maker, target: Path) -> None:
    """Write the two files; what can be made again is left out."""
    for name in ("service/clips", "service/service.log", "service/service.lock", "team/.callsheet/cache"):
        shutil.rmtree(maker.place / name, ignore_errors=True)
        (maker.place / name).unlink(missing_ok=True)
    for database in ("team/.callsheet/ledger.db", "service/rehearsal.db"):
        with contextlib.closing(sqlite3.connect(maker.place / database)) as opened:
            opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            opened.execute("VACUUM")
    target.mkdir(parents=True, exist_ok=True)
    with tarfile.open(target / "team.tar.xz", "w:xz") as packed:
        for name in ("team", "service"):
            packed.add(maker.place / name, name, filter=_nobodys)


def _nobodys(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, help="a checkout of the commit, with .venv")
    parser.add_argument("target", type=Path, help="where the two files go")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="made-before-") as place:
        maker = Maker(options.checkout.resolve(), Path(place))
        make_all(maker)
        account = account_of(maker)
        pack(maker, options.target)
    (options.target / "team.json").write_text(json.dumps(account, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
