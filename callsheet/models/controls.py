"""The controls of a model beside its prompt, and the bounds of what it allows.

Controls are a system instruction (style), thresholds of safety, and a level of thinking. Bounds are the regions in
which models allow less, and the steps by which a model makes videos longer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from callsheet.errors import SettingsError

# The words of a manifest, and Google's (google-genai 3.6.1, HarmBlockThreshold, 2026-11-30).
THRESHOLDS: Mapping[str, str] = {
    "low_and_above": "BLOCK_LOW_AND_ABOVE",
    "medium_and_above": "BLOCK_MEDIUM_AND_ABOVE",
    "only_high": "BLOCK_ONLY_HIGH",
    "none": "BLOCK_NONE",
    "off": "OFF",
}
# The categories that a threshold without a name is for.
ALL_CATEGORIES = (
    "HARM_CATEGORY_HARASSMENT",
    "HARM_CATEGORY_HATE_SPEECH",
    "HARM_CATEGORY_SEXUALLY_EXPLICIT",
    "HARM_CATEGORY_DANGEROUS_CONTENT",
)
_NAMES = (
    *(name.removeprefix("HARM_CATEGORY_").lower() for name in ALL_CATEGORIES),
    "civic_integrity",
    "jailbreak",
    "image_hate",
    "image_dangerous_content",
    "image_harassment",
    "image_sexually_explicit",
)
ThinkingLevel = Literal["minimal", "low", "medium", "high", "xhigh"]
THINKING: tuple[ThinkingLevel, ...] = ("minimal", "low", "medium", "high", "xhigh")
Region = Literal["eea", "uk", "ch", "mena"]
# The EEA by its treaty; MENA as the World Bank lists it, without Malta (2026-11). Google names the groups alone.
_EEA = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IS IT LI LT LU LV MT NL NO PL PT RO SE SI SK"
_MENA = "AE BH DJ DZ EG IL IQ IR JO KW LB LY MA OM PS QA SA SY TN YE"
COUNTRIES: dict[Region, frozenset[str]] = {
    "eea": frozenset(_EEA.split()),
    "uk": frozenset({"GB", "UK"}),
    "ch": frozenset({"CH"}),
    "mena": frozenset(_MENA.split()),
}
EVERY_REGION = frozenset(COUNTRIES)


@dataclass(frozen=True, slots=True)
class Controls:
    """The controls that a model takes.

    By platform: `safety` are categories of harm, `audio` and `enhance_prompt` what may be said of them: on, off.
    """

    system_instruction: bool = False
    safety: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    thinking: tuple[str, ...] = ()
    audio: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    enhance_prompt: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def threshold_word(written: str) -> str | None:
    """Return Google's word for a threshold of a manifest, None for none."""
    word = written.strip().casefold().removeprefix("block_")
    return THRESHOLDS.get(word)


def category_word(written: str) -> str | None:
    """Return Google's word for a category of harm, None for none."""
    word = written.strip().casefold().replace(" ", "_").removeprefix("harm_category_")
    return f"HARM_CATEGORY_{word.upper()}" if word in _NAMES else None


def find_regions(place: str | None) -> frozenset[Region]:
    """Return the regions with rules of their own that a country or region is in.

    Raises SettingsError for what is neither.
    """
    if place is None or not place.strip():
        return frozenset()
    name = place.strip().upper()
    if name in ("EU", *(region.upper() for region in get_args(Region))):
        return frozenset(region for region in COUNTRIES if region == {"EU": "eea"}.get(name, name.lower()))
    if len(name) != 2 or not (name.isascii() and name.isalpha()):
        raise SettingsError(
            f"CALLSHEET_REGION is {place[:20]!r}: name a country by its two letters (DE, GB, US), or EEA, UK, CH, MENA."
        )
    return frozenset(region for region, countries in COUNTRIES.items() if name in countries)


@dataclass(frozen=True, slots=True)
class Extension:
    """The steps by which a model makes videos longer, in seconds.

    Each adds `step_s` to a video of at most `longest_source_s` (by platform); none becomes longer than `longest_s`.
    """

    step_s: int
    longest_s: int
    most_steps: int
    resolutions: tuple[str, ...] = ()
    longest_source_s: Mapping[str, int] = field(default_factory=dict)

    def count_steps(self, duration_s: int, platform: str | None = None) -> int:
        """Return how many steps a video of that length can go; None: where most are."""
        known = self.longest_source_s
        source_s = known.get(platform, 0) if platform else max(known.values(), default=0)
        steps = min((self.longest_s - duration_s) // self.step_s, (source_s - duration_s) // self.step_s + 1)
        return max(0, min(self.most_steps, steps))
