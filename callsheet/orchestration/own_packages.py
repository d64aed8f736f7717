"""What comes with callsheet: `flows`, `tasks`, and the data beside the code.

A project that has packages of these names does not come before them. `deployments/` and `prompts/` are at the top of a
clone; a wheel has them inside the package, so that a project of any shape can stand beside it.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import ModuleType

from callsheet.errors import SettingsError
from callsheet.imports import pause_collection

OWN_PACKAGES = ("flows", "tasks")
# The folder that holds callsheet and these packages: a clone, or the site-packages of an environment.
HOME = Path(__file__).parents[2]
# For a Python that runs flows: the working folder is no place to find modules in, as with `python -P`.
SAFE_PATH = {"PYTHONSAFEPATH": "1"}
DEPLOYMENTS, PROMPTS = "deployments", "prompts"


def load_own_packages() -> None:
    """Import callsheet's own `flows` and `tasks`, whatever is before them.

    SettingsError names the file when another package of that name has been imported already.
    """
    sys.path.insert(0, str(HOME))
    try:
        for name in OWN_PACKAGES:
            _check(import_module(name))
    finally:
        sys.path.remove(str(HOME))


def load_flow_module(name: str) -> ModuleType:
    """Import a module of callsheet's `flows`.

    Meanwhile no module is found in the working folder.

    Prefect puts that folder first whenever it loads a flow (`load_module`, 3.8.8).
    """
    load_own_packages()
    before, here = list(sys.path), Path.cwd()
    try:
        sys.path[:] = [*(place for place in before if Path(place).resolve() != here), str(HOME)]
        with pause_collection():
            return import_module(f"flows.{name}")
    finally:
        sys.path[:] = before


def check_folder(folder: Path) -> None:
    """Refuse a working folder that hides callsheet from its runs.

    SettingsError names the file.
    """
    for file in (folder / "callsheet.py", folder / "callsheet" / "__init__.py"):
        if file.is_file() and file.parent != HOME / "callsheet":
            raise SettingsError(
                f"{file} would hide the package callsheet from runs that work in {folder}, so nothing was started: "
                "rename it, or work in another folder (callsheet deploy --folder)."
            )


def _check(package: ModuleType) -> None:
    file = Path(package.__file__ or "").resolve()
    if file.parents[1] != HOME.resolve():
        raise SettingsError(
            f"{file} hides callsheet's own package {package.__name__!r}, so nothing was started: "
            "take its folder out of PYTHONPATH, or rename it."
        )


def shipped(folder: str) -> Traversable:
    """Return the folder `DEPLOYMENTS` or `PROMPTS` that belongs to this code."""
    in_wheel = files("callsheet").joinpath(folder)
    return in_wheel if in_wheel.is_dir() else HOME / folder
