"""Base job templates of the work pools: Prefect's own, with callsheet's defaults.

They are JSON files in `deployments/work_pools`, each with the version that it was made from.
`python -m callsheet.orchestration.work_pools` writes them anew. It takes the templates of the worker packages that are
installed, so install them first: prefect-docker, prefect-kubernetes, prefect-gcp.
"""

from __future__ import annotations

import asyncio
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

from callsheet.orchestration.own_packages import DEPLOYMENTS, shipped

PoolType = Literal["process", "docker", "kubernetes", "cloud-run-v2"]
PACKAGES: dict[PoolType, str] = {
    "process": "prefect",
    "docker": "prefect-docker",
    "kubernetes": "prefect-kubernetes",
    "cloud-run-v2": "prefect-gcp",
}
IMAGE = "callsheet:latest"
HOME = "/var/lib/callsheet"
# As in the container file.
USER = 10001
# Runs send a heartbeat every half minute, so that a lost one is noticed and goes on: see `orchestration.automations`.
HEARTBEAT = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}
IN_CONTAINER = {**HEARTBEAT, "CALLSHEET_HOME": HOME}


def template_of(pool_type: PoolType) -> dict[str, Any]:
    """Return the base job template that a new work pool of this type gets."""
    text = shipped(DEPLOYMENTS).joinpath("work_pools", f"{pool_type}.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)["base_job_template"]
    return found


def with_defaults(pool_type: PoolType, template: dict[str, Any]) -> dict[str, Any]:
    """Return a worker's own template with callsheet's defaults."""
    template = _without_examples(template)
    variables = template["variables"]["properties"]
    variables["env"]["default"] = dict(HEARTBEAT if pool_type == "process" else IN_CONTAINER)
    for name, value in DEFAULTS[pool_type].items():
        variables[name]["default"] = value
    if pool_type == "kubernetes":
        _keep_home(template["job_configuration"]["job_manifest"]["spec"]["template"]["spec"])
    return template


# What a batch needs: memory for pictures and encoders, and time for a day's quota.
DEFAULTS: dict[PoolType, dict[str, Any]] = {
    "process": {},
    # The named volume keeps ledger, spool and archive when a container is gone.
    "docker": {
        "image": IMAGE,
        "image_pull_policy": "IfNotPresent",
        "volumes": [f"callsheet-home:{HOME}"],
        "auto_remove": True,
        "mem_limit": "4g",
    },
    "kubernetes": {
        "image": IMAGE,
        "finished_job_ttl": 3600,
        "pod_watch_timeout_seconds": 600,
        "cpu_request": "1",
        "memory_request": "2Gi",
        "memory_limit": "4Gi",
    },
    # No disk outlives a job here: ledger and archive have to be elsewhere. A job may take a day.
    "cloud-run-v2": {"image": IMAGE, "cpu": "2000m", "memory": "4Gi", "timeout": 86400, "launch_stage": "GA"},
}


def _keep_home(pod: dict[str, Any]) -> None:
    """Mount the claim `callsheet-home`, and give the run the secret `callsheet`.

    The secret has keys and addresses; there may be none.
    """
    [container] = pod["containers"]
    container["volumeMounts"] = [{"name": "home", "mountPath": HOME}]
    container["envFrom"] = [{"secretRef": {"name": "callsheet", "optional": True}}]
    pod["securityContext"] = {"fsGroup": USER}
    pod["volumes"] = [{"name": "home", "persistentVolumeClaim": {"claimName": "callsheet-home"}}]


def _without_examples(part: Any) -> Any:
    """Drop the examples, which are not ours: the form shows our defaults instead."""
    if isinstance(part, dict):
        return {key: _without_examples(value) for key, value in part.items() if key not in ("example", "examples")}
    return [_without_examples(value) for value in part] if isinstance(part, list) else part


def write_templates(folder: Path) -> None:
    """Write the JSON files anew from the worker packages that are installed."""
    from prefect.workers.utilities import get_default_base_job_template_for_infrastructure_type

    for pool_type in get_args(PoolType):
        package = PACKAGES[pool_type]
        template = asyncio.run(get_default_base_job_template_for_infrastructure_type(pool_type))
        document = {
            "made_from": f"{package} {version(package)}",
            "base_job_template": with_defaults(pool_type, template or {}),
        }
        text = json.dumps(document, indent=2, ensure_ascii=False)
        (folder / f"{pool_type}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_templates(Path(str(shipped(DEPLOYMENTS))) / "work_pools")
