"""Disclosure: what whoever posts a cut must declare to the platform.

That AI made it, and which box says so where. Rules as the platforms publish them, read 2026-11-21; the EU AI Act (Art.
50, since 2026-08-02) asks the same of whoever shows pictures or videos that would pass for real. Not legal advice.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from callsheet.media.provenance import AI_GENERATED
from callsheet.platforms.spec import PlatformSpec
from callsheet.shots import LABEL


class _DisclosurePart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PlatformToggle(_DisclosurePart):
    """The AI box of one platform: its name for a person, and in the API (None: none).

    `tick` "always" is for everything that AI made; "if realistic" for what could be taken for real people, places or
    events, which only a person can judge. Ticking more than that is allowed everywhere.
    """

    setting: str
    api: str | None = None
    tick: Literal["always", "if realistic"]


class PlatformToggles(_DisclosurePart):
    """The boxes of the platforms that a cut is made for.

    Of one, or of all where the cut is for none in particular.
    """

    # support.google.com/youtube/answer/14328491; developers.google.com/youtube/v3/revision_history (2024-10-30).
    youtube: PlatformToggle | None = PlatformToggle(
        setting="Altered or synthetic content: Yes", api="status.containsSyntheticMedia", tick="if realistic"
    )
    # developers.tiktok.com/doc/content-posting-api-reference-direct-post. The Community Guidelines demand the label for
    # realistic scenes and encourage it for the rest; files with C2PA get it by themselves.
    tiktok: PlatformToggle | None = PlatformToggle(
        setting="AI-generated content", api="post_info.is_aigc", tick="always"
    )
    # meta.com/help/artificial-intelligence/1783222608822690. Files with IPTC or C2PA marks get "AI info" by themselves.
    meta: PlatformToggle | None = PlatformToggle(setting="Add AI label (AI info)", tick="if realistic")


class Disclosure(_DisclosurePart):
    """The declaration for one cut.

    `label_text` is for wherever a platform has no box.
    """

    ai_generated: bool = True
    digital_source_type: str = AI_GENERATED
    label_text: str = LABEL
    platform_toggle: PlatformToggles = PlatformToggles()


# Whose box it is, by the first word of a platform's title.
_BOXES = {"YouTube": "youtube", "TikTok": "tiktok", "Instagram": "meta", "Facebook": "meta"}


def disclosure_for(platform: PlatformSpec, label: str | None = None) -> Disclosure:
    """Build the declaration for a cut for this platform.

    It has the platform's own box, none where it has none, and all for a plain aspect. `label` are the words drawn on
    the picture, which then stand for `label_text` too.
    """
    own = _BOXES.get(platform.title.partition(" ")[0])
    plain = platform.title[:1].isdigit()
    others = {name: None for name in PlatformToggles.model_fields if not plain and name != own}
    told = Disclosure(platform_toggle=PlatformToggles(**others))
    return told.model_copy(update={"label_text": label}) if label else told
