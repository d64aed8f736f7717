"""The gallery's decisions in a real browser: chosen by keyboard, saved as a file, taken by `callsheet approve`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from callsheet.approval.decision_input import read_decisions, wishes_in
from callsheet.batch.approve import decide
from callsheet.batch.request import RunRequest
from callsheet.settings import load_settings
from tests.support.browser import needs_browser
from tests.support.service import Service
from tests.support.waiting import wait_for
from tests.support.whole_batch import whole_batch

pytestmark = [pytest.mark.browser, needs_browser]

BATCH = "sheet.rehearsal"
SHEET = """id,prompt,takes,seed,select,motion_prompt,duration_s
kite,A kite over dunes,2,5,approve,It climbs,4
boat,A paper boat on a canal,2,9,approve,It drifts,4
"""


@pytest.mark.long
def test_the_gallery_saves_what_a_person_chose_and_it_is_recorded(
    service: Service, browser: webdriver.Chrome, tmp_path: Path
) -> None:
    (tmp_path / "sheet.csv").write_text(SHEET)
    settings = load_settings(home=tmp_path / "home", gemini_base_url=service.url)
    waiting = asyncio.run(whole_batch(RunRequest(str(tmp_path / "sheet.csv")), settings))
    browser.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path), "eventsEnabled": False}
    )
    browser.get(f"file://{waiting.summary['gallery']}")
    assert not button(browser, "save").is_enabled(), "nothing is decided yet"
    choose(browser)
    words = browser.find_element(By.ID, "command").text.split()
    button(browser, "save").send_keys(Keys.ENTER)
    file = tmp_path / "decisions.json"
    wait_for(file.exists)

    saved = read_decisions(file, BATCH)
    hashes = {t.take: t.file.sha256 for one in waiting.sidecars if one.shot == "kite" for t in one.takes if t.file}
    kite, boat = saved.decisions
    assert (saved.by, kite.takes, kite.shown) == ("Ada L", (2,), {take: sha[:12] for take, sha in hashes.items()})
    assert (boat.reject, boat.takes, boat.note) == (True, (), 'too "dark"')
    assert words[:3] == ["callsheet", "approve", BATCH]
    assert words[3:] == ["--file", "decisions.json"], "a note goes with the file"
    decided = asyncio.run(decide(settings, BATCH, [one.wish() for one in saved.decisions], saved.by))
    assert [one.decision.describe() for one in decided.recorded] == [
        "take 2 approved by Ada L", 'rejected by Ada L: too "dark"',
    ]  # fmt: skip
    assert browser.get_log("browser") == [], "the page's policy is kept"


def choose(browser: webdriver.Chrome) -> None:
    """Choose by the keyboard alone; whoever rejects a shot takes back its takes, and the other way round."""
    (kite, boat) = browser.find_elements(By.CSS_SELECTOR, "fieldset.decide")
    assert kite.accessible_name == "Which takes of kite are animated?"
    first, second, reject = kite.find_elements(By.CSS_SELECTOR, "input[type=checkbox]")
    for box in (first, reject, second):
        box.send_keys(Keys.SPACE)
    assert [box.is_selected() for box in (first, second, reject)] == [False, True, False]
    words = browser.find_element(By.ID, "command").text.split()
    [wish] = wishes_in(words[3:])
    assert (wish.shot, wish.takes) == ("kite", (2,))
    boat.find_elements(By.CSS_SELECTOR, "input[type=checkbox]")[2].send_keys(Keys.SPACE)
    boat.find_element(By.CSS_SELECTOR, ".note").send_keys('too "dark"')
    browser.find_element(By.ID, "by").send_keys("Ada L")
    assert browser.find_element(By.ID, "said").text == "2 of 2 decided"


def button(browser: webdriver.Chrome, name: str) -> Any:
    return browser.find_element(By.ID, name)
