"""Chaos: a batch under every fault class, killed again and again, beside the same batch left in peace.

    python -m tests.e2e.chaos --kills 50           rehearsal: evidence decides what is in doubt
    python -m tests.e2e.chaos --kills 50 --live    a live run against a stand-in: a person decides (`callsheet resolve`)

Shots have one to three takes; replies are bent in every way that gateways do; the provider's days turn. Between lives
the ledger is lost and rebuilt from the archive, and a colleague with another home runs the same batch.
Prints what was claimed and what was found, and ends with 1 when a claim does not hold.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from callsheet.keys import JOB_LABEL
from callsheet.ledger import AttemptRecord, JobState
from tests.support.chaos_books import TOLD, disagreements, files_of, never_accepted_usd, sent_again, unexplained_prompts
from tests.support.chaos_faults import FAULTS, FULL_DAYS
from tests.support.chaos_stage import UNFINISHED, Stage
from tests.support.cli import Cli, kill

FACTOR = 600
LATENCY = {"image": 240.0, "video": 900.0}  # 0.4 s and 1.5 s of real time
CENT = Decimal("0.01")
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

    def sheet(self, *, live: bool) -> str:
        """The manifest: every prompt its own, every picture with a seed; one picture and one video are refused.

        Live, videos go over the Gemini API, where none takes a seed.
        """
        seeds = ["" if live else str(1000 + 10 * n) for n in range(self.videos)] + ["" if live else "8"]
        rows = ["id,prompt,takes,seed,aspect_ratio,select,motion_prompt,duration_s,cuts"]
        rows += [f"still{n},A paper theatre number {n},{1 + n % 3},{10 * n},1:1,,,," for n in range(self.stills)]
        rows += [
            f"scene{n},A harbour scene number {n},{_takes(n)[0]},{seeds[n]},16:9,{_takes(n)[1]},"
            f"The curtain {n} opens,4,{CUTS[n % 4]}"
            for n in range(self.videos)
        ]
        rows += ["blocked,A picture [[block:SAFETY]],1,7,1:1,,,,"]
        rows += [f"filtered,A quay,1,{seeds[-1]},16:9,,Fog [[rai:17301594]],4,"]
        return "\n".join(rows) + "\n"


def _takes(n: int) -> tuple[int, str, int]:
    return TAKES[n % len(TAKES)]


def kill_at_random(stage: Stage, size: Size, kills: int, moments: random.Random) -> int:
    """Start the batch and kill it, again and again; returns how many were really killed in their life.

    Every third life ends with Ctrl-C instead: then a colleague has a go, and now and then the ledger is lost.
    """
    killed, lives, step = 0, 0, max(2, 2 * size.requests // max(1, kills))
    while killed < kills and lives < 3 * kills:
        lives += 1
        process = stage.cli.start(*stage.command, **stage.env)
        stage.let_live(process, moments.randint(1, step), moments.uniform(0.0, 0.4))
        if process.poll() is not None:
            process.communicate()
            stage.codes.append(process.returncode)
            if not stage.attend(process.returncode) and process.returncode in (0, 3):
                break  # all is done before all kills were had
        elif lives % 3 == 0:
            stage.stop_cleanly(process)
            if moments.random() < 0.5:
                stage.lose_ledger()
            stage.visit(moments)
        else:
            killed += 1
            kill(process)
            if moments.random() < 0.2:
                stage.knock()
    return killed


def made(submissions: Sequence[dict[str, Any]], kind: str) -> Counter[str]:
    """How often each wanted job of a kind was accepted and made, by its label (live, by prompt and first frame)."""
    names = ((s["labels"].get(JOB_LABEL) or f"{s['prompt_sha256']} {s['first_frame_sha256']}", s) for s in submissions)
    return Counter(name for name, s in names if s["kind"] == kind and s["outcome"] == "made")


def undecided(attempts: Sequence[AttemptRecord]) -> list[AttemptRecord]:
    """Attempts in doubt that were followed by another one although nobody decided."""
    last = {a.job_key: max(b.n for b in attempts if b.job_key == a.job_key) for a in attempts}
    doubtful = [a for a in attempts if a.outcome == JobState.UNKNOWN and a.n < last[a.job_key] and a.detail != TOLD]
    return [a for a in doubtful if "resubmit by" not in a.detail]


def differing(files: dict[str, list[str]], wanted: dict[str, list[str]]) -> dict[str, list[str]]:
    """The names that only one of the two archives has, by shot."""
    shots = {shot: sorted({*files.get(shot, ())} ^ {*wanted.get(shot, ())}) for shot in files | wanted}
    return {shot: names for shot, names in shots.items() if names or files.get(shot) != wanted.get(shot)}


def claims(peace: Stage, chaos: Stage, size: Size) -> dict[str, tuple[bool, str]]:
    """What has to hold, whether it does, and the figures."""
    counts, book = chaos.service.counts(), chaos.note()
    submissions, jobs, attempts = counts["submissions"], book.jobs, book.attempts
    videos, pictures = made(submissions, "video"), made(submissions, "image")
    # Without a seed no picture comes twice.
    files, wanted = (files_of(stage.cli.home, hashed=not chaos.live) for stage in (chaos, peace))
    charged = Decimal(str(counts["charged_usd"]))
    unaccepted = never_accepted_usd(submissions, book) if chaos.live else Decimal(0)
    many = unexplained_prompts(submissions, jobs, chaos.lost) if chaos.live else sent_again(submissions, chaos.lost)
    doubts = sum(1 for attempt in attempts if attempt.outcome == JobState.UNKNOWN)
    disagreeing = disagreements(chaos.cli.home, book, chaos.last.json) if chaos.last else ["no run"]
    sent = chaos.service.counts()["accepted"]
    left = chaos.farewell()
    return {
        "the archive equals the undisturbed one": (
            files == wanted,
            f"{sum(map(len, files.values()))} files; not in both: {differing(files, wanted)}",
        ),
        "accepted submissions per wanted clip are 1.00": (
            sum(videos.values()) == len(videos) == size.clips,
            f"{sum(videos.values())} accepted, {size.clips} wanted",
        ),
        "accepted submissions per wanted picture are 1.00 but for those whose request was lost, one by one": (
            size.pictures <= sum(pictures.values()) and not many,
            f"{sum(pictures.values())} accepted, {size.pictures} wanted, {len(chaos.lost)} lost; unexplained: {many}",
        ),
        "nothing in doubt is sent again without a decision": (
            not undecided(attempts),
            f"{doubts} in doubt, {chaos.decisions} decided by a person, {chaos.evidence} parts asked for again",
        ),
        "spent in the ledger is what the service charged": (
            abs(book.spent - charged - unaccepted) < CENT / 100,
            f"{book.spent:.4f} spent, {charged:.4f} charged, {unaccepted:.4f} for what was in doubt and not accepted",
        ),
        "nothing was forgotten with a ledger": (
            not chaos.forgotten,
            f"{chaos.rebuilt} rebuilt; forgotten: {chaos.forgotten[:10]}",
        ),
        "no money stays held": (book.held == 0, f"{book.held:.4f} held"),
        "every job has ended": (
            all(job.state in (JobState.STORED, JobState.BLOCKED) for job in jobs),
            str(dict(Counter(job.state.value for job in jobs))),
        ),
        "ledger, sidecars, marker and summary agree": (not disagreeing, str(disagreeing)[:3000]),
        "the colleague's last run pays for nothing": (
            left.exit_code == UNFINISHED and chaos.service.counts()["accepted"] == sent,
            f"exit code {left.exit_code}, visits ended with {dict(Counter(chaos.visits))}",
        ),
    }


def battle(command: Cli, size: Size, kills: int, seed: int, *, live: bool = False) -> dict[str, Any]:
    """Both runs, in folders of their own inside the command's, and the claims about them."""
    peace, chaos = (_staged(command, name, size, live=live) for name in ("peace", "chaos"))
    try:
        undisturbed = peace.run()
        assert undisturbed.exit_code == UNFINISHED, f"two shots are refused: {peace.codes} {undisturbed}"
        started = time.monotonic()
        killed = kill_at_random(chaos, size, kills, random.Random(seed))
        last = chaos.run()
        return {
            "kills": killed,
            "seconds": round(time.monotonic() - started),
            "exit codes": dict(Counter(chaos.codes)),
            "days turned": chaos.days,
            "ledgers rebuilt": chaos.rebuilt,
            "accepted": chaos.service.counts()["accepted"],
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
    (home / "sheet.csv").write_text(size.sheet(live=live))
    settings: dict[str, Any] = {"factor": factor, "latency": latency, "retention_s": 400 * 86400}
    if name == "chaos":
        rules = [{**fault, "seconds": 1.0} for fault in FAULTS] if live else [*FULL_DAYS, *FAULTS]
        YAML().dump({"rules": rules}, home / "faults.yaml")
        settings["script"] = str(home / "faults.yaml")
    return Stage(replace(command, folder=home), home / "service", settings, live)


def main() -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument("--live", action="store_true")
    options = parser.parse_args()
    from callsheet.orchestration.server import ensure_server, stop_server
    from callsheet.settings import load_settings

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
