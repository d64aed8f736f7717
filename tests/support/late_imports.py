"""What the commands import only when they are carried out, read from their text."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.support.paths import ROOT

# Imported by commands when Prefect has been told its server.
WITH_PREFECT = {
    "callsheet.orchestration.deploy",
    "callsheet.orchestration.end_states",
    "callsheet.orchestration.local_server",
    "flows.collect",
    "flows.content_batch",
}


def list_late_imports(*commands: str) -> list[str]:
    """The modules that functions of these commands import; of all commands when none is named."""
    folder = ROOT / "callsheet" / "cli"
    paths = [folder / f"{name}.py" for name in commands] if commands else sorted(folder.glob("*.py"))
    return sorted({name for path in paths for name in _late_imports(ast.parse(path.read_text(encoding="utf-8")))})


def _late_imports(tree: ast.Module) -> Iterator[str]:
    for function in tree.body:
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.ImportFrom) and node.module:
                    yield node.module
