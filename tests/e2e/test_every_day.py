"""From a fresh clone to scheduled batches: `make ui`, `make deploy`, `make worker`, and nobody does anything more.

With KEEP_SCREENSHOTS=docs the pictures in the README are taken anew.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.support.browser import needs_browser
from tests.support.fresh_clone import Clone, fresh_clone
from tests.support.service import Service, start_service
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("every-day"), pytest.mark.timeout(1200)]

EDITIONS = 10
OVER = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = start_service(tmp_path_factory.mktemp("service") / "state", factor=60, latency={"image": 30, "video": 60})
    yield service
    service.process.terminate()
    service.process.wait(timeout=20)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, service: Service) -> Iterator[Clone]:
    """Server and worker of a clone whose daily batch is made every minute."""
    with fresh_clone(tmp_path_factory.mktemp("fresh") / "callsheet", service) as clone:
        (clone.folder / "lamp.csv").write_text("id,prompt,takes\nlamp,A lamp in the fog,1\n")
        clone.edit(manifest="lamp.csv", edition='"{minute}"', cron='"* * * * *"')
        clone.start_server()
        clone.make("deploy")
        clone.start_worker()
        yield clone


def runs_of(clone: Clone, deployment: str) -> list[dict[str, Any]]:
    found = clone.api.get(f"deployments/name/{deployment}")["id"]
    runs: list[dict[str, Any]] = clone.api.ask("flow_runs/filter", flow_runs={"deployment_id": {"any_": [found]}})
    return sorted(runs, key=lambda run: run["expected_start_time"])


def test_a_scheduled_run_executes_by_itself_and_deploying_again_moves_the_schedule(clone: Clone) -> None:
    def ended() -> list[dict[str, Any]]:
        return [run for run in runs_of(clone, "content-batch/daily") if run["state_type"] in OVER]

    wait_for(ended, within_s=300)
    [run, *_] = ended()
    assert (run["state_name"], run["state"]["message"]) == ("Completed", "1 of 1 shots done")
    assert run["created_by"]["type"] == "SCHEDULE"
    due = datetime.fromisoformat(run["expected_start_time"])
    assert run["parameters"]["edition"][-2:] == f"{due:%M}", "minutes are the same in every time zone there is"
    assert run["name"] == f"lamp.{run['parameters']['edition']}.rehearsal"
    marker = clone.folder / ".callsheet" / "archive" / "lamp" / run["name"] / "_SUCCESS.json"
    assert json.loads(marker.read_text())["complete"]

    clone.edit(edition='"{date}"', cron='"0 6 1 1 *"')
    clone.make("deploy")
    wait_for(lambda: [run["state_type"] for run in soon(clone)] == ["COMPLETED"] * len(soon(clone)), within_s=300)


def soon(clone: Clone) -> list[dict[str, Any]]:
    """The runs of the daily batch until tomorrow."""
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    runs = runs_of(clone, "content-batch/daily")
    return [run for run in runs if datetime.fromisoformat(run["expected_start_time"]) < tomorrow]


def test_ten_editions_that_are_due_at_once_wait_for_each_other_and_are_made_once_each(clone: Clone) -> None:
    made = clone.service.counts()["accepted"]["image"]
    daily = clone.api.get("deployments/name/content-batch/daily")["id"]
    # The clocks of the schedule are Berlin's.
    first = datetime(2026, 11, 1, 5, tzinfo=UTC)
    asked = [
        clone.api.ask(
            f"deployments/{daily}/create_flow_run",
            parameters={"manifest": "lamp.csv", "edition": "{date}"},
            state={"type": "SCHEDULED", "state_details": {"scheduled_time": (first + timedelta(n)).isoformat()}},
        )["id"]
        for n in range(EDITIONS)
    ]
    wait_for(lambda: all(clone.api.is_over(run) for run in asked), within_s=900)
    runs = [clone.api.run(run) for run in asked]
    editions = [f"2026-11-{n:02}" for n in range(1, EDITIONS + 1)]
    assert [(run["state_name"], run["name"]) for run in runs] == [
        ("Completed", f"lamp.{edition}.rehearsal") for edition in editions
    ]
    assert clone.service.counts()["accepted"]["image"] - made == EDITIONS
    in_turn = sorted(runs, key=lambda run: str(run["start_time"]))
    assert all(before["end_time"] <= after["start_time"] for before, after in pairwise(in_turn)), "one at a time"
    waited = {state["name"] for run in asked for state in clone.api.get(f"flow_run_states/?flow_run_id={run}")}
    assert "AwaitingConcurrencySlot" in waited
    assert "Cancelled" not in waited


@pytest.mark.browser
@needs_browser
def test_the_ui_leads_from_a_form_to_a_batch_that_waits_and_from_its_page_to_the_approval(
    clone: Clone, browser: webdriver.Chrome, tmp_path: Path
) -> None:
    cafe(clone)
    pages = Pages(clone.url, browser, Path(os.environ.get("KEEP_SCREENSHOTS", tmp_path)))
    ask_for_a_batch(clone, pages)
    wait_for(lambda: [run for run in runs_of(clone, "content-batch/on-demand") if run["state_type"] in OVER], 400)
    [run] = runs_of(clone, "content-batch/on-demand")
    assert run["state_name"] == "Paused", run["state"]
    look_at(clone, pages, run)
    decide(clone, pages, run)

    wait_for(lambda: ended_state(clone, "approve-frames/approve-frames") == ["Decided"], 200)
    wait_for(lambda: ended_state(clone, "content-batch/on-demand")[1:], 400)
    _, again = runs_of(clone, "content-batch/on-demand")
    assert again["name"] == run["name"]
    assert again["state"]["message"] == "3 of 4 shots done; 1 blocked"


def cafe(clone: Clone) -> None:
    """A sheet of which two shots wait for a person, one is refused by a filter, and one is done."""
    with (clone.folder / "prompts" / "demo.csv").open(newline="") as file:
        table = csv.DictReader(file)
        rows = [{**row, "roast": row["roast"]} for row in table][:4]
        for row in rows[:2]:
            row["select"], row["cuts"] = "approve", ""
        for row in rows[2:]:
            row["motion_prompt"] = row["cuts"] = row["duration_s"] = row["resolution"] = row["select"] = ""
        with (clone.folder / "cafe.csv").open("w", newline="") as made:
            writer = csv.DictWriter(made, table.fieldnames or [])
            writer.writeheader()
            writer.writerows(rows)
    clone.service.script({"match": {"kind": "image", "prompt": "paper bag"}, "fault": "block"})


@dataclass
class Pages:
    """The server's pages in a browser, and the folder that keeps pictures of them."""

    url: str
    browser: webdriver.Chrome
    folder: Path

    def open(self, path: str, *words: str) -> None:
        """Open a page and wait until it shows these words."""
        self.browser.get(f"{self.url}{path}")
        self.shows(*words)

    def shows(self, *words: str) -> None:
        WebDriverWait(self.browser, 90).until(
            lambda b: all(word in b.find_element(By.TAG_NAME, "body").text for word in words)
        )

    def field(self, label: str, number: int = 1) -> WebElement:
        """What a form takes an answer with, under its label."""
        return self.browser.find_element(
            By.XPATH,
            f"(//label[starts-with(normalize-space(), '{label}')])[{number}]/following::*"
            "[self::textarea or self::input][1]",
        )

    def fill_in(self, label: str, text: str, number: int = 1) -> None:
        self.field(label, number).send_keys(Keys.CONTROL, "a")
        self.field(label, number).send_keys(text)

    def press(self, button: str, number: int = 1) -> None:
        found = self.browser.find_element(By.XPATH, f"(//button[normalize-space()='{button}'])[{number}]")
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", found)
        found.click()

    def keep(self, name: str) -> None:
        """Keep a picture of the page as it is."""
        assert self.browser.save_screenshot(str(self.folder / f"{name}.png"))


