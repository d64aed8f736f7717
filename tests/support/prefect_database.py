"""The database of a Prefect server as its migrations leave it: they take 16 s of CPU a server, and are Prefect's own.

`python -m tests.support.prefect_database PREFECT.DB` writes the schema anew, from the database of a server that has
migrated one. Of another version of Prefect nothing is laid down, and its server migrates.
"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from callsheet.orchestration.server_files import server_folder
from callsheet.settings import Settings

SCHEMA = Path(__file__).with_name("prefect_schema.sql")


def lay_database(settings: Settings) -> None:
    """Give the server of these settings, which has not been started yet, the tables that it would make."""
    title, _, schema = SCHEMA.read_text().partition("\n")
    if title == write_title():
        folder = Path(server_folder(settings))
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with closing(sqlite3.connect(folder / "prefect.db")) as database:
            database.executescript(schema)


def write_title() -> str:
    """The first line of the schema, which tells whose it is."""
    return f"-- Prefect {version('prefect')}"


def main() -> None:
    """Write the schema of the database that the argument names."""
    wanted = "sql is not null and name not like 'sqlite_%' order by type != 'table', rowid"
    with closing(sqlite3.connect(sys.argv[1])) as database:
        made = [text for (text,) in database.execute(f"select sql from sqlite_master where {wanted}")]  # noqa: S608
        [[head]] = database.execute("select version_num from alembic_version")
    revision = f"INSERT INTO alembic_version VALUES ('{head}')"  # noqa: S608
    SCHEMA.write_text("\n".join((write_title(), *(f"{text};" for text in (*made, revision)), "")))


if __name__ == "__main__":
    main()
