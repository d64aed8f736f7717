"""`callsheet check`: is the manifest right?"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace

from callsheet.cli.options import (
    CampaignOption,
    JsonOption,
    LiveOption,
    ManifestArgument,
    OnBadRowOption,
    StrictOption,
    VarOption,
    manifest_of,
    read_on_bad_row,
    request_of,
)
from callsheet.cli.output import out, print_json, say
from callsheet.exit_codes import ExitCode
from callsheet.settings import load_settings


def check(
    manifest: ManifestArgument = None,
    live: LiveOption = False,
    campaign: CampaignOption = None,
    var: VarOption = None,
    strict: StrictOption = False,
    on_bad_row: OnBadRowOption = "stop",
    json: JsonOption = False,
) -> None:
    """Check a manifest: every problem of every row in one pass.

    Creates nothing, sends nothing.
    """

    from callsheet.batch.planning import check_unsent
    from callsheet.batch.prepare import check_strictly, prepare_run
    from callsheet.manifest.left_out import describe_left_out

    settings = load_settings()
    request = request_of(manifest_of(manifest, settings), live, None, campaign, var)
    request = replace(request, on_bad_row=read_on_bad_row(on_bad_row))
    asked = asyncio.run(prepare_run(request, settings, ask_archive=False))
    asked = check_strictly(asked) if strict else asked
    sheet = asked.manifest
    left_out = asyncio.run(check_unsent(asked))
    for warning in sheet.warnings:
        say(f"warning: {warning}")
    for line in describe_left_out(left_out):
        say(line)
    gone = {each.shot for each in left_out}
    shots = [shot for shot in sheet.shots if shot.id not in gone]
    moving = sum(1 for shot in shots if shot.motion_prompt)
    verdict = f"{len(left_out)} left out." if left_out else "All good."
    out.print(
        f"{request.manifest}: {len(shots)} shots, {moving} with a clip, {len(sheet.warnings)} warnings. {verdict}",
        markup=False,
    )
    code = ExitCode.UNFINISHED if left_out else ExitCode.DONE
    if json:
        warnings = [str(warning) for warning in sheet.warnings]
        told = {"exit_code": int(code), "batch": asked.batch.name, "shots": len(shots), "clips": moving}
        more = {"left_out": [each.as_json() for each in left_out]} if left_out else {}
        print_json({**told, "warnings": warnings, **more})
    sys.exit(code)
