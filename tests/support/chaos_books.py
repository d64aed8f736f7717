"""What chaos left on record: ledgers, the service's books, and the archive, read for the claims about them."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from callsheet.clock import Clock
from callsheet.files import UNFINISHED
from callsheet.keys import ATTEMPT_LABEL, JOB_LABEL, label_of
from callsheet.ledger import AttemptRecord, Job, JobState, Ledger

# The number of a take and the hash of a file, in a name.
_HASH = re.compile(r"-\d+(?=-)|-[0-9a-f]{12}")
# An attempt of a rebuilt ledger that stands for all that a lost one had.
TOLD = "As the sidecar tells it."


@dataclass(frozen=True)
class Book:
    """A ledger as it stood at one moment."""

    jobs: tuple[Job, ...]
    attempts: tuple[AttemptRecord, ...]
    states: dict[str, str]

    @property
    def spent(self) -> Decimal:
        return sum((one.usd for one in self.attempts), Decimal(0))

    @property
    def held(self) -> Decimal:
        return sum((one.reserved_usd for one in self.attempts), Decimal(0))

    def spent_on(self, key: str) -> Decimal:
        return sum((one.usd for one in self.attempts if one.job_key == key), Decimal(0))


async def read_book(home: Path) -> Book:
    """The ledger of a home; an empty one when it has none."""
    if not (home / "ledger.db").exists():
        return Book((), (), {})
    async with await Ledger.open(f"sqlite:///{home / 'ledger.db'}", clock=Clock()) as ledger:
        batches = [row.batch.name for row in await ledger.batches()]
        return Book(
            tuple([job for batch in batches for job in await ledger.jobs_of(batch)]),
            tuple([attempt for batch in batches for attempt in await ledger.attempts_of(batch)]),
            {row.shot: row.state.value for batch in batches for row in await ledger.shots_of(batch)},
        )


def lost_requests(book: Book) -> set[tuple[str, int]]:
    """Pictures' requests of a ledger's own that may be sent once more by the rules: in doubt, or a part came.

    By job's key and number of the attempt.
    """
    return {
        (one.job_key, one.n)
        for one in book.attempts
        if one.kind == "image" and one.detail != TOLD and (one.outcome == JobState.UNKNOWN or _is_part(one))
    }


def _is_part(attempt: AttemptRecord) -> bool:
    return attempt.outcome == JobState.FAILED and attempt.usd > 0


def sent_again(submissions: Sequence[dict[str, Any]], lost: Iterable[tuple[str, int]]) -> list[str]:
    """The jobs of which more pictures were accepted than one and those whose requests were lost, by their labels."""
    names = {(label_of(key), str(n)) for key, n in lost}
    kept: Counter[str] = Counter()
    for one in submissions:
        label = (one["labels"].get(JOB_LABEL), one["labels"].get(ATTEMPT_LABEL))
        if one["kind"] == "image" and one["outcome"] == "made" and label not in names:
            kept[str(label[0])] += 1
    return [f"{job}: {count}" for job, count in kept.items() if count > 1]


def unexplained_prompts(
    submissions: Sequence[dict[str, Any]], jobs: Iterable[Job], lost: Iterable[tuple[str, int]]
) -> list[str]:
    """The same where no label tells the job: by prompts, which several takes share."""
    prompts = {
        job.key: hashlib.sha256(job.request["prompt"].encode()).hexdigest() for job in jobs if job.kind == "image"
    }
    accepted = Counter(s["prompt_sha256"] for s in submissions if s["kind"] == "image" and s["outcome"] == "made")
    allowed = Counter(prompts.values()) + Counter(prompts[key] for key, _ in lost if key in prompts)
    return [
        f"{prompt[:12]}: {count} for {allowed[prompt]}" for prompt, count in accepted.items() if count > allowed[prompt]
    ]


def never_accepted_usd(submissions: Sequence[dict[str, Any]], book: Book) -> Decimal:
    """What was booked for requests in doubt that the service never accepted: nobody but its books could tell."""
    prompts = {job.key: hashlib.sha256(job.request["prompt"].encode()).hexdigest() for job in book.jobs}
    booked, charged = Counter[str](), Counter[str]()
    for key, prompt in prompts.items():
        booked[prompt] += round(book.spent_on(key) * 10**6)
    for one in submissions:
        charged[one["prompt_sha256"]] += round(Decimal(str(one["charged_usd"])) * 10**6)
    in_doubt = {prompts[one.job_key] for one in book.attempts if one.outcome == JobState.UNKNOWN or one.detail == TOLD}
    return Decimal(sum(max(0, booked[prompt] - charged[prompt]) for prompt in in_doubt)) / 10**6


def forgotten(lost: Book, rebuilt: Book) -> list[str]:
    """The jobs whose money or file was known to a ledger that was lost, and not to the one rebuilt."""
    now = {job.key: job for job in rebuilt.jobs}
    return [
        f"{job.shot} {job.slot} {job.state.value}: {lost.spent_on(job.key)} USD, now {rebuilt.spent_on(job.key)}"
        for job in lost.jobs
        if lost.spent_on(job.key) != rebuilt.spent_on(job.key)
        or (job.sha256 and (job.key not in now or now[job.key].sha256 != job.sha256))
    ]


def files_of(home: Path, *, hashed: bool = True) -> dict[str, list[str]]:
    """The names of all archived files but sidecars, by shot; a name carries its file's hash, which may be left out.

    What a killed process had not finished writing lies beside them under a name that every listing leaves out.
    """
    found: dict[str, list[str]] = {}
    for path in sorted((home / "archive").glob("*/*/shots/*/*")):
        if path.name != "shot.json" and not path.name.startswith(UNFINISHED):
            name = path.name if hashed else _HASH.sub("", path.name)
            found.setdefault(path.parent.name, []).append(name)
    return found


def disagreements(home: Path, book: Book, summary: dict[str, Any]) -> list[str]:
    """Where sidecars, marker and the last run's summary say something else than the ledger does."""
    place = next((home / "archive").glob("*/*/_SUCCESS.json"))
    marker, paths = json.loads(place.read_text()), list(place.parent.glob("shots/*/shot.json"))
    sidecars = {one["shot"]: one for one in (json.loads(path.read_text()) for path in paths)}
    counted, unfinished = (
        Counter(book.states.values()),
        {shot for shot, state in book.states.items() if state != "done"},
    )
    shots = {state: count for state, count in summary["shots"].items() if count and state != "total"}
    hashes = {hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    checks = {
        "sidecars' states": ({shot: one["state"] for shot, one in sidecars.items()}, book.states),
        "sidecars' jobs": (_told_jobs(sidecars.values()), _known_jobs(book)),
        "summary's counts": (shots, dict(counted)),
        "summary's money": (summary["usd"]["spent"], float(book.spent)),
        "summary's held": (summary["usd"]["held"], float(book.held)),
        "marker's counts": (marker["shots"], {"total": len(book.states), **counted}),
        "marker's unfinished": (set(marker["unfinished"]), unfinished),
        "marker's status": (marker["status"], "finished"),
        "marker's sidecars": ({one["sha256"] for one in marker["sidecars"]}, hashes),
    }
    return [f"{name}: {told}, but {known}" for name, (told, known) in checks.items() if not _are_same(told, known)]


def _are_same(told: Any, known: Any) -> bool:
    return bool(abs(told - known) < 1e-6 if isinstance(told, float) else told == known)


def _told_jobs(sidecars: Iterable[dict[str, Any]]) -> dict[str, Any]:
    parts = [
        part
        for one in sidecars
        for place in ("earlier_takes", "earlier_clips", "takes", "clips")
        for part in one[place]
    ]
    return {
        part["job_key"]: (round(part["usd"], 6), (part["file"] or {}).get("sha256")) for part in parts if part["job"]
    }


def _known_jobs(book: Book) -> dict[str, Any]:
    return {job.key: (round(float(book.spent_on(job.key)), 6), job.sha256) for job in book.jobs if job.attempts}
