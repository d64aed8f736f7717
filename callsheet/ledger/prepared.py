"""Statements of SQLAlchemy Core, compiled once per connection.

They run on the driver's own cursor. The steps of a job's life run some twenty small statements. `Connection.execute`
costs several times what SQLite needs for one of them; here only the column types' own conversions remain. Rarer
statements use `execute` as usual.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, Delete, Insert, Select, Update
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

Statement = Select[Any] | Insert | Update | Delete
Convert = Callable[[Any], Any]


class _Prepared:
    """The SQL text of a statement, and the conversions of its values.

    For one dialect and one set of parameters.
    """

    def __init__(self, connection: Connection, statement: Statement, names: tuple[str, ...]) -> None:
        dialect = connection.dialect
        # Columns that an INSERT or UPDATE sets are those it is given values for.
        compiled = statement.compile(dialect=dialect, column_keys=list(names))
        assert isinstance(compiled, SQLCompiler)  # noqa: S101  narrows the type: all four kinds compile to it
        self.sql = str(compiled)
        self._order = compiled.positiontup
        self._given = [name for name in names if name in compiled.binds]
        self._fixed = {
            name: _convert(_find_bind_processor(bind.type, connection), bind.value)
            for name, bind in compiled.binds.items()
            if name not in names
        }
        self._to = {
            name: to
            for name in self._given
            if (to := _find_bind_processor(compiled.binds[name].type, connection)) is not None
        }
        self._columns = list(statement.selected_columns) if isinstance(statement, Select) else []
        self._from: list[tuple[int, Convert]] | None = None
        self._dialect = dialect

    def parameters(self, values: Mapping[str, Any]) -> Any:
        """Return the values as the driver wants them: in order, or by name."""
        ready = dict(self._fixed)
        for name in self._given:
            ready[name] = values[name]
        for name, convert in self._to.items():
            ready[name] = convert(ready[name])
        return ready if self._order is None else [ready[name] for name in self._order]

    def row(self, raw: Any, description: Any) -> list[Any]:
        """Convert the row of a cursor to the types of the columns."""
        if self._from is None:  # some drivers' conversions depend on the type that the cursor tells
            self._from = self._find_conversions(description)
        row = list(raw)
        for index, convert in self._from:
            row[index] = convert(row[index])
        return row

    def _find_conversions(self, description: Any) -> list[tuple[int, Convert]]:
        found = (
            column.type.dialect_impl(self._dialect).result_processor(self._dialect, told[1])
            for column, told in zip(self._columns, description, strict=True)
        )
        return [(index, convert) for index, convert in enumerate(found) if convert is not None]


def fetch(connection: Connection, statement: Select[Any], values: Mapping[str, Any]) -> list[Any] | None:
    """Return the first row, None when there is none."""
    prepared, cursor = _run(connection, statement, values)
    raw = cursor.fetchone()
    row = None if raw is None else prepared.row(raw, cursor.description)
    cursor.close()
    return row


def fetch_all(connection: Connection, statement: Select[Any], values: Mapping[str, Any]) -> list[list[Any]]:
    """Return all rows."""
    prepared, cursor = _run(connection, statement, values)
    rows = [prepared.row(raw, cursor.description) for raw in cursor.fetchall()]
    cursor.close()
    return rows


def change(connection: Connection, statement: Insert | Update | Delete, values: Mapping[str, Any]) -> int:
    """Run a statement that writes; returns how many rows it changed."""
    _, cursor = _run(connection, statement, values)
    touched: int = cursor.rowcount
    cursor.close()
    return touched


def command(connection: Connection, sql: str) -> None:
    """Run a statement without values or rows (BEGIN, SAVEPOINT ...)."""
    cursor = connection.connection.cursor()
    cursor.execute(sql)
    cursor.close()


def _run(connection: Connection, statement: Statement, values: Mapping[str, Any]) -> tuple[_Prepared, Any]:
    cache: dict[Any, _Prepared] = connection.info.setdefault("prepared", {})
    names = tuple(values)
    prepared = cache.get((statement, names))
    if prepared is None:
        prepared = cache[statement, names] = _Prepared(connection, statement, names)
    cursor = connection.connection.cursor()
    cursor.execute(prepared.sql, prepared.parameters(values))
    return prepared, cursor


def _find_bind_processor(type_: TypeEngine[Any], connection: Connection) -> Convert | None:
    return type_.dialect_impl(connection.dialect).bind_processor(connection.dialect)


def _convert(convert: Convert | None, value: Any) -> Any:
    return value if convert is None else convert(value)
