"""Deploying on a running Prefect server: doing it again changes nothing."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import as_file
from pathlib import Path
from typing import Any

from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.filters import WorkPoolFilter, WorkPoolFilterName
from prefect.client.schemas.objects import WorkPool
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from callsheet.errors import ServiceError, SettingsError
from callsheet.orchestration.automations import ensure_automations
from callsheet.orchestration.own_packages import DEPLOYMENTS, SAFE_PATH, shipped
from callsheet.orchestration.work_pools import PoolType, template_of
from callsheet.settings import Settings

POOL, FILE = "callsheet", "prefect.yaml"
# Read by deployments/prefect.yaml.
VERSION = "CALLSHEET_VERSION"
WITHIN_S = 300.0


@dataclass(frozen=True, slots=True)
class Deployed:
    """What a deployment has put on the server: names, deployments with their ids."""

    pool: str
    pool_type: str
    deployments: Mapping[str, str]
    automations: tuple[str, ...]


async def deploy(settings: Settings, pool_type: PoolType, folder: Path, file: Path | None = None) -> Deployed:
    """Put work pool, deployments and automations on a server, or update them.

    The server is that of PREFECT_API_URL.

    A process pool's runs work in `folder`, which has to be the same on each of its machines. What is deployed stands in
    `file`, else in the folder's `prefect.yaml` if that is of callsheet, else in the one that callsheet brings.
    ServiceError when the server refuses, SettingsError when the pool is of another type or a sheet is not there.
    """
    with as_file(shipped(DEPLOYMENTS).joinpath(FILE)) as ours:
        chosen = file or _own_file(folder) or ours
        if pool_type == "process":
            check_manifests(chosen, folder)
        return await _deploy(settings, pool_type, folder, chosen)


def _own_file(folder: Path) -> Path | None:
    """Return the folder's own file of deployments, if it is one of ours.

    A project that runs work in may have one for flows of its own.
    """
    own = folder / FILE
    is_ours = own.is_file() and "callsheet.orchestration.deployed" in own.read_text(encoding="utf-8", errors="replace")
    return own if is_ours else None


def check_manifests(file: Path, folder: Path) -> None:
    """Refuse deployments whose sheet is a local file that is not in the folder.

    SettingsError names them; nothing is deployed.
    """
    try:
        told = YAML(typ="safe").load(file.read_text(encoding="utf-8")) or {}
        deployments = [one for one in told.get("deployments", ()) if isinstance(one, dict)]
    except (OSError, ValueError, YAMLError, AttributeError, TypeError) as error:
        raise SettingsError(f"{file} cannot be read as YAML: {error}. Nothing was deployed.") from None
    sheets = {str(one.get("name")): (one.get("parameters") or {}).get("manifest") for one in deployments}
    missing = [f"{name}: {sheet}" for name, sheet in sheets.items() if sheet and _is_missing(folder, str(sheet))]
    if missing:
        raise SettingsError(
            f"{file} names sheets that are not in {folder.absolute()}: {', '.join(missing)}. Nothing was deployed. Put "
            "them there, correct the file, or begin a folder that has all of it: callsheet init"
        )


def _is_missing(folder: Path, sheet: str) -> bool:
    path = sheet.rpartition("#")[0] if ".xlsx#" in sheet.lower() else sheet
    return "://" not in path and not (folder / path).is_file()


async def _deploy(settings: Settings, pool_type: PoolType, folder: Path, file: Path) -> Deployed:
    async with get_client() as client:
        pool = await _ensure_pool(client, pool_type, folder)
        await asyncio.to_thread(_deploy_all, str(client.api_url), file)
        deployed = await _deployed(client)
        for one in deployed.values():
            await _plain_form(client, one)
    made = await ensure_automations(settings.alert_url)
    names = {name: str(one.id) for name, one in sorted(deployed.items())}
    return Deployed(pool.name, pool.type, names, tuple(made))


async def _ensure_pool(client: PrefectClient, pool_type: PoolType, folder: Path) -> WorkPool:
    """Return the work pool, made when there is none.

    One that is there keeps what people have set in it; a process pool's folder is set anew.
    """
    template = template_of(pool_type)
    try:
        pool = await client.read_work_pool(POOL)
    except ObjectNotFound:
        wanted = WorkPoolCreate(name=POOL, type=pool_type, base_job_template=_in_folder(template, pool_type, folder))
        return await client.create_work_pool(wanted)
    if pool.type != pool_type:
        raise SettingsError(
            f"The work pool {POOL!r} is for {pool.type}, not {pool_type}. Nothing was deployed. "
            f"Deploy with --type {pool.type}, or remove it first: prefect work-pool delete {POOL}"
        )
    update = WorkPoolUpdate(base_job_template=_in_folder(pool.base_job_template, pool_type, folder))
    await client.update_work_pool(POOL, update)
    return pool


def _in_folder(template: dict[str, Any], pool_type: PoolType, folder: Path) -> dict[str, Any]:
    if pool_type == "process":
        variables = template["variables"]["properties"]
        variables["working_dir"]["default"] = str(folder.absolute())
        variables["env"]["default"] = {**SAFE_PATH, **(variables["env"].get("default") or {})}
    return template


async def _deployed(client: PrefectClient) -> dict[str, DeploymentResponse]:
    """Return the deployments on the work pool by name, flow/deployment.

    Prefect's commands take these names.
    """
    flows = {flow.id: flow.name for flow in await client.read_flows()}
    wanted = WorkPoolFilter(name=WorkPoolFilterName(any_=[POOL]))
    return {f"{flows[one.flow_id]}/{one.name}": one for one in await client.read_deployments(work_pool_filter=wanted)}


async def _plain_form(client: PrefectClient, deployment: DeploymentResponse) -> None:
    given = deployment.parameter_openapi_schema or {}
    if (schema := plain(given)) != given:
        await client.update_deployment(deployment.id, DeploymentUpdate(parameter_openapi_schema=schema))


def _deploy_all(api_url: str, file: Path) -> None:
    """Run `prefect deploy --all`.

    It reads the YAML, checks it against the flows and updates by name.
    """
    argv = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
    environment = {**os.environ, **SAFE_PATH, "PREFECT_API_URL": api_url.rstrip("/"), VERSION: code_version()}
    try:
        done = subprocess.run(
            argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WITHIN_S
        )
    except subprocess.TimeoutExpired:
        raise ServiceError(f"The server took none of the deployments within {WITHIN_S:.0f} s. Try again.") from None
    if done.returncode != 0:
        raise ServiceError(
            f"{file} was not deployed, or not all of it. Correct it and deploy again; "
            f"what is deployed is brought up to date then. Prefect said:\n{(done.stdout + done.stderr).strip()[-2000:]}"
        )


def code_version() -> str:
    """Return what git calls the code, `v1.2-3-gabc1234-dirty` say.

    Where there is no git, the version of the package.
    """
    argv = ["git", "-C", str(Path(__file__).parent), "describe", "--tags", "--always", "--dirty"]
    try:
        told = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return version("callsheet")
    return told.stdout.strip() if told.returncode == 0 else version("callsheet")


def plain(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a parameter schema with one field for what may be left empty.

    For `str | None` with the default None, pydantic writes `anyOf` and the UI makes people choose between "str" and
    "None" first. What is neither required nor has a default may be null for Prefect all the same.
    """
    if isinstance(schema, dict):
        kinds = schema.get("anyOf", ())
        if len(kinds) == 2 and kinds[1] == {"type": "null"} and schema.get("default", 0) is None:
            rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
            return {**plain(kinds[0]), **rest}
        return {key: plain(value) for key, value in schema.items()}
    return schema
