"""How a manifest says for which platforms a shot is cut, and how its cuts are finished."""

from __future__ import annotations

import wave
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from callsheet.errors import ManifestError, Problem, SettingsError
from callsheet.manifest import CheckRules, read_manifest
from callsheet.models import load_catalogue
from callsheet.plan.requests import clip_order, take_order
from callsheet.shots import LABEL, Batch, Finish, Shot

CATALOGUE = load_catalogue()
SRT = b"1\n00:00:00,500 --> 00:00:02,000\nA kite over dunes\n"
VTT = b"WEBVTT\n\n00:00.500 --> 00:02.000\nA kite\n"
HEAD = "prompt,motion_prompt,cuts,"


def picture(colour: str = "red") -> bytes:
    data = BytesIO()
    Image.new("RGBA", (40, 20), colour).save(data, "PNG")
    return data.getvalue()


def sound() -> bytes:
    data = BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\0\1" * 800)
    return data.getvalue()


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Shot]:
    for name, data in {"logo.png": picture(), "card.png": picture("blue"), "bed.wav": sound()}.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "talk.srt").write_bytes(SRT)
    (tmp_path / "talk.VTT").write_bytes(VTT)

    def shot(text: str, name: str = "m.csv", **options: object) -> Shot:
        (tmp_path / name).write_text(text, encoding="utf-8")
        given = {"catalogue": CATALOGUE, "today": date(2026, 11, 21), **options}
        return read_manifest(str(tmp_path / name), CheckRules(**given)).shots[0]  # type: ignore[arg-type]

    return shot


def problem(read: Callable[..., Shot], text: str, name: str = "m.csv") -> Problem:
    with pytest.raises(ManifestError) as caught:
        read(text, name)
    [found] = caught.value.problems
    return found


def test_cuts_are_named_by_platform_or_aspect(read: Callable[..., Shot]) -> None:
    assert read("prompt,motion_prompt,cuts\na,b,Reels;9:16 |x\n").cuts == ("reels", "9x16", "x")


@pytest.mark.parametrize(
    ("cuts", "what", "hint"),
    [("reals", "unknown cut 'reals'", "did you mean reels?"), ("9x16;9:16", "the cut 9x16 is listed twice", "")],
)
def test_a_cut_that_is_not_known_or_listed_twice_is_a_problem(
    read: Callable[..., Shot], cuts: str, what: str, hint: str
) -> None:
    found = problem(read, f"prompt,motion_prompt,cuts\na,b,{cuts}\n")
    assert (found.line, found.column, found.what, found.suggestion) == (2, "cuts", what, hint)


def test_a_shot_that_says_nothing_has_an_empty_finish(read: Callable[..., Shot]) -> None:
    assert read("prompt,motion_prompt,cuts\na,b,reels\n").finish == Finish()
    assert read("prompt,motion_prompt,cuts\na,b,reels\n", focus="left").finish == Finish("left")


def test_the_finish_is_read_from_csv_and_from_yaml_with_defaults(read: Callable[..., Shot]) -> None:
    row = "focus,captions,logo,end_card,music,label\na,b,reels,left,talk.srt,logo.png,card.png,bed.wav,yes\n"
    made = read(HEAD + row).finish
    assert (made.focus, made.captions, made.label) == ("left", None, LABEL)
    files = (made.captions_file, made.logo, made.end_card, made.music)
    assert [file and file.mime_type for file in files] == [
        "application/x-subrip",
        "image/png",
        "image/png",
        "audio/wav",
    ]
    yaml = """
defaults: {logo: logo.png, label: Made by machines, captions: "{brand} flies", focus: "0.2, 0.3"}
vars: {brand: Kite}
shots: [{prompt: a, motion_prompt: b, label: no}, {prompt: a, motion_prompt: b, captions: talk.VTT}]
"""
    first = read(yaml, "m.yaml").finish
    assert (first.captions, first.label, first.focus) == ("Kite flies", None, "0.2,0.3")
    assert first.logo == made.logo


@pytest.mark.parametrize(
    ("column", "value", "what", "allowed"),
    [
        ("focus", "up", "'up'", "allowed: auto, ask, centre"),
        ("focus", "0.5,2", "'0.5,2'", "allowed: auto"),
        ("captions", "gone.srt", "'gone.srt': there is no such file", ""),
        ("captions", "bad.srt", "bad.srt", "allowed: SRT or WebVTT"),
        ("captions", "Ж \U0001f600\U00012000", "no font here can show", "CALLSHEET_FONT"),
        ("captions", "word " * 990, "for 8.0 s, in which at most", ""),
        ("captions", "x" * 5001, "5001 characters", "at most 5000"),
        ("logo", "talk.srt", "'talk.srt' is no logo of a known type", "allowed: PNG, JPEG or WebP"),
        ("logo", "cut.png", "'cut.png'", "allowed: PNG, JPEG or WebP"),
        ("logo", "../x.png", "leads out of the manifest's folder", "files below it"),
        ("end_card", "https://a.b/c.png", "web addresses are not fetched", "files beside"),
        ("music", "logo.png", "'logo.png' is no audio file of a known type", "allowed: WAV, MP3"),
        ("label", "y" * 81, "81 characters", "at most 80"),
    ],
)
def test_what_cannot_be_used_is_a_problem_of_its_row_and_column(
    read: Callable[..., Shot], tmp_path: Path, column: str, value: str, what: str, allowed: str
) -> None:
    (tmp_path / "bad.srt").write_bytes(b"1\n00:00:05,000 --> 00:00:xx\nHello\n")
    (tmp_path / "cut.png").write_bytes(picture()[:60])
    found = problem(read, f'{HEAD}{column}\na,b,reels,"{value}"\n')
    assert (found.line, found.column) == (2, column)
    assert what in found.what
    assert allowed in found.allowed


def test_finishing_is_not_part_of_what_is_paid_for(read: Callable[..., Shot]) -> None:
    plain = read("prompt,motion_prompt,cuts\na,b,reels\n")
    finished = read(f"{HEAD}captions,logo,focus\na,b,reels;tiktok,Hello,logo.png,left\n")
    batch = Batch("ads", None, "rehearsal")
    assert finished.finish != plain.finish
    assert take_order(batch, plain, 1).key == take_order(batch, finished, 1).key
    assert clip_order(batch, plain, 1, "a" * 64) == replace(clip_order(batch, finished, 1, "a" * 64))


def test_a_font_that_cannot_be_used_is_a_setting_that_is_wrong(read: Callable[..., Shot], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="CALLSHEET_FONT"):
        read("prompt,motion_prompt,cuts\na,b,reels\n", font=tmp_path / "logo.png")
