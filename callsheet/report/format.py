"""Texts for people: formats of values, and advice on failures.

Prompts are untrusted: what cannot be seen is made visible, what is too long is cut. Advice goes by the class of the
error (see callsheet.errors).
"""

from __future__ import annotations

import unicodedata
from decimal import Decimal

from callsheet.decisions import APPROVAL, REJECTED

# Characters that turn the direction of the text around them (Unicode TR 9).
_DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_ADVICE = {
    "PromptBlocked": "Reword the prompt; the provider refused it before making anything.",
    "ImageBlocked": "Reword the prompt or change the reference; the provider withheld the picture.",
    "VideoFiltered": "Not charged. Reword the motion prompt or choose another frame, then run again.",
    "NoImage": "The model answered in text. Ask plainly for a picture, or try another model.",
    "NoVideo": "Run again; the operation ended without a video and without a reason.",
    "Unknown": "It may have been paid for: `callsheet resolve` shows the evidence and settles it.",
    "PictureElsewhere": "It is paid for and named by an address: run again to fetch it, free of charge.",
    "OperationFailed": "Not charged. Run again.",
    "OperationCancelled": "It was cancelled: --remake sends it again. The bill tells its cost: `resolve KEY --usd`.",
    "OperationExpired": "Its retention is over: `callsheet resolve --reopen` looks once more, --remake pays anew.",
    "OperationWithheld": "It is paid for and kept for two days: use the key that submitted it, and run again for free.",
    "DownloadStalled": "It is paid for and still there: look at the network, and run again soon, free of charge.",
    "OperationOverdue": "It may still finish: run again to go on waiting, free of charge.",
    "DownloadFailed": "It is paid for and still there: run again soon to fetch it, free of charge.",
    "RateLimited": "Run again later; the batch goes on where it stopped.",
    "RouteClosed": "Mend the account on the page that the message names, or use another key; then run again.",
    "RouteParked": "Mend the account on the page that the message names, or use another key; then run again.",
    "Overloaded": "The model was overloaded. Run again later.",
    "Unreachable": "Check the network, then run again. Nothing was sent.",
    "Unauthorised": "Check key, permission and billing, then run again.",
    "ModelNotFound": "Check the model's name with `callsheet models`.",
    "RequestTooLarge": "Use smaller reference images.",
    "QuotaParked": "Nothing may be sent until the time in the message. Run again then; a deployment does so by itself.",
    "RouteMissing": "Set one of the variables that the message names, then run again: only what is missing is made.",
    "BudgetParked": "Raise the budget, then run again.",
    "MediaError": "The file is damaged or not as declared. Run again; look at the file if it happens twice.",
    "ArchiveKept": "Wait until the retention or the hold ends, or name another archive, then run again.",
    "ArchiveDenied": "Grant the missing permission on the archive, then run again.",
    "ArchiveConflict": "Move the other file of that name away, then run again.",
    APPROVAL: "Choose, or reject it; then run the batch again.",
    REJECTED: "For another try, raise its takes or change its prompt. `callsheet approve` decides otherwise.",
    "NotApproved": "Run the batch again: it goes on as decided.",
    "ParentAwaited": "It goes on by itself when the picture that it is made of is there: run the batch again.",
    "ParentStuck": "See to the shot that the message names, or name another take, then run the batch again.",
}
_OTHERWISE = "See the message; run again once its cause is gone."


def visible(text: str) -> str:
    """Replace control and direction characters by a mark, except line breaks."""
    return "".join("\ufffd" if _is_hidden(character) else character for character in text)


def truncate(text: str, limit: int) -> str:
    """Return the visible text, at most `limit` characters.

    An ellipsis says that there is more.
    """
    return visible(text) if len(text) <= limit else visible(text[: limit - 1]).rstrip() + "…"


def dollars(amount: Decimal | float | None) -> str:
    """Format an amount in US dollars; empty when not known.

    In tenths of a cent below one dollar, where pictures are.
    """
    if amount is None:
        return ""
    return f"${amount:,.2f}" if amount >= 1 or amount == 0 else f"${amount:.3f}"


def size(count: int) -> str:
    """Format a number of bytes in kB or MB (powers of ten)."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{max(1, round(count / 1e3))} kB"


def format_count(count: int, noun: str) -> str:
    """Format a count with its noun: `1 clip`, `2 clips`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def role(kind: str, take: int | None, spec: str | None) -> str:
    """Name which file of its shot an asset is: `take 2`, `clip`, `cut 9x16`."""
    number = take if kind == "take" else None
    return " ".join(str(one) for one in (kind, number, spec) if one is not None)


def _is_hidden(character: str) -> bool:
    return character in _DIRECTION or (unicodedata.category(character) in {"Cc", "Cs"} and character not in "\n\t")


def join_facts(*facts: str | None) -> str:
    """Join what is to be told in one line, without what is empty."""
    return " · ".join(filter(None, facts))


def advice(kind: str) -> str:
    """Return one sentence for the person who looks at the failure."""
    return _ADVICE.get(kind, _OTHERWISE)
