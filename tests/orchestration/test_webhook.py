"""The webhook at the end of a run: where it may go, how it is signed, and what happens when nobody takes it."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from callsheet.errors import SettingsError
from callsheet.orchestration.trigger import Message, check_webhook, read_secret, send_message, sign
from callsheet.settings import Settings, load_settings
from tests.support.plain_server import Answer, plain_server

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
MESSAGE = Message("msg_1", "batch.done", {"batch": "a", "exit_code": 0})


def settings(*hosts: str, secret: str | None = SECRET) -> Settings:
    return load_settings(webhook_hosts=hosts, webhook_secret=secret)


def refusal_of(url: str, given: Settings) -> str:
    try:
        check_webhook(url, given)
    except SettingsError as error:
        return str(error)
    return ""


def test_signature_is_that_of_the_standards_own_example() -> None:
    """Of the documentation of Standard Webhooks and its libraries."""
    key = read_secret(load_settings(webhook_secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").webhook_secret)  # type: ignore[arg-type]
    headers = sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example/a",
        "https://HOOKS.example:8443/a?b=c",
        "http://127.0.0.1:9/a",
        "http://localhost/a",
        "https://two.example:444/",
    ],
)
def test_webhook_may_go_to_hosts_of_the_list(url: str) -> None:
    assert refusal_of(url, settings("hooks.example", "127.0.0.1", "localhost", "two.example:444")) == ""
    assert "CALLSHEET_WEBHOOK_HOSTS" in refusal_of(url, settings("another.example"))


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/a",
        "https://hooks.example@evil.example/",
        "https://user:pass@hooks.example/",
        "https://hooks.example.evil.example/",
        "https://evil.example/?https://hooks.example/",
        "https://evil.example\\@hooks.example/",
        "https://two.example/",
        "https://127.0.0.2/",
        "https://169.254.169.254/",
        "https://hooks.example:0/",
        "https://hooks.example:x/",
        "https://hooks.example/#a",
        "https://hooks.example/\r\nHost: a",
        "https://höoks.example/",
        "ftp://hooks.example/",
        "hooks.example",
        "https://[::1",
        "https:///a",
        "https://hooks.example/" + "a" * 3000,
    ],
)
def test_webhook_may_go_nowhere_else(url: str) -> None:
    with pytest.raises(SettingsError, match="Nothing was made"):
        check_webhook(url, settings("hooks.example", "127.0.0.1", "two.example:444"))


@pytest.mark.parametrize("secret", [None, "short", "whsec_not base64!", "whsec_c2hvcnQ="])
def test_webhook_that_cannot_be_signed_is_refused(secret: str | None) -> None:
    with pytest.raises(SettingsError, match="CALLSHEET_WEBHOOK_SECRET") as refused:
        check_webhook("https://hooks.example/a", settings("hooks.example", secret=secret))
    assert secret is None or secret not in str(refused.value)
    assert secret is None or secret not in repr(settings("hooks.example", secret=secret))


def send(answer: Answer, pauses_s: tuple[float, ...] = (0.0, 0.0)) -> tuple[bool, list[Any]]:
    with plain_server(answer) as server:
        taken = asyncio.run(send_message(f"{server.url}/hook", MESSAGE, settings("127.0.0.1"), pauses_s))
    return taken, server.asked


@pytest.mark.parametrize(
    ("answer", "taken", "times"),
    [
        (Answer(204, b""), True, 1),
        (Answer(500, b""), False, 3),
        (Answer(429, b""), False, 3),
        (Answer(400, b""), False, 1),
        (Answer(410, b""), False, 1),
        (Answer(307, b"", {"Location": "http://127.0.0.1:1/"}), False, 1),
    ],
)
def test_webhook_is_sent_again_a_bounded_number_of_times(answer: Answer, taken: bool, times: int) -> None:
    was_taken, asked = send(answer)
    assert (was_taken, len(asked)) == (taken, times)
    assert {headers["webhook-id"] for _, _, headers in asked} == {"msg_1"}


def test_webhook_to_a_dead_port_is_given_up() -> None:
    with plain_server() as server:
        url = server.url
    assert not asyncio.run(send_message(url, MESSAGE, settings("127.0.0.1"), (0.0,)))
