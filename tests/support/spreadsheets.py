"""Sheets as spreadsheets write them: tables that are read with a warning, and workbooks that are made of tables."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from datetime import date, datetime, time
from typing import Any

from callsheet.manifest import CheckRules
from callsheet.models import load_catalogue

RULES = CheckRules(load_catalogue(), date(2026, 12, 1), live=True)

# By name: a table of the one shot `cup`, words of its warning, a field and its value.
READ = {
    "headers with capitals": ("ID,Prompt,Takes\ncup,A cup,2\n", "read as prompt", "takes", 2),
    "headers with spaces": ("id,Prompt,Motion Prompt\ncup,A cup,Go\n", "read as motion_prompt", "motion_prompt", "Go"),
    "with hyphens": ("id,PROMPT,aspect-ratio\ncup,A cup,16:9\n", "read as aspect_ratio", "aspect_ratio", "16:9"),
    "headers with zero width": ("id,prompt\u200b,takes\ncup,A cup,2\n", "read as prompt", "takes", 2),
    "headers in quotes and blanks": ('" ID ","Prompt ","Takes"\ncup,A cup,2\n', "read as id", "takes", 2),
    "semicolons": ("id;prompt;takes\ncup;A cup;2\n", "", "takes", 2),
    "tabs in a csv": ("id\tprompt\ttakes\ncup\tA cup\t2\n", "", "takes", 2),
    "bars": ("id|prompt|takes\ncup|A cup|2\n", "", "takes", 2),
    "semicolons with a comma in a header": ("id;prompt;takes;Note, internal\ncup;A cup;2;x\n", "", "takes", 2),
    "a sep line": ("sep=;\r\nid;prompt;takes\r\ncup;A cup;2\r\n", "", "takes", 2),
    "a sep line with a mark before it": ("\ufeffsep=|\nid|prompt|takes\ncup|A cup|2\n", "", "takes", 2),
    "a title row": ("November campaign,,\nid,prompt,takes\ncup,A cup,2\n", "above the header left out", "takes", 2),
    "a title and a blank row": ("Shots,,\n,,\nid,Prompt,takes\ncup,A cup,2\n", "the header is line 3", "takes", 2),
    "blank columns": ("id,prompt,,takes,,\ncup,A cup,,2,,\n,,,,,\n", "3 blank columns left out", "takes", 2),
    "short rows": ("id,prompt,takes,tags\ncup,A cup,2\n", "those that are missing are blank", "takes", 2),
    "long rows of blanks": ("id,prompt,takes\ncup,A cup,2,,\n", "blank cells", "takes", 2),
    "two notes": ("id,prompt,Notes,Notes,takes\ncup,A cup,x,y,2\n", "occurs twice", "takes", 2),
    "dragged settings": ("id,prompt,takes\ncup,A cup,2\n,,2\n,,2\n", "2 rows without a prompt left out", "takes", 2),
    "check boxes": ("id,prompt,takes,Done\ncup,A cup,2,TRUE\n,,,FALSE\n", "1 row without a prompt", "takes", 2),
    "whole numbers with decimals": ("id,prompt,takes\ncup,A cup,2.0\n", "'2.0' is read as 2", "takes", 2),
    "decimals of a comma": ('id,prompt,takes\ncup,A cup,"2,0"\n', "is read as 2", "takes", 2),
    "thousands": ('id,prompt,seed\ncup,A cup,"12,000"\n', "is read as 12000", "seed", 12000),
    "thousands with blanks": ("id,prompt,seed\ncup,A cup,1 200 000\n", "is read as 1200000", "seed", 1200000),
    "a small size": ("id,prompt,image_size\ncup,A cup,2k\n", "'2k' is read as 2K", "image_size", "2K"),
    "a time of day": ("id,prompt,aspect_ratio\ncup,A cup,16:09:00\n", "is read as 16:9", "aspect_ratio", "16:9"),
    "a ratio with an x": ("id,prompt,aspect_ratio\ncup,A cup,9x16\n", "is read as 9:16", "aspect_ratio", "9:16"),
    "seconds": ("id,prompt,motion_prompt,duration_s\ncup,A cup,Go,8s\n", "'8s' is read as 8", "duration_s", 8),
    "seconds in words": ("id,prompt,motion_prompt,duration_s\ncup,A cup,Go,8 sec\n", "is read as 8", "duration_s", 8),
    "capitals": ("id,prompt,motion_prompt,resolution\ncup,A cup,Go,720P\n", "is read as 720p", "resolution", "720p"),
    "lines": ("id,prompt,motion_prompt,resolution\ncup,A cup,Go,1080\n", "is read as 1080p", "resolution", "1080p"),
}  # fmt: skip

Table = Sequence[Sequence[Any]]
CUPS: Table = [["id", "prompt", "takes"], ["cup", "A cup", 2], ["mug", "A mug", 1]]
DAY = datetime(2026, 11, 30)  # noqa: DTZ001 - a cell has no zone
FORMATS = {time: "hh:mm", datetime: "yyyy-mm-dd"}


def workbook(*sheets: tuple[str, Table], change: Any = None) -> bytes:
    """A workbook of these sheets; `change` is given the workbook and its sheets before it is closed."""
    import xlsxwriter

    data = io.BytesIO()
    book = xlsxwriter.Workbook(data, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
    made = []
    for name, rows in sheets:
        sheet = book.add_worksheet(name)
        made.append(sheet)
        for row, cells in enumerate(rows):
            for column, value in enumerate(cells):
                form = FORMATS.get(type(value))
                sheet.write(row, column, value, *([book.add_format({"num_format": form})] if form else []))
    if change:
        change(book, made)
    book.close()
    return data.getvalue()


def replace_part(data: bytes, name: str, change: Any) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            part = old.read(info)
            new.writestr(info.filename, change(part) if info.filename == name else part)
    return out.getvalue()