def ask_for_a_batch(clone: Clone, pages: Pages) -> None:
    """By the form of the deployment, which asks in words."""
    found = clone.api.get("deployments/name/content-batch/on-demand")["id"]
    pages.open(f"/deployments/deployment/{found}/run", "Manifest: CSV, TSV or YAML", "Live: spend money", "Submit")
    assert 'Property is type "None"' not in pages.browser.find_element(By.TAG_NAME, "body").text
    pages.fill_in("Manifest", "cafe.csv")
    pages.keep("prefect-form")
    pages.press("Submit")
    wait_for(lambda: runs_of(clone, "content-batch/on-demand"))


def look_at(clone: Clone, pages: Pages, run: dict[str, Any]) -> None:
    """The run, its contact sheets with every picture drawn, and what went wrong."""
    pages.open(f"/runs/flow-run/{run['id']}", run["name"], "Paused", "images: harbour-cup")
    pages.browser.find_element(By.XPATH, "//*[not(*) and normalize-space()='Task Runs']").click()
    pages.shows("archive: harbour-cup")
    pages.keep("prefect")
    pages.open(page_of(clone, run, "contact-sheet"), "first-light-pour", "roaster-drum", "harbour-cup")
    drawn = (
        "return [...document.images].filter(i => i.src.startsWith('data:image/jpeg') && i.naturalWidth > 200).length"
    )
    WebDriverWait(pages.browser, 60).until(lambda b: b.execute_script(drawn) == 3)
    pages.keep("prefect-contact-sheet")
    pages.open(page_of(clone, run, "failures"), "paper-bag", "Reword the prompt")
    pages.keep("prefect-failures")


def decide(clone: Clone, pages: Pages, run: dict[str, Any]) -> None:
    """From the page of what waits to the form, where batch and shots are filled in already."""
    pages.open(page_of(clone, run, "approval"), "first-light-pour", "roaster-drum")
    pages.browser.find_element(By.LINK_TEXT, "form of approve-frames").click()
    pages.browser.switch_to.window(pages.browser.window_handles[-1])  # a link opens a page of its own
    pages.shows("By whom", "Submit")
    WebDriverWait(pages.browser, 60).until(lambda _: pages.field("Shot", 2).get_attribute("value") == "roaster-drum")
    assert pages.field("Batch").get_attribute("value") == run["name"]
    for number, take in ((1, "2"), (2, "1")):
        pages.press("Add item", number)
        WebDriverWait(pages.browser, 60).until(
            lambda _, n=number: pages.field("Takes to animate", n).get_attribute("type") == "number"
        )
        pages.fill_in("Takes to animate", take, number)
    pages.fill_in("By whom", "Ada")
    pages.keep("prefect-approval")
    pages.press("Submit")


def page_of(clone: Clone, run: dict[str, Any], part: str) -> str:
    """Where the UI shows an artifact of the run."""
    wanted = {"flow_run_id": {"any_": [run["id"]]}, "key": {"like_": f"%-{part}"}}
    [artifact] = clone.api.ask("artifacts/filter", artifacts=wanted)
    return f"/artifacts/artifact/{artifact['id']}"


def ended_state(clone: Clone, deployment: str) -> list[str]:
    return [run["state_name"] for run in runs_of(clone, deployment) if run["state_type"] in OVER]
