"""Chaos: a batch under every fault class, killed again and again, beside the same batch left in peace.

    python -m tests.chaos --kills 50              rehearsal: evidence decides what is in doubt
    python -m tests.chaos --kills 50 --live       a live run against a stand-in: a person decides (`callsheet resolve`)

Shots have one to three takes; replies are bent in every way that gateways do; the provider's days turn. Between lives
the ledger is lost and rebuilt from the archive, and a colleague with another home runs the same batch.
Prints what was claimed and what was found, and ends with 1 when a claim does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from callsheet.keys import JOB_LABEL
from callsheet.ledger import AttemptRecord, JobState
from tests.chaos_faults import FAULTS, FULL_DAYS
from tests.chaos_stage import Stage, disagreements, doubtful_money, files_of, ledger_of, shot_states
from tests.conftest import Cli, kill

FACTOR = 600
LATENCY = {"image": 240.0, "video": 900.0}  # 0.4 s and 1.5 s of real time
# No life of a process is longer than this before it is killed, seconds after its first request.
LONGEST_LIFE_S = 2.5
# One in four is cropped, which takes ten times as long.
CUTS = ("16x9", "16x9", "16x9", "1x1")


# How many takes a shot has, and which of them are animated; turn by turn.
TAKES = ((1, "best", 1), (2, "all", 2), (3, "best", 1), (2, "2", 1))


@dataclass(frozen=True, slots=True)
class Size:
    """How many shots of each sort the batch has."""

    stills: int
    videos: int

    @property
    def requests(self) -> int:
        """About how many requests an undisturbed run sends."""
        return self.pictures + 5 * self.clips

    @property
    def pictures(self) -> int:
        """How many pictures are wanted and made."""
        return sum(1 + n % 3 for n in range(self.stills)) + sum(_takes(n)[0] for n in range(self.videos)) + 1

    @property
    def clips(self) -> int:
        """How many clips are wanted and made."""
        return sum(_takes(n)[2] for n in range(self.videos))

    def sheet(self) -> str:
        """The manifest: every prompt its own, every picture with a seed; one picture and one video are refused."""
        rows = ["id,prompt,takes,seed,aspect_ratio,select,motion_prompt,duration_s,cuts"]
        rows += [f"still{n},A paper theatre number {n},{1 + n % 3},{10 * n},1:1,,,," for n in range(self.stills)]
        rows += [
            f"scene{n},A harbour scene number {n},{_takes(n)[0]},{1000 + 10 * n},16:9,{_takes(n)[1]},"
            f"The curtain {n} opens,4,{CUTS[n % 4]}"
            for n in range(self.videos)
        ]
        rows += ["blocked,A picture [[block:SAFETY]],1,7,1:1,,,,", "filtered,A quay,1,8,16:9,,Fog [[rai:17301594]],4,"]
        return "\n".join(rows) + "\n"


def _takes(n: int) -> tuple[int, str, int]:
    return TAKES[n % len(TAKES)]


def kill_at_random(stage: Stage, size: Size, kills: int, moments: random.Random) -> int:
    """Start the batch and kill it, again and again; returns how many were really killed in their life.

    Every third life ends with Ctrl-C instead, and a colleague has a go.
    """
    killed, lives, step = 0, 0, max(2, 2 * size.requests // max(1, kills))
    while killed < kills and lives < 3 * kills:
        lives += 1
        process = stage.cli.start(*stage.command, **stage.env)
        _let_live(stage, process, moments.randint(1, step), moments.uniform(0.0, 0.4))
        if process.poll() is not None:
            process.communicate()
            stage.codes.append(process.returncode)
            if not stage.attend(process.returncode) and process.returncode in (0, 3):
                break  # all is done before all kills were had
        elif lives % 3 == 0:
            stage.stop_cleanly(process)
            stage.visit_from_another_home()
        else:
            killed += 1
            kill(process)
    return killed


def _let_live(stage: Stage, process: Any, requests: int, more_s: float) -> None:
    """Let a process live until it has sent some requests, or for LONGEST_LIFE_S after the first."""
    before, begun = stage.service.seen(), 0.0
    while process.poll() is None and stage.service.seen() < before + requests:
        if begun and time.monotonic() > begun:
            break
        if not begun and stage.service.seen() > before:
            begun = time.monotonic() + LONGEST_LIFE_S
        time.sleep(0.03)
    time.sleep(more_s)


def made(submissions: Sequence[dict[str, Any]], kind: str) -> Counter[str]:
    """How often each wanted job of a kind was accepted and made, by its label (live, by prompt and first frame)."""
    names = ((s["labels"].get(JOB_LABEL) or f"{s['prompt_sha256']} {s['first_frame_sha256']}", s) for s in submissions)
    return Counter(name for name, s in names if s["kind"] == kind and s["outcome"] == "made")


def undecided(attempts: list[AttemptRecord]) -> list[AttemptRecord]:
    """Attempts in doubt that were followed by another one although nobody decided."""
    last = {a.job_key: max(b.n for b in attempts if b.job_key == a.job_key) for a in attempts}
    doubtful = [a for a in attempts if a.outcome == JobState.UNKNOWN and a.n < last[a.job_key]]
    return [a for a in doubtful if "resubmit by" not in a.detail]


def claims(peace: Stage, chaos: Stage, size: Size) -> dict[str, tuple[bool, str]]:
    """What has to hold, whether it does, and the figures."""
    counts = chaos.service.counts()
    jobs, attempts = asyncio.run(ledger_of(chaos))
    videos, pictures = made(counts["submissions"], "video"), made(counts["submissions"], "image")
    files, charged = files_of(chaos), counts["charged_usd"]
    spent = sum(float(attempt.usd) for attempt in attempts) + chaos.forgotten_usd
    held = sum(float(attempt.reserved_usd) for attempt in attempts)
    doubts = sum(1 for attempt in attempts if attempt.outcome == JobState.UNKNOWN)
    different = [shot for shot in files_of(peace) if files.get(shot) != files_of(peace)[shot]]
    disagreeing = disagreements(chaos, asyncio.run(shot_states(chaos)))
    # By the rules a picture in doubt is sent once more, and a part of a picture again when a person says so.
    again = chaos.evidence + chaos.forgotten_doubts + asyncio.run(doubtful_money(chaos))[1]
    return {
        "the archive equals the undisturbed one": (
            files == files_of(peace),
            f"{sum(map(len, files.values()))} files {different}",
        ),
        "accepted submissions per wanted clip are 1.00": (
            sum(videos.values()) == len(videos) == size.clips,
            f"{sum(videos.values())} accepted, {size.clips} wanted",
        ),
        "accepted submissions per wanted picture are 1.00 but for those that the rules send again": (
            size.pictures <= sum(pictures.values()) <= size.pictures + again,
            f"{sum(pictures.values())} accepted, {size.pictures} wanted, {again} sent again by the rules",
        ),
        "nothing in doubt is sent again without a decision": (
            not undecided(attempts),
            f"{doubts} in doubt, {chaos.decisions} decided by a person",
        ),
        f"spent in the ledger is {'at least ' if chaos.live else ''}what the service charged": (
            abs(spent - charged) < 1e-6 if not chaos.live else spent >= charged - 1e-6,
            f"{spent:.4f} spent, {charged:.4f} charged, {chaos.forgotten_usd:.4f} of it known to lost ledgers alone",
        ),
        "no money stays held": (held == 0, f"{held:.4f} held"),
        "every job has ended": (
            all(job.state in (JobState.STORED, JobState.BLOCKED) for job in jobs),
            str(dict(Counter(job.state.value for job in jobs))),
        ),
        "ledger, sidecars, marker and summary agree": (not disagreeing, str(disagreeing[:5])),
    }


def battle(command: Cli, size: Size, kills: int, seed: int, *, live: bool = False) -> dict[str, Any]:
    """Both runs, in folders of their own inside the command's, and the claims about them."""
    peace, chaos = (_staged(command, name, size, live=live) for name in ("peace", "chaos"))
    try:
        assert peace.run().exit_code == 3, "two shots are refused"
        started = time.monotonic()
        killed = kill_at_random(chaos, size, kills, random.Random(seed))
        last = chaos.run()
        return {
            "kills": killed,
            "seconds": round(time.monotonic() - started),
            "exit codes": dict(Counter(chaos.codes)),
            "days turned": chaos.days,
            "ledgers rebuilt": chaos.rebuilt,
            "asked again for a part of a picture": chaos.evidence,
            "requests": chaos.service.counts()["requests"],
            "last": last.stderr[-3000:],
            "claims": claims(peace, chaos, size),
        }
    finally:
        for stage in (peace, chaos):
            stage.stop()


def _staged(command: Cli, name: str, size: Size, *, live: bool) -> Stage:
    """A folder of its own with the sheet; in chaos its service plays all faults."""
    # Live, the clock is the real one, and the provider's hints and latencies are real seconds.
    factor = 1 if live else FACTOR
    latency = {kind: seconds / FACTOR * factor for kind, seconds in LATENCY.items()}
    home = command.folder / name
    home.mkdir()
    (home / "sheet.csv").write_text(size.sheet())
    settings: dict[str, Any] = {"factor": factor, "latency": latency, "retention_s": 400 * 86400}
    if name == "chaos":
        rules = [{**fault, "seconds": 1.0} for fault in FAULTS] if live else [*FULL_DAYS, *FAULTS]
        YAML().dump({"rules": rules}, home / "faults.yaml")
        settings["script"] = str(home / "faults.yaml")
    return Stage(replace(command, folder=home), home / "service", settings, live)


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
