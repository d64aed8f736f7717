"""`callsheet check`: is the manifest right?"""

from __future__ import annotations

import asyncio

from callsheet.batch.open import read_as_begun
from callsheet.batch.planning import check_unsent
from callsheet.cli.options import CampaignOption, JsonOption, LiveOption, ManifestArgument, VarOption
from callsheet.cli.output import out, print_json, say
from callsheet.cli.request import request_of
from callsheet.settings import load_settings


def check(
    manifest: ManifestArgument,
    live: LiveOption = False,
    campaign: CampaignOption = None,
    var: VarOption = None,
    json: JsonOption = False,
) -> None:
    """Check a manifest: every problem of every row in one pass.

    Creates nothing, sends nothing.
    """
    settings = load_settings()
    request = request_of(manifest, live, None, campaign, var)
    sheet, catalogue, batch = asyncio.run(read_as_begun(request, settings, ask_archive=False))
    asyncio.run(check_unsent(settings, batch, sheet, catalogue))
    for warning in sheet.warnings:
        say(f"warning: {warning}")
    moving = sum(1 for shot in sheet.shots if shot.motion_prompt)
    out.print(
        f"{manifest}: {len(sheet.shots)} shots, {moving} with a clip, {len(sheet.warnings)} warnings. All good.",
        markup=False,
    )
    if json:
        warnings = [str(warning) for warning in sheet.warnings]
        print_json(
            {"exit_code": 0, "batch": batch.name, "shots": len(sheet.shots), "clips": moving, "warnings": warnings}
        )
