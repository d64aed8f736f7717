"""Pictures that a reply only names: fetched with the rights of videos, never paid for again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from callsheet.ledger import JobState
from tests.support.odd_replies import PNG, answer, js
from tests.support.odd_reply_runs import ROUTES, TOLD, good, jobs_by_shot, settings_for, sheet, sidecar
from tests.support.odd_server import Answers, Wire, odd_server
from tests.support.whole_batch import whole_batch

GOOGLE = "https://generativelanguage.googleapis.com/v1beta/files/"
BUSY = Wire(b'{"error": {"code": 503, "status": "UNAVAILABLE", "message": "m"}}', 503)
PAGE = Wire(b"<!doctype html><title>Sign in</title>", headers={"Content-Type": "text/html"})
PICTURE = Wire(PNG, headers={"Content-Type": "image/png"})


def named(*uris: str) -> Wire:
    return js(answer(*({"fileData": {"mimeType": "image/png", "fileUri": uri}} for uri in uris)))


STORED, UNKNOWN, FAILED = JobState.STORED, JobState.UNKNOWN, JobState.FAILED
LATER, BAD = "PictureElsewhere", "BadImage"
# The reply, the files, the state after one run and after another, and the kind of failure after the first.
CASES: dict[str, tuple[Wire, dict[str, Answers], JobState, JobState, str]] = {
    "whole": (named(GOOGLE + "a"), {"a:download": PICTURE}, STORED, STORED, ""),
    "second-address": (named(GOOGLE + "gone", GOOGLE + "b"), {"b:download": PICTURE}, STORED, STORED, ""),
    # Each run looks twice: when the reply comes, and once more before the job is left in doubt.
    "busy-once": (named(GOOGLE + "c"), {"c:download": (BUSY, PICTURE)}, STORED, STORED, ""),
    "busy-for-a-run": (named(GOOGLE + "d"), {"d:download": (BUSY, BUSY, PICTURE)}, UNKNOWN, STORED, LATER),
    "busy-for-good": (named(GOOGLE + "e"), {"e:download": BUSY}, UNKNOWN, UNKNOWN, LATER),
    "page": (named(GOOGLE + "f"), {"f:download": PAGE}, UNKNOWN, UNKNOWN, LATER),
    "gone": (named(GOOGLE + "g"), {}, FAILED, FAILED, BAD),
    "half": (named(GOOGLE + "h"), {"h:download": Wire(PNG[:40])}, FAILED, FAILED, BAD),
    "private": (named("https://10.0.0.1/p.png"), {}, FAILED, FAILED, BAD),
    "metadata": (named("http://metadata.google.internal/p.png"), {}, FAILED, FAILED, BAD),
    "local-file": (named("file:///etc/hostname"), {}, FAILED, FAILED, BAD),
}


@pytest.mark.parametrize("route", ROUTES)
async def test_a_named_picture_is_fetched_or_kept_for_the_next_run_and_paid_once(tmp_path: Path, route: str) -> None:
    answers = {name: case[0] for name, case in CASES.items()}
    files: dict[str, Answers] = {name: wire for case in CASES.values() for name, wire in case[1].items()}
    async with odd_server(answers, good) as server:
        server.files = files
        settings = settings_for(tmp_path / "home", server.url, route)
        first = await whole_batch(sheet(tmp_path, list(answers)), settings)
        after = await jobs_by_shot(settings)
        second = await whole_batch(sheet(tmp_path, list(answers)), settings)
    jobs = await jobs_by_shot(settings)
    assert {name: (after[name].state, jobs[name].state, after[name].reason_kind) for name in CASES} == {
        name: case[2:] for name, case in CASES.items()
    }
    assert set(server.asked.values()) == {1}
    assert (first.summary["exit_code"], second.summary["exit_code"]) == (5, 5)
    kept = {path.name.partition("-")[0] for path in (settings.home / "spool" / "replies").glob("*.http")}
    for name, (_, _, _, state, _) in CASES.items():
        assert (jobs[name].key in kept) == (state is not JobState.STORED), name
        if state is JobState.STORED:
            assert jobs[name].spent_usd == TOLD, name
            assert taken(settings, name) == PNG
    assert "10.0.0.1" in jobs["private"].reason


def taken(settings: Any, shot: str) -> bytes:
    folder = Path(settings.archive_uri) / "sheet" / "sheet.live" / "shots" / shot
    return (folder / sidecar(settings, shot)["takes"][0]["file"]["file"]).read_bytes()
