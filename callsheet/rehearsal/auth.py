"""Who may call: any API key or bearer token, except those that play a bad one."""

from __future__ import annotations

from starlette.datastructures import Headers, QueryParams

from callsheet.rehearsal import errors


def check(headers: Headers, query: QueryParams, *, agent_platform: bool) -> None:
    """Raise the refusal the live service would give.

    A key or token that contains "invalid" is a wrong one.
    """
    key = headers.get("x-goog-api-key") or query.get("key") or ""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    if key:
        if "invalid" in key.lower():
            raise errors.bad_key()
        return
    if not bearer:
        raise errors.no_token() if agent_platform else errors.no_key()
    if "invalid" in bearer.lower():
        raise errors.bad_token()
