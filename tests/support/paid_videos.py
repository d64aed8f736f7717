"""A whole live batch of one video against a server that answers by rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from callsheet.batch.request import RunRequest
from callsheet.settings import Settings, load_settings
from tests.support.odd_video_server import OddServer
from tests.support.whole_batch import whole_batch

KEY, OTHER_KEY = "AQ.the-key-that-submitted-it", "AQ.another-key"

SUBMIT, POLL, FILE, RESOURCE = (
    "POST /v1beta/models/",
    "GET /v1beta/models/",
    "GET /v1beta/files/f1:",
    "GET /v1beta/files/f1",
)

SHEET = (
    "id,prompt,takes,motion_prompt,video_model,duration_s,cuts\n"
    "kite,A kite over dunes,0,It climbs,veo-3.1-generate-001,4,\n"
)


def settings_at(server: OddServer, folder: Path, key: str = KEY, **given: Any) -> Settings:
    return load_settings(home=folder / "home", gemini_base_url=server.url, gemini_api_key=key, **given)


async def run(settings: Settings, folder: Path, sheet: str = SHEET, **given: Any) -> dict[str, Any]:
    (folder / "sheet.csv").write_text(sheet)
    return (await whole_batch(RunRequest(str(folder / "sheet.csv"), live=True, **given), settings)).summary
