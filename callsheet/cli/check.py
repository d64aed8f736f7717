"""`callsheet check`: is the manifest right?"""

from __future__ import annotations

import asyncio

from callsheet.cli.options import (
    CampaignOption,
    JsonOption,
    LiveOption,
    ManifestArgument,
    StrictOption,
    VarOption,
    manifest_of,
    request_of,
)
from callsheet.cli.output import out, print_json, say
from callsheet.settings import load_settings


def check(
    manifest: ManifestArgument = None,
    live: LiveOption = False,
    campaign: CampaignOption = None,
    var: VarOption = None,
    strict: StrictOption = False,
    json: JsonOption = False,
) -> None:
    """Check a manifest: every problem of every row in one pass.

    Creates nothing, sends nothing.
    """

    from callsheet.batch.planning import check_unsent
    from callsheet.batch.prepare import check_strictly, prepare_run

    settings = load_settings()
    request = request_of(manifest_of(manifest, settings), live, None, campaign, var)
    asked = asyncio.run(prepare_run(request, settings, ask_archive=False))
    asked = check_strictly(asked) if strict else asked
    sheet = asked.manifest
    asyncio.run(check_unsent(asked))
    for warning in sheet.warnings:
        say(f"warning: {warning}")
    moving = sum(1 for shot in sheet.shots if shot.motion_prompt)
    out.print(
        f"{request.manifest}: {len(sheet.shots)} shots, {moving} with a clip, {len(sheet.warnings)} warnings. "
        "All good.",
        markup=False,
    )
    if json:
        warnings = [str(warning) for warning in sheet.warnings]
        told = {"exit_code": 0, "batch": asked.batch.name, "shots": len(sheet.shots), "clips": moving}
        print_json({**told, "warnings": warnings})
