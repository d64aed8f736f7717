"""`callsheet resolve`: requests that may or may not have been accepted."""

from __future__ import annotations

import asyncio
import getpass
import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from callsheet.cli.options import JsonOption
from callsheet.cli.output import out, print_json, say
from callsheet.clock import Clock
from callsheet.errors import SettingsError
from callsheet.settings import Settings, load_settings

if TYPE_CHECKING:  # the help and wrong usage are told at once
    from callsheet.batch.resolve import Choice, PersonDecision, UnknownRequest
    from callsheet.ledger import AttemptRecord, BatchRow, Job

PROMPT_CHARS, KEY_CHARS = 120, 16


@dataclass(frozen=True, slots=True)
class Shown:
    """The result of the command.

    The jobs in doubt as they were, those decided as they are now, and how to go on. `unbilled` were decided before, and
    nobody knows what they cost.
    """

    doubts: list[UnknownRequest]
    decided: list[Job]
    commands: list[str]
    notes: list[str]
    unbilled: list[Job]


def resolve(
    keys: Annotated[list[str] | None, typer.Argument(help="Job keys, or their beginnings; without any: all.")] = None,
    resubmit: Annotated[bool, typer.Option("--resubmit", help="Send it again, at the risk of paying twice.")] = False,
    adopt: Annotated[str | None, typer.Option(help="It was accepted: its operation, or its gs:// object.")] = None,
    drop: Annotated[bool, typer.Option("--drop", help="Give it up; what it may have cost counts as spent.")] = False,
    by_evidence: Annotated[bool, typer.Option("--by-evidence", help="Decide what is certain, leave the rest.")] = False,
    reopen: Annotated[bool, typer.Option("--reopen", help="An expired video: have it looked for again, free.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Decide about all of them (of one batch with --batch).")] = False,
    batch: Annotated[str | None, typer.Option(help="Only the requests of this batch.")] = None,
    usd: Annotated[
        float | None,
        typer.Option(min=0, help="What the bill says that each job's doubt cost; alone: of those decided before."),
    ] = None,
    look: Annotated[bool, typer.Option("--look/--no-look", help="Ask providers and buckets for evidence.")] = True,
    json: JsonOption = False,
) -> None:
    """List the requests in doubt with all that is known of them, or decide.

    A decision is to resubmit, adopt or drop, or by evidence.

    --reopen is about videos that the provider was said to keep no more: the next run or `recover` looks once more.

    A decision needs the keys of the jobs it is about, or --all.
    """

    from callsheet.batch.resolve import PersonDecision
    from callsheet.ledger import JobState

    given: dict[Choice, bool] = {
        "resubmit": resubmit, "adopt": adopt is not None, "drop": drop, "by-evidence": by_evidence, "reopen": reopen
    }  # fmt: skip
    choices = [choice for choice, wanted in given.items() if wanted]
    if usd is not None and not choices:
        choices = ["bill"]
    _check(choices, keys or [], every, look)
    if usd is not None and (choices not in (["resubmit"], ["drop"], ["bill"]) or not math.isfinite(usd)):
        raise SettingsError(
            "--usd goes with --resubmit or --drop, or alone with requests decided before: it is what counts as spent."
        )
    cost = None if usd is None else Decimal(str(usd))
    made = PersonDecision(choices[0], getpass.getuser(), adopt, cost) if choices else None
    shown = asyncio.run(_resolve(load_settings(), keys or [], batch, made, look))
    _show(shown, decided=bool(choices))
    if json:
        jobs = [_as_json(doubt) for doubt in shown.doubts]
        done = [{"key": job.key, "state": job.state.value, "operation": job.operation} for job in shown.decided]
        held = sum(float(doubt.job.estimated_usd) for doubt in shown.doubts if doubt.job.state is JobState.UNKNOWN)
        late = [{"key": job.key, "batch": job.batch, "shot": job.shot, "slot": job.slot} for job in shown.unbilled]
        print_json(
            {
                "exit_code": 0, "jobs": jobs, "usd_in_doubt": held, "decided": done, "next": shown.commands,
                "unbilled": late,
            }
        )  # fmt: skip


