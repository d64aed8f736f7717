"""The data that comes with the code: `deployments/` and `prompts/`.

In a clone both folders are at its top; a wheel has them inside the package, so that a project of any shape can stand
beside it.
"""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

DEPLOYMENTS, PROMPTS = "deployments", "prompts"


def shipped(folder: str) -> Traversable:
    """Return the folder `DEPLOYMENTS` or `PROMPTS` that belongs to this code."""
    in_wheel = files("callsheet").joinpath(folder)
    return in_wheel if in_wheel.is_dir() else Path(__file__).parents[1] / folder
