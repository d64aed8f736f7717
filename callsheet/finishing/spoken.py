"""Captions out of plain text: cut into sentences and spread over the clip by how long they take to read."""

from __future__ import annotations

import re
import unicodedata

from callsheet.errors import MediaError
from callsheet.finishing.captions import MAX_CHARS_PER_S, Cue, clean_text

# Two lines of 42 characters, the usual limit of subtitles.
_PART_CHARS = 84
_SHORTEST_S = 0.7
# What it takes to see that the text has changed, in characters.
_NOTICE_CHARS = 6
# The full stops of Arabic, Hindi, Armenian, and of Chinese and Japanese, which put no space after them.
_SENTENCE = re.compile(r"(?<=[.!?\u2026\u061f\u0964\u0589])\s+|(?<=[\u3002\uff01\uff1f])\s*|\n")


def spread_text(text: str, duration_s: float) -> tuple[Cue, ...]:
    """Plain text as cues over the whole length, each as long as its share of the reading.

    MediaError when there is more text than can be read in that time.
    """
    sentences = [part.strip() for part in _SENTENCE.split(clean_text(text)) if part.strip()]
    parts = [part for sentence in sentences for part in _short(sentence)]
    chars = sum(map(_weight, parts))
    if chars > duration_s * MAX_CHARS_PER_S or len(parts) * _SHORTEST_S > duration_s:
        most = int(duration_s * MAX_CHARS_PER_S)
        raise MediaError(
            f"The captions have {chars} characters in {len(parts)} parts for {duration_s:.1f} s, in which at most "
            f"{most} characters in {int(duration_s / _SHORTEST_S)} parts can be read. Shorten them."
        )
    shares = [_weight(part) + _NOTICE_CHARS for part in parts]
    ends = [sum(shares[: count + 1]) / sum(shares) * duration_s for count in range(len(parts))]
    return tuple(Cue(start, end, part) for start, end, part in zip([0.0, *ends], ends, parts, strict=False))


def _short(sentence: str) -> list[str]:
    """The sentence in parts of about equal length that two lines can hold, divided between words."""
    count = -(-len(sentence) // _PART_CHARS)
    parts, words = [""], sentence.split(" ")
    for word in words:
        longer = f"{parts[-1]} {word}".strip()
        if parts[-1] and len(longer) > len(sentence) / count and len(parts) < count:
            parts.append(word)
        else:
            parts[-1] = longer
    return parts


def _weight(text: str) -> int:
    """How much there is to read: an ideograph counts twice."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
