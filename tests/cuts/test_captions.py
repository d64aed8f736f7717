"""Captions files and plain text: what is read when, and clear errors for whatever else comes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.cuts.finishing.captions import MAX_CUES, Cue, read_captions, spread_text
from callsheet.errors import MediaError

SRT = """1
00:00:00,500 --> 00:00:02,000
<i>Hello</i> {\\an8}there
second line

2
00:00:02,000 --> 00:00:03,250 X1:100 X2:200
I <3 you
"""
VTT = """WEBVTT - title
X-HEADER: 1

STYLE
::cue { color: red }

NOTE a comment
00:00.000 --> 00:01.000

intro
00:00.500 --> 00:02.000 align:start position:10%
<v Bob>Tom &amp; <b>Ann</b></v> <00:01.000>now

01:00:02.000 --> 01:00:03.000
later
"""


def test_an_srt_is_read_without_its_markup():
    assert read_captions(SRT.encode()) == (Cue(0.5, 2.0, "Hello there\nsecond line"), Cue(2.0, 3.25, "I <3 you"))


def test_a_webvtt_is_read_without_header_styles_notes_and_settings():
    assert read_captions(VTT.encode()) == (Cue(0.5, 2.0, "Tom & Ann now"), Cue(3602.0, 3603.0, "later"))


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + SRT.encode(),
        SRT.replace("\n", "\r\n").encode(),
        SRT.replace("\n", "\r").encode(),
        SRT.encode("utf-16"),
        SRT.replace("\n\n", "\n \t\n\n").encode(),
    ],
    ids=["bom", "crlf", "cr", "utf-16", "blank lines with spaces"],
)
def test_files_of_every_editor_say_the_same(data):
    assert read_captions(data) == read_captions(SRT.encode())


def test_what_overlaps_is_shown_together_and_never_two_at_once():
    text = "1\n00:00:01,000 --> 00:00:03,000\nlong\n\n2\n00:00:02,000 --> 00:00:02,500\nshort\n"
    assert read_captions(text.encode()) == (
        Cue(1.0, 2.0, "long"), Cue(2.0, 2.5, "long\nshort"), Cue(2.5, 3.0, "long"),
    )  # fmt: skip


def test_a_caption_that_runs_a_blink_into_the_next_ends_there():
    text = "1\n00:00:01,000 --> 00:00:02,040\none\n\n2\n00:00:02,000 --> 00:00:03,000\ntwo\n"
    assert read_captions(text.encode()) == (Cue(1.0, 2.0, "one"), Cue(2.0, 3.0, "two"))


def test_captions_out_of_order_are_put_in_order():
    text = "2\n00:00:05,000 --> 00:00:06,000\nb\n\n1\n00:00:01,000 --> 00:00:02,000\na\n"
    assert [cue.text for cue in read_captions(text.encode())] == ["a", "b"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "holds no captions"),
        (b"1\n00:00:01,000 --> 00:00:02,000\n<i></i>\n", "holds no captions"),
        (b"just words\n", r"line 1: there is no time"),
        (b"1\n00:00:01,000 --> 00:00:02,000\na\n\n2\n0:99 --> x\nb\n", r"line 6: the times cannot be read"),
        (b"1\n00:00:01,000 -->\na\n", r"line 2: the times cannot be read"),
        (b"1\n00:00:02,000 --> 00:00:01,000\na\n", r"line 2: the caption ends before it begins"),
        (
            b"1\n00:00:01,000 --> 00:00:02,000\na\n2\n00:00:02,000 --> 00:00:03,000\nb\n",
            r"line 5: a time stands within",
        ),
        (b"1\n00:00:01,000 --> 00:00:02,000\ncaf\xe9\n", r"line 3: the text is not UTF-8"),
        (b"1\n00:00:01,000 --> 00:00:02,000\n" + b"a" * 501, r"line 1: the caption has over 500 characters"),
        (b"x" * 2_000_000, "has 2000000 bytes"),
    ],
)
def test_a_bad_file_is_told_with_its_line(data, message):
    with pytest.raises(MediaError, match=f"^clip.srt.*{message}"):
        read_captions(data, "clip.srt")


def test_too_many_captions_are_refused():
    text = "".join(
        f"00:{n // 60:02d}:{n % 60:02d},000 --> 00:{n // 60:02d}:{n % 60:02d},900\n{n}\n\n" for n in range(600)
    )
    with pytest.raises(MediaError, match=f"more than {MAX_CUES} captions"):
        read_captions(text.encode())


_LINES = st.lists(
    st.sampled_from(["", "1", "WEBVTT", "NOTE x", "00:00:01,000 --> 00:00:02,000", "00:01.5 --> 99:59:59.999 a:b",
                     "-->", "&#xD800; &lt;", "<b", "{\\an8}", "text", "\u202eabc", "a\u0301\u200d"])
    | st.text(max_size=20),
    max_size=12,
)  # fmt: skip


@settings(max_examples=150)
@given(st.binary(max_size=80) | _LINES.map(lambda lines: "\n".join(lines).encode("utf-8", "surrogatepass")))
def test_no_file_makes_anything_but_captions_or_a_media_error(data):
    try:
        cues = read_captions(data)
    except MediaError:
        return
    assert all(cue.text.strip() and cue.start_s < cue.end_s for cue in cues)
    assert all(one.end_s <= two.start_s for one, two in pairwise(cues))


def test_plain_text_is_shown_in_sentences_as_long_as_they_take_to_read():
    cues = spread_text("Short one. This is a sentence that takes rather longer to read!\nEnd", 8.0)
    assert [cue.text for cue in cues] == ["Short one.", "This is a sentence that takes rather longer to read!", "End"]
    assert (cues[0].start_s, cues[-1].end_s) == (0.0, 8.0)
    assert [one.end_s for one in cues[:-1]] == [two.start_s for two in cues[1:]]
    assert cues[1].end_s - cues[1].start_s > 2 * (cues[0].end_s - cues[0].start_s)


def test_a_long_sentence_is_divided_between_words_into_equal_parts():
    sentence = " ".join(["word"] * 40)
    cues = spread_text(sentence, 20.0)
    assert " ".join(cue.text for cue in cues) == sentence
    assert max(len(cue.text) for cue in cues) - min(len(cue.text) for cue in cues) <= 10
    assert all(len(cue.text) <= 90 for cue in cues)


def test_text_that_nobody_can_read_in_time_is_refused():
    with pytest.raises(MediaError, match=r"400 characters .* for 8.0 s, in which at most 240"):
        spread_text("a" * 200 + " " + "b" * 200, 8.0)
