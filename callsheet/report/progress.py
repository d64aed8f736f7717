"""How far a batch is, in a sentence for the Prefect UI."""

from __future__ import annotations

from decimal import Decimal

from callsheet.context.progress import STEPS, Progress
from callsheet.report.shown import counted, dollars
from callsheet.shots import Batch

_NOUNS = {"images": "pictures", "clips": "clips", "cuts": "cuts", "shots": "shots"}


def progress_sentence(batch: Batch, progress: Progress, spent: Decimal) -> str:
    """`spring.live: pictures 3 of 12, clips 0 of 4, shots 1 of 6; 1 shot without success; $0.40 spent`."""
    steps = [
        f"{_NOUNS[step]} {progress.ended[step]:,} of {progress.wanted[step]:,}"
        for step in STEPS
        if progress.wanted[step]
    ]
    parts = [", ".join(steps) or "nothing to do"]
    if failed := progress.failed["shots"]:
        parts.append(f"{counted(failed, 'shot')} without success")
    parts.append(f"{dollars(spent)} {'spent' if batch.mode == 'live' else 'at list price'}")
    return f"{batch.name}: {'; '.join(parts)}"
