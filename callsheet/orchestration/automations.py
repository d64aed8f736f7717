"""Automations on the Prefect server: restarts and messages.

What crashed goes on without a person, and people learn what needs them.

They work on the server alone, for runs of deployments: a run that the command line started has a person before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal
from uuid import UUID

from prefect import get_client
from prefect.automations import (
    AutomationCore,
    CallWebhook,
    ChangeFlowRunState,
    EventTrigger,
    Posture,
    ResourceSpecification,
)
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import StateType
from pydantic import SecretStr


@dataclass(frozen=True, slots=True)
class Alert:
    """The states of a flow run that are told, and the text, a Jinja template.

    `absence`: when it stays in them. `given_up`: only of runs that have been started so often that they are left alone.
    """

    name: str
    when: str
    states: tuple[str, ...]
    text: str
    absence: bool = False
    given_up: bool = False


GOES_ON = (
    "{{ flow_run.name }} crashed. {{ flow_run.state.message }} "
    "It goes on by itself; what was paid for is not paid for again."
)
# The states are those of `end_states.end_state` and of Prefect itself.
ALERTS = (
    Alert(
        "failed batches",
        "A run failed, or ended with shots that are blocked or failed.",
        ("Failed", "Partly done", "TimedOut"),
        "{{ flow_run.name }}: {{ flow_run.state.name | lower }}. {{ flow_run.state.message }}. "
        "Reasons, and what to do: see its failures and its log.",
    ),
    Alert(
        "batches that crashed too often",
        "A run crashed and is not started again.",
        ("Crashed",),
        "{{ flow_run.name }} crashed. {{ flow_run.state.message }} "
        "It was started {{ event.resource['prefect.run-count'] }} times and is not started again: see its log.",
        given_up=True,
    ),
    Alert(
        "late batches",
        "A scheduled run is not taken by any worker.",
        ("Late",),
        "{{ deployment.name }} should have begun at {{ flow_run.expected_start_time.strftime('%Y-%m-%d %H:%M') }} UTC "
        "and no worker has taken it. Is a worker of work pool {{ deployment.work_pool_name }} running?",
        absence=True,
    ),
    Alert(
        "waiting batches",
        "A batch waits for a person.",
        ("Paused",),
        "{{ flow_run.name }} waits for you. {{ flow_run.state.message }}",
    ),
    Alert(
        "parked batches",
        "A batch is parked by the quota or by the budget.",
        ("Suspended",),
        "{{ flow_run.name }} is parked. {{ flow_run.state.message }}",
    ),
)


def payload(text: str) -> str:
    """Return the template of the JSON body: `{"text": ...}`.

    Slack, Mattermost, Google Chat and others take it so.
    """
    link = "{% if flow_run %}\n{{ flow_run | ui_url }}{% endif %}"
    return f"{{% set text %}}{text}{link}{{% endset %}}" + '{"text": {{ text | string | tojson }}}'


# The flows that are looked after. The runs of `content-shard` are looked after by the batch that they belong to.
WATCHED = ("content-batch", "collect", "social-cuts", "assemble", "approve-frames", "spend-report")
# A run of a deployment has to send a heartbeat this often, seconds: PREFECT_FLOWS_HEARTBEAT_FREQUENCY in the job's
# environment. 30 is the least that Prefect 3.8.8 takes; its default of 180 would look like silence here.
HEARTBEAT_S = 30
# A run is started again after a crash until it has been started so often.
MOST_STARTS = 5
PREFIX = "callsheet: "
BLOCK = "callsheet-alerts"
_FLOW_RUN, _STARTS = "prefect.flow-run", "prefect.run-count"
# More than these no person starts by hand.
GIVEN_UP = [str(count) for count in range(MOST_STARTS, 100)]
# Names of states by what they say of a run. What is marked as crashed although it has ended stays as it ended.
TAKEN = ("Pending", "Submitting", "InfrastructurePending")
BEGUN = ("Running", "Retrying", "Rerunning")
ENDED = (
    *("Completed", "Partly done", "Failed", "TimedOut", "Cancelling", "Cancelled", "Paused", "Suspended"),
    *("Parked", "Waiting", "Unfinished"),  # of content-shard, and of runs of earlier versions
)
AGAIN = ("AwaitingRetry", "AwaitingConcurrencySlot", "Scheduled")


@dataclass(frozen=True, slots=True)
class SilenceLimits:
    """The waits before a silent run counts as crashed, or an idle one as late.

    `silent` lets two heartbeats be missed. `pending` is for machines that have to be provided first. Prefect takes no
    less than 10 s.
    """

    silent: timedelta = timedelta(seconds=2.5 * HEARTBEAT_S)
    pending: timedelta = timedelta(minutes=15)
    late: timedelta = timedelta(minutes=5)


async def ensure_automations(alert_url: SecretStr | None, patience: SilenceLimits | None = None) -> list[str]:
    """Make the server's automations what they are to be, and return their names.

    Doing it again changes nothing.

    With `alert_url` people are told through it, by a POST of `{"text": ...}`; without, those automations are removed.
    One that a person has switched off stays off. What else the server has is left alone.
    """
    async with get_client() as client:
        block = await _save_block(alert_url) if alert_url else None
        wanted = automations(patience or SilenceLimits(), block)
        await _replace(client, wanted)
    return [one.name for one in wanted]


async def remove_automations() -> None:
    """Remove all that `ensure_automations` made."""
    async with get_client() as client:
        await _replace(client, [])


def automations(patience: SilenceLimits, block: UUID | None) -> list[AutomationCore]:
    """Return the automations; without a notification block only those that act.

    `block` is the block's id.
    """
    told = [_build_automation(alert, patience, block) for alert in ALERTS] if block else []
    return [*_zombies(patience), *_restarts(block), *told]


def _zombies(patience: SilenceLimits) -> list[AutomationCore]:
    """Mark a zombie as crashed, which gives its concurrency slot back."""
    crash = ChangeFlowRunState(
        state=StateType.CRASHED, message="It gives no sign of life any more: its process or machine is gone."
    )
    return [
        _automation(
            "silent runs have crashed",
            "A run that has sent heartbeats and sends no more is marked as crashed.",
            _absence({"heartbeat"}, {"heartbeat", *ENDED, *AGAIN}, patience.silent),
            crash,
        ),
        _automation(
            "runs that never begin have crashed",
            "A run that a worker has taken and that does not begin is marked as crashed.",
            _absence(TAKEN, {*TAKEN, *BEGUN, *ENDED, *AGAIN}, patience.pending),
            crash,
        ),
    ]


def _restarts(block: UUID | None) -> list[AutomationCore]:
    """Schedule again what crashed, on whatever worker is free.

    It is the same run with the same parameters.

    The server counts its starts, so nothing is started for ever. People are told by the same automation: with SQLite
    the state's change and a second automation of the same event may lock each other out, and one is lost (3.8.8).
    """
    go_on = ChangeFlowRunState(
        state=StateType.SCHEDULED,
        name="AwaitingRetry",
        message="Goes on after a crash. What was paid for is not paid for again.",
    )
    tell = [CallWebhook(block_document_id=block, payload=payload(GOES_ON))] if block else []
    begun = [str(count) for count in range(1, MOST_STARTS)]
    return [
        _automation(
            "crashed runs go on",
            f"A run that crashed is scheduled again, until it has been started {MOST_STARTS} times.",
            _event({"Crashed"}, {_STARTS: begun}),
            *tell,
            go_on,
        ),
        _automation(
            "runs that crashed before they began are tried again",
            "A run that crashed before its first step is scheduled again, once an hour at most.",
            _event({"Crashed"}, {_STARTS: "0"}, at_most_every=timedelta(hours=1)),
            *tell,
            go_on,
        ),
    ]


def _build_automation(alert: Alert, patience: SilenceLimits, block: UUID) -> AutomationCore:
    labels: dict[str, str | list[str]] = {_STARTS: GIVEN_UP} if alert.given_up else {}
    trigger = (
        _absence(alert.states, {*alert.states, *TAKEN, *BEGUN, *ENDED, *AGAIN}, patience.late)
        if alert.absence
        else _event(alert.states, labels)
    )
    action = CallWebhook(block_document_id=block, payload=payload(alert.text))
    return _automation(f"tell of {alert.name}", alert.when, trigger, action)


def _automation(
    name: str, description: str, trigger: EventTrigger, *actions: ChangeFlowRunState | CallWebhook
) -> AutomationCore:
    return AutomationCore(name=PREFIX + name, description=description, trigger=trigger, actions=list(actions))


def _event(
    states: Iterable[str],
    labels: dict[str, str | list[str]] | None = None,
    at_most_every: timedelta = timedelta(0),
) -> EventTrigger:
    """Return a trigger: a run of a deployment comes into one of these states."""
    return _trigger(Posture.Reactive, at_most_every, labels or {}, expect=_events(states))


def _absence(states: Iterable[str], expected: Iterable[str], within: timedelta) -> EventTrigger:
    """Return a trigger: a run was in one of these states and none expected follows.

    Only runs of deployments count.
    """
    return _trigger(Posture.Proactive, within, {}, after=_events(states), expect=_events(expected))


def _trigger(
    posture: Literal[Posture.Reactive, Posture.Proactive],
    within: timedelta,
    labels: dict[str, str | list[str]],
    *,
    expect: set[str],
    after: set[str] | None = None,
) -> EventTrigger:
    related: list[dict[str, str | list[str]]] = [
        {"prefect.resource.role": "flow", "prefect.resource.name": list(WATCHED)},
        {"prefect.resource.role": "deployment"},
    ]
    return EventTrigger(
        posture=posture,
        match=ResourceSpecification({"prefect.resource.id": f"{_FLOW_RUN}.*", **labels}),
        match_related=[ResourceSpecification(one) for one in related],
        for_each={"prefect.resource.id"},
        after=after or set(),
        expect=expect,
        threshold=1,
        within=within,
    )


def _events(states: Iterable[str]) -> set[str]:
    return {f"{_FLOW_RUN}.{state}" for state in states}


async def _save_block(url: SecretStr) -> UUID:
    hook = Webhook.model_validate({"url": url, "headers": {"Content-Type": "application/json"}})
    block: UUID = await hook.save(BLOCK, overwrite=True)
    return block


async def _replace(client: PrefectClient, wanted: Sequence[AutomationCore]) -> None:
    """Make the automations of our prefix the wanted ones.

    They are created, updated and removed.
    """
    there = {one.name: one for one in await client.read_automations() if one.name.startswith(PREFIX)}
    for one in wanted:
        old = there.pop(one.name, None)
        if old is None:
            await client.create_automation(one)
        else:
            await client.update_automation(old.id, one.model_copy(update={"enabled": old.enabled}))
    for old in there.values():
        await client.delete_automation(old.id)
