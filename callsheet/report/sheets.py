"""Markdown for the Prefect UI: plan, failures and contact sheets. Pure; texts of the batch are inert in it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from callsheet.archive.sidecar import FailureRecord, Sidecar
from callsheet.plan import Kind, Plan
from callsheet.report.advice import advice
from callsheet.report.markdown import escaped, table
from callsheet.report.shown import counted, dollars

_KINDS: tuple[tuple[Kind, str], ...] = (("image", "Pictures"), ("video", "Videos"), ("cut", "Cuts"))
# An artifact is one row in the server's database and one page in a browser.
_MOST_ROWS = 200


def plan_markdown(plan: Plan) -> str:
    """What a run will make, reuse and resume, and why; cost, budget and time; the first 200 shots one by one."""
    rows = [
        [
            escaped(one.shot.id),
            escaped(one.shot.prompt),
            _doing([a.what for a in one.actions]),
            escaped("; ".join(dict.fromkeys(a.why for a in one.actions if a.why)), 300),
            _cost(one.usd, one.usd_high),
        ]
        for one in plan.shots[:_MOST_ROWS]
    ]
    totals = [[title, _doing(list(plan.counts(kind).elements())) or "none"] for kind, title in _KINDS]
    return "\n\n".join(
        part
        for part in (
            f"**{escaped(plan.batch.name)}**: {counted(len(plan.shots), 'shot')}, **{_cost(plan.usd, plan.usd_high)}**",
            table(("", "What will be done"), totals),
            *(escaped(line, 300) for line in _outlook(plan)),
            table(("Shot", "Prompt", "What will be done", "Why", "Cost"), rows),
            _rest(len(plan.shots)),
        )
        if part
    )


def _cost(low: Decimal, high: Decimal) -> str:
    return dollars(low) if low == high else f"{dollars(low)} to {dollars(high)}"


def _outlook(plan: Plan) -> list[str]:
    """Budget, time, and what the manifest has no more, one sentence each."""
    told = [plan.money.sentence()] if plan.money else []
    told += plan.forecast.sentences() if plan.forecast else []
    if plan.dropped:
        told.append(f"No longer in the manifest, kept in the archive: {', '.join(plan.dropped)}")
    return [line for line in told if line]


def failures_markdown(sidecars: Sequence[Sidecar]) -> str:
    """Every failure with its reason and what to do, the first 200."""
    found = [(sidecar, failure) for sidecar in sidecars for failure in _failures(sidecar)]
    if not found:
        return "Nothing failed."
    rows = [
        [escaped(s.shot), s.state, escaped(f"{f.step}: {f.kind}"), _reason(f), escaped(advice(f.kind))]
        for s, f in found[:_MOST_ROWS]
    ]
    return f"{table(('Shot', 'State', 'What', 'Why', 'What to do'), rows)}\n\n{_rest(len(found))}".strip()


@dataclass(frozen=True, slots=True)
class ContactSheet:
    """The pictures of a group of shots as one JPEG; `note` says in a sentence how they stand."""

    label: str
    note: str
    jpeg: bytes = field(repr=False)


def contact_sheet_markdown(sheets: Sequence[ContactSheet]) -> str:
    """Every group under its name, its picture inside the text as a data URI, so no archive has to be reachable."""
    return "\n\n".join(
        f"#### {escaped(sheet.label)}\n\n{escaped(sheet.note, 300)}\n\n"
        f"![{escaped(sheet.label)}](data:image/jpeg;base64,{base64.b64encode(sheet.jpeg).decode()})"
        for sheet in sheets
    )


def _failures(sidecar: Sidecar) -> list[FailureRecord]:
    records = [*(take.failure for take in sidecar.takes), *(clip.failure for clip in sidecar.clips)]
    every = [*sidecar.failures, *records, *(cut_.failure for cut_ in sidecar.cuts)]
    return list(dict.fromkeys(failure for failure in every if failure))


def _reason(failure: FailureRecord) -> str:
    return escaped(f"{failure.message} ({failure.reason})" if failure.reason else failure.message, 300)


def _doing(whats: Sequence[str]) -> str:
    return ", ".join(f"{what} {whats.count(what)}" for what in dict.fromkeys(whats))


def _rest(count: int) -> str:
    return f"and {count - _MOST_ROWS:,} more; `plan.json` and the gallery have them all" if count > _MOST_ROWS else ""
