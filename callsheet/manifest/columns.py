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
# A seed is a signed 32-bit number in generateContent (google-genai 3.4.0, GenerationConfig.seed, 2026-11-21).
MAX_SEED = 2**31 - 1

# Ids and campaigns become folder names in the archive, so they are ASCII and safe in every file system and URL.
ID_PATTERN = r"^[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.|$)){0,199}$"
CAMPAIGN_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,99}$"
CAMPAIGN = re.compile(CAMPAIGN_PATTERN.replace("$", r"\Z"))
SELECT_WORDS = ("best", "first", "all", "approve")
SELECT_PATTERN = rf"^(?:{'|'.join(SELECT_WORDS)}|[0-9]{{1,2}}(?:\s*[;,|]\s*[0-9]{{1,2}})*)$"
_SEPARATORS = re.compile(r"[;,|]")

Cell = str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A column that callsheet knows.

    `video` columns have no effect on a shot without a motion prompt.
    """

    kind: Literal["text", "whole", "list"]
    description: str
    video: bool = False


COLUMNS: dict[str, Column] = {
    "id": Column("text", "Stable name of the shot, unique without regard to case; 0001, 0002 ... when absent."),
    "prompt": Column("text", "What the picture shows. May hold {placeholders}."),
    "negative_prompt": Column("text", "What must not be seen."),
    "image_model": Column("text", "Model that makes the pictures; see `callsheet models`."),
    "aspect_ratio": Column("text", "Aspect of the picture, such as 16:9."),
    "image_size": Column("text", "Size of the picture: 512, 1K, 2K or 4K, as the model allows."),
    "takes": Column("whole", "Candidate pictures, 1 to 20; 0 with a motion prompt makes the video from text alone."),
    "seed": Column("whole", "Seed for models that take one, 0 to 2147483647."),
    "reference_images": Column(
        "list",
        "Pictures that picture, or video of text alone, keep to: paths beside the manifest, or allowed gs:// URIs.",
    ),
    "select": Column("text", "Takes to animate: best, first, all, numbers, or approve (a person chooses).", video=True),
    "person_generation": Column(
        "text", "Which people may be shown, in picture and video: none, adults or all, or the model's own word."
    ),
    "motion_prompt": Column("text", "How the chosen picture moves; a shot without it stays a picture."),
    "video_model": Column("text", "Model that makes the video; see `callsheet models`.", video=True),
    "video_aspect_ratio": Column(
        "text", "Aspect of the video; the one nearest to the picture's when absent.", video=True
    ),
    "resolution": Column("text", "Resolution of the video: 720p, 1080p or 4k, as the model allows.", video=True),
    "duration_s": Column("whole", "Length of the video in seconds, as the model allows.", video=True),
    "last_frame": Column("text", "Picture that the video ends on.", video=True),
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


def items_of(cell: Cell | None) -> tuple[str, ...]:
    """Return the items of a list cell, without blanks.

    A YAML list as it is, text split at `;`, `,` or `|`.
    """
    parts = _SEPARATORS.split(cell) if isinstance(cell, str) else (cell or ())
    return tuple(part.strip() for part in parts if part.strip())
