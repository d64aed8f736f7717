"""Reading YAML into plain nodes that know their line.

Scalars stay the text that is written, which keeps `16:9`, `1K` and `no` what they look like. Tags, anchors and aliases
are refused, depth is bounded, and repeated keys are problems, so a document can do nothing but hold text. What is
wrong with a file (fences, tabs, texts that need quotes) is said in the words of whoever wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from callsheet.errors import Problem
from callsheet.manifest.problems import Findings, quote_value

_MAX_DEPTH = 10
# Texts that are sent: a comment behind one may be its end.
_TEXTS = frozenset({"prompt", "motion_prompt", "negative_prompt", "system_instruction", "captions", "label"})
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_NOT_VALID = "not valid YAML"
_FENCE = re.compile(r"\s*(```|~~~)")
_TABBED = re.compile(r" *\t")
# What may not begin a plain text (YAML 1.2, 5.3), after a key or a dash.
_NEEDS_QUOTES = re.compile(r"""\s*(?:-\s+)?(?:[\w "']+:\s+)?([@`%])""")
_KEY_AND_TEXT = re.compile(r"\s*(?:-\s+)?([\w]+):\s+(.*\S)")
_COMMENT = re.compile(r"\s+#(.*)")


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """Text as written, None for an empty value."""

    text: str | None
    line: int


@dataclass(frozen=True, slots=True)
class ListNode:
    """A sequence."""

    line: int
    items: list[Node] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class MapNode:
    """A mapping; `key_lines` holds the line of each key."""

    line: int
    items: dict[str, Node] = field(default_factory=dict)
    key_lines: dict[str, int] = field(default_factory=dict)


Node = ScalarNode | ListNode | MapNode


class _BadDocument(Exception):
    def __init__(self, line: int, what: str, allowed: str = "") -> None:
        super().__init__(what)
        self.line = line
        self.what = what
        self.allowed = allowed


def read_document(text: str, file: str, findings: Findings) -> Node | None:
    """Read the one document in `text`.

    None, with a problem in `findings`, when it is empty or not acceptable.
    """
    try:
        node = _Composer(file, findings, text.splitlines()).compose(text)
    except _BadDocument as bad:
        findings.problem(Problem(file, bad.line, "-", bad.what, bad.allowed))
        return None
    except MarkedYAMLError as error:
        hint = explain(text, error)
        findings.problem(Problem(file, hint.line, "-", hint.what, "", hint.suggestion))
        return None
    except (YAMLError, RecursionError, ValueError) as error:
        findings.problem(Problem(file, 1, "-", f"not valid YAML: {str(error).splitlines()[0]}"))
        return None
    if node is None:
        findings.problem(Problem(file, 1, "-", "the file is empty", "needed: a mapping with `shots:` or `rows:`"))
    return node


def _parse(text: str) -> Iterator[Any]:
    """Yield the events of a document.

    `[mug:1]` is legal since YAML 1.2, and libyaml reads 1.1: there the slower parser of ruamel.yaml goes on.
    """
    count = 0
    try:
        for event in YAML(typ="safe").parse(text):
            yield event
            count += 1
    except MarkedYAMLError as error:
        if error.problem != "found unexpected ':'":
            raise
        yield from islice(YAML(typ="safe", pure=True).parse(text), count, None)


class _Composer:
    def __init__(self, file: str, findings: Findings, lines: Sequence[str]) -> None:
        self._file = file
        self._findings = findings
        self._lines = lines

    def compose(self, text: str) -> Node | None:
        events = _parse(text)
        node: Node | None = None
        for event in events:
            kind = type(event).__name__
            if kind in ("StreamStartEvent", "StreamEndEvent", "DocumentStartEvent", "DocumentEndEvent"):
                continue
            if node is not None:
                raise _BadDocument(_get_line(event), "a second document begins here", "allowed: one document")
            node = self._read_node(event, events, 0)
        return node

    def _read_node(self, event: Any, events: Iterator[Any], depth: int) -> Node:
        line, kind = _get_line(event), type(event).__name__
        if depth > _MAX_DEPTH:
            raise _BadDocument(line, "the values are nested too deep", f"allowed: {_MAX_DEPTH} levels")
        if kind == "AliasEvent" or event.anchor:
            raise _BadDocument(line, "anchors and aliases are not taken", "allowed: `defaults`, `vars` and `matrix`")
        if event.tag:
            raise _BadDocument(line, f"the tag {quote_value(str(event.tag))} is not taken", "allowed: plain values")
        if kind == "ScalarEvent":
            plain = bool(event.implicit[0])
            return ScalarNode(None if plain and event.value in _NULLS else event.value, line)
        return (
            self._read_list(line, events, depth)
            if kind == "SequenceStartEvent"
            else self._read_map(line, events, depth)
        )

    def _read_list(self, line: int, events: Iterator[Any], depth: int) -> ListNode:
        node = ListNode(line)
        while type(event := next(events)).__name__ != "SequenceEndEvent":
            node.items.append(self._read_node(event, events, depth + 1))
        return node

    def _read_map(self, line: int, events: Iterator[Any], depth: int) -> MapNode:
        node = MapNode(line)
        while type(event := next(events)).__name__ != "MappingEndEvent":
            key = self._read_node(event, events, depth + 1)
            event = next(events)
            value = self._read_node(event, events, depth + 1)
            if isinstance(key, ScalarNode) and key.text in _TEXTS:
                self._warn_of_comment(key.text, event)
            if not isinstance(key, ScalarNode) or key.text is None or len(key.text) > 100:
                raise _BadDocument(key.line, "a key must be text", "allowed: 1 to 100 characters")
            if key.text in node.items:
                what = f"the key occurs twice (first in line {node.key_lines[key.text]})"
                self._findings.problem(Problem(self._file, key.line, key.text, what, "allowed: each key once"))
                continue
            node.items[key.text] = value
            node.key_lines[key.text] = key.line
        return node

    def _warn_of_comment(self, column: str, event: Any) -> None:
        """Warn of what stands behind a # after a text without quotes.

        It may have been meant as part of it.
        """
        end = event.end_mark
        if type(event).__name__ != "ScalarEvent" or not event.implicit[0] or end.line >= len(self._lines):
            return
        if comment := read_comment_after(self._lines[end.line], end.column):
            what = f"the text ends before the comment {quote_value('#' + comment)}"
            hint = "put the text in quotes if that belongs to it"
            self._findings.warn(Problem(self._file, end.line + 1, column, what, "", hint))


def _get_line(event: Any) -> int:
    return int(event.start_mark.line) + 1


class YamlHint(NamedTuple):
    """The line of a mistake, what it is, and what mends it."""

    line: int
    what: str
    suggestion: str = ""


def explain(text: str, error: MarkedYAMLError) -> YamlHint:
    """Return what is wrong with a text that the parser refuses."""
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        if _FENCE.match(line):
            return YamlHint(
                number,
                f"{_NOT_VALID}: a code fence of a chat stands in the file",
                "delete the lines that begin with ```",
            )
    at = error.problem_mark.line + 1 if error.problem_mark else 1
    near = [number for number in (at, at - 1) if 1 <= number <= len(lines)]
    for number in near:
        if _TABBED.match(lines[number - 1]):
            return YamlHint(number, f"{_NOT_VALID}: the line is indented by a tab", "indent by spaces")
    for number in near:
        if found := _NEEDS_QUOTES.match(lines[number - 1]):
            return YamlHint(
                number, f"{_NOT_VALID}: a text may not begin with {found[1]}", _write_quoted(lines[number - 1])
            )
    what = f"{_NOT_VALID}: {error.problem or error.context}"
    if "mapping values" in what and at <= len(lines):
        return YamlHint(
            at, f"{_NOT_VALID}: the text has a colon, which is taken for a key", _write_quoted(lines[at - 1])
        )
    return YamlHint(at, what)


def _write_quoted(line: str) -> str:
    found = _KEY_AND_TEXT.match(line)
    if not found or "'" in found[2] or len(found[2]) > 200:
        return "put the text in quotes"
    return f"put it in quotes: {found[1]}: '{found[2]}'"


def read_comment_after(line: str, column: int) -> str:
    """Return the comment that ends a line from a column on, "" when there is none."""
    found = _COMMENT.fullmatch(line[column:].rstrip())
    return found[1].strip() if found else ""
