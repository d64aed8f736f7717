"""The log of a flow run: callsheet's lines beside Prefect's."""

from __future__ import annotations

import logging

from prefect.context import FlowRunContext, TaskRunContext
from prefect.logging.handlers import APILogHandler

from callsheet.log_format import JsonFormatter
from callsheet.settings import Settings


class RunLogHandler(APILogHandler):
    """A handler that sends lines to the flow run in whose context they are.

    Outside of a run there is nobody to send them to.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record that belongs to a run."""
        if FlowRunContext.get() is not None or TaskRunContext.get() is not None:
            super().emit(record)


def show_own_lines(settings: Settings) -> None:
    """Have this process send callsheet's lines to its flow runs.

    Logs on stderr are written as the settings say.
    """
    own = logging.getLogger("callsheet")
    if not any(isinstance(one, RunLogHandler) for one in own.handlers):
        own.addHandler(RunLogHandler(logging.INFO))
        own.setLevel(min(own.getEffectiveLevel(), logging.INFO))
    if settings.log_format == "json":
        for handler in logging.getLogger().handlers:
            handler.setFormatter(JsonFormatter())
