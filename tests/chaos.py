"""Chaos: a batch under every fault class, killed again and again, beside the same batch left in peace.

    python -m tests.chaos --kills 50              rehearsal: evidence decides what is in doubt
    python -m tests.chaos --kills 50 --live       a live run against a stand-in: a person decides (`callsheet resolve`)

Prints what was claimed and what was found, and ends with 1 when a claim does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from callsheet.clock import Clock
from callsheet.ledger import AttemptRecord, Job, JobState, Ledger
from tests.chaos_faults import FAULTS
from tests.conftest import Cli, Ran, Service, kill, start_service

FACTOR = 600
LATENCY = {"image": 240.0, "video": 900.0}  # 0.4 s and 1.5 s of real time
# No life of a process is longer than this before it is killed, seconds after its first request.
LONGEST_LIFE_S = 2.5
ROUNDS = 60
WAITING, PARKED = 5, 4
# One in four is cropped, which takes ten times as long.
CUTS = ("16x9", "16x9", "16x9", "1x1")


@dataclass(frozen=True, slots=True)
class Size:
    """How many shots of each sort the batch has."""

    stills: int
    videos: int

    @property
    def requests(self) -> int:
        """About how many requests an undisturbed run sends."""
        return 2 * self.stills + 6 * self.videos

    def sheet(self) -> str:
        """The manifest: every prompt its own, every picture with a seed; one picture and one video are refused."""
        rows = ["id,prompt,takes,seed,aspect_ratio,motion_prompt,duration_s,cuts"]
        rows += [f"still{n},A paper theatre number {n},2,{n},1:1,,," for n in range(self.stills)]
        rows += [
            f"scene{n},A harbour scene number {n},{1 + n % 3},{100 + n},16:9,The curtain {n} opens,4,{CUTS[n % 4]}"
            for n in range(self.videos)
        ]
        rows += ["blocked,A picture [[block:SAFETY]],1,7,1:1,,,", "filtered,A quay,1,8,16:9,Fog [[rai:17301594]],4,"]
        return "\n".join(rows) + "\n"


@dataclass
class Stage:
    """A home with its own ledger and archive, and its own service."""

    cli: Cli
    service: Service
    live: bool
    decisions: int = 0
    codes: list[int] = field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        keys = {"GEMINI_API_KEY": "one-key", "CALLSHEET_AGENT_PLATFORM_API_KEY": "other-key"} if self.live else {}
        return keys | {
            "GOOGLE_GEMINI_BASE_URL": self.service.url,
            "GOOGLE_VERTEX_BASE_URL": self.service.url,
            "CALLSHEET_TIER": "3",
            "CALLSHEET_IMAGE_CONCURRENCY": "4",
            "CALLSHEET_VIDEO_CONCURRENCY": "4",
        }

    @property
    def command(self) -> list[str]:
        return ["run", "sheet.csv", "--json", *(["--live", "--yes"] if self.live else [])]

    def run(self) -> Ran:
        """Run the batch to its end; a person decides what is in doubt, and it is run again."""
        for _ in range(ROUNDS):
            ran = self.cli(*self.command, timeout_s=600, **self.env)
            self.codes.append(ran.exit_code)
            if ran.exit_code == WAITING:
                self.decide()
            elif ran.exit_code != PARKED and not self.decide():
                return ran
            time.sleep(0.5 if ran.exit_code == WAITING else 5)
        raise AssertionError(f"the batch does not end: {self.codes}\n{ran.stderr[-4000:]}")

    def decide(self) -> int:
        """Do what a person does: look into the provider's books, adopt what was accepted, send the rest again.

        Pictures of which only a part came are among them. Returns how many were decided.
        """
        before = self.decisions
        submissions = self.service.counts()["submissions"]
        for job in self.cli("resolve", "--no-look", "--json", **self.env).json["jobs"]:
            jobs = asyncio.run(ledger_of(self))[0]
            prompt = next(one for one in jobs if one.key == job["key"]).request["prompt"]
            mine = [s for s in submissions if s["prompt_sha256"] == hashlib.sha256(prompt.encode()).hexdigest()]
            adopted = {one.operation for one in jobs}
            lost = [s["operation"] for s in mine if s["operation"] and s["operation"] not in adopted]
            decision = ["--adopt", lost[-1]] if lost else ["--resubmit"]
            assert self.cli("resolve", job["key"], *decision, **self.env).exit_code == 0
            self.decisions += 1
        return self.decisions - before


async def ledger_of(stage: Stage) -> tuple[list[Job], list[AttemptRecord]]:
    """All jobs and attempts of the batch."""
    async with await Ledger.open(f"sqlite:///{stage.cli.home / 'ledger.db'}", clock=Clock()) as ledger:
        batches = [row.batch.name for row in await ledger.batches()]
        jobs = [job for batch in batches for job in await ledger.jobs_of(batch)]
        return jobs, [attempt for batch in batches for attempt in await ledger.attempts_of(batch)]


def files_of(stage: Stage) -> dict[str, list[str]]:
    """The names of all archived files but sidecars, by shot; a name carries its file's hash."""
    archive = stage.cli.home / "archive"
    found: dict[str, list[str]] = {}
    for path in sorted(archive.glob("*/*/shots/*/*")):
        if path.name != "shot.json":
            found.setdefault(path.parent.name, []).append(path.name)
    return found


