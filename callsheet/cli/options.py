"""What the options of `check`, `plan` and `run` ask for."""

from __future__ import annotations

from typing import Annotated

import typer

ManifestArgument = Annotated[str, typer.Argument(help="CSV, TSV or YAML file: a path or any fsspec URI (gs://...).")]
ManifestOrNone = Annotated[
    str | None,
    typer.Argument(help="CSV, TSV or YAML file: a path or any fsspec URI (gs://...). Not needed with --plan."),
]
LiveOption = Annotated[bool, typer.Option("--live", help="For the real, paid service instead of a rehearsal.")]
EditionOption = Annotated[
    str | None, typer.Option(help="Make the batch afresh under this name; {date}, {week} or {month} in it is today's.")
]
CampaignOption = Annotated[str | None, typer.Option(help="Campaign name; default: from the manifest.")]
VarOption = Annotated[list[str] | None, typer.Option("--var", help="name=value for the manifest; repeatable.")]
BudgetOption = Annotated[str | None, typer.Option("--budget", help="USD that the campaign may cost in all.")]
PlanOption = Annotated[
    str | None,
    typer.Option("--plan", help="Follow this file of `plan --out` exactly, or refuse when the world changed."),
]
ArchiveOption = Annotated[str | None, typer.Option(help="Folder or gs:// URI; default: CALLSHEET_ARCHIVE.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of stdout.")]
