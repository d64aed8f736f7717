from __future__ import annotations

import numpy as np
from PIL import Image

from callsheet.cuts.framing.geometry import CropKey, Framing
from callsheet.platforms import Zone
from callsheet.report.contact_sheets import draw_framing, framing_label

GREY = Image.new("RGB", (1280, 720), (120, 120, 120))
STEADY = Framing("crop", 404, 718, (CropKey(0.0, 800, 0),), "")


def at(picture: Image.Image, x: float, y: float) -> tuple[int, ...]:
    """The colour at a place of the clip of 1280x720."""
    pixel = np.asarray(picture)[round(y * picture.height / 720), round(x * picture.width / 1280)]
    return tuple(int(value) for value in pixel)


def test_what_is_cut_away_is_dark_and_what_the_platform_covers_is_red():
    shown = draw_framing(GREY, (1280, 720), STEADY, Zone(bottom=0.35, right=0.1))
    assert shown.size == (640, 360)
    assert at(shown, 100, 300) < (70, 70, 70)
    assert at(shown, 1000, 300) == (120, 120, 120)
    red, green, _ = at(shown, 1000, 600)
    assert red > green + 30
    assert at(shown, 1180, 300)[0] > at(shown, 1180, 300)[1] + 30
    red, green, _ = at(shown, 801, 300)
    assert green > red + 100


def test_a_moving_crop_shows_where_it_begins_and_ends():
    moving = Framing("crop", 404, 718, (CropKey(0.0, 40, 0), CropKey(8.0, 800, 0)), "")
    shown = draw_framing(GREY, (1280, 720), moving, Zone())
    assert at(shown, 41, 300)[1] > 200
    assert at(shown, 801, 300)[2] > 200
    assert at(shown, 600, 300) < (70, 70, 70)


def test_a_padded_cut_shows_the_whole_picture():
    shown = draw_framing(GREY, (1280, 720), Framing("pad", 404, 718, (), ""), Zone(bottom=0.35))
    assert at(shown, 100, 300) == (120, 120, 120)


def test_a_framing_is_labelled_in_a_few_words():
    moving = Framing("crop", 404, 718, (CropKey(0.0, 40, 0), CropKey(8.0, 800, 0)), "")
    assert framing_label(STEADY) == "crop 404x718 at 800,0"
    assert framing_label(moving) == "crop 404x718 at 40,0 to 800,0"
    assert framing_label(Framing("pad", 404, 718, (), "")) == "whole picture, blurred around"
