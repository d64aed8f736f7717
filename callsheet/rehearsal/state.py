"""The service's memory in SQLite.

Submissions, operations, counts, and when its clock began. Every write is committed before the caller goes on, so what
was answered survives the process being killed. (A power cut may take the last moments: the write-ahead log is not
flushed to the disk at every commit.)
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS submissions (
  id INTEGER PRIMARY KEY, kind TEXT NOT NULL, model TEXT NOT NULL, at REAL NOT NULL, fingerprint TEXT NOT NULL,
  take INTEGER NOT NULL, prompt_sha256 TEXT NOT NULL, labels TEXT NOT NULL, first_frame_sha256 TEXT,
  operation TEXT, outcome TEXT NOT NULL, usd REAL NOT NULL, usd_at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS submissions_by_model ON submissions (model, at);
CREATE INDEX IF NOT EXISTS submissions_by_fingerprint ON submissions (fingerprint);
CREATE INDEX IF NOT EXISTS submissions_by_labels ON submissions (labels);
CREATE TABLE IF NOT EXISTS closed (labels TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS operations (
  name TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, model TEXT NOT NULL, take INTEGER NOT NULL, due REAL NOT NULL,
  ask TEXT NOT NULL, outcome TEXT NOT NULL, reason TEXT NOT NULL, storage_uri TEXT,
  delivered INTEGER NOT NULL DEFAULT 0);
"""


# A submission as the service's own routes show it; the first parameter is the time until which charges count.
_SHOWN = (
    "SELECT id, kind, model, at, take, prompt_sha256, labels, first_frame_sha256, operation, outcome, "
    "CASE WHEN usd_at <= ? THEN usd ELSE 0 END AS charged_usd FROM submissions"
)

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Submission:
    """One accepted request.

    Times are seconds since 1970 on the service's clock; `usd` counts from `usd_at`.
    """

    kind: str
    model: str
    at: float
    fingerprint: str
    prompt_sha256: str
    labels: Labels
    outcome: str
    usd: float
    usd_at: float
    first_frame_sha256: str | None = None
    operation: str | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """A long-running operation.

    `due` is when it is done, `ask` the request without its pictures, as JSON.
    """

    name: str
    id: str
    model: str
    take: int
    due: float
    ask: str
    outcome: str
    reason: str
    storage_uri: str | None = None
    delivered: bool = False


