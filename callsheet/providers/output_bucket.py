"""Evidence of a submission whose reply was never seen.

Was it accepted, and what came of it? Google has no list of Veo operations and no request ids (gemini-api reference,
2026-11-21). What is left live is a bucket: every attempt writes under a prefix of its own, so an object there proves
that it was accepted and has ended. The rehearsal service keeps account of what it accepted, and every submission
carries labels that name job and attempt.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx2

from callsheet.errors import NotRehearsal, ServiceError, Unreachable
from callsheet.keys import label_of
from callsheet.providers.bucket_download import BucketReader
from callsheet.providers.http_errors import describe_exception
from callsheet.providers.rehearsal_gate import RehearsalGate
from callsheet.providers.routing import Access, Route, Way
from callsheet.settings import OUTPUT_OFF, Settings

# The folder of the archive that videos are written to when no other place is given.
INCOMING = "incoming"


def output_root(settings: Settings, access: Access, route: Route) -> str | None:
    """Return the gs:// prefix for all videos of this route, None when there is none.

    Without a slash at its end. Only Agent Platform writes to buckets. Unless a place is given, only a project is
    trusted to have rights to the archive's bucket, an express key is not. A rehearsal needs a storage emulator.
    """
    if route.provider != "veo_agent" or settings.video_output == OUTPUT_OFF:
        return None
    if access.mode == "rehearsal" and settings.storage_emulator_host is None:
        return None
    if settings.video_output is not None:
        return settings.video_output.rstrip("/")
    archive = settings.archive_uri
    return f"{archive}/{INCOMING}" if route.way is Way.PROJECT and archive.startswith("gs://") else None


def prefix_of(root: str, key: str, n: int) -> str:
    """Return the prefix of attempt `n` at a job, with a slash at its end."""
    return f"{root}/{label_of(key)}-{n}/"


TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class SubmissionEvidence:
    """What became of one submission, for certain.

    `operation` is the name to wait for when a video was accepted: an operation, or the gs:// object that it wrote.
    `charged_usd` is what was billed until now; None when that is not known.
    """

    accepted: bool
    operation: str | None = None
    charged_usd: Decimal | None = None


async def evidence_in(base_url: str, labels: tuple[tuple[str, str], ...], gate: RehearsalGate) -> SubmissionEvidence:
    """Return what the rehearsal service has accepted with these labels.

    It accepts no more of them afterwards. Raises Unreachable when it does not answer at `base_url`, or another server
    does.
    """
    hooks = gate.httpx2_hooks
    try:
        async with httpx2.AsyncClient(timeout=TIMEOUT_S, trust_env=False, event_hooks=hooks) as client:
            reply = await client.post(f"{base_url}evidence", json={"labels": dict(labels)})
        reply.raise_for_status()
        return _read_evidence(reply.json()["submissions"])
    except (httpx2.HTTPError, NotRehearsal, ServiceError, LookupError, TypeError, ArithmeticError, ValueError) as error:
        raise Unreachable(
            f"The rehearsal service could not be asked what it accepted: {describe_exception(error)}. Nothing was sent."
        ) from error


def _read_evidence(submissions: list[dict[str, Any]]) -> SubmissionEvidence:
    if not submissions:
        return SubmissionEvidence(accepted=False, charged_usd=Decimal(0))
    operation = next((each["operation"] for each in submissions if each["operation"]), None)
    charged = sum((Decimal(str(each["charged_usd"])) for each in submissions), Decimal(0))
    return SubmissionEvidence(accepted=True, operation=operation, charged_usd=charged)


async def evidence_under(bucket: BucketReader, prefix: str) -> SubmissionEvidence | None:
    """Return the video that an attempt wrote under its own prefix.

    None when there is none (yet): that proves nothing. Raises Unreachable when the bucket cannot be listed.
    """
    videos = [name for name in await bucket.names(prefix) if name.endswith(".mp4")]
    return SubmissionEvidence(accepted=True, operation=min(videos)) if videos else None
