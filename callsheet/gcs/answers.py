"""The meaning of a storage server's answer: fine, in doubt, or final.

What is final names the permission that is missing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from callsheet.errors import ArchiveDenied, ArchiveError, ArchiveKept
from callsheet.gcs.access import WriteInDoubt

# Besides all 5xx: trying again may help (docs.cloud.google.com/storage/docs/retry-strategy, checked 2026-11-21).
# 409 is a change of the same object at the same time, 499 an upload that was cancelled.
_TRANSIENT = {408, 409, 425, 429, 499}
_TRANSIENT_REASONS = {"rateLimitExceeded", "userRateLimitExceeded", "backendError", "internalError"}
# How Cloud Storage refuses an upload whose bytes are not those of the hash that was declared with it.
_MANGLED = re.compile(r"md5|crc32c|checksum|digest|hash", re.IGNORECASE)
_PERMISSION = re.compile(r"storage\.[a-zA-Z]+\.[a-zA-Z]+")
_NO_BUCKET = re.compile(r"bucket (does not exist|not found)", re.IGNORECASE)


# Why a request is refused that no permission on the bucket would help: by the reason in the answer, or by its text
# (reasons as in public reports, lakeFS#1339 and airflow#31137 among them, read 2026-11-30; never seen live).
_KEPT = re.compile(r"retention polic|retention period|retainuntil|under active .{0,30}hold", re.IGNORECASE)
_VAGUE = {"forbidden", "required", "invalid", "badRequest"}
_KEPT_REASONS = {"retentionPolicyNotMet", "objectUnderActiveHold"}
_ADVICE: tuple[tuple[frozenset[str], re.Pattern[str], str], ...] = (
    (
        frozenset(
            {
                "UserProjectMissing",
                "UserProjectInvalid",
                "UserProjectAccessDenied",
                "UserProjectAccountProblem",
                "USER_PROJECT_DENIED",
            }
        ),
        re.compile(r"requester pays|user ?project", re.IGNORECASE),
        "Whoever asks pays for this bucket: set CALLSHEET_STORAGE_PROJECT (or GOOGLE_CLOUD_PROJECT) to a project with "
        "billing in which this account has serviceusage.services.use",
    ),
    (
        frozenset({"accountDisabled", "BILLING_DISABLED", "billingNotEnabled", "BILLING_STATE_INVALID"}),
        re.compile(r"billing|account .{0,80}(disabled|closed|delinquent)", re.IGNORECASE),
        "The billing of the project that owns the bucket is disabled: enable it at "
        "https://console.cloud.google.com/billing. No permission helps",
    ),
    (
        frozenset({"vpcServiceControls", "SECURITY_POLICY_VIOLATED"}),
        re.compile(r"vpc ?service ?controls|prohibited by organization's policy", re.IGNORECASE),
        "A VPC Service Controls perimeter refuses this machine or account: run inside the perimeter, or give the "
        "identifier above to whoever administers it",
    ),
    (
        frozenset({"accessNotConfigured", "SERVICE_DISABLED"}),
        re.compile(r"api has not been used|api is (disabled|not enabled)", re.IGNORECASE),
        "Enable the Cloud Storage API in the project of these credentials",
    ),
    (
        frozenset({"cloudKmsPermissionDenied"}),
        re.compile(r"cloudkms|\bkms\b", re.IGNORECASE),
        "The bucket encrypts with a key of its own: let the project's Cloud Storage service agent use that key",
    ),
)


class Mangled(WriteInDoubt):
    """The server received other bytes than were declared, and kept nothing."""


@dataclass(frozen=True, slots=True)
class StorageReply:
    """An answer that came whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """Return the object in the body; raise Doubt when it is none."""
        try:
            found = json.loads(self.body)
        except ValueError as error:
            raise WriteInDoubt(f"the answer is not JSON: {self.text()!r}") from error
        if not isinstance(found, dict):
            raise WriteInDoubt(f"the answer is not a JSON object: {self.text()!r}")
        return found

    def text(self) -> str:
        """Return the beginning of the body for a person: a page without its tags."""
        text = re.sub(r"<[^<>]*>", " ", self.body[:4096].decode(errors="replace"))
        return " ".join(text.split())[:300]

    def error(self) -> tuple[str, str]:
        """Return the message of an error body and its reason, "" where there is none."""
        try:
            error = json.loads(self.body)["error"]
            if isinstance(error, str):
                return error[:500], ""
            listed = [
                each for each in (*(error.get("errors") or ()), *(error.get("details") or ())) if "reason" in each
            ]
            told = f"{str(error.get('message', ''))[:500]} {_find_identifier(error)}"
            return told.strip(), str(listed[0]["reason"]) if listed else ""
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
            return self.text(), ""

    @property
    def says_kept(self) -> bool:
        """Return whether a retention policy or a hold keeps an object as it is.

        It is then neither replaced nor removed.
        """
        message, reason = self.error()
        if self.status not in {403, 412} or reason in _KEPT_REASONS:
            return self.status in {403, 412}
        return bool(_KEPT.search(message)) and not _PERMISSION.search(message)

    @property
    def asks_for_payer(self) -> bool:
        """Return whether the bucket wants the requester to pay, and no payer was named."""
        if self.status != 400:
            return False
        message, reason = self.error()
        return reason == "UserProjectMissing" or "requester pays" in message.casefold()

    @property
    def names_no_bucket(self) -> bool:
        """Return whether a 404 says that the bucket, not the object, is missing."""
        return self.status == 404 and bool(_NO_BUCKET.search(self.error()[0]))


