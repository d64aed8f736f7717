"""What whoever posts a cut has to tell, in one sentence."""

from __future__ import annotations

from collections.abc import Iterable

from callsheet.archive.disclosure import Disclosure
from callsheet.report.shown import cut

_NAMES = {"youtube": "YouTube", "tiktok": "TikTok", "meta": "Meta"}


def posting(disclosures: Iterable[Disclosure]) -> str:
    """The boxes to tick for some cuts: those for everything that AI made first, then those for what looks real."""
    told_of = [one for one in disclosures if one.ai_generated]
    if not told_of:
        return ""
    boxes = [(name, getattr(one.platform_toggle, key)) for key, name in _NAMES.items() for one in told_of]
    toggles = {name: toggle for name, toggle in boxes if toggle is not None}
    told = {
        when: ", ".join(f"“{toggle.setting}” on {name}" for name, toggle in toggles.items() if toggle.tick == when)
        for when in ("always", "if realistic")
    }
    always, realistic = told["always"], told["if realistic"]
    parts = (always and f"tick {always}", realistic and f"if it looks real, {realistic}")
    what = "; ".join(filter(None, parts)) or "say so where you post it"
    return cut(f"{told_of[0].label_text}: {what}.", 400)
