"""The columns of a manifest and the bounds of its values.

One list for CSV, YAML, checks and JSON Schema.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

MAX_SHOTS = 100_000
MAX_CELL_CHARS = 20_000
MAX_COLUMNS = 2_000
# A small file can expand to much text by defaults, templates and matrix.
MAX_TOTAL_CHARS = 128 * 1024 * 1024
MAX_PROBLEMS = 1_000
MAX_TAKES = 20
# Our own limit: each is paid for as the first is, dollars where a picture costs cents, and the choice waits for all.
MAX_CLIPS = 4
# A picture that was edited so often has little left of the first.
MAX_CHAIN = 20
# A seed is a signed 32-bit number in generateContent (google-genai 3.4.0, GenerationConfig.seed, 2026-11-21).
MAX_SEED = 2**31 - 1

# Ids and campaigns become folder names in the archive, so they are ASCII and safe in every file system and URL.
ID_PATTERN = r"^[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.|$)){0,199}$"
CAMPAIGN_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,99}$"
CAMPAIGN = re.compile(CAMPAIGN_PATTERN.replace("$", r"\Z"))
SELECT_WORDS = ("best", "first", "all", "approve")
SELECT_PATTERN = rf"^(?:{'|'.join(SELECT_WORDS)}|[0-9]{{1,2}}(?:\s*[;,|]\s*[0-9]{{1,2}})*)$"
_SEPARATORS = re.compile(r"[;,|]")
_BREAKS = re.compile(r"[|\r\n]")

Cell = str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A column that callsheet knows.

    `video` columns have no effect on a shot without a motion prompt.
    """

    kind: Literal["text", "whole", "list", "texts"]
    description: str
    video: bool = False


