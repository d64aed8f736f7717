"""Markdown for the Prefect UI that untrusted texts cannot break out of."""

from __future__ import annotations

import base64
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from callsheet.archive.sidecar import FailureRecord, Sidecar
from callsheet.context.progress import STEPS, Progress
from callsheet.errors import CallsheetError
from callsheet.manifest.left_out import LeftOut
from callsheet.plan import Kind, Plan
from callsheet.plan.edited import name_edited
from callsheet.report.format import advice, dollars, format_count, truncate
from callsheet.shots import Batch

_NOUNS = {"images": "pictures", "clips": "clips", "cuts": "cuts", "shots": "shots"}


def progress_sentence(batch: Batch, progress: Progress, spent: Decimal) -> str:
    """Describe the progress of a batch in a sentence.

    `spring.live: pictures 3 of 12, clips 0 of 4, shots 1 of 6; 1 shot without success; $0.40 spent`.
    """
    steps = [
        f"{_NOUNS[step]} {progress.ended[step]:,} of {progress.wanted[step]:,}"
        for step in STEPS
        if progress.wanted[step]
    ]
    parts = [", ".join(steps) or "nothing to do"]
    if failed := progress.failed["shots"]:
        parts.append(f"{format_count(failed, 'shot')} without success")
    parts.append(f"{dollars(spent)} {'spent' if batch.mode == 'live' else 'at list price'}")
    return f"{batch.name}: {'; '.join(parts)}"


_LONGEST_CELL = 160
_LONGEST_LINE = 1000
_PLAIN = frozenset(" ,;'-")