def _check(choices: Sequence[Choice], keys: Sequence[str], every: bool, look: bool) -> None:
    if len(choices) > 1:
        raise SettingsError(f"Give one decision, not {len(choices)}: --{', --'.join(choices)}.")
    if every and (keys or not choices):
        raise SettingsError("--all goes with a decision and without keys; `callsheet resolve` alone lists everything.")
    if choices and not (keys or every):
        name = "usd" if choices == ["bill"] else choices[0]
        raise SettingsError(f"--{name} needs the key of a job, or --all. `callsheet resolve` lists the keys.")
    if choices == ["adopt"] and (every or len(keys) != 1):
        raise SettingsError("--adopt is about one job: give its key.")
    if choices == ["by-evidence"] and not look:
        raise SettingsError("--by-evidence has to look: leave --no-look out.")


async def _resolve(
    settings: Settings, keys: Sequence[str], batch: str | None, made: PersonDecision | None, look: bool
) -> Shown:
    from callsheet.batch.resolve import check_adoption, choose_jobs, decide, expired_jobs, looked_at, unbilled_jobs
    from callsheet.ledger import Ledger

    name = made.operation if made else None
    async with await Ledger.open(settings.ledger_url, clock=Clock()) as ledger:
        if made is not None and made.choice == "reopen":
            jobs, look = await expired_jobs(ledger, keys, batch), False
        elif made is not None and made.choice == "bill":
            jobs, look = await unbilled_jobs(ledger, keys, batch), False
            if not jobs:
                raise SettingsError(
                    "No decided request has a cost in doubt. Nothing was changed. While one waits for a decision, "
                    "--usd goes with --resubmit or --drop."
                )
        else:
            jobs = await choose_jobs(ledger, keys, batch, every=made is not None and not keys)
        notes = [await check_adoption(settings, jobs[0], name, look=look)] if name is not None else []
        doubts = await looked_at(ledger, settings, jobs, look=look)
        decided: list[Job] = []
        for doubt in doubts if made else ():
            assert made is not None  # noqa: S101  narrows the type
            try:
                job = await decide(ledger, doubt, made)
            except SettingsError as error:
                if len(doubts) == 1:
                    raise
                notes.append(str(error))
                continue
            decided += [job] if job else []
        rows = await ledger.batches()
        unbilled = await unbilled_jobs(ledger, (), batch)
        return Shown(doubts, decided, _commands(rows, decided), [note for note in notes if note], unbilled)


def _commands(rows: Sequence[BatchRow], decided: Sequence[Job]) -> list[str]:
    """Return the commands that go on with the batches of the jobs decided."""
    wanted = {job.batch for job in decided}
    commands = []
    for batch in (row.batch for row in rows if row.batch.name in wanted and row.batch.manifest_uri):
        options = ["--live"] if batch.mode == "live" else []
        options += ["--edition", batch.edition] if batch.edition else []
        commands.append(shlex.join(["callsheet", "run", batch.manifest_uri, *options]))
    return commands


def _show(shown: Shown, *, decided: bool) -> None:
    from callsheet.batch.resolve import UnknownRequest

    after = {job.key: job for job in shown.decided}
    for doubt in shown.doubts:
        for line in _lines(doubt, after.get(doubt.job.key)) if decided else [*_lines(doubt, None), *_facts(doubt)]:
            out.print(plain_line(line), markup=False)
    for note in shown.notes:
        say(plain_line(note))
    if not shown.doubts:
        out.print("No request is in doubt.")
    elif decided:
        left = len(shown.doubts) - len(after)
        out.print(f"{len(after)} decided" + (f", {left} left as they were." if left else "."))
        for command in shown.commands:
            out.print(f"Run the batch again: {plain_line(command)}", markup=False)
    else:
        _advise(shown.doubts)
    if shown.unbilled and not decided:
        out.print(
            f"{len(shown.unbilled)} decided requests count as spent, though nobody knows whether they were charged. "
            "When the bill is there: callsheet resolve KEY --usd AMOUNT",
            markup=False,
        )
        for job in shown.unbilled:
            out.print(plain_line(_lines(UnknownRequest(job, ()), None)[0]), markup=False)