def failure(answer: StorageReply, where: str, permission: str) -> Exception:
    """Return the error for an answer that is not the one wanted.

    It is a Doubt, or what is final. `permission` is what the request takes.
    """
    message, reason = answer.error()
    status = answer.status
    if status in _TRANSIENT or status >= 500 or reason in _TRANSIENT_REASONS:
        return WriteInDoubt(f"HTTP {status}: {message}")
    if status < 400:
        return WriteInDoubt(f"HTTP {status} where none was expected: {answer.headers.get('Location', '') or message}")
    if status == 400 and _MANGLED.search(message):
        return Mangled(f"the server received other bytes than were sent: {message}")
    if answer.says_kept:
        return _refuse_kept(where, message)
    if status in {400, 401, 402, 403, 412} and (advice := _advise(message, reason)):
        return ArchiveDenied(f"{where}: refused: {message.rstrip('.')}. Nothing was written. {advice}, then run again.")
    if status in {401, 403}:
        return _deny(where, permission, message)
    if status == 404:
        return no_bucket(where, message)
    return ArchiveError(f"{where}: HTTP {status}: the request was refused: {message.rstrip('.')}. Nothing was written.")


def no_bucket(where: str, message: str) -> ArchiveDenied:
    """Return the error for a bucket that is not there, as far as this account may see."""
    bucket = where.removeprefix("gs://").partition("/")[0]
    return ArchiveDenied(
        f"{where}: not found{': ' if message else ''}{message.rstrip('.')}. Either the bucket does not exist or this "
        f"account may not see it: check with `gcloud storage buckets describe gs://{bucket}`, then run again."
    )


def unauthenticated(where: str, answer: StorageReply) -> ArchiveDenied:
    """Return the error for a token that was refused twice."""
    return ArchiveDenied(
        f"{where}: the credentials were refused twice: {answer.error()[0].rstrip('.')}. Run `gcloud auth "
        "application-default login` (or check GOOGLE_APPLICATION_CREDENTIALS), then run again."
    )


def _advise(message: str, reason: str) -> str:
    """Return advice against a refusal that is not about permissions on the bucket.

    The refusal's reason is looked at first.
    """
    by_reason = (advice for reasons, _, advice in _ADVICE if reason in reasons)
    # A message that names the permission is about nothing else, whatever words its object's name has.
    by_text = (advice for _, text, advice in _ADVICE if text.search(message) and not _PERMISSION.search(message))
    return next(by_reason, "") or next(by_text, "")


def _find_identifier(error: Mapping[str, Any]) -> str:
    """Return the id by which an administrator finds a VPC Service Controls refusal.

    "" when the message has it.
    """
    metadata = (each.get("metadata") or {} for each in error.get("details") or () if isinstance(each, Mapping))
    found = next((str(one["uid"])[:100] for one in metadata if "uid" in one), "")
    return f"(identifier {found})" if found and found not in str(error.get("message", "")) else ""


def _refuse_kept(where: str, message: str) -> ArchiveKept:
    return ArchiveKept(
        f"{where}: kept as it is: {message.rstrip('.')}. It was neither replaced nor removed, and no permission helps: "
        "the bucket's retention policy or a hold on the object has to end first."
    )


def _deny(where: str, permission: str, message: str) -> ArchiveDenied:
    named = _PERMISSION.search(message)
    return ArchiveDenied(
        f"{where}: access denied: {message.rstrip('.')}. Nothing was written. Grant this account "
        f"{named.group() if named else permission} on the bucket (role Storage Object User), then run again."
    )
