"""The page about failures, `docs/failures.md`.

It is made from the tables that the code itself decides by. `python -m callsheet.report.failures_doc > docs/failures.md`
writes it again; a test checks that the two agree.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from callsheet import errors
from callsheet.providers.http_errors import RULES as REPLIES
from callsheet.providers.http_errors import WITHOUT_REPLY, Phase
from callsheet.providers.http_errors import ErrorRule as ReplyRule
from callsheet.providers.interaction_replies import CANCELLED, ENDS, MOST_BAD_REQUESTS
from callsheet.providers.operations import TRANSIENT
from callsheet.providers.outcomes import BLOCKING
from callsheet.providers.retry_policy import (
    AUDIO_FILTER_TRIES,
    MEANING,
    OPERATION_TRIES,
    RULES,
    RetryDecision,
    RetryRule,
)

_INTRO = """# Failures: what is tried again, held, or final

One question decides about money: may the provider have accepted the request? What was not accepted is tried again for
free. What may have been accepted is never sent again unasked, but for one more try of a picture. SDK and transports
send a paid POST once and follow no redirect. Polls and downloads are free and are repeated.

This page is made from the code: `retry_policy.py`, `http_errors.py`, `operations.py` and `outcomes.py` in
`callsheet/providers/`. Write it anew with `python -m callsheet.report.failures_doc > docs/failures.md`.
"""
_EVIDENCE = """
## In doubt: evidence first

A request whose reply was lost is `Unknown`. Before the table decides, evidence is looked for:

| where | what is looked at | what it proves |
|---|---|---|
| rehearsal | what was accepted with the attempt's labels | everything: accepted or not, as what, for how much |
| live, Agent Platform with an output bucket | the attempt's own prefix in it | an object there: accepted and done |
| live, otherwise | nothing: Google keeps no list of requests or operations | nothing; a person looks in the console |
| live, Omni | the same; `resolve` names the label of the request | nothing; a person looks in the logs of AI Studio |

Never accepted: planned again for nothing. An accepted video: waited for. An accepted picture, whose bytes were lost
with the reply: made again, and both are counted. Without evidence the table above holds.

The prefix is `CALLSHEET_VIDEO_OUTPUT` and `/<40 digits of the job's key>-<attempt>/`. By default it lies in the
archive's bucket, under `incoming/`, when the videos are made in a project; `off` takes the videos from the replies
instead. What lies there is a second copy of the clips: a lifecycle rule on `incoming/` may delete it after some days.
"""
_BAD_ROWS = """
## Rows that are wrong

A row that is wrong in itself is never sent. By hand it stops the batch (exit code 2); with `--on-bad-row skip` it is
left out with what is made of it, told with file, line and column, and the rest is made (exit code 3). Mended, just that
row is made: nothing was paid for it, and the keys of the others do not depend on it.
"""
_WHEN_POLLED = """
While an operation is waited for, only the provider's own word ends it: a 404 of Google's, seen three times, or an
end as below. Every other reply, or none, means that it is looked at again; a refused key stops the run and loses
nothing.
"""


def failures_page() -> str:
    """Build the whole page, as Markdown."""
    parts = [
        _INTRO,
        "\n## Verdicts\n\n",
        _build_meanings(),
        "\n",
        _build_verdicts(),
        _EVIDENCE,
        "\n## Replies\n\n",
        _build_replies(),
    ]
    parts += [_WHEN_POLLED, "\n## No usable reply\n\n", _build_silence()]
    parts += ["\n## What is in a reply, and what is kept\n", _KEPT_HOW, _build_answers(), _BAD_ROWS]
    return "".join(parts)


def _build_meanings() -> str:
    return _build_table(("verdict", "what happens"), ((verdict, meaning) for verdict, meaning in MEANING.items()))


def _build_verdicts() -> str:
    heads = ("failure", "meaning", "pictures", "videos", "how often", "charged", "reply kept")
    retry, park = RetryDecision.RETRY, (RetryDecision.PARK, RetryDecision.PARK)
    rows: list[Sequence[str]] = [
        ("RateLimited, per day", "429: today's requests are used up.", *park, "", "no", ""),
        (
            "a wait of more than 5 min asked for",
            "429 or 503 with RetryInfo or Retry-After.",
            RetryDecision.PARK,
            RetryDecision.PARK,
            "",
            "no",
            "",
        ),
        (
            "VideoFiltered, audio",
            "Veo's audio filter, often wrong.",
            "",
            RetryDecision.RETRY,
            str(AUDIO_FILTER_TRIES),
            "no",
            "",
        ),
        ("OperationFailed, passing", _join_codes(TRANSIENT), "", retry, str(OPERATION_TRIES), "no", ""),
    ]
    return _build_table(heads, [*rows, *map(_build_verdict_row, RULES)])


def _build_verdict_row(rule: RetryRule) -> Sequence[str]:
    meaning = (rule.error.__doc__ or "").strip().splitlines()[0]
    charged = {False: "no", True: "yes", None: "perhaps"}[rule.error.charged]
    name = "any other" if rule.error is errors.ProviderError else rule.error.__name__
    kept = "yes" if rule.keeps else ""
    return name, meaning, rule.image, rule.video, str(rule.times or ""), charged if name != "any other" else "no", kept


def _build_replies() -> str:
    rows = [(_format_statuses(rule.statuses), _describe_condition(rule), *(_name(rule.error(phase)) for phase in Phase))
            for rule in REPLIES]  # fmt: skip
    return _build_table(("reply", "when", *(str(phase) for phase in Phase)), rows)


def _describe_condition(rule: ReplyRule) -> str:
    """Return the first docstring line of the rule's condition, without its verb."""
    words = (rule.when.__doc__ or "").splitlines()[0].removeprefix("Match ")
    return words[:1].upper() + words[1:]


