"""Write the pages of docs/ that are made from the code: `python -m docs.generate`.

A test holds pages and code together. With `--check` nothing is written; it ends with 1 when a page is not up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from callsheet.report.failures_doc import failures_page
from docs.generator.catalogues import models_page, platforms_page
from docs.generator.records import archive_page, ledger_page, rehearsal_page
from docs.generator.rooms import rooms_page
from docs.generator.usage import commands_page, exit_codes_page, manifest_page, run_json_page, settings_page

ROOT = Path(__file__).parent

PAGES = {
    "reference/commands.md": commands_page,
    "reference/settings.md": settings_page,
    "reference/manifest.md": manifest_page,
    "reference/run-json.md": run_json_page,
    "reference/exit-codes.md": exit_codes_page,
    "reference/models.md": models_page,
    "reference/platforms.md": platforms_page,
    "reference/rehearsal.md": rehearsal_page,
    "internals/archive-records.md": archive_page,
    "internals/ledger-schema.md": ledger_page,
    "internals/rooms.md": rooms_page,
    "failures.md": failures_page,
}


def stale_pages() -> list[str]:
    """Return the pages that are not what the code says now."""
    return [
        name
        for name, made in PAGES.items()
        if not (ROOT / name).is_file() or (ROOT / name).read_text("utf-8") != made()
    ]


def main(arguments: Sequence[str]) -> int:
    """Write the pages that are not up to date, or only name them; return the exit code."""
    stale = stale_pages()
    if "--check" not in arguments:
        for name in stale:
            (ROOT / name).write_text(PAGES[name](), encoding="utf-8")
    sys.stdout.write("".join(f"{name}\n" for name in stale))
    return int("--check" in arguments and bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
