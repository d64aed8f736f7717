"""Advice on failures, by the class of their error (see callsheet.errors)."""

from __future__ import annotations

from callsheet.decisions import APPROVAL, REJECTED

_ADVICE = {
    "PromptBlocked": "Reword the prompt; the provider refused it before making anything.",
    "ImageBlocked": "Reword the prompt or change the reference; the provider withheld the picture.",
    "VideoFiltered": "Not charged. Reword the motion prompt or choose another frame, then run again.",
    "NoImage": "The model answered in text. Ask plainly for a picture, or try another model.",
    "NoVideo": "Run again; the operation ended without a video and without a reason.",
    "Unknown": "It may have been paid for: `callsheet resolve` shows the evidence and settles it.",
    "PictureElsewhere": "It is paid for and named by an address: run again to fetch it, free of charge.",
    "OperationFailed": "Not charged. Run again.",
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
    "BudgetParked": "Raise the budget, then run again.",
    "MediaError": "The file is damaged or not as declared. Run again; look at the file if it happens twice.",
    "ArchiveKept": "Wait until the retention or the hold ends, or name another archive, then run again.",
    "ArchiveDenied": "Grant the missing permission on the archive, then run again.",
    "ArchiveConflict": "Move the other file of that name away, then run again.",
    APPROVAL: "Choose, or reject it; then run the batch again.",
    REJECTED: "For another try, raise its takes or change its prompt. `callsheet approve` decides otherwise.",
    "NotApproved": "Run the batch again: it goes on as decided.",
}
_OTHERWISE = "See the message; run again once its cause is gone."


def advice(kind: str) -> str:
    """Return one sentence for the person who looks at the failure."""
    return _ADVICE.get(kind, _OTHERWISE)
