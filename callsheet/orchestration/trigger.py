"""Runs that a program starts over HTTP: rows for a manifest, a message at the end.

The message is signed as Standard Webhooks are: header names and signature are those of standardwebhooks.com, version 1
(read 2026-11). Its address is a caller's: only hosts of CALLSHEET_WEBHOOK_HOSTS are sent anything, and redirects are
not followed.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import SplitResult, urlsplit

import httpx2
from prefect import Flow, get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.runtime import flow_run as this_run
from pydantic import SecretStr

from callsheet.batch.prepare import prepare_run
from callsheet.batch.request import RunRequest
from callsheet.batch.sent_rows import archive_google_sheet, archive_rows
from callsheet.errors import CallsheetError, SettingsError
from callsheet.exit_codes import ExitCode
from callsheet.google_sheets import is_google_sheet
from callsheet.orchestration.end_states import result_of
from callsheet.providers.access import is_loopback
from callsheet.providers.http_errors import describe_exception
from callsheet.providers.plain_client import plain_client
from callsheet.settings import Settings, load_settings

log = logging.getLogger(__name__)

_TYPES = {
    ExitCode.DONE: "batch.done",
    ExitCode.UNFINISHED: "batch.partly_done",
    ExitCode.PARKED: "batch.parked",
    ExitCode.WAITING: "batch.waiting",
}
_MOST_TOLD = 2000
# Seconds before each further try; a receiver that is away longer asks the Prefect server how the run ended.
PAUSES_S = (1.0, 4.0, 15.0)
REPLY_S = 15.0
LONGEST_URL = 2000
_PREFIX = "whsec_"
_SHORTEST_SECRET = 24
_TRY_AGAIN = frozenset({408, 425, 429, *range(500, 600)})


async def accept_request(
    request: RunRequest, rows: Sequence[Mapping[str, Any]] | None, webhook: str | None, settings: Settings
) -> RunRequest:
    """Return the request of a run, its rows or its Google Sheet archived.

    The run's parameters have the archived address in their place then, where a restart finds it. Raises
    UsageError, before anything is made, for rows that are no valid sheet and for a webhook that may not be used.
    """
    if webhook:
        check_webhook(webhook, settings)
    if not rows and is_google_sheet(request.manifest):
        asked = await archive_google_sheet(await prepare_run(request, settings))
        await _settle(asked.request)
        return asked.request
    if not rows and request.manifest:
        return request
    if rows is None or request.manifest:
        raise SettingsError(
            "Give the address of a manifest, or rows, and not both. Nothing was made. The deployment "
            "content-batch/http has no manifest of its own."
        )
    archived = await archive_rows(request, rows, settings)
    await _settle(archived)
    return archived


async def _settle(request: RunRequest) -> None:
    async with get_client() as client:
        run = await client.read_flow_run(this_run.id)
        settled = {"rows": None, "manifest": request.manifest, "campaign": request.campaign}
        # Prefect replaces all parameters; those that it stored are kept as they are.
        await client.update_flow_run(run.id, parameters={**run.parameters, **settled})


async def tell_of_end(webhook: str | None, state: State[dict[str, Any]], settings: Settings) -> None:
    """Send the summary in a run's final state to its webhook, if it has one."""
    summary: Any = state.data
    if webhook:
        kind = _TYPES.get(summary["exit_code"], "batch.unfinished")
        await send_message(webhook, Message(_message_id(this_run.id, this_run.run_count), kind, summary), settings)


