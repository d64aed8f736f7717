"""The runs of a batch's shards on the Prefect server.

They are started, joined, looked at, given up and begun anew.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from prefect import get_client, get_run_logger
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterName,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.deployments import arun_deployment
from prefect.settings import get_current_settings
from prefect.states import Cancelled, Cancelling, Crashed

from callsheet.batch.request import RunRequest
from callsheet.context.context import RunContext
from callsheet.orchestration.end_states import UNFINISHED
from callsheet.orchestration.run_parameters import parameters_of
from callsheet.plan import Plan
from callsheet.plan.grouping import Next, Shard, Stand, what_next
from callsheet.shots import Batch, Shot, ShotOutcome

DEPLOYMENT = "content-shard/content-shard"
# A run that works gives a sign of life every heartbeat; three that stay out are no accident.
HEARTBEATS = 3
# The most that the server gives at once (Prefect 3.8.8): flow runs, and events.
PAGE, EVENTS = 200, 50


@dataclass
class Watched:
    """A shard with its latest run.

    Also how many this process has seen of it, and when it last gave a sign of life.
    """

    shard: Shard
    run: FlowRun
    runs: int = 1
    sign: object = None
    at: float = field(default_factory=time.monotonic)

    def heard(self, run: FlowRun, beat: object) -> None:
        """Note how the run stands.

        Times of other machines are only compared with each other.
        """
        self.run = run
        sign = (run.id, run.state and run.state.id, beat)
        if sign != self.sign:
            self.sign, self.at = sign, time.monotonic()

    @property
    def next(self) -> Next:
        """Decide what is to be done about it."""
        state = self.run.state_type.value if self.run.state_type else StateType.PENDING.value
        return what_next(Stand(state, time.monotonic() - self.at, self.runs), silence_s())


class ShardRuns:
    """The runs of a batch's shards.

    `open` are those that are not over, `remote_shots` the shots that other processes work on.
    """

    def __init__(
        self, client: PrefectClient, run: RunContext, request: RunRequest, plan: Plan, going: Sequence[Shot]
    ) -> None:
        self._client = client
        self._run = run
        self._request = request
        self._going = {shot.id: shot for shot in going}
        self._ids = plan.places
        self._beats: dict[UUID, object] = {}
        self._asked = 0.0
        self.open: list[Watched] = []
        self.remote_shots = set(self._going)
        self.crashed = 0

    async def begin(self, shards: Sequence[Shard]) -> None:
        """Join the runs that are at work already, and start those that are missing.

        An earlier run of the batch may have left some.
        """
        earlier: dict[str, FlowRun] = {}
        for run in await _earlier(self._client, self._run.batch):
            earlier.setdefault(_place(run), run)
        for shard in shards:
            last = earlier.get(_key(self._run.batch, shard))
            if last is not None and not _is_over(last):
                get_run_logger().info("%s: joined run %s, which is at work already", shard.label, last.name)
                self.open.append(Watched(shard, last))
            else:
                self.open.append(Watched(shard, await self._start(shard, _number(last) + 1)))

    async def look(self) -> None:
        """See how the runs stand, and do what is to be done about each."""
        found = await _by_ids(self._client, [one.run.id for one in self.open])
        await self._hear([run.id for run in found.values() if run.state_type is StateType.RUNNING])
        for one in list(self.open):
            if one.run.id in found:
                one.heard(found[one.run.id], self._beats.get(one.run.id))
            if one.next is Next.LOST:
                lost: State[Any] = Crashed(message=f"It gave no sign of life for {silence_s():.0f} s.")
                await self._client.set_flow_run_state(one.run.id, lost, force=True)
            elif one.next is Next.AGAIN:
                self._tell(one, "is begun again")
                one.run, one.runs = await self._start(one.shard, _number(one.run) + 1), one.runs + 1
            elif one.next is Next.OVER:
                self._end(one)

    async def take_over(self) -> list[Shot]:
        """Take the shots of a shard that no worker has taken for a minute.

        They are this process's own then; none when there is none.

        The last one is taken: workers begin with the first. Should one begin it all the same, the ledger's leases let
        each job be done by one of the two.
        """
        waiting = [one for one in self.open if one.next is Next.TAKE]
        if not waiting:
            return []
        one = waiting[-1]
        here: State[Any] = Cancelled(message="No worker took it; the run that split the batch does it itself.")
        await self._client.set_flow_run_state(one.run.id, here)
        self._tell(one, "waited for a worker and is done here")
        self.open.remove(one)
        shots = self._shots(one.shard)
        self.remote_shots -= {shot.id for shot in shots}
        return shots

    async def _start(self, shard: Shard, number: int) -> FlowRun:
        """Start a run of the shard, or join the one that has this number.

        Another process may have started it.
        """
        run, request, batch = self._run, self._request, self._run.batch
        pending = [shot.id for shot in self._shots(shard)]
        await run.resources.ledger.set_shots(batch.name, pending, ShotOutcome.PENDING)
        asked = replace(request, edition=batch.edition, campaign=batch.campaign, shard=shard)
        return await arun_deployment(
            DEPLOYMENT,
            client=self._client,
            parameters=parameters_of(asked),
            flow_run_name=f"{batch.name} · {shard.label}",
            tags=[*_tags(batch), batch.campaign, batch.mode, *([batch.edition] if batch.edition else [])],
            idempotency_key=f"{_key(batch, shard)}/{number}",
            timeout=0,
        )

    async def _hear(self, running: list[UUID]) -> None:
        """Ask for the latest heartbeats.

        Several times within the silence that would mean death.
        """
        if not running or time.monotonic() - self._asked < silence_s() / (2 * HEARTBEATS):
            return
        self._asked = time.monotonic()
        for start in range(0, len(running), EVENTS // 2):
            names = [f"prefect.flow-run.{run}" for run in running[start : start + EVENTS // 2]]
            asked = {"event": {"name": ["prefect.flow-run.heartbeat"]}, "resource": {"id": names}}
            reply = await self._client.request("POST", "/events/filter", json={"filter": asked, "limit": EVENTS})
            for event in reversed(reply.json()["events"]):
                self._beats[UUID(event["resource"]["prefect.resource.id"].rpartition(".")[2])] = event["id"]

    def _end(self, one: Watched) -> None:
        self.open.remove(one)
        state = one.run.state
        if one.run.state_type is not StateType.COMPLETED:
            self._tell(one, "is given up; its shots are pending")
        elif state is not None and state.name == UNFINISHED:
            self.crashed += 1

    def _tell(self, one: Watched, what: str) -> None:
        state = one.run.state
        told = f"{state.name}: {state.message}" if state else "no state"
        get_run_logger().warning("%s %s (run %s %s)", one.shard.label, what, one.run.name, told)

    def _shots(self, shard: Shard) -> list[Shot]:
        """Return the shots of the shard that are to be worked on."""
        return [self._going[shot] for shot in self._ids[shard.stretch] if shot in self._going]


def silence_s() -> float:
    """Return how long a run at work may give no sign of life, in seconds.

    From PREFECT_FLOWS_HEARTBEAT_FREQUENCY.
    """
    return HEARTBEATS * float(get_current_settings().flows.heartbeat_frequency or "inf")


async def at_work(client: PrefectClient, batch: Batch) -> bool:
    """Tell whether runs of shards of this batch are under way, or about to begin.

    Those of this revision of its manifest count.
    """
    return any(not _is_over(run) for run in await _earlier(client, batch))


async def _earlier(client: PrefectClient, batch: Batch) -> list[FlowRun]:
    """Return all runs of shards of this revision, the latest first."""
    return await read_runs(client, FlowRunFilter(tags=FlowRunFilterTags(all_=_tags(batch))))


async def _by_ids(client: PrefectClient, ids: Sequence[UUID]) -> dict[UUID, FlowRun]:
    found = await read_runs(client, FlowRunFilter(id=FlowRunFilterId(any_=list(ids))))
    return {run.id: run for run in found}


async def read_runs(client: PrefectClient, wanted: FlowRunFilter) -> list[FlowRun]:
    """Return all runs that are wanted, the latest first."""
    found: list[FlowRun] = []
    while True:
        page = await client.read_flow_runs(
            flow_run_filter=wanted, sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=PAGE, offset=len(found)
        )
        found += page
        if len(page) < PAGE:
            return found


def _tags(batch: Batch) -> list[str]:
    """Return the tags that the runs of the batch's shards are found under."""
    return ["shard", f"{batch.name}@{batch.manifest_sha256[:12]}"]


