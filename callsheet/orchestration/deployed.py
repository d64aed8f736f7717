"""The flows under the names that deployments have for them.

`callsheet.orchestration.deployed.content_batch`, say.

A run of a deployment looks for `flows.content_batch` in its working folder first, and there a project may have a
package of that name. Deployments of earlier versions name `flows.content_batch:content_batch`, which works elsewhere.
"""

from __future__ import annotations

from typing import Any

from callsheet.orchestration.own_packages import load_flow_module


def __getattr__(name: str) -> Any:
    """Return the flow of this name."""
    if name.startswith("_"):
        raise AttributeError(name)
    return getattr(load_flow_module(name), name)
