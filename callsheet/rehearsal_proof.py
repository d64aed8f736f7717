"""The proof by which a rehearsal knows that it talks to the rehearsal service.

Every request of a rehearsal carries a challenge, and every reply of the service the proof that belongs to it. A gateway
in front of Google cannot give one: what it echoes is the challenge, what it replays is the proof of another one. The
key is public: it tells servers apart and keeps no secret.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPMessage
from typing import IO, Any

NAME = "callsheet-rehearsal"
CHALLENGE, PROOF = "X-Callsheet-Challenge", "X-Callsheet-Proof"
# Where the service has its own routes and, for rehearsals, Google's. A server that takes its place on the same port in
# the middle of a run has nothing there: what is sent to it before that is noticed is not found, and not charged.
ROOT = "rehearsal"
STATUS = f"{ROOT}/status"
MAX_CHALLENGE = 200
MAX_STATUS_BYTES = 65_536
_KEY = b"callsheet rehearsal service 1"


def new_challenge() -> str:
    """Return a challenge that was never sent before."""
    return secrets.token_hex(16)


def proof_of(challenge: str) -> str:
    """Return the proof that belongs to a challenge; "" for what is none."""
    if not challenge or len(challenge) > MAX_CHALLENGE:
        return ""
    return hmac.new(_KEY, challenge.encode(), hashlib.sha256).hexdigest()


def is_proof(proof: str | None, challenge: str) -> bool:
    """Return whether `proof` belongs to this challenge."""
    expected = proof_of(challenge)
    return bool(expected) and hmac.compare_digest((proof or "").encode(), expected.encode())


@dataclass(frozen=True, slots=True)
class ProofAnswer:
    """A server's answer to the question who it is.

    `trouble` says why there was no answer at all.
    """

    url: str
    is_proven: bool = False
    status: Mapping[str, object] = field(default_factory=dict)
    trouble: str = ""

    @property
    def is_older(self) -> bool:
        """Return whether it claims to be a rehearsal service and cannot prove it.

        One of an earlier version, say.
        """
        return not self.is_proven and self.status.get("service") == NAME

    def describe(self) -> str:
        """Return in a sentence why it is not taken for the rehearsal service."""
        if self.trouble:
            return f"Nobody answers at {self.url} ({self.trouble})."
        if self.is_older:
            return (
                f"The rehearsal service at {self.url} (process {self.status.get('pid')}) is of another version "
                f"({self.status.get('version')}) and cannot prove what it is: end it and start it again."
            )
        return f"What answers at {self.url} is not callsheet's rehearsal service: it cannot prove that it is."


def ask_service(url: str, timeout_s: float) -> ProofAnswer:
    """Ask a server whether it is the rehearsal service.

    Sends one GET without a key, for which nobody charges.
    """
    challenge = new_challenge()
    request = urllib.request.Request(f"{url.rstrip('/')}/{STATUS}", headers={CHALLENGE: challenge})  # noqa: S310  loopback
    try:
        with _OPENER.open(request, timeout=timeout_s) as reply:
            return ProofAnswer(
                url, is_proof(reply.headers.get(PROOF), challenge), _read_status(reply.read(MAX_STATUS_BYTES))
            )
    except urllib.error.HTTPError:
        return ProofAnswer(url)
    except (OSError, HTTPException, ValueError) as error:
        return ProofAnswer(url, trouble=str(getattr(error, "reason", "") or error)[:200] or type(error).__name__)


def _read_status(body: bytes) -> Mapping[str, object]:
    try:
        status = json.loads(body)
    except ValueError:
        return {}
    return status if isinstance(status, dict) else {}


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A handler that follows no redirect: who sends us on is not the service."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Any:
        return None


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects)
