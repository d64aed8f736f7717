"""Captions: texts and their times, read from files of others.

So everything in them is bounded and checked.
"""

from __future__ import annotations

import codecs
import html
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from callsheet.errors import MediaError

MAX_BYTES = 1024 * 1024
MAX_CUES = 500
MAX_CUE_CHARS = 500
# Adults read 15 to 20 characters a second with ease (subtitling guides; third party, 2026-11-21).
MAX_CHARS_PER_S = 30.0
# A cue that runs into the next by less only flashes there.
_SLIVER_S = 0.1
_TIME = re.compile(r"(?:([0-9]{1,3}):)?([0-5]?[0-9]):([0-5]?[0-9])(?:[.,]([0-9]{1,3}))?")
_ARROW = "-->"
# Tags of SRT and WebVTT (with their time stamps), and the overrides that some SRT files take over from ASS.
_MARKUP = re.compile(r"</?[a-zA-Z][^<>]*>|<[0-9:.]+>|\{\\[^{}]*\}")
_SKIPPED = ("NOTE", "STYLE", "REGION")


@dataclass(frozen=True, slots=True)
class Cue:
    """Text shown from `start_s` to before `end_s`.

    Lines are separated by newlines, without markup.
    """

    start_s: float
    end_s: float
    text: str


def read_captions(data: bytes, name: str = "the captions") -> tuple[Cue, ...]:
    """Read the cues of an SRT or WebVTT file in order of time, never two at once.

    What overlaps is shown together. Tags, settings and comments are left out. MediaError names the file, the line, what
    is wrong and what to do.
    """
    if len(data) > MAX_BYTES:
        raise MediaError(f"{name} has {len(data)} bytes; captions may have {MAX_BYTES // 1024} kB.")
    lines = _decode(data, name).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    web = lines[0].startswith("WEBVTT")
    cues = []
    for number, block in _split_blocks(lines):
        if web and (number == 1 or block[0].split(" ")[0].rstrip() in _SKIPPED):
            continue
        cue = _parse_cue(number, block, web, name)
        if cue.text:
            cues.append(cue)
        if len(cues) > MAX_CUES:
            raise MediaError(f"{name}, line {number}: there are more than {MAX_CUES} captions. Split the file.")
    if not cues:
        raise MediaError(f"{name} holds no captions. It must be SRT or WebVTT, with times and text.")
    return _merge_overlaps(cues)


def _decode(data: bytes, name: str) -> str:
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise MediaError(f"{name}, line {line}: the text is not UTF-8. Save the file as UTF-8.") from None


