"""A batch that is open in this process, against the rehearsal service."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from callsheet.batch.open import open_run
from callsheet.batch.request import RunRequest
from callsheet.context.context import RunContext
from callsheet.settings import load_settings
from callsheet.shots import Shot
from tests.support.service import Service

SHEET = "id,prompt,takes,seed,motion_prompt,duration_s\nkite,A kite over dunes,1,5,It climbs,4\n"


@contextlib.asynccontextmanager
async def batch_at(
    service: Service, folder: Path, sheet: str = SHEET, **settings: Any
) -> AsyncIterator[tuple[RunContext, tuple[Shot, ...]]]:
    """The run context and the shots of a batch, in a rehearsal against the service."""
    (folder / "sheet.csv").write_text(sheet)
    given = load_settings(home=folder / "home", gemini_base_url=service.url, **settings)
    async with open_run(RunRequest(str(folder / "sheet.csv")), given) as (run, asked):
        await run.resources.ledger.open_batch(run.batch, [(shot.id, n) for n, shot in enumerate(asked.shots)])
        yield run, asked.shots