class State:
    """The service's memory, for the event loop's thread only.

    Each call takes some 0.1 ms.
    """

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, timeout=10)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def fact(self, name: str) -> str | None:
        """Return a remembered value."""
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    def remember(self, name: str, value: str) -> None:
        """Store a value."""
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def increment(self, name: str) -> int:
        """Add one to a count and return it."""
        sql = "INSERT INTO counts VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value"
        return int(self._db.execute(sql, (name,)).fetchone()[0])

    def forget_counts(self) -> None:
        """Reset all counts."""
        self._db.execute("DELETE FROM counts")

    def next_take(self, fingerprint: str) -> int:
        """Return which acceptance of the same request the next one is, from 1."""
        row = self._db.execute("SELECT count(*) FROM submissions WHERE fingerprint = ?", (fingerprint,)).fetchone()
        return int(row[0]) + 1

    def accept(self, submission: Submission, take: int, operation: Operation | None = None) -> int:
        """Record a submission and its operation in one transaction; return its number."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            number = self._insert(submission, take)
            if operation is not None:
                self._db.execute(
                    "INSERT INTO operations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (*_row_values(operation),),
                )
            self._db.execute("COMMIT")
        except sqlite3.Error:
            self._db.execute("ROLLBACK")
            raise
        return number

    def _insert(self, s: Submission, take: int) -> int:
        labels = _format_labels(s.labels)
        row = (s.kind, s.model, s.at, s.fingerprint, take, s.prompt_sha256, labels, s.first_frame_sha256)
        tail = (s.operation, s.outcome, s.usd, s.usd_at)
        cursor = self._db.execute(
            "INSERT INTO submissions VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*row, *tail)
        )
        return int(cursor.lastrowid or 0)

    def operation(self, name: str) -> Operation | None:
        """Return an operation by its full name."""
        return self._one("name", name)

    def operation_by_id(self, operation_id: str) -> Operation | None:
        """Return an operation by the last part of its name, which its files carry."""
        return self._one("id", operation_id)

    def undelivered(self) -> list[Operation]:
        """Return the operations whose videos are not yet written to their storageUri."""
        rows = self._db.execute("SELECT * FROM operations WHERE storage_uri IS NOT NULL AND delivered = 0")
        return [_operation(row) for row in rows]

    def delivered(self, name: str) -> None:
        """Note that an operation's videos were written."""
        self._db.execute("UPDATE operations SET delivered = 1 WHERE name = ?", (name,))

    def cancel(self, name: str, now: float) -> None:
        """End an operation now, without a video and without a price."""
        self._db.execute("UPDATE operations SET outcome = 'cancelled', due = ? WHERE name = ?", (now, name))
        self._db.execute("UPDATE submissions SET outcome = 'cancelled', usd = 0 WHERE operation = ?", (name,))

    def _one(self, column: str, value: str) -> Operation | None:
        row = self._db.execute(f"SELECT * FROM operations WHERE {column} = ?", (value,)).fetchone()  # noqa: S608
        return _operation(row) if row else None

    def times(self, model: str, since: float) -> list[float]:
        """Return when the model's requests since then were accepted, ascending."""
        rows = self._db.execute("SELECT at FROM submissions WHERE model = ? AND at > ? ORDER BY at", (model, since))
        return [float(row[0]) for row in rows]

    def count(self, model: str, since: float) -> int:
        """Count the model's requests that were accepted since then."""
        sql = "SELECT count(*) FROM submissions WHERE model = ? AND at >= ?"
        return int(self._db.execute(sql, (model, since)).fetchone()[0])

    def accepted(self) -> dict[str, int]:
        """Count the submissions of each kind that were ever accepted."""
        rows = self._db.execute("SELECT kind, count(*) FROM submissions GROUP BY kind")
        return {"image": 0, "video": 0} | {str(kind): int(number) for kind, number in rows}

    def charged_usd(self, now: float) -> float:
        """Return what the provider would have billed until now, in US dollars."""
        row = self._db.execute("SELECT total(usd) FROM submissions WHERE usd_at <= ?", (now,)).fetchone()
        return round(float(row[0]), 6)

    def by_prompt(self) -> dict[str, int]:
        """Count accepted submissions by the sha256 of their prompt."""
        rows = self._db.execute("SELECT prompt_sha256, count(*) FROM submissions GROUP BY prompt_sha256")
        return {str(digest): int(number) for digest, number in rows}

    def submissions(self, after: int, limit: int, now: float) -> Iterator[dict[str, object]]:
        """Yield accepted submissions with a number above `after`, in order.

        As the counts route shows them.
        """
        rows = self._db.execute(f"{_SHOWN} WHERE id > ? ORDER BY id LIMIT ?", (now, after, limit))
        return (_show(row) for row in rows)

    def close_labels(self, labels: Labels, now: float) -> list[dict[str, object]]:
        """Return the accepted submissions with exactly these labels, and close the labels.

        From now on no more of them are accepted.
        """
        self._db.execute("INSERT OR IGNORE INTO closed VALUES (?)", (_format_labels(labels),))
        return [
            _show(row)
            for row in self._db.execute(f"{_SHOWN} WHERE labels = ? ORDER BY id", (now, _format_labels(labels)))
        ]

    def is_closed(self, labels: Labels) -> bool:
        """Return whether submissions with exactly these labels are refused from now on."""
        return (
            self._db.execute("SELECT 1 FROM closed WHERE labels = ?", (_format_labels(labels),)).fetchone() is not None
        )


def _row_values(o: Operation) -> tuple[object, ...]:
    head = (o.name, o.id, o.model, o.take, o.due, o.ask, o.outcome, o.reason)
    return (*head, o.storage_uri, int(o.delivered))


def _format_labels(labels: Labels) -> str:
    """Return a text that is equal for equal labels."""
    return json.dumps(dict(sorted(labels)))


def _show(row: sqlite3.Row) -> dict[str, object]:
    at = datetime.fromtimestamp(row["at"], UTC).isoformat()
    return {**dict(row), "at": at, "labels": json.loads(row["labels"])}


def _operation(row: sqlite3.Row) -> Operation:
    values = dict(row)
    return Operation(**{**values, "delivered": bool(values["delivered"])})
