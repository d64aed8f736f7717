"""What live runs of the command need: a sheet, and keys that are not real for a server that is not Google's."""

from __future__ import annotations

from tests.support.cli import Cli
from tests.support.service import Service

SHEET = """id,prompt,takes,seed,aspect_ratio,motion_prompt,duration_s,cuts
harbour,A harbour at first light with fishing boats coming home,3,7,16:9,The boats drift in,4,9x16;16x9
cup,A hand-thrown cup on a linen cloth,1,8,1:1,,,
"""


def sheet(cli: Cli, text: str = SHEET, name: str = "sheet.csv") -> str:
    (cli.folder / name).write_text(text)
    return name


def live(service: Service) -> dict[str, str]:
    """The environment of a live run against a server that is not Google's, with keys that are not real."""
    return {
        "GEMINI_API_KEY": "dummy-key-1",
        "CALLSHEET_AGENT_PLATFORM_API_KEY": "dummy-key-2",
        "GOOGLE_GEMINI_BASE_URL": service.url,
        "GOOGLE_VERTEX_BASE_URL": service.url,
    }
