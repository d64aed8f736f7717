"""`callsheet resolve`: everything that is known of a request in doubt, and the decisions of a person."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner

from callsheet.cli.main import app
from callsheet.clock import Clock
from callsheet.errors import UsageError
from callsheet.keys import labels_of
from callsheet.ledger import JobOrder, JobState, Ledger
from callsheet.providers.operations import adoptable
from callsheet.shots import Batch, Mode
from tests.support.cli import Cli, Ran
from tests.support.service import Service

IMAGE, VEO, GEMINI_VEO = "gemini-3.1-flash-image", "veo-3.1-fast-generate-001", "veo-3.1-generate-preview"
EVIL = "It climbs \x1b]0;owned\x07\x1b[2J \x9b31m and \x7f \u202e turns"
OPERATION = f"projects/p/locations/us-central1/publishers/google/models/{VEO}/operations/abc123"


def key_of(number: int) -> str:
    return f"{number:02d}" * 32


def doubtful(cli: Cli, *jobs: tuple[int, str], mode: Mode = "live", prompt: str = "It climbs") -> None:
    """Jobs in doubt in a ledger, each of a number and a model."""

    async def write() -> None:
        async with await Ledger.open(f"sqlite:///{cli.home / 'ledger.db'}", clock=Clock()) as ledger:
            batch = Batch("spring", None, mode, "spring sheet.csv", "0" * 64)
            await ledger.open_batch(batch, [(f"shot{number}", number) for number, _ in jobs])
            for number, model in jobs:
                kind: Any = "image" if model == IMAGE else "video"
                slot, request = ("clip" if kind == "video" else "take-1"), {"prompt": prompt, "duration_s": 4}
                order = JobOrder(
                    key_of(number), kind, mode, model, "spring", batch.name, f"shot{number}", slot, request
                )
                await ledger.claim(order)
                attempt = await ledger.begin(order.key, estimate=Decimal("0.60"), scope="test")
                await ledger.settle(
                    attempt, JobState.UNKNOWN, kind="Unknown", reason="The reply was lost \x1b[31m.", status=502
                )

    cli.home.mkdir(exist_ok=True)
    asyncio.run(write())


def job_of(cli: Cli, number: int) -> Any:
    async def read() -> Any:
        async with await Ledger.open(f"sqlite:///{cli.home / 'ledger.db'}", clock=Clock()) as ledger:
            return await ledger.job(key_of(number)), (await ledger.batches())[0]

    return asyncio.run(read())


def at(service: Service) -> dict[str, str]:
    return {"GOOGLE_GEMINI_BASE_URL": service.url, "GOOGLE_VERTEX_BASE_URL": service.url}


def accepted(service: Service, number: int) -> str:
    """A video that the rehearsal service accepted as the first attempt of a job; its operation."""
    place = f"/v1beta1/projects/p/locations/us-central1/publishers/google/models/{VEO}:predictLongRunning"
    body = {
        "instances": [{"prompt": "It climbs"}],
        "parameters": {"durationSeconds": 4},
        "labels": dict(labels_of(key_of(number), 1)),
    }
    reply = httpx2.post(service.url + place, json=body, headers={"Authorization": "Bearer t"}, trust_env=False)
    name: str = reply.json()["name"]
    return name


def refused(ran: Ran, *said: str) -> None:
    assert ran.exit_code == 2, ran.stderr
    assert "Traceback" not in ran.stderr
    for words in said:
        assert words in ran.stderr


def test_everything_known_is_shown_and_the_commands_to_decide(bare_cli: Cli) -> None:
    doubtful(bare_cli, (1, VEO), (2, IMAGE))
    live = {"GOOGLE_CLOUD_PROJECT": "p", "CALLSHEET_VIDEO_OUTPUT": "gs://media/veo"}
    ran = bare_cli("resolve", "--no-look", "--json", **live)
    assert ran.exit_code == 0, ran.stderr
    prefix = f"gs://media/veo/{key_of(1)[:40]}-1/"
    for words in (
        "spring.live / shot1 / clip", VEO, "0.60 USD", "prompt: It climbs", "attempt 1: ", "HTTP 502",
        "The reply was lost",
        f"callsheet_job={key_of(1)[:40]}, callsheet_attempt=1", f"output: {prefix}", "2 in doubt, 1.20 USD held",
        f"callsheet resolve {key_of(1)[:16]} --resubmit", f"callsheet resolve {key_of(1)[:16]} --adopt OPERATION",
        f"callsheet resolve {key_of(1)[:16]} --drop",
    ):  # fmt: skip
        assert words in ran.stderr, words
    assert f"callsheet resolve {key_of(2)[:16]} --adopt" not in ran.stderr, "a picture has no operation"
    video, image = ran.json["jobs"]
    assert (video["output"], video["usd"], video["attempts"][0]["status"]) == (prefix, 0.6, 502)
    assert video["request"] == {"prompt": "It climbs", "duration_s": 4}
    assert (image["output"], image["labels"]["callsheet_attempt"]) == (None, "1")


def test_a_prompt_cannot_talk_to_the_terminal(bare_cli: Cli) -> None:
    doubtful(bare_cli, (1, VEO), prompt=EVIL)
    shown = bare_cli("resolve", "--no-look", "--json")
    decided = bare_cli("resolve", "--all", "--drop", "--no-look", "--json")
    for ran in (shown, decided):
        assert ran.exit_code == 0, ran.stderr
        for text in (ran.stdout, ran.stderr):
            assert not [char for char in text.replace("\n", "") if ord(char) < 32 or 0x7F <= ord(char) < 0xA0]
    assert "\u202e" not in "".join(shown.stderr.splitlines())
    assert shown.json["jobs"][0]["request"]["prompt"] == EVIL, "the JSON has it whole, escaped"


def test_evidence_is_looked_for_and_decides(bare_cli: Cli, service: Service) -> None:
    doubtful(bare_cli, (1, VEO), (2, VEO), mode="rehearsal")
    operation = accepted(service, 1)
    shown = bare_cli("resolve", "--json", **at(service))
    assert f"evidence: It was accepted as {operation}." in shown.stderr
    assert f"--adopt {operation}" in shown.stderr
    assert "never accepted" in shown.stderr
    assert [job["evidence"]["accepted"] for job in shown.json["jobs"]] == [True, False]
    twice = bare_cli("resolve", key_of(1)[:8], "--resubmit", **at(service))
    refused(twice, "would pay twice", f"--adopt {operation}")
    done = bare_cli("resolve", "--all", "--by-evidence", "--json", **at(service))
    assert done.exit_code == 0, done.stderr
    assert [one["state"] for one in done.json["decided"]] == ["submitted", "planned"]
    assert done.json["next"] == ["callsheet run 'spring sheet.csv'"]
    assert "Run the batch again: callsheet run 'spring sheet.csv'" in done.stderr
    first, second = job_of(bare_cli, 1)[0], job_of(bare_cli, 2)[0]
    assert (first.operation, second.spent_usd) == (operation, 0)


@pytest.mark.parametrize(("choice", "state"), [("--resubmit", "planned"), ("--drop", "failed")])
def test_many_are_decided_at_once_and_what_may_have_been_charged_counts(bare_cli: Cli, choice: str, state: str) -> None:
    doubtful(bare_cli, *((number, VEO) for number in range(1, 41)))
    done = bare_cli("resolve", "--all", choice, "--batch", "spring.live", "--no-look", "--json")
    assert done.exit_code == 0, done.stderr
    assert "40 decided." in done.stderr
    assert {one["state"] for one in done.json["decided"]} == {state}
    assert done.json["next"] == ["callsheet run 'spring sheet.csv' --live"]
    job, row = job_of(bare_cli, 7)
    assert (job.spent_usd, row.spent_usd, row.reserved_usd) == (Decimal("0.6"), Decimal(24), 0)


@pytest.mark.parametrize("choice", ["--resubmit", "--drop"])
def test_what_the_bill_says_counts_as_spent_for_a_request_in_doubt(bare_cli: Cli, choice: str) -> None:
    doubtful(bare_cli, (1, VEO), (2, VEO))
    assert bare_cli("resolve", "--all", "--usd", "0.05").exit_code == 2, "it needs a decision"
    assert bare_cli("resolve", key_of(1), choice, "--usd", "0", "--no-look").exit_code == 0
    assert bare_cli("resolve", key_of(2), choice, "--usd", "0.4021", "--no-look").exit_code == 0
    job, row = job_of(bare_cli, 2)
    assert (job.spent_usd, row.spent_usd, row.reserved_usd) == (Decimal("0.4021"), Decimal("0.4021"), 0)


def test_the_bill_corrects_what_was_decided_before_anybody_knew_the_cost(bare_cli: Cli) -> None:
    doubtful(bare_cli, (1, VEO), (2, VEO))
    assert bare_cli("resolve", "--all", "--drop", "--no-look").exit_code == 0
    [row] = bare_cli("status", "--json").json["batches"]
    assert row["usd"] == {"reserved": 0, "spent": 1.2, "in_doubt": 1.2}
    assert "1.20 of these in doubt" in " ".join(bare_cli("status").stdout.split())
    listed = bare_cli("resolve", "--json")
    assert [one["key"] for one in listed.json["unbilled"]] == [key_of(1), key_of(2)]
    assert "callsheet resolve KEY --usd AMOUNT" in listed.stderr
    assert bare_cli("resolve", "f" * 12, "--usd", "0").exit_code == 2
    assert bare_cli("resolve", key_of(1), "--usd", "0").exit_code == 0
    assert bare_cli("resolve", "--all", "--usd", "0.4021", "--json").json["unbilled"] == []
    [row] = bare_cli("status", "--json").json["batches"]
    assert row["usd"] == {"reserved": 0, "spent": 0.4021, "in_doubt": 0}
    assert bare_cli("resolve", key_of(1), "--usd", "0").exit_code == 2, "it is settled"


def test_an_operation_or_its_object_is_adopted(bare_cli: Cli) -> None:
    doubtful(bare_cli, (1, VEO), (2, VEO))
    for number, name in ((1, OPERATION), (2, "gs://media/veo/x-1/123/sample_0.mp4")):
        done = bare_cli("resolve", key_of(number), "--adopt", name, "--no-look", "--json")
        assert done.exit_code == 0, done.stderr
        assert done.json["decided"] == [{"key": key_of(number), "state": "submitted", "operation": name}]


@pytest.mark.parametrize(
    "name", ["", "op 1", "../../x", "http://x/operations/1", "gs://", "gs://bucket", "gs://bucket/x\x1b[2J", "ab\n"]
)
def test_what_is_neither_operation_nor_object_is_not_adopted(name: str) -> None:
    with pytest.raises(ValueError, match="not an operation name"):
        adoptable(name)


def test_what_cannot_be_adopted_is_refused_and_nothing_changes(bare_cli: Cli, service: Service) -> None:
    doubtful(bare_cli, (1, VEO), mode="rehearsal")
    refused(bare_cli("resolve", key_of(1), "--adopt", "op 1", "--no-look"), "--adopt", "Nothing was changed")
    refused(bare_cli("resolve", key_of(1), "--adopt", OPERATION, **at(service)), "does not know")
    assert job_of(bare_cli, 1)[0].state is JobState.UNKNOWN


def test_contradictions_and_wrong_keys_are_refused(bare_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    doubtful(bare_cli, (1, VEO), (2, IMAGE), (3, GEMINI_VEO), (11, VEO), (20, VEO))
    assert bare_cli("resolve", key_of(20), "--drop", "--no-look").exit_code == 0
    refused(bare_cli("resolve", key_of(20)[:8], "--resubmit", "--json"), "is failed, not in doubt", "shot20")
    monkeypatch.setenv("CALLSHEET_HOME", str(bare_cli.home))
    for words, *arguments in (
        ("begins with 'ff'", "ff", "--drop"),
        ("begins with ''", "", "--drop"),
        ("give more of it", "0", "--drop"),
        ("one decision", key_of(1), "--drop", "--resubmit"),
        ("without keys", key_of(1), "--all", "--drop"),
        ("with a decision", "--all"),
        ("or --all", "--drop"),
        ("has to look", "--all", "--by-evidence", "--no-look"),
        ("about one job", "--all", "--adopt", OPERATION),
        ("no batch 'autumn'", "--all", "--drop", "--batch", "autumn"),
        ("is a picture", key_of(2), "--adopt", OPERATION, "--no-look"),
        ("not on Agent Platform", key_of(3), "--adopt", "gs://media/x.mp4", "--no-look"),
    ):
        ran = CliRunner().invoke(app, ["resolve", *arguments])
        assert isinstance(ran.exception, UsageError), (arguments, ran.exception)
        assert words in str(ran.exception)
    assert [job_of(bare_cli, number)[0].state for number in (1, 2, 3)] == [JobState.UNKNOWN] * 3


def test_without_credentials_it_says_that_it_could_not_look(bare_cli: Cli) -> None:
    doubtful(bare_cli, (1, VEO))
    ran = bare_cli("resolve", "--json")
    assert ran.exit_code == 0, ran.stderr
    assert "It could not be looked for: No credentials" in json.dumps(ran.json["jobs"])