def _build_silence() -> str:
    sent = ("before anything was sent", "after sending, or perhaps after")
    rows = [(when, *(_name(WITHOUT_REPLY[phase][n]) for phase in Phase)) for n, when in enumerate(sent)]
    return _build_table(("connection lost or timed out", *(str(phase) for phase in Phase)), rows)


# What a reply to a submission holds or an operation says, the class that it gets (None: it is taken), and a remark.
_ANSWERS: tuple[tuple[str, type[errors.ProviderError] | None, str], ...] = (
    ("a whole picture anywhere: any part, field, text, finishReason, MIME type, status, form of JSON or base64", None,
     "the last one of the answer, else of anywhere, else of its thoughts"),
    ("further whole pictures, and text", None, "beside the take: files `extra-...`, and `text` in the sidecar"),
    ("AVIF, GIF, BMP or TIFF", None, "sent as a PNG where it is a frame"),
    ("HEIC", None, "cannot be measured or shown here"),
    ("part of a picture, damaged, of no kind that is known, or over 64 MiB", errors.BadImage,
     "only `resolve --resubmit` or `--remake` asks again"),
    ("the address of a picture, and no bytes", None, "fetched, from where videos may be fetched"),
    ("the same, at a place that is not allowed, or gone", errors.BadImage, "not fetched; named"),
    ("the same, and the picture does not come", errors.PictureElsewhere, "fetched by the next run, for nothing"),
    ("an error object, whatever the status", errors.ProviderError, "read as that error: see Replies"),
    ("a web page", errors.WebPage, "halts its route; told by its title"),
    ("promptFeedback.blockReason, any", errors.PromptBlocked, ""),
    (f"finishReason {', '.join(sorted(BLOCKING))}, or one with such words", errors.ImageBlocked, ""),
    ("text only, null, nothing, or any other finishReason without a picture", errors.NoImage, ""),
    ("JSON cut off before a picture, or what cannot be read", errors.Unknown, ""),
)  # fmt: skip
_VIDEO_ANSWERS = (
    ("a submission answered without a name, or with a web page", "Unknown: its reply is kept and named"),
    ("operation done, raiMediaFiltered reasons", "VideoFiltered, with its support codes"),
    ("operation done, an error that speaks of policy", "VideoFiltered"),
    ("operation done, another error", "OperationFailed, with its code"),
    ("operation done, no video and no reason", "NoVideo"),
    ("operation or file said to be gone or not for this key", "OperationWithheld: submitted, looked for again"),
    ("the same after the retention of two days", "OperationExpired"),
    ("operation not done within the deadline", "OperationOverdue: waited for again by the next run"),
    ("interaction with a video, whatever its status", "none: it is taken"),
    ("interaction completed, words and no video", "VideoFiltered, with the words; the words are booked"),
    ("interaction completed and billed, no video shown", "none: looked at again; OperationOverdue after the deadline"),
    ("interaction completed, its file still processed", "none: looked at again"),
    (
        f"interaction {', '.join(sorted(ENDS.keys() - {*CANCELLED}))}, no video",
        "OperationFailed, its price booked where usage bills a video",
    ),
    (
        "interaction cancelled, no video (`callsheet cancel`)",
        "OperationCancelled: booked by its usage, else its price, in doubt until `resolve KEY --usd`; not sent again",
    ),
    ("interaction queued, in_progress, idle or of another status", "none: looked at again"),
    ("a 400 to the look at an interaction", f"none: looked at again; OperationWithheld after {MOST_BAD_REQUESTS}"),
    ("less than 256 KiB of a file in a minute, three times", "DownloadStalled: submitted, fetched by the next run"),
)
_KEPT_HOW = """
The body of every reply that may have been paid for is on the disk, as it came and up to 128 MiB, before anything reads
it: `<home>/spool/replies/<key>-<attempt>-<ledger>.http`. After a kill the next run, or `recover`, reads it there and
asks for nothing again; `resolve` shows the files. They are removed when the shot is archived; those of a take that
failed stay until a person has decided. What usage says was produced is booked: pictures at their price, texts by
their tokens.

"""


def _build_answers() -> str:
    heads = ("reply to a picture's request", "failure", "verdict", "booked", "kept as it came", "remark")
    return (
        _build_table(heads, map(_build_answer_row, _ANSWERS))
        + "\n"
        + _build_table(("answer about a video", "failure"), _VIDEO_ANSWERS)
    )


def _build_answer_row(answer: tuple[str, type[errors.ProviderError] | None, str]) -> Sequence[str]:
    said, error, remark = answer
    if error is None:
        return said, "none: it is taken", "", "its price", "until the shot is archived", remark
    if error is errors.ProviderError:
        return said, "that error", "its own", "", "", remark
    rule = next(rule for rule in RULES if issubclass(error, rule.error))
    booked = {False: "only what usage tells", True: "its price", None: "what usage tells"}[error.charged]
    booked = "its price, if it must be asked again" if error is errors.Unknown else booked
    return said, error.__name__, rule.image, booked, "yes" if rule.keeps else "", remark


def _format_statuses(statuses: Iterable[int]) -> str:
    if isinstance(statuses, range):
        return "any other 4xx" if statuses.start == 400 else "anything else"
    return ", ".join(str(status) for status in sorted(statuses))


def _name(error: type[errors.ProviderError]) -> str:
    return error.__name__


def _join_codes(codes: Iterable[str]) -> str:
    return ", ".join(sorted(codes))


def _build_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join("| " + " | ".join(str(cell) or "-" for cell in line) + " |\n" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(failures_page())
