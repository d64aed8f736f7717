"""Reading YAML into plain nodes that know their line.

Scalars stay the text that is written, which keeps `16:9`, `1K` and `no` what they look like. Tags, anchors and aliases
are refused, depth is bounded, and repeated keys are problems, so a document can do nothing but hold text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from callsheet.errors import Problem
from callsheet.manifest.problems import Findings, quote_value

_MAX_DEPTH = 10
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})


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
        node = _Composer(file, findings).compose(text)
    except _BadDocument as bad:
        findings.problem(Problem(file, bad.line, "-", bad.what, bad.allowed))
        return None
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        findings.problem(Problem(file, line, "-", f"not valid YAML: {error.problem or error.context}"))
        return None
    except (YAMLError, RecursionError, ValueError) as error:
        findings.problem(Problem(file, 1, "-", f"not valid YAML: {str(error).splitlines()[0]}"))
        return None
    if node is None:
        findings.problem(Problem(file, 1, "-", "the file is empty", "needed: a mapping with `shots:` or `rows:`"))
    return node


class _Composer:
    def __init__(self, file: str, findings: Findings) -> None:
        self._file = file
        self._findings = findings

    def compose(self, text: str) -> Node | None:
        events: Iterator[Any] = iter(YAML(typ="safe").parse(text))
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
            value = self._read_node(next(events), events, depth + 1)
            if not isinstance(key, ScalarNode) or key.text is None or len(key.text) > 100:
                raise _BadDocument(key.line, "a key must be text", "allowed: 1 to 100 characters")
            if key.text in node.items:
                what = f"the key occurs twice (first in line {node.key_lines[key.text]})"
                self._findings.problem(Problem(self._file, key.line, key.text, what, "allowed: each key once"))
                continue
            node.items[key.text] = value
            node.key_lines[key.text] = key.line
        return node


def _get_line(event: Any) -> int:
    return int(event.start_mark.line) + 1
