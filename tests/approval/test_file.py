"""What people write and what pages save: read as it is meant, or refused whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet.approval.decision_input import MAX_BYTES, TakeSelection, check, name_of, read_decisions, wishes_in
from callsheet.decisions import FrameDecision, holding
from callsheet.errors import DecisionError
from callsheet.manifest.columns import MAX_TAKES

BATCH = "sheet.rehearsal"
SEEN = {1: "0123456789ab", 2: "ab0123456789"}
GOOD = {"shot": "kite", "takes": [2], "reject": False, "note": "calm", "shown": {"1": SEEN[1], "2": SEEN[2]}}
TAKES = st.lists(st.integers(1, MAX_TAKES), min_size=1, unique=True)
HASHES = st.dictionaries(st.integers(1, 4), st.sampled_from("abc"), max_size=4)


def saved(path: Path, *decisions: dict[str, Any], **more: Any) -> Path:
    file = path / "decisions.json"
    file.write_text(json.dumps({"format": 1, "batch": BATCH, "by": "Ada", "decisions": decisions, **more}))
    return file


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._=-]{0,20}", fullmatch=True), TAKES)
def test_words_name_a_shot_and_takes_or_reject_it(shot: str, takes: list[int]) -> None:
    assert wishes_in([f"{shot}={','.join(map(str, takes))}"]) == [TakeSelection(shot, tuple(takes))]
    assert wishes_in([f"{shot}=reject"], "no") == [TakeSelection(shot, (), "no")]


def test_words_may_say_which_pictures_were_seen() -> None:
    assert wishes_in([f"kite=2@{SEEN[2]};1"]) == [TakeSelection("kite", (2, 1), seen={2: SEEN[2]})]


@pytest.mark.parametrize("word", ["kite", "=1", "kite=", "kite=0", "kite=21", "kite=1,1", "kite=1@abc", "kite=one"])
def test_what_is_no_decision_is_refused(word: str) -> None:
    with pytest.raises(DecisionError, match="is no decision"):
        wishes_in(["cup=1", word])


@pytest.mark.parametrize("name", ["", "  ", "A\x1b[31mda", "x" * 101])
def test_who_decides_has_a_name_of_one_line(name: str) -> None:
    with pytest.raises(DecisionError):
        name_of(name)


def test_a_note_is_one_line() -> None:
    with pytest.raises(DecisionError, match="one line"):
        check([TakeSelection("kite", (1,), "two\nlines")])


def test_a_saved_file_says_what_was_chosen_and_what_was_shown(tmp_path: Path) -> None:
    refused = {"shot": "cup", "takes": [], "reject": True, "note": "", "shown": {"1": SEEN[1]}}
    file = read_decisions(saved(tmp_path, GOOD, refused), BATCH)
    assert file.by == "Ada"
    kite, cup = (one.wish() for one in file.decisions)
    assert kite == TakeSelection("kite", (2,), "calm", SEEN, all_seen=True)
    assert cup == TakeSelection("cup", (), "", {1: SEEN[1]}, all_seen=True)


@pytest.mark.parametrize(
    "change",
    [
        {"takes": [3]},
        {"takes": [2, 2]},
        {"takes": []},
        {"reject": True},
        {"takes": [-1]},
        {"takes": ["2; rm -rf /"]},
        {"shown": {"1": "../../etc/passwd"}},
        {"shown": {}},
        {"note": "x\x1b]0;owned\x07"},
        {"note": "x" * 1001},
        {"shot": ""},
        {"uri": "gs://elsewhere/picture.png"},
    ],
)
def test_a_file_that_says_anything_else_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(DecisionError, match="Nothing was recorded"):
        read_decisions(saved(tmp_path, {**GOOD, **change}), BATCH)


def test_a_file_of_another_batch_or_format_or_none_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DecisionError, match=r"about batch sheet\.rehearsal, not other\.live"):
        read_decisions(saved(tmp_path, GOOD), "other.live")
    for file in (saved(tmp_path, GOOD, format=2), saved(tmp_path), tmp_path, tmp_path / "none.json"):
        with pytest.raises(DecisionError, match="Nothing was recorded"):
            read_decisions(file, BATCH)


@pytest.mark.parametrize("data", [b"", b"\x00\xff", b"[" * 100_000, b'{"batch":' * 1_000, b"[]", b'{"format":1}'])
def test_a_malicious_file_is_refused(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "decisions.json"
    file.write_bytes(data)
    with pytest.raises(DecisionError, match="no decision file"):
        read_decisions(file, BATCH)


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "decisions.json"
    with file.open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)
    with pytest.raises(DecisionError, match="larger than"):
        read_decisions(file, BATCH)


def decision(takes: dict[int, str], shown: dict[int, str]) -> FrameDecision:
    return FrameDecision(BATCH, "kite", takes, shown, "Ada")


@given(HASHES, HASHES, st.data())
def test_a_decision_holds_while_all_takes_were_shown_and_the_approved_ones_are_as_they_were(
    shown: dict[int, str], now: dict[int, str], data: st.DataObject
) -> None:
    approved = {take: shown[take] for take in shown if data.draw(st.booleans())}
    held = decision(approved, shown).holds_for(now)
    unseen = [take for take in now if shown.get(take) != now[take]]
    gone = [take for take in approved if now.get(take) != approved[take]]
    assert held == (bool(now) and not unseen and not gone)


def test_of_several_decisions_the_newest_that_holds_counts() -> None:
    takes = {1: "a", 2: "b"}
    older, newer, other = decision({1: "a"}, takes), decision({}, takes), decision({1: "c"}, {1: "c"})
    assert holding([older, newer, other], takes) is newer
    assert holding([older, newer, other], {1: "c"}) is other
    assert holding([older], {1: "a", 3: "new"}) is None
