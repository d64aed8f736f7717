"""What whoever posts a cut has to tell, in one sentence."""

from __future__ import annotations

from callsheet.archive.disclosure import Disclosure
from callsheet.report.shown import cut

_NAMES = {"youtube": "YouTube", "tiktok": "TikTok", "meta": "Meta"}


def posting(disclosure: Disclosure) -> str:
    """The boxes to tick: those for everything that AI made first, then those for what looks real."""
    if not disclosure.ai_generated:
        return ""
    toggles = {name: getattr(disclosure.platform_toggle, key) for key, name in _NAMES.items()}
    told = {
        when: ", ".join(f"“{toggle.setting}” on {name}" for name, toggle in toggles.items() if toggle.tick == when)
        for when in ("always", "if realistic")
    }
    always, realistic = told["always"], told["if realistic"]
    parts = (always and f"tick {always}", realistic and f"if it looks real, {realistic}")
    return cut(f"{disclosure.label_text}: {'; '.join(filter(None, parts))}.", 400)
