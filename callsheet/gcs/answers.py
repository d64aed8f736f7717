"""What a storage server's answer means: fine, in doubt, or final, with the permission that is missing."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from callsheet.errors import ArchiveDenied, ArchiveError
from callsheet.gcs.patience import Doubt

# Besides all 5xx: trying again may help (docs.cloud.google.com/storage/docs/retry-strategy, checked 2026-11-21).
# 409 is a change of the same object at the same time, 499 an upload that was cancelled.
_TRANSIENT = {408, 409, 425, 429, 499}
_TRANSIENT_REASONS = {"rateLimitExceeded", "userRateLimitExceeded", "backendError", "internalError"}
# How Cloud Storage refuses an upload whose bytes are not those of the hash that was declared with it.
_MANGLED = re.compile(r"md5|crc32c|checksum|digest|hash", re.IGNORECASE)
_PERMISSION = re.compile(r"storage\.[a-zA-Z]+\.[a-zA-Z]+")
_NO_BUCKET = re.compile(r"bucket (does not exist|not found)", re.IGNORECASE)


class Mangled(Doubt):
    """The server received other bytes than were declared, and kept nothing."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that came whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The object in the body; Doubt when it is none."""
        try:
            found = json.loads(self.body)
        except ValueError as error:
            raise Doubt(f"the answer is not JSON: {self.text()!r}") from error
        if not isinstance(found, dict):
            raise Doubt(f"the answer is not a JSON object: {self.text()!r}")
        return found

    def text(self) -> str:
        """The beginning of the body for a person: a page without its tags."""
        text = re.sub(r"<[^<>]*>", " ", self.body[:4096].decode(errors="replace"))
        return " ".join(text.split())[:300]

    def error(self) -> tuple[str, str]:
        """The message of an error body and its reason, "" where there is none."""
        try:
            error = json.loads(self.body)["error"]
            if isinstance(error, str):
                return error[:300], ""
            listed = error.get("errors") or [{}]
            return str(error.get("message", ""))[:300], str(listed[0].get("reason", ""))
        except (ValueError, TypeError, KeyError, AttributeError, IndexError):
            return self.text(), ""

    @property
    def names_no_bucket(self) -> bool:
        """Whether a 404 says that the bucket, not the object, is missing."""
        return self.status == 404 and bool(_NO_BUCKET.search(self.error()[0]))


def failure(answer: Answer, where: str, permission: str) -> Exception:
    """The error for an answer that is not the one wanted: a Doubt, or what is final. `permission` is what it takes."""
    message, reason = answer.error()
    status = answer.status
    if status in _TRANSIENT or status >= 500 or reason in _TRANSIENT_REASONS:
        return Doubt(f"HTTP {status}: {message}")
    if status < 400:
        return Doubt(f"HTTP {status} where none was expected: {answer.headers.get('Location', '') or message}")
    if status == 400 and _MANGLED.search(message):
        return Mangled(f"the server received other bytes than were sent: {message}")
    if status in {401, 403}:
        return _denied(where, permission, message)
    if status == 404:
        return no_bucket(where, message)
    return ArchiveError(f"{where}: HTTP {status}: the request was refused: {message.rstrip('.')}. Nothing was written.")


def no_bucket(where: str, message: str) -> ArchiveDenied:
    """The error for a bucket that is not there, as far as this account may see."""
    bucket = where.removeprefix("gs://").partition("/")[0]
    return ArchiveDenied(
        f"{where}: not found{': ' if message else ''}{message.rstrip('.')}. Either the bucket does not exist or this "
        f"account may not see it: check with `gcloud storage buckets describe gs://{bucket}`, then run again."
    )


def unauthenticated(where: str, answer: Answer) -> ArchiveDenied:
    """The error for a token that was refused twice."""
    return ArchiveDenied(
        f"{where}: the credentials were refused twice: {answer.error()[0].rstrip('.')}. Run `gcloud auth "
        "application-default login` (or check GOOGLE_APPLICATION_CREDENTIALS), then run again."
    )


def _denied(where: str, permission: str, message: str) -> ArchiveDenied:
    named = _PERMISSION.search(message)
    return ArchiveDenied(
        f"{where}: access denied: {message.rstrip('.')}. Nothing was written. Grant this account "
        f"{named.group() if named else permission} on the bucket (role Storage Object User), then run again."
    )
