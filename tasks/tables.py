"""What the small flows publish for the Prefect UI: the cuts and spots that were made, and what was spent."""

from __future__ import annotations

from typing import Any

from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact

from callsheet.report.spend import SpendReport, spend_report_markdown, spend_rows
from tasks.publishing import artifact_key


async def publish_cuts(made: dict[str, Any]) -> None:
    """A table of the cuts that were made of a batch's clips, and of those that could not be made."""
    rows = [
        {"Shot": one["shot"], "Platform": one["platform"], "Cut": one.get("uri") or f"Not made: {one['why']}"}
        for one in (*made["files"], *made["failed"])
    ]
    if rows:
        key = f"{artifact_key(made['batch'])}-social-cuts"
        await acreate_table_artifact(rows, key=key, description=f"New cuts of {made['batch']}")


async def publish_spot(made: dict[str, Any]) -> None:
    """A table of a spot's files, with what it joins."""
    what = {"Film": "uri", "Poster": "poster", "Thumbnail": "thumbnail", "Preview sheet": "sheet"}
    rows = [{"What": title, "Where": made[key]} for title, key in what.items()]
    rows.append({"What": "Joins", "Where": ", ".join(part["shot"] for part in made["parts"])})
    key = f"{artifact_key(made['batch'])}-spot-{artifact_key(made['name'])}"
    await acreate_table_artifact(rows, key=key, description=f"Spot {made['name']} of {made['batch']}")


async def publish_spend(report: SpendReport, *, live: bool) -> None:
    """The report as a page, and its rows as a table."""
    key = "spend-report" if live else "spend-report-rehearsals"
    await acreate_markdown_artifact(spend_report_markdown(report, live=live), key=key, description=report.sentence())
    await acreate_table_artifact(
        spend_rows(report), key=f"{key}-rows", description="The month by day, campaign and model"
    )
