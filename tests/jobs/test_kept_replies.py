"""A reply is on the disk before it is read: after a kill the next run reads it, and asks for nothing again."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet.batch.request import RunRequest
from callsheet.errors import ProviderError, Unknown
from callsheet.ledger import JobState
from callsheet.providers.outcomes import read_look, read_picture
from callsheet.providers.reply_body import ReplyBody, decode_base64, read_body, read_json
from callsheet.providers.reply_spool import KeptReplies, Reply, head_of, parse_reply
from tests.support.cli import Cli
from tests.support.forked import Forge
from tests.support.odd_replies import GOOD, PNG, answer, js
from tests.support.odd_reply_runs import PRICE, TOLD, good, jobs_by_shot, settings_for, sheet
from tests.support.odd_server import OddServer, Wire, odd_server
from tests.support.waiting import wait_for
from tests.support.whole_batch import whole_batch

KEY = "ab" * 32
# A reply that only names its picture, and the file at that address.
NAMED = js(answer({"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/a"}}))
FILES = {"a:download": Wire(PNG)}
KILL = "between a kept reply and its picture"


async def killed(forge: Forge, folder: Path, server: OddServer, request: RunRequest, moment: str) -> None:
    """Run the batch in a process of its own that is killed at the moment, or when half a reply has come."""
    given = {"home": str(folder / "home"), "tier": 3, "GOOGLE_API_KEY": "k", "GOOGLE_GEMINI_BASE_URL": server.url}
    args = [json.dumps(given), request.manifest, moment, "folder", "live"]
    process = forge.start(args, folder, dict(os.environ), "tests.support.whole_batch:main")

    def is_over() -> bool:
        kept = (folder / "home" / "spool" / "replies").glob("*.http")
        if server.is_stalled and any(b'"data"' in path.read_bytes() for path in kept):
            server.is_stalled = False
            os.kill(process.pid, 9)
        return process.poll() is not None

    await asyncio.to_thread(wait_for, is_over)
    assert process.returncode == -9, process.communicate(1)


async def killed_and_run_again(
    forge: Forge, folder: Path, answers: Mapping[str, Wire], moment: str = KILL, files: Mapping[str, Wire] | None = None
) -> tuple[OddServer, Any]:
    async with odd_server(answers, good) as server:
        server.files = files or {}
        request = sheet(folder, list(answers))
        await killed(forge, folder, server, request, moment)
        report = await whole_batch(request, settings_for(folder / "home", server.url))
    return server, report


async def test_a_reply_that_was_kept_before_a_kill_is_taken_without_a_new_request(
    tmp_path: Path, bare_forge: Forge
) -> None:
    server, report = await killed_and_run_again(bare_forge, tmp_path, {"one": Wire(GOOD)})
    settings = settings_for(tmp_path / "home", server.url)
    job = (await jobs_by_shot(settings))["one"]
    assert (server.asked["one"], job.state, job.spent_usd, job.attempts) == (1, JobState.STORED, TOLD, 1)
    assert report.summary["exit_code"] == 0
    assert not list((settings.home / "spool" / "replies").iterdir()), "what is archived is kept no longer"


async def test_a_reply_kept_before_a_kill_that_only_names_its_picture_has_it_fetched(
    tmp_path: Path, bare_forge: Forge
) -> None:
    server, report = await killed_and_run_again(bare_forge, tmp_path, {"one": NAMED}, KILL, FILES)
    job = (await jobs_by_shot(settings_for(tmp_path / "home", server.url)))["one"]
    assert (server.asked["one"], job.state, job.spent_usd, job.attempts) == (1, JobState.STORED, TOLD, 1)
    assert report.summary["exit_code"] == 0


@pytest.mark.parametrize("wire", [Wire(GOOD), NAMED], ids=["whole", "named"])
async def test_a_reply_kept_for_a_ledger_that_is_lost_is_taken_by_the_next_one(
    tmp_path: Path, bare_forge: Forge, lean_cli: Cli, wire: Wire
) -> None:
    request, settings = sheet(tmp_path, ["one"]), settings_for(tmp_path / "home", "http://127.0.0.1:9")
    lean_cli.env["CALLSHEET_HOME"] = str(settings.home)
    async with odd_server({"one": wire}, good) as server:
        server.files = FILES
        await killed(bare_forge, tmp_path, server, request, KILL)
        for path in settings.home.glob("ledger.db*"):
            path.unlink()
        rebuilt = lean_cli("ledger", "rebuild", "--take-over", "--batch", "sheet.live", "--json")
        assert rebuilt.exit_code == 0, rebuilt.stderr
        await whole_batch(request, settings_for(settings.home, server.url))
    job = (await jobs_by_shot(settings))["one"]
    assert (server.asked["one"], job.state, job.spent_usd, job.attempts) == (1, JobState.STORED, TOLD, 1)


async def test_half_a_reply_that_came_before_a_kill_is_evidence_until_a_person_decides(
    tmp_path: Path, bare_forge: Forge, lean_cli: Cli
) -> None:
    half = Wire(GOOD[: GOOD.index(b'"data"') + 100], beyond=500, stall=True)
    server, report = await killed_and_run_again(bare_forge, tmp_path, {"one": half}, "after the marker")
    settings = settings_for(tmp_path / "home", server.url)
    job = (await jobs_by_shot(settings))["one"]
    assert (server.asked["one"], job.state, job.reason_kind, job.spent_usd) == (1, JobState.FAILED, "BadImage", PRICE)
    assert report.summary["exit_code"] == 3
    [kept] = map(str, (settings.home / "spool" / "replies").glob(f"{job.key}-1-*.http"))
    assert kept in job.reason

    lean_cli.env["CALLSHEET_HOME"] = str(settings.home)
    shown = lean_cli("resolve", "--no-look", "--json")
    assert kept in shown.stdout
    assert shown.json["jobs"][0]["kept"] == [kept]
    assert lean_cli("resolve", "--all", "--resubmit", "--no-look", "--json").json["decided"] == []
    decided = lean_cli("resolve", job.key[:16], "--resubmit", "--no-look", "--json").json["decided"]
    assert [one["state"] for one in decided] == ["planned"]
    async with odd_server({}, good) as again:
        await whole_batch(sheet(tmp_path, ["one"]), settings_for(tmp_path / "home", again.url))
    job = (await jobs_by_shot(settings))["one"]
    assert (again.asked["one"], job.state, job.spent_usd) == (1, JobState.STORED, PRICE + TOLD)
    assert not list((settings.home / "spool" / "replies").iterdir())


# --- the file of a reply


def test_a_kept_reply_reads_as_it_came(tmp_path: Path) -> None:
    kept = KeptReplies(tmp_path / "replies")
    reply = Reply(200, {"content-type": "text/html", "content-encoding": "gzip"}, b"\r\n\r\nHTTP/1.1 \x00\xff")
    kept.write(KEY, 3, reply)
    kept.write(KEY, 12, reply)
    assert kept.read(KEY, 3) == reply
    assert [path.name for path in kept.of_job(KEY)] == [f"{KEY}-3-none.http", f"{KEY}-12-none.http"]
    assert kept.path(KEY, 3).stat().st_mode & 0o077 == 0, "replies are private"
    kept.remove(KEY)
    assert kept.read(KEY, 3) is None
    assert kept.of_job(KEY) == []


def test_a_reply_longer_than_is_kept_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callsheet.providers.reply_spool.MAX_KEPT_BYTES", 10)
    file = KeptReplies(tmp_path).open(KEY, 1)
    file.begin(200, {})
    for _ in range(5):
        file.add(b"0123456")
    file.end()
    assert parse_reply(file.path.read_bytes()).body == b"0123456012"


@given(st.integers(100, 999), st.text(max_size=50), st.binary(max_size=300))
def test_every_reply_survives_being_written(status: int, header: str, body: bytes) -> None:
    found = parse_reply(head_of(status, {"content-type": header}) + body)
    assert (found.status, found.body) == (status, body)


@pytest.mark.parametrize(
    "reply", [parse_reply(head_of(200, {})), Reply(200, is_whole=False)], ids=["killed", "broke off"]
)
def test_a_head_without_its_body_may_have_been_paid_for(reply: Reply) -> None:
    """An empty answer is asked for again as one that cost nothing; of this one nobody knows."""
    for read in (read_picture, read_look):
        with pytest.raises(Unknown, match="cut off"):
            read(reply)


# --- reading never fails


@given(st.binary(max_size=400), st.sampled_from(["", "gzip", "deflate"]), st.sampled_from(["", "text/html; charset=x"]))
def test_no_bytes_break_the_reading(body: bytes, encoding: str, content_type: str) -> None:
    reply = Reply(200, {"content-encoding": encoding, "content-type": content_type}, body)
    assert isinstance(read_body(reply), ReplyBody)
    for read in (read_picture, read_look):
        with contextlib.suppress(ProviderError):
            read(reply)


@given(st.integers(0, len(GOOD)))
def test_a_reply_cut_anywhere_is_taken_or_evidence_or_in_doubt(end: int) -> None:
    begins = GOOD.index(b'"data": "') + 9
    became: object
    try:
        became = read_picture(Reply(200, {}, GOOD[:end])).data == PNG
    except ProviderError as error:
        became = error.kind
    if end >= begins + 4 * len(PNG) // 3 + 4:
        assert became is True
    else:
        assert became in ({"BadImage", True} if end > begins + 60 else {"Unknown", "NoImage", "BadImage"})


@given(
    st.recursive(st.none() | st.text() | st.integers(), lambda i: st.lists(i) | st.dictionaries(st.text(), i)),
    st.data(),
)
def test_json_cut_anywhere_gives_what_was_whole(value: Any, data: Any) -> None:
    text = json.dumps({"first": "x", "rest": value, "last": 1})
    documents, is_cut = read_json(text[: data.draw(st.integers(14, len(text)))])
    assert documents
    assert documents[0]["first"] == "x"
    assert is_cut or documents == [json.loads(text)]


@given(st.binary(min_size=1, max_size=200), st.sampled_from(["", "\n", "\r\n", " ", "\t"]), st.booleans())
def test_base64_is_read_in_every_form(data: bytes, between: str, url_safe: bool) -> None:
    text = (base64.urlsafe_b64encode if url_safe else base64.b64encode)(data).decode()
    spread = between.join(text[at : at + 7] for at in range(0, len(text), 7))
    for form in (spread, spread.rstrip("="), f"data:image/png;base64,{spread}", text.replace("=", "%3D")):
        assert decode_base64(form) == data