def _advise(doubts: Sequence[UnknownRequest]) -> None:
    from callsheet.ledger import JobState

    failed = [doubt for doubt in doubts if doubt.job.state is JobState.FAILED]
    doubts = [doubt for doubt in doubts if doubt not in failed]
    if failed:
        out.print(f"{len(failed)} failed with part of a picture, which is kept and was paid for.")
    if not doubts:
        return
    usd = sum(float(doubt.job.estimated_usd) for doubt in doubts)
    certain = sum(1 for doubt in doubts if doubt.evidence is not None)
    out.print(f"{len(doubts)} in doubt, {usd:.2f} USD held; evidence decides {certain} of them.")
    if certain:
        out.print("What is certain, at once: callsheet resolve --all --by-evidence", markup=False)
    out.print("All of them, or of one batch: callsheet resolve --all [--batch NAME] --resubmit | --drop", markup=False)


def _lines(doubt: UnknownRequest, now: Job | None) -> list[str]:
    job = doubt.job
    became = f" -> {now.state}" if now else ""
    place = f"{job.batch} / {job.shot} / {job.slot}"
    return [f"{job.key[:KEY_CHARS]}  {job.state}{became}  {place}  {job.model}  {job.estimated_usd:.2f} USD"]


def _facts(doubt: UnknownRequest) -> list[str]:
    from callsheet.ledger import JobState
    from callsheet.providers.error_bodies import plain

    job, key = doubt.job, doubt.job.key[:KEY_CHARS]
    adopt = doubt.evidence.operation if doubt.evidence and doubt.evidence.operation else "OPERATION"
    facts = [
        f"prompt: {plain(str(job.request.get('prompt') or ''), PROMPT_CHARS)}",
        *map(_attempt_line, doubt.attempts),
    ]
    if doubt.labels:
        facts.append("labels: " + ", ".join(f"{name}={value}" for name, value in doubt.labels))
    if doubt.prefix:
        facts.append(f"output: {doubt.prefix}")
    facts += [f"reply kept: {path}" for path in doubt.kept]
    if doubt.found:
        facts.append(f"evidence: {doubt.found}")
    facts.append(f"send it again:  callsheet resolve {key} --resubmit")
    if job.kind == "video":
        facts.append(f"it was accepted: callsheet resolve {key} --adopt {adopt}")
    if job.state is not JobState.FAILED:
        facts.append(f"give it up:     callsheet resolve {key} --drop")
    return [f"    {fact}" for fact in facts]


def _attempt_line(attempt: AttemptRecord) -> str:
    status = f"HTTP {attempt.status}" if attempt.status else "no reply"
    return f"attempt {attempt.n}: {attempt.at:%Y-%m-%d %H:%M:%S} UTC, {status}, {attempt.outcome}. {attempt.detail}"


def plain_line(text: str) -> str:
    """Return the line without control characters.

    Prompts and replies may hold sequences that a terminal obeys.
    """
    return "".join(char if char.isprintable() else " " for char in text)


def _as_json(doubt: UnknownRequest) -> dict[str, Any]:
    job, evidence = doubt.job, doubt.evidence
    attempts = [
        {
            "n": one.n,
            "at": one.at.isoformat(timespec="seconds"),
            "status": one.status,
            "outcome": one.outcome,
            "detail": one.detail,
            "usd": float(one.usd),
            "usd_reserved": float(one.reserved_usd),
        }
        for one in doubt.attempts
    ]
    return {
        "key": job.key, "kind": job.kind, "mode": job.mode, "state": job.state.value, "batch": job.batch,
        "shot": job.shot, "slot": job.slot, "model": job.model, "request": dict(job.request),
        "usd": float(job.estimated_usd), "sent": attempts[-1]["at"] if attempts else None, "reason": job.reason,
        "kept": [str(path) for path in doubt.kept],
        "attempts": attempts, "labels": dict(doubt.labels), "output": doubt.prefix, "found": doubt.found,
        "evidence": None if evidence is None else {
            "accepted": evidence.accepted, "operation": evidence.operation,
            "usd_charged": None if evidence.charged_usd is None else float(evidence.charged_usd),
        },
    }  # fmt: skip
