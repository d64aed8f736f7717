"""The documents say what the code does: nothing is missing, nothing is out of date, and links lead somewhere."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote

import pytest
from typer.main import get_command

from callsheet.batch.request import RunRequest
from callsheet.cli.main import app
from callsheet.exit_codes import ExitCode
from callsheet.manifest.columns import COLUMNS
from callsheet.rehearsal.faults import FaultName
from callsheet.settings import Settings, load_settings, variables_of
from docs import generate
from docs.generator.texts import RUN_JSON
from tests.support.paths import ROOT
from tests.support.service import Service
from tests.support.whole_batch import whole_batch

DOCS = ROOT / "docs"
TOP = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "deployments/README.md")
DOCUMENTS = sorted([*DOCS.rglob("*.md"), *(ROOT / name for name in TOP)])
HEADING = re.compile(r"^#{1,6} +(.*?)(?: +#+)?$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def prose(path: Path) -> str:
    """The document without its blocks of code."""
    return re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(path: Path) -> set[str]:
    heads = (re.sub(r"[^\w\s-]", "", head).strip().lower() for head in HEADING.findall(prose(path)))
    return {re.sub(r"[-\s]+", "-", head) for head in heads}


def section(page: str, name: str) -> str:
    found = re.search(rf"^## {re.escape(name)}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert found, name
    return found[1]


def test_generated_pages_are_what_the_code_says() -> None:
    assert generate.stale_pages() == [], "write them anew: python -m docs.generate"


def test_reference_has_every_command_with_every_option() -> None:
    page = (DOCS / "reference" / "commands.md").read_text(encoding="utf-8")
    group: Any = get_command(app)
    for name, command in group.commands.items():
        for words, one in [(f"{name} {sub}", found) for sub, found in getattr(command, "commands", {}).items()] or [
            (name, command)
        ]:
            told = section(page, f"callsheet {words}").replace("\\|", "|")
            for parameter in one.params:
                options = (
                    [parameter.metavar or parameter.name]
                    if parameter.param_type_name == "argument"
                    else [*parameter.opts, *parameter.secondary_opts]
                )
                missing = [option for option in options if not re.search(rf"`[^`]*{re.escape(option)}", told)]
                assert missing == [], f"callsheet {words}"


def test_reference_has_every_environment_variable_with_a_meaning() -> None:
    page = (DOCS / "reference" / "settings.md").read_text(encoding="utf-8")
    for name, field in Settings.model_fields.items():
        assert all(f"`{variable}`" in page for variable in variables_of(name)), name
        assert field.description or name == "key_in_gemini", name


def test_reference_has_every_column_exit_code_and_fault() -> None:
    columns, codes, faults = (
        (DOCS / "reference" / f"{name}.md").read_text(encoding="utf-8")
        for name in ("manifest", "exit-codes", "rehearsal")
    )
    assert [name for name in COLUMNS if f"| `{name}` |" not in columns] == []
    assert [
        code for code in ExitCode if not re.search(rf"^\| {int(code)} \| {code.name} \| \w", codes, re.MULTILINE)
    ] == []
    assert [name for name in get_args(FaultName) if not re.search(rf"^\| `{name}` \| \w", faults, re.MULTILINE)] == []


def test_reference_has_every_key_of_the_json_of_a_run(tmp_path: Path, service: Service) -> None:
    (tmp_path / "sheet.csv").write_text("prompt\nA kite over dunes\n")
    settings = load_settings(home=tmp_path / "home", gemini_base_url=service.url)
    summary = asyncio.run(whole_batch(RunRequest(str(tmp_path / "sheet.csv")), settings)).summary
    assert summary.keys() == RUN_JSON.keys()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_a_document_lead_to_a_file_and_a_heading(path: Path) -> None:
    for link in LINK.findall(prose(path)):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = unquote(link).partition("#")
        target = (path.parent / place).resolve() if place else path
        assert target.exists(), link
        if DOCS in path.parents:
            assert DOCS in target.parents, f"{link} leads out of the site"
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize(
    "path", [ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", *(DOCS / "internals").glob("*.md")]
)
def test_modules_that_a_document_names_are_there(path: Path) -> None:
    named = set(re.findall(r"`((?:[a-z_]+/)+[a-z_*]+\.(?:py|yaml|env))`", path.read_text(encoding="utf-8")))
    places = (ROOT, ROOT / "callsheet", ROOT / "callsheet" / "cuts")
    assert [name for name in sorted(named) if not any(any(place.glob(name)) for place in places)] == []


def test_readme_fits_a_few_screens() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.slow
def test_site_is_built_strictly_and_asks_nobody_for_anything(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    loaded = re.compile(r"<(?:script|img|iframe)[^>]* src=[\"']?(https?:)?//|<link[^>]*stylesheet[^>]*https?://")
    assert [str(page) for page in tmp_path.rglob("*.html") if loaded.search(page.read_text(encoding="utf-8"))] == []