def _key(batch: Batch, shard: Shard) -> str:
    return f"{batch.name}@{shard.revision[:12]}/{shard.first}-{shard.last}"


def _place(run: FlowRun) -> str:
    return (run.idempotency_key or "").rpartition("/")[0]


def _number(run: FlowRun | None) -> int:
    """Return which run of its shard it is, from 1; 0 for none."""
    return int((run.idempotency_key or "/0").rpartition("/")[2]) if run else 0


def _is_over(run: FlowRun) -> bool:
    return run.state is not None and run.state.is_final()


NOT_OVER = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.PAUSED]


async def cancel_shards(flow: object, flow_run: FlowRun, state: object) -> None:
    """Cancel the runs of a batch's shards when a person cancels its run.

    Those too that an earlier run has started.

    Prefect's server (3.8.8) does so for a run's own within 20 s, and not for those that it joined.
    """
    called = f"{flow_run.name} · "
    wanted = FlowRunFilter(
        name=FlowRunFilterName(like_=called),
        tags=FlowRunFilterTags(all_=["shard"]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=NOT_OVER)),
    )
    async with get_client() as client:
        for shard in await read_runs(client, wanted):
            if shard.name.startswith(called):
                cancelling: State[Any] = Cancelling(message="Its batch was cancelled.")
                await client.set_flow_run_state(shard.id, cancelling)
