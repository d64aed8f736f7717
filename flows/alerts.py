"""What people are told, and when: texts for a chat's webhook, rendered by the Prefect server."""

from __future__ import annotations

from dataclasses import dataclass


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
# The states are those of `flows.content_batch.final_state` and of Prefect itself.
ALERTS = (
    Alert(
        "failed batches",
        "A run failed, or ended with shots that are blocked or failed.",
        ("Failed", "Unfinished", "Partly done", "TimedOut"),
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
        ("Waiting",),
        "{{ flow_run.name }} waits for you. {{ flow_run.state.message }}",
    ),
    Alert(
        "parked batches",
        "A batch is parked by the quota or by the budget.",
        ("Parked",),
        "{{ flow_run.name }} is parked. {{ flow_run.state.message }}",
    ),
)


def payload(text: str) -> str:
    """The template of the JSON body: `{"text": ...}`, as Slack, Mattermost, Google Chat and others take it."""
    link = "{% if flow_run %}\n{{ flow_run | ui_url }}{% endif %}"
    return f"{{% set text %}}{text}{link}{{% endset %}}" + '{"text": {{ text | string | tojson }}}'
