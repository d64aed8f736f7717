"""`callsheet gallery`: the gallery page of a batch, made anew from its sidecars."""

from __future__ import annotations

import asyncio
import webbrowser
from datetime import UTC, datetime
from typing import Annotated

import typer

from callsheet.archive import layout
from callsheet.archive.open import open_archive
from callsheet.cli.options import JsonOption
from callsheet.cli.output import out, print_json
from callsheet.errors import SettingsError
from callsheet.settings import load_settings


def gallery(
    batch: Annotated[str, typer.Argument(help="Batch name, such as demo.rehearsal.")],
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    json: JsonOption = False,
) -> None:
    """Write the gallery page of a batch from its archived sidecars.

    Says where the page is.
    """
    uri, shots = asyncio.run(_write(batch))
    out.print(f"{shots} shots: {uri}", markup=False)
    if show:
        webbrowser.open(uri if "://" in uri else f"file://{uri}")
    if json:
        print_json({"exit_code": 0, "batch": batch, "shots": shots, "gallery": uri})


async def _write(batch: str) -> tuple[str, int]:
    from callsheet.archive.sidecar_io import read_sidecars, sidecar_files
    from callsheet.archive.spots import read_spots
    from callsheet.report.page import gallery_html
    from callsheet.report.view import BatchSummary, gallery_view

    settings = load_settings()
    store = open_archive(settings)
    prefix = f"{batch.split('.')[0]}/{batch}"
    try:
        sidecars = await read_sidecars(store, prefix)
        if not sidecars:
            raise SettingsError(f"There is no batch {batch!r} in {store.uri}. `callsheet status` lists the batches.")
        first = sidecars[0]
        told = BatchSummary(first.campaign, first.batch, first.mode, datetime.now(UTC), first.edition)
        spots, files = await read_spots(store, prefix), await sidecar_files(store, prefix)
        page = gallery_html(gallery_view(sidecars, told, spots, files)).encode()
        name = layout.document(prefix, layout.GALLERY)
        return await store.put_bytes(name, page, "text/html; charset=utf-8"), len(sidecars)
    finally:
        await store.aclose()
