"""Logs that programs read: one JSON object a line."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime


class JsonFormatter(logging.Formatter):
    """A formatter of records as JSON: time, level, logger, message, and their fields.

    A trace is text under `trace`. Prefect's configuration makes it with a format, which does not matter here.
    """

    def __init__(self, *_args: object, **_options: object) -> None:
        super().__init__()

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        told: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        for name in ("flow_run_id", "flow_run_name", "task_run_name"):  # of Prefect's own loggers
            if value := getattr(record, name, None):
                told[name] = str(value)
        if record.exc_info:
            told["trace"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=True, default=str)


# For a process of Prefect's that sets up its logging by itself, a worker say; see its file logging.yml (3.8.8).
JSON_LOGS = {
    "PREFECT_LOGGING_FORMATTERS_JSON_CLASS": f"{JsonFormatter.__module__}.{JsonFormatter.__name__}",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_FORMATTER": "json",
}