def _split_blocks(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the stretches between empty lines, with the number of their first line."""
    block: list[str] = []
    for number, line in enumerate([*lines, ""], 1):
        if line.strip():
            block.append(line)
        elif block:
            yield number - len(block), block
            block = []


def _parse_cue(number: int, block: list[str], web: bool, name: str) -> Cue:
    # The line of times comes first, or second after a number or name.
    at = next((index for index, line in enumerate(block[:2]) if _ARROW in line), None)
    if at is None:
        raise MediaError(f'{name}, line {number}: there is no time such as "00:00:01,000 --> 00:00:02,500".')
    text = block[at + 1 :]
    if inner := next((index for index, line in enumerate(text, number + at + 1) if _ARROW in line), None):
        raise MediaError(f"{name}, line {inner}: a time stands within a caption. Put an empty line before its number.")
    start, end = _parse_times(block[at], f"{name}, line {number + at}")
    cue = Cue(start, end, _strip_markup("\n".join(text), web))
    if len(cue.text) > MAX_CUE_CHARS:
        raise MediaError(f"{name}, line {number}: the caption has over {MAX_CUE_CHARS} characters. Split it.")
    return cue


def _parse_times(line: str, place: str) -> tuple[float, float]:
    left, _, right = line.partition(_ARROW)
    after = right.split()  # settings may follow the second time
    start, end = _TIME.fullmatch(left.strip()), _TIME.fullmatch(after[0]) if after else None
    if start is None or end is None:
        raise MediaError(f'{place}: the times cannot be read. Write them as "00:00:01,000 --> 00:00:02,500".')
    if _count_seconds(end) <= _count_seconds(start):
        raise MediaError(f"{place}: the caption ends before it begins. Exchange its times.")
    return _count_seconds(start), _count_seconds(end)


def _count_seconds(match: re.Match[str]) -> float:
    hours, minutes, seconds, fraction = match.groups(default="0")
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds) + float(f"0.{fraction}")


def _strip_markup(text: str, web: bool) -> str:
    text = _MARKUP.sub("", text)
    if web:
        text = html.unescape(text)
    return clean_text(text)


def clean_text(text: str) -> str:
    """Compose the text (NFC) and remove control characters and spare spaces.

    Empty lines and spaces at the ends of lines are removed too.
    """
    text = unicodedata.normalize("NFC", text.replace("\t", " "))
    kept = "".join(char for char in text if char == "\n" or unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp"))
    return "\n".join(line for line in (" ".join(line.split()) for line in kept.split("\n")) if line)


def _merge_overlaps(cues: Sequence[Cue]) -> tuple[Cue, ...]:
    cues = sorted(cues, key=lambda cue: (cue.start_s, cue.end_s))
    cues = [_cut_sliver(cue, after) for cue, after in pairwise(cues)] + cues[-1:]
    shown: list[Cue] = []
    for start, end in pairwise(sorted({time for cue in cues for time in (cue.start_s, cue.end_s)})):
        text = "\n".join(dict.fromkeys(cue.text for cue in cues if cue.start_s <= start and end <= cue.end_s))
        if shown and shown[-1].text == text and shown[-1].end_s == start:
            shown[-1] = replace(shown[-1], end_s=end)
        elif text:
            shown.append(Cue(start, end, text))
    return tuple(shown)


def _cut_sliver(cue: Cue, after: Cue) -> Cue:
    inside = cue.start_s < after.start_s < cue.end_s < after.start_s + _SLIVER_S
    return replace(cue, end_s=after.start_s) if inside else cue


# Two lines of 42 characters, the usual limit of subtitles.
_PART_CHARS = 84
_SHORTEST_S = 0.7
# What it takes to see that the text has changed, in characters.
_NOTICE_CHARS = 6
# The full stops of Arabic, Hindi, Armenian, and of Chinese and Japanese, which put no space after them.
_SENTENCE = re.compile(r"(?<=[.!?\u2026\u061f\u0964\u0589])\s+|(?<=[\u3002\uff01\uff1f])\s*|\n")


def spread_text(text: str, duration_s: float) -> tuple[Cue, ...]:
    """Spread plain text as cues over the whole length.

    Each is as long as its share of the reading. MediaError when there is more text than can be read in that time.
    """
    sentences = [part.strip() for part in _SENTENCE.split(clean_text(text)) if part.strip()]
    parts = [part for sentence in sentences for part in _divide(sentence)]
    chars = sum(map(_weigh, parts))
    if chars > duration_s * MAX_CHARS_PER_S or len(parts) * _SHORTEST_S > duration_s:
        most = int(duration_s * MAX_CHARS_PER_S)
        raise MediaError(
            f"The captions have {chars} characters in {len(parts)} parts for {duration_s:.1f} s, in which at most "
            f"{most} characters in {int(duration_s / _SHORTEST_S)} parts can be read. Shorten them."
        )
    shares = [_weigh(part) + _NOTICE_CHARS for part in parts]
    ends = [sum(shares[: count + 1]) / sum(shares) * duration_s for count in range(len(parts))]
    return tuple(Cue(start, end, part) for start, end, part in zip([0.0, *ends], ends, parts, strict=False))


def _divide(sentence: str) -> list[str]:
    """Divide the sentence between words into parts that two lines can show.

    The parts are of about equal length.
    """
    count = -(-len(sentence) // _PART_CHARS)
    parts, words = [""], sentence.split(" ")
    for word in words:
        longer = f"{parts[-1]} {word}".strip()
        if parts[-1] and len(longer) > len(sentence) / count and len(parts) < count:
            parts.append(word)
        else:
            parts[-1] = longer
    return parts


def _weigh(text: str) -> int:
    """Return how much there is to read: an ideograph counts twice."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