def escaped(text: str, limit: int = _LONGEST_CELL) -> str:
    """Escape untrusted text for a Markdown cell.

    One line, cut, and nothing in it is Markdown, HTML or a link. A backslash makes any ASCII punctuation plain text
    (CommonMark 0.31.2, section 2.4). Numeric references would be shown as they are by Prefect's first UI (3.8.8).
    """
    line = " ".join(truncate(text, limit).split())
    return "".join(
        f"\\{character}" if character in string.punctuation and character not in _PLAIN else character
        for character in line
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Build a table of cells that are Markdown already."""
    lines = (f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))
    return "\n".join(lines)


def counts(numbers: Mapping[str, int]) -> str:
    """Format counts as `3 created, 1 reused`, without zeros; "none" if all are zero."""
    return ", ".join(f"{number:,} {name}" for name, number in numbers.items() if number) or "none"


_KINDS: tuple[tuple[Kind, str], ...] = (("image", "Pictures"), ("video", "Videos"), ("cut", "Cuts"))
# An artifact is one row in the server's database and one page in a browser.
_MOST_ROWS = 200


def plan_markdown(plan: Plan) -> str:
    """Format what a run will make, reuse and resume, and why.

    With cost, budget and time, and the first 200 shots one by one.
    """
    rows = [
        [
            escaped(one.shot.id) + (f" (edit of {escaped(edited)})" if (edited := name_edited(one.shot)) else ""),
            _count_actions([a.what for a in one.actions]),
            _format_cost(one.usd, one.usd_high),
            escaped("; ".join(dict.fromkeys(a.why for a in one.actions if a.why)), 300),
            escaped(one.shot.prompt),
        ]
        for one in plan.shots[:_MOST_ROWS]
    ]
    totals = [[title, _count_actions(list(plan.counts(kind).elements())) or "none"] for kind, title in _KINDS]
    return "\n\n".join(
        part
        for part in (
            f"**{escaped(plan.batch.name)}**: {format_count(len(plan.shots), 'shot')}, "
            f"**{_format_cost(plan.usd, plan.usd_high)}**",
            table(("", "What will be done"), totals),
            *(escaped(line, 300) for line in _describe_outlook(plan)),
            table(("Shot", "What will be done", "Cost", "Why", "Prompt"), rows),
            _describe_rest(len(plan.shots)),
        )
        if part
    )


def _format_cost(low: Decimal, high: Decimal) -> str:
    return dollars(low) if low == high else f"{dollars(low)} to {dollars(high)}"


def _describe_outlook(plan: Plan) -> list[str]:
    """Describe budget, time, and dropped shots, one sentence each."""
    told = [plan.money.sentence()] if plan.money else []
    told += plan.forecast.sentences() if plan.forecast else []
    if plan.dropped:
        told.append(f"No longer in the manifest, kept in the archive: {', '.join(plan.dropped)}")
    if plan.left_out:
        told.append(f"Left out, because their rows are wrong: {', '.join(one.shot for one in plan.left_out)}")
    return [line for line in told if line]


def failures_markdown(sidecars: Sequence[Sidecar], left_out: Sequence[LeftOut] = ()) -> str:
    """Format every failure with its reason and what to do, the first 200.

    First those whose rows are wrong. A list, for the UI folds no cells of tables; "" when nothing failed.
    """
    lines = [_format_left_out(one) for one in left_out]
    lines += [_format_failure(one, *found) for one in sidecars for found in _count_failures(one).items()]
    if not lines:
        return ""
    return "\n".join([*lines[:_MOST_ROWS], "", _describe_rest(len(lines))]).strip()


def _format_left_out(one: LeftOut) -> str:
    problems = "; ".join(str(problem) for problem in one.problems)
    return (
        f"- **{escaped(one.shot)}** is left out (manifest): {escaped(problems, _LONGEST_LINE)}\n"
        "  - *What to do:* mend the row and run the sheet again: just it is made"
    )


def mistake_markdown(error: CallsheetError) -> str:
    """Format what stopped a run as a list, a line each, the first 200."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    shown = [f"- {escaped(line, _LONGEST_LINE)}" for line in lines[:_MOST_ROWS]]
    more = f"and {len(lines) - _MOST_ROWS:,} more: `callsheet check` names them all" if len(lines) > _MOST_ROWS else ""
    return "\n".join([*shown, "", more]).strip()


@dataclass(frozen=True, slots=True)
class ContactSheet:
    """The pictures of a group of shots as one JPEG.

    `note` says in a sentence which states they are in.
    """

    label: str
    note: str
    jpeg: bytes = field(repr=False)


def contact_sheet_markdown(sheets: Sequence[ContactSheet]) -> str:
    """Format every group under its name, with its picture in the text as a data URI.

    So no archive has to be reachable.
    """
    return "\n\n".join(
        f"#### {escaped(sheet.label)}\n\n{escaped(sheet.note, 300)}\n\n"
        f"![{escaped(sheet.label)}](data:image/jpeg;base64,{base64.b64encode(sheet.jpeg).decode()})"
        for sheet in sheets
    )


def _format_failure(sidecar: Sidecar, failure: FailureRecord, times: int) -> str:
    step = escaped(failure.step) + (f", {times} times" if times > 1 else "")
    return (
        f"- **{escaped(sidecar.shot)}** is {sidecar.state} ({step}): {_format_reason(failure)}\n"
        f"  - *What to do:* {escaped(advice(failure.kind))} ({escaped(failure.kind)})"
    )


def _count_failures(sidecar: Sidecar) -> Counter[FailureRecord]:
    """Count how often each thing went wrong, whichever take, clip or cut it was."""
    parts = [take.failure for take in sidecar.takes]
    parts += [clip.failure for clip in (*sidecar.beginnings, *sidecar.clips)]
    parts += [cut_.failure for cut_ in sidecar.cuts]
    every = Counter(part.model_copy(update={"slot": ""}) for part in parts if part)
    own = (failure.model_copy(update={"slot": ""}) for failure in sidecar.failures)
    return every | Counter(dict.fromkeys(own, 1))


def _format_reason(failure: FailureRecord) -> str:
    return escaped(f"{failure.message} ({failure.reason})" if failure.reason else failure.message, 300)


def _count_actions(whats: Sequence[str]) -> str:
    return ", ".join(f"{what} {whats.count(what)}" for what in dict.fromkeys(whats))


def _describe_rest(count: int) -> str:
    return f"and {count - _MOST_ROWS:,} more; `plan.json` and the gallery have them all" if count > _MOST_ROWS else ""