COLUMNS: dict[str, Column] = {
    "id": Column("text", "Stable name of the shot, unique without regard to case; 0001, 0002 ... when absent."),
    "prompt": Column("text", "What the picture shows. May hold {placeholders}."),
    "negative_prompt": Column("text", "What must not be seen."),
    "image_model": Column(
        "text",
        "Model that makes the pictures; see `callsheet models`. Of several (a | b), the next is asked when one is "
        "overloaded for long or shut down, and nothing was accepted.",
    ),
    "aspect_ratio": Column("text", "Aspect of the picture, such as 16:9."),
    "image_size": Column("text", "Size of the picture: 512, 1K, 2K or 4K, as the model allows."),
    "takes": Column("whole", "Candidate pictures, 1 to 20; 0 with a motion prompt makes the video from text alone."),
    "seed": Column("whole", "Seed for models that take one, 0 to 2147483647."),
    "reference_images": Column(
        "list",
        "Pictures that picture, or video of text alone, keep to: paths beside the manifest, or allowed gs:// URIs.",
    ),
    "edit_of": Column(
        "text",
        "Picture that this one is made from by its prompt: a shot of the sheet, perhaps with its take (kite, kite:2), "
        "or a file, such as one that an earlier batch archived.",
    ),
    "edits": Column(
        "texts",
        "Instructions by which the picture is edited, one after the other: a list, or separated by | or line breaks. "
        "Each is a shot of its own, ID-edit-1 and so on; the last one is animated.",
    ),
    "select": Column("text", "Takes to animate: best, first, all, numbers, or approve (a person chooses).", video=True),
    "person_generation": Column(
        "text", "Which people may be shown, in picture and video: none, adults or all, or the model's own word."
    ),
    "system_instruction": Column("text", "Style that the model of the pictures keeps to beside the prompt."),
    "safety": Column(
        "list",
        "What the model of the pictures blocks: only_high, or by category such as harassment=only_high; default sends "
        "nothing.",
    ),
    "thinking": Column("text", "How much the model of the pictures thinks: minimal to high, as it allows; or default."),
    "motion_prompt": Column("text", "How the chosen picture moves; a shot without it stays a picture."),
    "video_model": Column(
        "text", "Model that makes the video; see `callsheet models`. Several (a | b) as for pictures.", video=True
    ),
    "fallback_on_quota": Column(
        "text", "Whether the next model of several is also asked when the day's requests are used up: on or off."
    ),
    "video_aspect_ratio": Column(
        "text", "Aspect of the video; the one nearest to the picture's when absent.", video=True
    ),
    "resolution": Column("text", "Resolution of the video: 720p, 1080p or 4k, as the model allows.", video=True),
    "duration_s": Column("whole", "Length of the video in seconds, as the model allows.", video=True),
    "clip_edits": Column(
        "texts",
        "Instructions by which the clip is edited, one after the other, where its model does that (Omni): a list, or "
        "separated by | or line breaks. A paid step each.",
        video=True,
    ),
    "extend": Column(
        "whole",
        "How many times the video is made longer, each time by the seconds of its model (Veo 7, Omni 10): a paid step "
        "each.",
        video=True,
    ),
    "clips": Column(
        "whole",
        "How many clips are made of each frame, 1 to 4, each paid for; `select_clip` tells which one goes on.",
        video=True,
    ),
    "select_clip": Column(
        "text",
        "Clip of several that goes on: best (by what they look like), first (that was made), or its number.",
        video=True,
    ),
    "last_frame": Column("text", "Picture that the video ends on.", video=True),
    "audio": Column("text", "Sound of the video: on or off, where that can be said; or default.", video=True),
    "enhance_prompt": Column(
        "text", "Whether the model may rewrite the motion prompt: on or off, as it allows; or default.", video=True
    ),
    "video_references": Column(
        "list",
        "Pictures that a video of text alone keeps to: files, or takes of this manifest such as kite:2 or kite:chosen; "
        "style=look.png gives its style, where the model takes one.",
        video=True,
    ),
    "cuts": Column("list", "Platforms and aspects to cut the video for; see `callsheet platforms`.", video=True),
    "focus": Column(
        "text",
        "Where the cuts look: auto, ask, centre, left, right, top, bottom, a point x,y or a box left,top,right,bottom.",
        video=True,
    ),
    "captions": Column("text", "Words on the cuts: text, or the path of an .srt or .vtt file.", video=True),
    "logo": Column("text", "Picture laid into a corner of the cuts.", video=True),
    "end_card": Column("text", "Picture shown for two seconds after the clip.", video=True),
    "music": Column("text", "Audio file laid under the sound of the cuts.", video=True),
    "label": Column("text", "Disclosure drawn on the cuts: yes for the usual words, or your own.", video=True),
    "tags": Column("list", "Words to find the shot by."),
}


#: What `run --write-back` adds to a copy of the sheet. Such columns are nobody's variables, and in no hash.
STATUS_COLUMNS = ("callsheet_state", "callsheet_link", "callsheet_cost_usd")

# Not known before 2026-12. In a sheet that uses such a name as a {placeholder} it is a variable, as it was.
LATER = frozenset(
    {
        *("system_instruction", "safety", "thinking", "edit_of", "edits"),
        *("video_references", "audio", "enhance_prompt", "extend", "fallback_on_quota"),
        *("clips", "select_clip", "clip_edits"),
    }
)


def models_of(cell: Cell | None) -> tuple[str, ...]:
    """Return the models of a cell in their order, split at `|`, blank ones too."""
    text = " | ".join(cell) if isinstance(cell, tuple) else cell
    return tuple(part.strip() for part in text.split("|")) if text else ()


def instructions_of(cell: Cell | None) -> tuple[str, ...]:
    """Return the texts of a cell, without blanks.

    A YAML list as it is, text split at `|` and line breaks: sentences have commas.
    """
    parts = _BREAKS.split(cell) if isinstance(cell, str) else (cell or ())
    return tuple(part.strip() for part in parts if part.strip())


def items_of(cell: Cell | None) -> tuple[str, ...]:
    """Return the items of a list cell, without blanks.

    A YAML list as it is, text split at `;`, `,` or `|`.
    """
    parts = _SEPARATORS.split(cell) if isinstance(cell, str) else (cell or ())
    return tuple(part.strip() for part in parts if part.strip())