async def tell_of_failure(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Send what a run failed of, or that it was cancelled, to its webhook."""
    webhook = flow_run.parameters.get("webhook")
    if isinstance(result_of(state), Mapping):
        return  # it was told by `tell_of_end`
    if not isinstance(webhook, str) or not webhook:
        return
    kind = "batch.cancelled" if state.is_cancelled() or state.is_cancelling() else "batch.failed"
    data = {"batch": flow_run.name, "exit_code": int(ExitCode.USAGE), "message": (state.message or "")[:_MOST_TOLD]}
    try:
        await send_message(webhook, Message(_message_id(flow_run.id, flow_run.run_count), kind, data), load_settings())
    except CallsheetError as error:
        log.warning("No webhook is sent: %s", error)


def _message_id(run_id: object, run_count: int | None) -> str:
    """Return the id of a run's message; a run that is started again has another one."""
    return f"msg_{str(run_id).replace('-', '')}_{run_count or 1}"


@dataclass(frozen=True, slots=True)
class Message:
    """A message: its id, by which receivers know it again, and what it says."""

    id: str
    type: str
    data: Mapping[str, Any]

    def body(self, now: datetime) -> bytes:
        """Return its body, as it is signed and sent."""
        told = {"type": self.type, "timestamp": now.isoformat(timespec="seconds"), "data": self.data}
        return json.dumps(told, ensure_ascii=False, separators=(",", ":"), default=str).encode()


def check_webhook(url: str, settings: Settings) -> None:
    """Raise SettingsError unless messages may be sent there, and can be signed."""
    parts = _parse_url(url)
    if parts is None:
        raise SettingsError(
            "The webhook is no address that messages are sent to: it must be https://host[:port]/path without a user "
            "or a password; plain http is for this machine only. Nothing was made."
        )
    host = (parts.hostname or "").lower()
    allowed = {one.lower() for one in settings.webhook_hosts}
    if not {host, f"{host}:{parts.port}"} & allowed:
        raise SettingsError(
            f"Webhooks may not be sent to {host[:100]}: it is not in CALLSHEET_WEBHOOK_HOSTS, which the worker's "
            'environment sets, such as ["hooks.example.com"]. Nothing was made.'
        )
    if settings.webhook_secret is None:
        raise SettingsError(
            "A webhook is signed, and CALLSHEET_WEBHOOK_SECRET is not set where the run works. Nothing was made. Set "
            "it there, and give it to whoever receives the message."
        )
    read_secret(settings.webhook_secret)


def read_secret(secret: SecretStr) -> bytes:
    """Return the bytes to sign with: those of `whsec_` and base64, else the text's.

    SettingsError for one that is too short to be a secret, or no base64.
    """
    text = secret.get_secret_value()
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True) if text.startswith(_PREFIX) else text.encode()
    except binascii.Error:
        raise SettingsError("CALLSHEET_WEBHOOK_SECRET is not base64 behind whsec_. Nothing was made.") from None
    if len(key) < _SHORTEST_SECRET:
        raise SettingsError(f"CALLSHEET_WEBHOOK_SECRET has less than {_SHORTEST_SECRET} bytes. Nothing was made.")
    return key


def sign(key: bytes, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of a message: its id, its time and its signature."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


async def send_message(url: str, message: Message, settings: Settings, pauses_s: tuple[float, ...] = PAUSES_S) -> bool:
    """Send a message, and again when its receiver is away.

    Returns whether it was taken. Raises SettingsError when it may not be sent there. What the receiver says is not
    looked at.
    """
    check_webhook(url, settings)
    assert settings.webhook_secret is not None  # noqa: S101  narrows the type
    key, why = read_secret(settings.webhook_secret), ""
    for pause_s in (0.0, *pauses_s):
        await asyncio.sleep(pause_s)
        # Signed anew: receivers refuse a message whose time is long gone.
        why, is_final = await _send_once(url, message, key)
        if is_final:
            break
    if why:
        log.warning("The webhook to %s was not taken: %s. The batch itself is not touched by it.", _host(url), why)
    return not why


async def _send_once(url: str, message: Message, key: bytes) -> tuple[str, bool]:
    """Return why a message was not taken ("" when it was), and whether that is final."""
    now = datetime.now(UTC)
    body = message.body(now)
    headers = {"Content-Type": "application/json", **sign(key, message.id, int(now.timestamp()), body)}
    try:
        async with (
            plain_client(url, REPLY_S, None, fresh=True) as client,
            client.stream("POST", url, content=body, headers=headers) as reply,
        ):
            status = reply.status_code
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        return describe_exception(error), False
    return ("", True) if 200 <= status < 300 else (f"it answers {status}", status not in _TRY_AGAIN)


def _parse_url(url: str) -> SplitResult | None:
    """Return the parts of an address that messages may be sent to, None else."""
    if len(url) > LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
        is_sound = bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc and not parts.fragment
    except ValueError:
        return None
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(url))
    return parts if is_sound and is_safe and "\\" not in url else None


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""
