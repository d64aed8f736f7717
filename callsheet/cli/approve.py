"""`callsheet approve`: which takes are chosen, decided by a person."""

from __future__ import annotations

import asyncio
import getpass
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from callsheet.cli.options import JsonOption
from callsheet.cli.output import out, print_json, say
from callsheet.errors import CannotContinue, DecisionError
from callsheet.report.format import truncate, visible
from callsheet.settings import Settings, load_settings

if TYPE_CHECKING:  # the help and wrong usage are told at once
    from callsheet.approval.decision_input import Question, TakeCandidate, TakeSelection
    from callsheet.batch.approve import Decided
    from callsheet.batch.request import RunRequest
    from callsheet.ledger import Recorded

ROWS, PROMPT_CHARS = 60, 100


def approve(
    batch: Annotated[str, typer.Argument(help="Batch name, such as demo.rehearsal.")],
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SHOT=1,2 | SHOT=reject]...", help="The takes that are chosen, or none."),
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who decides; default: the name in the file, or the user's.")] = None,
    note: Annotated[str, typer.Option(help="Why, in a line; kept with these decisions.")] = "",
    file: Annotated[Path | None, typer.Option(help="Decisions that the gallery page has saved.")] = None,
    run: Annotated[bool, typer.Option("--run", help="Then go on with the batch, as it was asked for.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="With --run of a live batch: do not ask, the cost is fine.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Show the shots that wait for approval, or decide about them.

    A decision says which takes are chosen (animated where there is a motion prompt), or that a shot is rejected.

    All decisions are recorded, or none. With --run it ends as `callsheet run` does.
    """

    from callsheet.batch.approve import decide, questions

    settings = load_settings()
    if not (words or file):
        _check_alone(by, note, run)
        _answer(asyncio.run(questions(settings, batch)), {}, json)
        return
    wishes, name = _wishes(batch, words or [], note, file)
    decided = asyncio.run(decide(settings, batch, wishes, by if by is not None else name or _user()))
    for one in decided.recorded:
        out.print(visible(_line(one)), markup=False)
    _answer(decided, _go_on(decided, settings, run=run, yes=yes), json)


def _check_alone(by: str | None, note: str, run: bool) -> None:
    if by is not None or note or run:
        raise DecisionError("--by, --note and --run go with decisions: name shots (SHOT=2, SHOT=reject), or a --file.")


def _wishes(batch: str, words: list[str], note: str, file: Path | None) -> tuple[list[TakeSelection], str]:
    """Return the decisions in words and in the file, and the name in the file."""

    from callsheet.approval.decision_input import read_decisions, wishes_in

    wishes, name = wishes_in(words, note), ""
    if file is not None:
        saved = read_decisions(file, batch)
        wishes += [replace(one.wish(), note=one.note or note) for one in saved.decisions]
        name = saved.by
    return wishes, name


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return ""


def _go_on(decided: Decided, settings: Settings, *, run: bool, yes: bool) -> dict[str, Any]:
    """Go on with the batch, or say how; what `run` tells of it."""

    from callsheet.batch.resume import continuation

    if not decided.goes_on:
        say("Nothing is left to go on with.")
        return {}
    try:
        asked = asyncio.run(continuation(decided.row, settings))
    except CannotContinue as error:
        say(str(error))
        return {}
    if not run:
        out.print(f"Go on: {command_of(asked.request)}", markup=False)
        return {"next": command_of(asked.request)}
    from callsheet.cli.run import carry_out

    return {"run": carry_out(asked, yes=yes)}


def command_of(request: RunRequest) -> str:
    """Return the command that asks for the same."""
    words = ["callsheet", "run", request.manifest, *(["--live"] if request.live else [])]
    for option, value in (("--edition", request.edition), ("--campaign", request.campaign)):
        words += [option, value] if value else []
    for name, text in request.variables.items():
        words += ["--var", f"{name}={text}"]
    words += ["--budget", str(request.budget_usd)] if request.budget_usd is not None else []
    return shlex.join([*words, *(["--wait"] if request.wait else [])])


def _line(one: Recorded) -> str:
    decision = one.decision
    if one.how == "same":
        return f"{decision.shot}: as decided before: {decision.describe()}"
    instead = f" (before: {one.before.describe()})" if one.before else ""
    return f"{decision.shot}: {decision.describe()}{instead}"


def _answer(decided: Decided, more: dict[str, Any], json: bool) -> None:
    """Show what still waits, and end as the run did that was started.

    With --json the object is printed last.
    """
    code = int(more["run"]["exit_code"]) if "run" in more else 0
    if "run" not in more:
        _show(decided)
    if json:
        print_json({"exit_code": code, **decided.as_json(), **more})
    sys.exit(code)


def _show(decided: Decided) -> None:
    batch = decided.row.batch.name
    for question in decided.waiting[:ROWS]:
        _show_question(question)
    if len(decided.waiting) > ROWS:
        out.print(f"... and {len(decided.waiting) - ROWS} more (all of them with --json)")
    if not decided.waiting:
        out.print(f"{batch}: no shot waits for approval.", markup=False)
        return
    shot = decided.waiting[0].shot
    out.print(f"{len(decided.waiting)} to be approved. Choose takes, or reject, and say who decides:", markup=False)
    out.print(f"  callsheet approve {batch} {shot}=1 --by NAME | {shot}=reject | --file decisions.json", markup=False)


def _show_question(question: Question) -> None:
    out.print(
        f"{question.shot}: waiting: approval: {truncate(question.prompt, PROMPT_CHARS)}".replace("\n", " "),
        markup=False,
    )
    for one in question.candidates:
        out.print(f"  take {one.take}  {_score(one)}", markup=False)
        out.print(f"    {visible(one.uri)}", markup=False, style=f"dim link {one.link}")


def _score(one: TakeCandidate) -> str:
    rank = f"rank {one.rank:.2f}" if one.rank is not None else ""
    return "  ".join(part for part in (rank, one.sha256[:12], one.rejected or "") if part)
