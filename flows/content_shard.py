"""The content shard flow: a stretch of a large batch, in a run of its own.

It works for the run that split the batch.
"""

from __future__ import annotations

from typing import Annotated, Any

from prefect import flow, tags
from pydantic import Field

from callsheet.batch.open import open_run
from callsheet.batch.shards import end_shard, open_shard
from callsheet.batch.start import set_aside
from callsheet.exit_codes import ExitCode
from callsheet.manifest.left_out import OnBadRow
from callsheet.orchestration.end_states import end_state_of_part, tell_mistakes
from callsheet.orchestration.local_server import local_server
from callsheet.orchestration.run_labels import log_plan
from callsheet.orchestration.run_parameters import request_from
from callsheet.plan.grouping import Shard
from callsheet.settings import load_settings
from flows.content_batch import in_groups

# Of a batch this large the server keeps ten groups of each shard, not every shot.
MOST_GROUPS = 20


@flow(
    name="content-shard",
    description="Make a stretch of a large batch. Started by content-batch, which opens the batch and ends it.",
    persist_result=False,
    validate_parameters=True,
)
@tell_mistakes
async def content_shard(
    manifest: str,
    first: Annotated[int, Field(ge=1, description="The first shot, by its place in the manifest.")],
    last: Annotated[int, Field(ge=1, description="The last shot, included.")],
    revision: Annotated[str, Field(description="sha256 of the manifest that was split.")],
    live: bool = False,
    edition: str | None = None,
    campaign: str | None = None,
    variables: dict[str, str] | None = None,
    budget_usd: float | None = None,
    wait: bool = False,
    free: bool = False,
    on_bad_row: OnBadRow = "stop",
) -> Any:
    """Bring the shots `first` to `last` to what the manifest asks for.

    Their batch has been opened already.
    Files, sidecars and the shots' states in the ledger are written; what stands over all shots (gallery, catalogue,
    `_SUCCESS.json`) is left to the run that joins the shards. SettingsError when this machine does not work with the
    manifest, the ledger and the archive of the batch.
    """
    request = request_from(locals())
    async with open_run(request, load_settings()) as (run, asked):
        plan = await open_shard(run, asked.manifest, Shard(first, last, revision))
        log_plan(plan)
        going = await set_aside(run, plan)
        with tags(run.batch.campaign, run.batch.mode):
            await in_groups(run, going, MOST_GROUPS)
        ended = await end_shard(run, plan)
    part = dict(ended, exit_code=int(ExitCode.INTERNAL)) if run.state.crashed else ended
    return end_state_of_part(part)


if __name__ == "__main__":
    with local_server():
        content_shard.serve(name="content-shard")
