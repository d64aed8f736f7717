"""The page of the rooms: floors and what each module is for."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Sequence
from pathlib import Path

from docs.generator.markdown import NOTE, code, table, words

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "callsheet"


def rooms_page() -> str:
    """Return the page of the rooms: floors from the import contract, and what each package and module is for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    layers = next(one["layers"] for one in contracts if one["type"] == "layers")
    floors = "".join(
        f"{number}. {', '.join(code(name) for name in layer.split(' : '))}\n" for number, layer in enumerate(layers, 1)
    )
    packages = sorted(path.parent for path in SOURCES.glob("*/__init__.py"))
    return (
        "# Rooms\n"
        + NOTE
        + _ROOMS
        + floors
        + _GROUND
        + table(("module", "is for"), _modules(SOURCES))
        + "".join(map(_room, packages))
    )


_ROOMS = """From top to bottom: a floor imports from the floors below it only, and rooms on one floor know nothing of
each other. import-linter holds this (`make lint`). Below all of them is the ground.

"""

_GROUND = "\n## Ground: `callsheet/`\n\n"


def _room(folder: Path) -> str:
    inner = [path.parent for path in sorted(folder.glob("*/__init__.py"))]
    rooms = [*_modules(folder), *(row for path in inner for row in _modules(path, f"{path.name}/"))]
    return f"\n## {folder.name}\n\n{_first_line(folder / '__init__.py')}\n\n{table(('module', 'is for'), rooms)}"


def _modules(folder: Path, prefix: str = "") -> list[Sequence[object]]:
    names = sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")
    return [(code(f"{prefix}{path.name}"), _first_line(path)) for path in names]


def _first_line(path: Path) -> str:
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return words(doc).split("\n")[0]