def kill_at_random(stage: Stage, size: Size, kills: int, moments: random.Random) -> int:
    """Start the batch and kill it, again and again; returns how many were really killed in their life."""
    killed, step = 0, max(2, 2 * size.requests // max(1, kills))
    for _ in range(2 * kills):
        if killed == kills:
            break
        process, before = stage.cli.start(*stage.command, **stage.env), stage.service.seen()
        target, begun = before + moments.randint(1, step), 0.0
        while process.poll() is None and stage.service.seen() < target and not (begun and time.monotonic() > begun):
            if not begun and stage.service.seen() > before:
                begun = time.monotonic() + LONGEST_LIFE_S
            time.sleep(0.03)
        time.sleep(moments.uniform(0.0, 0.4))
        killed += process.poll() is None
        if process.poll() is None:
            kill(process)
            continue
        process.communicate()
        stage.codes.append(process.returncode)
        if process.returncode == WAITING:
            stage.decide()
        elif process.returncode in (0, 3):
            break  # all is done before all kills were had
    return killed


def made(submissions: list[dict[str, Any]]) -> Counter[str]:
    return Counter(s["prompt_sha256"] for s in submissions if s["kind"] == "video" and s["outcome"] == "made")


def undecided(attempts: list[AttemptRecord]) -> list[AttemptRecord]:
    """Attempts in doubt that were followed by another one although nobody decided."""
    last = {a.job_key: max(b.n for b in attempts if b.job_key == a.job_key) for a in attempts}
    doubtful = [a for a in attempts if a.outcome == JobState.UNKNOWN and a.n < last[a.job_key]]
    return [a for a in doubtful if "resubmit by" not in a.detail]


def claims(peace: Stage, chaos: Stage, size: Size) -> dict[str, tuple[bool, str]]:
    """What has to hold, whether it does, and the figures."""
    counts = chaos.service.counts()
    jobs, attempts = asyncio.run(ledger_of(chaos))
    videos, files, charged = made(counts["submissions"]), files_of(chaos), counts["charged_usd"]
    spent = sum(float(attempt.usd) for attempt in attempts)
    held = sum(float(attempt.reserved_usd) for attempt in attempts)
    doubts = sum(1 for attempt in attempts if attempt.outcome == JobState.UNKNOWN)
    same = files == files_of(peace)
    different = [shot for shot in files_of(peace) if files.get(shot) != files_of(peace)[shot]]
    return {
        "the archive equals the undisturbed one": (same, f"{sum(map(len, files.values()))} files {different}"),
        "accepted submissions per wanted video are 1.00": (
            sum(videos.values()) == len(videos) == size.videos,
            f"{sum(videos.values())} accepted, {size.videos} wanted",
        ),
        "nothing in doubt is sent again without a decision": (
            not undecided(attempts),
            f"{doubts} in doubt, {chaos.decisions} decided by a person",
        ),
        f"spent in the ledger is {'at least ' if chaos.live else ''}what the service charged": (
            abs(spent - charged) < 1e-6 if not chaos.live else spent >= charged - 1e-6,
            f"{spent:.4f} spent, {charged:.4f} charged",
        ),
        "no money stays held": (held == 0, f"{held:.4f} held"),
        "every job has ended": (
            all(job.state in (JobState.STORED, JobState.BLOCKED) for job in jobs),
            str(dict(Counter(job.state.value for job in jobs))),
        ),
    }


def battle(command: Cli, size: Size, kills: int, seed: int, *, live: bool = False) -> dict[str, Any]:
    """Both runs, in folders of their own inside the command's, and the claims about them."""
    # Live, the clock is the real one, and the provider's hints and latencies are real seconds.
    factor = 1 if live else FACTOR
    latency = {kind: seconds / FACTOR * factor for kind, seconds in LATENCY.items()}
    stages = []
    for name in ("peace", "chaos"):
        home = command.folder / name
        home.mkdir()
        (home / "sheet.csv").write_text(size.sheet())
        service = start_service(home / "service", factor=factor, latency=latency, retention_s=400 * 86400)
        stages.append(Stage(replace(command, folder=home), service, live))
    peace, chaos = stages
    try:
        assert peace.run().exit_code == 3, "two shots are refused"
        chaos.service.script(*({**fault, "seconds": 1.0} if live else fault for fault in FAULTS))
        started = time.monotonic()
        killed = kill_at_random(chaos, size, kills, random.Random(seed))
        last = chaos.run()
        found = claims(peace, chaos, size)
        return {
            "kills": killed,
            "seconds": round(time.monotonic() - started),
            "exit codes": dict(Counter(chaos.codes)),
            "requests": chaos.service.counts()["requests"],
            "last": last.stderr[-3000:],
            "claims": found,
        }
    finally:
        for stage in stages:
            stage.service.process.terminate()
            stage.service.process.wait(timeout=20)


def main() -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument("--live", action="store_true")
    options = parser.parse_args()
    from callsheet.settings import load_settings
    from flows.server import ensure_server, stop_server

    with tempfile.TemporaryDirectory() as place:
        settings = load_settings(home=Path(place) / "server")
        size = Size(stills=options.kills, videos=max(4, options.kills // 2))
        try:
            url = ensure_server(settings).api_url
            command = Cli(Path(place), {"PREFECT_API_URL": url})
            found = battle(command, size, options.kills, options.seed, live=options.live)
        finally:
            stop_server(settings)
    for claim, (holds, figures) in found.pop("claims").items():
        print(f"{'ok  ' if holds else 'FAIL'} {claim}: {figures}")
        found[claim] = holds
    print(json.dumps(found, indent=1))
    return 0 if all(value for value in found.values() if isinstance(value, bool)) else 1


if __name__ == "__main__":
    sys.exit(main())
