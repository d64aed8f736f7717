"""Markdown for the Prefect UI: plan, failures, spend and contact sheets. Pure; texts of the batch are inert in it."""

from __future__ import annotations

import base64
import string
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from callsheet.archive.sidecar import FailureRecord, Sidecar
from callsheet.plan import Kind, Plan
from callsheet.report.advice import advice
from callsheet.report.shown import counted, cut, dollars

_KINDS: tuple[tuple[Kind, str], ...] = (("image", "Pictures"), ("video", "Videos"), ("cut", "Cuts"))
# An artifact is one row in the server's database and one page in a browser.
_MOST_ROWS = 200
_LONGEST_CELL = 160
_PLAIN = frozenset(" ,;'-")


def escaped(text: str, limit: int = _LONGEST_CELL) -> str:
    """Untrusted text for a Markdown cell: one line, cut, and nothing in it is Markdown, HTML or a link.

    Punctuation becomes numeric references, which CommonMark takes as text only (spec 0.31.2, section 6.2).
    """
    line = " ".join(cut(text, limit).split())
    return "".join(
        f"&#{ord(character)};" if character in string.punctuation and character not in _PLAIN else character
        for character in line
    )


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
            _table(("", "What will be done"), totals),
            *(escaped(line, 300) for line in _outlook(plan)),
            _table(("Shot", "Prompt", "What will be done", "Why", "Cost"), rows),
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
    return f"{_table(('Shot', 'State', 'What', 'Why', 'What to do'), rows)}\n\n{_rest(len(found))}".strip()


def spend_markdown(summary: Mapping[str, Any]) -> str:
    """What a run cost and made, from the object that `run --json` prints."""
    usd, shots = summary["usd"], summary["shots"]
    rows = [
        ["Spent by this batch", dollars(usd["spent"])],
        ["Estimated for this run", dollars(usd["estimated"])],
        *([kind.capitalize(), _counts(summary[kind])] for kind in ("images", "videos", "cuts")),
        ["Shots", _counts(shots)],
    ]
    note = "A rehearsal: the amounts are what it would have cost.\n\n" if summary["mode"] == "rehearsal" else ""
    return note + _table((escaped(summary["batch"]), ""), rows)


def contact_sheet_markdown(images: Sequence[tuple[str, bytes]]) -> str:
    """The JPEG pictures with their labels, inside the text as data URIs, so no archive has to be reachable."""
    return "\n\n".join(
        f"**{escaped(label)}**\n\n![{escaped(label)}](data:image/jpeg;base64,{base64.b64encode(data).decode()})"
        for label, data in images
    )


def _failures(sidecar: Sidecar) -> list[FailureRecord]:
    records = [*(take.failure for take in sidecar.takes), *(clip.failure for clip in sidecar.clips)]
    every = [*sidecar.failures, *records, *(cut_.failure for cut_ in sidecar.cuts)]
    return list(dict.fromkeys(failure for failure in every if failure))


def _reason(failure: FailureRecord) -> str:
    return escaped(f"{failure.message} ({failure.reason})" if failure.reason else failure.message, 300)


def _doing(whats: Sequence[str]) -> str:
    return ", ".join(f"{what} {whats.count(what)}" for what in dict.fromkeys(whats))


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "none"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = (f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))
    return "\n".join(lines)


def _rest(count: int) -> str:
    return f"and {count - _MOST_ROWS:,} more; `plan.json` and the gallery have them all" if count > _MOST_ROWS else ""
