"""Google's credentials for the archive: found, and renewed off the event loop.

Every failure comes with its remedy.
"""

from __future__ import annotations

import asyncio
import functools
import json
from pathlib import Path
from typing import Any

import google.auth
import google.auth.transport.requests
import requests
from google.auth import exceptions, impersonated_credentials

from callsheet.errors import ArchiveDenied, SettingsError
from callsheet.gcs.access import GoogleAccess, WriteInDoubt

SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_RENEWAL_S = 30.0
_LOG_IN = "Run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to a service account file"


def find_credentials(access: GoogleAccess, scope: str = SCOPE) -> Any:
    """Find google-auth's credentials, without asking for a token yet.

    Raises SettingsError when there are none. Blocks. Without a file it may ask the metadata server, for some seconds
    where there is none.
    """
    try:
        if access.credentials_file:
            info = _read_file(access.credentials_file)
            found, _ = google.auth.load_credentials_from_dict(info, scopes=[scope])  # type: ignore[no-untyped-call]
        else:
            found, _ = google.auth.default(scopes=[scope])
    except (exceptions.GoogleAuthError, ValueError, KeyError, AttributeError, TypeError) as error:
        named = f"{access.credentials_file} holds no usable credentials" if access.credentials_file else "none found"
        raise SettingsError(
            f"Google credentials: {named}: {_get_first_line(error)}. {_LOG_IN}. Nothing was read or written."
        ) from error
    if access.impersonate:
        return impersonated_credentials.Credentials(found, access.impersonate, [scope])  # type: ignore[no-untyped-call]
    return found


class Authorisation:
    """The header that requests carry, renewed by one request at a time.

    Without credentials there is none.
    """

    def __init__(self, credentials: Any) -> None:
        self._credentials = credentials
        self._renewing = asyncio.Lock()

    async def headers(self) -> dict[str, str]:
        """Return a valid token in a header.

        Raises ArchiveDenied when none is granted, Doubt when nobody could be asked.
        """
        if self._credentials is None:
            return {}
        async with self._renewing:
            if not self._credentials.valid:
                await asyncio.to_thread(self._renew)
        headers: dict[str, str] = {}
        self._credentials.apply(headers)
        return headers

    async def renew(self, refused: dict[str, str]) -> None:
        """Get another token than that of the headers, which the service refused."""
        if self._credentials is None:
            return
        async with self._renewing:
            if refused.get("authorization", "").endswith(self._credentials.token or "-"):
                await asyncio.to_thread(self._renew)

    def _renew(self) -> None:
        with requests.Session() as session:
            ask = functools.partial(google.auth.transport.requests.Request(session), timeout=_RENEWAL_S)
            try:
                self._credentials.refresh(ask)
            except exceptions.TransportError as error:
                raise WriteInDoubt(f"Google's token service could not be reached: {_get_first_line(error)}") from error
            except exceptions.GoogleAuthError as error:
                if error.retryable:
                    raise WriteInDoubt(f"Google's token service failed: {_get_first_line(error)}") from error
                raise _refuse_token(self._credentials, error) from error


def _read_file(file: Path) -> dict[str, Any]:
    """Read a credentials file, or raise what is wrong with it."""
    try:
        info = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise _refuse_file(file, f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise _refuse_file(file, "is not JSON") from error
    if not isinstance(info, dict) or not isinstance(info.get("type"), str):
        raise _refuse_file(file, 'has no "type": it is not a credentials file of Google')
    return info


def _refuse_file(file: Path, what: str) -> SettingsError:
    return SettingsError(
        f"GOOGLE_APPLICATION_CREDENTIALS: {file} {what}. Give a key file of a service account or what `gcloud auth "
        "application-default login` wrote, or unset it. Nothing was read or written."
    )


def _refuse_token(credentials: Any, error: exceptions.GoogleAuthError) -> ArchiveDenied:
    if isinstance(credentials, impersonated_credentials.Credentials) and "impersonated" in str(error):
        return ArchiveDenied(
            f"Google credentials: {credentials.signer_email} may not be impersonated: {_describe(error)}. Grant your "
            "own account roles/iam.serviceAccountTokenCreator on it, and see that the IAM Service Account Credentials "
            "API is enabled; then run again. Nothing was written."
        )
    return ArchiveDenied(
        f"Google credentials: no token was given: {_describe(error)}. They may have expired or been revoked. "
        f"{_LOG_IN}, then run again. Nothing was written."
    )


def _describe(error: Exception) -> str:
    """Return the token service's words: the message in its JSON where there is one."""
    for part in error.args[1:]:
        try:
            said = json.loads(part) if isinstance(part, str) else part
            inner = said["error"]
            return str(inner["message"] if isinstance(inner, dict) else said.get("error_description", inner))[:300]
        except (ValueError, TypeError, KeyError):
            continue
    return _get_first_line(error)


def _get_first_line(error: Exception) -> str:
    text = str(error.args[0]) if error.args else type(error).__name__
    return text.strip().splitlines()[0][:300].rstrip(".") if text.strip() else type(error).__name__
