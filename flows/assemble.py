"""The assemble flow: archived clips or cuts joined into one spot, for nothing."""

from __future__ import annotations

from typing import Any

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Completed

from callsheet.orchestration.artifacts import publish_spot
from callsheet.orchestration.end_states import tell_mistakes
from callsheet.orchestration.forms import Crossfade, Parts, SpotName, SpotPlatform
from callsheet.orchestration.local_server import local_server
from tasks.on_demand import join_spot


@flow(
    name="assemble",
    flow_run_name="spot {name} of {of.label}",
    description="Join archived clips or cuts into one spot. Costs nothing; what is there is not made again.",
    persist_result=False,
    validate_parameters=True,
)
@tell_mistakes
async def assemble(
    of: Parts, platform: SpotPlatform = None, crossfade_s: Crossfade = 0.0, name: SpotName = "spot"
) -> State[dict[str, Any]]:
    """Join the clips, or their cuts for `platform`, and publish the spot.

    Returns `exit_code` and what was made. UsageError when there is no such batch, shot, cut or platform, MediaError
    when the parts cannot be joined.
    """
    made = await join_spot(of.request(platform, crossfade_s, name))
    await publish_spot(made)
    what = f"{made['duration_s']:.1f} s of {len(made['parts'])} parts, {'made' if made['made'] else 'there already'}"
    get_run_logger().info("%s: %s: %s", made["name"], what, made["uri"])
    return Completed(message=what, data={"exit_code": 0, **made})


if __name__ == "__main__":
    with local_server():
        assemble.serve(name="assemble", global_limit=1)
