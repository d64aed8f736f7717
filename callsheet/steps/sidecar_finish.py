"""The finish of a shot's cuts as its sidecar has it, and back: pure."""

from __future__ import annotations

from collections.abc import Collection

from callsheet.archive.layout import input_name
from callsheet.archive.sidecar import FinishRecord, InputRecord
from callsheet.shots import Finish, Reference


def finish_record(finish: Finish, files: Collection[str]) -> FinishRecord | None:
    """Return the finish of a shot's cuts as its sidecar has it.

    None when there is none.

    `files` are the names in the batch's folder: a finishing file that is not among them has no name yet.
    """
    if finish == Finish():
        return None

    def known(file: Reference | None) -> InputRecord | None:
        if file is None:
            return None
        name = input_name("", file.sha256, file.mime_type).removeprefix("/")
        there = name.rpartition("/")[2] if name in files else ""
        return InputRecord(file=there, sha256=file.sha256, size=file.size, mime_type=file.mime_type, uri=file.uri)

    return FinishRecord(
        focus=finish.focus,
        captions=finish.captions,
        captions_file=known(finish.captions_file),
        logo=known(finish.logo),
        end_card=known(finish.end_card),
        end_card_s=finish.end_card_s,
        music=known(finish.music),
        label=finish.label,
        font=known(finish.font),
    )


def finish_of(record: FinishRecord | None) -> Finish:
    """Return the finish that a sidecar tells of."""

    def known(file: InputRecord | None) -> Reference | None:
        return Reference(file.uri, file.sha256, file.mime_type, file.size) if file else None

    told = record or FinishRecord()
    return Finish(
        focus=told.focus,
        captions=told.captions,
        captions_file=known(told.captions_file),
        logo=known(told.logo),
        end_card=known(told.end_card),
        end_card_s=told.end_card_s,
        music=known(told.music),
        label=told.label,
        font=known(told.font),
    )
