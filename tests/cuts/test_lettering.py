"""Text as pictures: the right glyphs in the right order, in every script, wrapped and inside its box."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from callsheet.cuts.finishing import lettering
from callsheet.cuts.finishing.bidi import is_right_to_left, levels, visual_order
from callsheet.cuts.finishing.lettering import clusters, draw_text, fit_text, missing_glyphs, wrap
from callsheet.cuts.finishing.shaping import shape_line, typefaces
from callsheet.errors import MediaError

FONTS = Path(lettering.__file__).parent / "fonts"
SAMPLES = {
    "Latin": "Hello, Ünïcode Tiếng Việt €",
    "Greek": "Γειά σου Κόσμε",  # noqa: RUF001
    "Cyrillic": "Привет, мир",
    "Arabic": "مرحبا بالعالم",
    "Hebrew": "שלום עולם",
    "Devanagari": "नमस्ते क्षत्रिय हिंदी",
    "Bengali": "বাংলা ক্যাপশন",
    "Tamil": "தமிழ் தலைப்பு",
    "Thai": "สวัสดีชาวโลก",
    "Armenian": "Հայերեն",
    "Georgian": "ქართული",
    "signs": "→ ♪ ✓ ★ ♥ №",
}


@pytest.mark.parametrize("script", SAMPLES)
def test_every_script_of_the_shipped_fonts_has_all_its_glyphs(script):
    text = SAMPLES[script]
    assert missing_glyphs(text) == ""
    line = shape_line(text, typefaces(), 40, is_right_to_left(text))
    assert all(glyph.number != 0 for glyph in line.glyphs)  # 0 is the box for a missing glyph
    ink = np.asarray(draw_text(fit_text(text, 40, 900, 200)).convert("L"))
    assert (ink > 250).sum() > 300


def test_characters_that_no_font_has_are_named_once():
    assert missing_glyphs("日本 and 日 \U0001f600\ufe0f") == "日本\U0001f600"
    with pytest.raises(MediaError, match=r"No font here has 日 本 of '日本'.*CALLSHEET_FONT"):
        fit_text("日本", 40, 900, 200)


def test_a_font_of_ones_own_is_asked_first(tmp_path):
    own = tmp_path / "own.ttf"
    own.write_bytes((FONTS / "NotoSansThai-Bold.ttf").read_bytes())
    assert typefaces(own)[0].path == own
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"no font")
    for path, message in ((broken, "is no font that can be used"), (tmp_path / "none.ttf", "cannot be read")):
        with pytest.raises(MediaError, match=message):
            missing_glyphs("a", path)


def test_hindi_is_shaped_not_spelt():
    face = next(face for face in typefaces() if "Devanagari" in face.path.name)
    conjunct = shape_line("क्ष", [face], 40, False)
    assert len(conjunct.glyphs) == 1  # three characters, one conjunct
    # The sign i is written after its consonant and seen before it.
    before, after = shape_line("कि", [face], 40, False).glyphs
    assert before.number != shape_line("क", [face], 40, False).glyphs[0].number == after.number


def test_arabic_letters_join_and_run_from_the_right():
    face = [face for face in typefaces() if "Arabic" in face.path.name]
    joined, alone = shape_line("ببب", face, 40, True), shape_line("ب", face, 40, True)
    assert alone.glyphs[0].number not in {glyph.number for glyph in joined.glyphs}
    assert joined.width < 3 * alone.width
    # Alef comes first and does not join to what follows: it stands alone, on the right.
    alef = shape_line("\u0627", face, 40, True).glyphs[0]
    assert shape_line("\u0627\u0628", face, 40, True).glyphs[-1].number == alef.number


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("abc אבג def", "abc גבא def"),
        ("אבג abc דהו", "והד abc גבא"),
        ("אבג 123 דהו", "והד 123 גבא"),
        ("אבג 1,234.5% דהו", "והד 1,234.5% גבא"),
        ("אבג (abc) דהו", "והד )abc( גבא"),  # brackets are mirrored when they are shaped
        ("x-5 and אבג!", "x-5 and גבא!"),
        ("سعر 50 و 60", "60 و 50 رعس"),
        ("123", "123"),
        ("", ""),
    ],
)
def test_mixed_directions_are_seen_in_the_order_of_unicode(text, seen):
    backwards = is_right_to_left(text)
    runs = list(zip(levels(text, backwards), text, strict=True))
    assert "".join(char for _, char in visual_order(runs)) == seen


def _measure(text: str) -> float:
    return float(len(text))


def test_lines_are_as_few_as_needed_and_about_equal():
    assert wrap("one two three four five six", 24, _measure) == ["one two three", "four five six"]
    assert wrap("a\nb c", 10, _measure) == ["a", "b c"]


def test_a_word_that_is_too_wide_is_broken_and_scripts_without_spaces_between_letters():
    assert wrap("abcdefghij", 4, _measure) == ["abcd", "efgh", "ij"]
    assert wrap("日本語字幕。東京", 4, _measure) == ["日本語", "字幕。東京"][:0] or wrap(
        "日本語字幕。東京", 5, _measure
    )
    assert all(not line.startswith("。") for line in wrap("日本語字。東京都", 4, _measure))


def test_marks_and_conjuncts_stay_with_their_letters():
    assert clusters("e\u0301a क्षि") == ["e\u0301", "a", " ", "क्षि"]


def test_long_text_is_drawn_smaller_and_too_long_text_refused():
    text = "many words " * 12
    block = fit_text(text, 50, 600, 330)
    assert 30 <= block.size < 50
    assert block.width <= 600
    assert block.height <= 330
    with pytest.raises(MediaError, match=r"does not fit into 600x200 px"):
        fit_text(text * 3, 50, 600, 200)


@pytest.mark.parametrize("ground", [0, 128, 255])
def test_text_stands_out_on_any_ground(ground):
    drawn = draw_text(fit_text("III", 60, 400, 200))
    picture = Image.new("RGBA", drawn.size, (ground, ground, ground, 255))
    picture.alpha_composite(drawn)
    levels_seen = np.asarray(picture.convert("L"))
    assert levels_seen.max() >= 250
    assert levels_seen[:, levels_seen.shape[1] // 2 - 40 : levels_seen.shape[1] // 2 + 40].min() <= 130


def test_the_wheel_brings_the_fonts_and_their_licence():
    names = {path.name for path in FONTS.iterdir()}
    assert "OFL.txt" in names
    assert {face.path.name for face in typefaces()} <= names
    assert "SIL OPEN FONT LICENSE Version 1.1" in (FONTS / "OFL.txt").read_text()
