"""Output: results and the JSON object to stdout, all else to stderr."""

from __future__ import annotations

import copy
import json
import logging
import os
import sys
import traceback
from collections import Counter
from collections.abc import Mapping
from threading import Event
from typing import Any, NoReturn

from rich.console import Console
from rich.logging import RichHandler

from callsheet.errors import CallsheetError, ManifestError

_AT_ONCE = Event()


def leave_at_once() -> None:
    """Have this process end as soon as its command has.

    Nobody takes what Prefect has still to send.

    Prefect waits at exit until each event and log line was tried, some seconds each, and a batch has hundreds (3.8.8).
    """
    _AT_ONCE.set()


def end_if_asked(code: object) -> None:
    """End this process with the exit code now, when it is to leave at once."""
    if _AT_ONCE.is_set():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


# Into a pipe or file, tables get room: nobody's window bounds them.
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)
err = Console(stderr=True, highlight=False, soft_wrap=True)

# JSON escapes the controls below 32 only; some terminals obey these as well.
_CONTROLS = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}

# Of a foreign error's text, and how often the same one is shown.
MOST_CHARACTERS, MOST_TIMES = 500, 3


class BriefHandler(RichHandler):
    """A log handler whose messages are bounded.

    Prefect's show whole events, again and again, when its server is gone.
    """

    def __init__(self, level: int, console: Console) -> None:
        super().__init__(level, console, show_time=False, show_path=False, markup=False)
        self._told: Counter[tuple[str, str]] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record in a few lines.

        Of one cause there may be as many as there are shots: those of other programs, and traces, are shown a few times
        when they look the same. Of another program's only the first paragraph is shown: the rest is advice to
        whoever writes flows, and the trace leads through its own files.
        """
        text, own = record.getMessage(), record.name.startswith("callsheet")
        error = record.exc_info[1] if record.exc_info else None
        if not own or error is not None:
            # By its words before the names of shots and tags are put in.
            self._told[record.name, str(record.msg)[:40]] += 1
            if self._told[record.name, str(record.msg)[:40]] > MOST_TIMES:
                return
        brief = copy.copy(record)
        trace = "".join(traceback.format_exception(error))[-MOST_CHARACTERS:] if own and error is not None else ""
        shown = text if own else text.strip().partition("\n\n")[0].partition("\n")[0]
        brief.msg, brief.args = f"{shown[:MOST_CHARACTERS]}\n{trace}".rstrip(), ()
        brief.exc_info = brief.exc_text = None
        super().emit(brief)


def warnings_to(console: Console) -> RichHandler:
    """Return a log handler that shows warnings between the progress bars.

    The whole log is in the Prefect UI.
    """
    return BriefHandler(logging.WARNING, console)


def keep_stdout_for_json(wanted: bool) -> bool:
    """Have tables and lines go to stderr when JSON is wanted on stdout."""
    out.stderr = wanted
    return wanted


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object on one line of stdout; call it last.

    No control character of any kind is in it as it is.
    """
    sys.stdout.write(json.dumps(value, ensure_ascii=False).translate(_CONTROLS) + "\n")
    sys.stdout.flush()


def in_short(error: BaseException) -> str:
    """Return an error that is not callsheet's own as one bounded line.

    Prefect's may show a whole flow run.
    """
    text = " ".join(str(error)[: 4 * MOST_CHARACTERS].split())
    return f"{type(error).__name__}: {text}"[:MOST_CHARACTERS]


def say(text: str) -> None:
    """Print a line for a person to stderr, exactly as it is.

    Prompts and messages are never markup.
    """
    err.print(text, markup=False)


def fail(error: CallsheetError, exit_code: int) -> NoReturn:
    """Show an error and end.

    With --json the last line of stdout is an object that says the same.
    """
    say(str(error))
    if isinstance(error, ManifestError):
        say(f"{len(error.problems)} problem(s). Nothing was created.")
    if "--json" in sys.argv:
        problems = [str(problem) for problem in error.problems] if isinstance(error, ManifestError) else []
        print_json({"exit_code": exit_code, "error": type(error).__name__, "message": str(error), "problems": problems})
    sys.exit(exit_code)
