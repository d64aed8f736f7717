"""Parts of a sidecar: a stranger's fields checked, finish and disclosure of cuts.

Names of files and moments are checked when they are read. The finish is in the words of callsheet.shots.Finish, and is
read back into it: pure.

The disclosure is what whoever posts a cut must declare to the platform: that AI made it, and which box says so where.
Rules as the platforms publish them, read 2026-11-21; the EU AI Act (Art. 50, since 2026-08-02) asks the same of whoever
shows pictures or videos that would pass for real. Not legal advice.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict

from callsheet.archive.layout import input_name, is_file_name
from callsheet.media.provenance import AI_GENERATED
from callsheet.platforms.spec import PlatformSpec
from callsheet.shots import LABEL, Finish, Reference


def _check_in_folder(name: str) -> str:
    if not is_file_name(name):
        raise ValueError(f"{name[:200]!r} is not the name of a file in its folder")
    return name


def _take_for_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


# A stranger's sidecar names nothing outside of its folder: pages link to it, and steps read it.
FileName = Annotated[str, AfterValidator(_check_in_folder)]
# One that names no zone is in UTC: the ledger takes no other.
Moment = Annotated[datetime, AfterValidator(_take_for_utc)]


class SidecarPart(BaseModel):
    """A part of a sidecar: frozen, and without fields that are not known."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class InputRecord(SidecarPart):
    """A file used to finish cuts, from the manifest's `uri`.

    `file` is its name in the batch's `inputs/`, "" as long as it is not there (no clip was made yet).
    """

    file: str = ""
    sha256: str
    size: int
    mime_type: str
    uri: str


class FinishRecord(SidecarPart):
    """The finish of the shot's cuts, in the words of callsheet.shots.Finish."""

    focus: str = "auto"
    captions: str | None = None
    captions_file: InputRecord | None = None
    logo: InputRecord | None = None
    end_card: InputRecord | None = None
    end_card_s: float = 2.0
    music: InputRecord | None = None
    label: str | None = None
    font: InputRecord | None = None

    def files(self) -> tuple[InputRecord, ...]:
        """Return the files among it."""
        return tuple(one for one in (self.captions_file, self.logo, self.end_card, self.music, self.font) if one)


def finish_record(finish: Finish, files: Collection[str]) -> FinishRecord | None:
    """Return the finish of a shot's cuts as its sidecar has it.

    None when there is none.

    `files` are the names in the batch's folder: a finishing file that is not among them has no name yet.
    """
    if finish == Finish():
        return None

    def to_record(file: Reference | None) -> InputRecord | None:
        if file is None:
            return None
        name = input_name("", file.sha256, file.mime_type).removeprefix("/")
        there = name.rpartition("/")[2] if name in files else ""
        return InputRecord(file=there, sha256=file.sha256, size=file.size, mime_type=file.mime_type, uri=file.uri)

    return FinishRecord(
        focus=finish.focus,
        captions=finish.captions,
        captions_file=to_record(finish.captions_file),
        logo=to_record(finish.logo),
        end_card=to_record(finish.end_card),
        end_card_s=finish.end_card_s,
        music=to_record(finish.music),
        label=finish.label,
        font=to_record(finish.font),
    )


def finish_of(record: FinishRecord | None) -> Finish:
    """Return the finish that a sidecar tells of."""

    def to_reference(file: InputRecord | None) -> Reference | None:
        return Reference(file.uri, file.sha256, file.mime_type, file.size) if file else None

    told = record or FinishRecord()
    return Finish(
        focus=told.focus,
        captions=told.captions,
        captions_file=to_reference(told.captions_file),
        logo=to_reference(told.logo),
        end_card=to_reference(told.end_card),
        end_card_s=told.end_card_s,
        music=to_reference(told.music),
        label=told.label,
        font=to_reference(told.font),
    )


class PlatformToggle(SidecarPart):
    """The AI box of one platform: its name for a person, and in the API (None: none).

    `tick` "always" is for everything that AI made; "if realistic" for what could be taken for real people, places or
    events, which only a person can judge. Ticking more than that is allowed everywhere.
    """

    setting: str
    api: str | None = None
    tick: Literal["always", "if realistic"]


class PlatformToggles(SidecarPart):
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


class Disclosure(SidecarPart):
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
