"""The requests to one Google Cloud Storage bucket.

Each call is one request, and every failure is final or a Doubt.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import aiohttp

from callsheet.gcs.access import GoogleAccess, RetryLimits, RetryLoop, WriteInDoubt
from callsheet.gcs.answers import Mangled, StorageReply, failure, no_bucket
from callsheet.gcs.connection import Connection, StorageRequest, connected, let_go
from callsheet.gcs.upload import Content, Multipart, Session, parse_kept_bytes

_FIELDS = "name,size,md5Hash,crc32c,generation,contentEncoding,metadata"
_CREATE = {"ifGenerationMatch": "0"}


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object as the bucket describes it.

    Size in bytes, hashes in hex digits, "" where the bucket reports none. A composite object has no md5. `declared` is
    the sha256 that its writer put into its metadata.
    """

    size: int
    md5: str
    crc32c: str
    generation: str
    declared: str = ""
    gzipped: bool = False

    @staticmethod
    def of(resource: Mapping[str, Any]) -> ObjectInfo:
        """Read an object resource of the JSON API; raise Doubt when it is not one."""
        try:
            return ObjectInfo(
                int(resource["size"]),
                _decode_hash(resource.get("md5Hash")),
                _decode_hash(resource.get("crc32c")),
                str(resource.get("generation", "")),
                str((resource.get("metadata") or {}).get("sha256", "")),
                resource.get("contentEncoding") == "gzip",
            )
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise WriteInDoubt(f"the answer does not describe an object: {str(dict(resource))[:200]}") from error


class SessionLost(WriteInDoubt):
    """The server knows the upload session no more; it has to be opened again."""


class Bucket:
    """One bucket, over a connection that is shared.

    All buckets of this process, loop and access share it.
    """

    def __init__(self, name: str, access: GoogleAccess, patience: RetryLimits | None = None) -> None:
        self.name = name
        self.access = access
        self.patience = patience or RetryLimits()
        self._connection: Connection | None = None

    @property
    def connection(self) -> Connection:
        """The shared connection; taken at first use, inside the event loop."""
        if self._connection is None:
            self._connection = connected(self.access)
        return self._connection

    def effort(self, key: str) -> RetryLoop:
        """Return the attempts of one operation on an object."""
        return RetryLoop(self.uri(key), self.patience, self.connection.outage)

    def uri(self, key: str) -> str:
        """Return gs://bucket/key."""
        return f"gs://{self.name}/{key}"

    async def find(self, key: str) -> ObjectInfo | None:
        """Return the object's metadata, None when it is absent.

        Raises ArchiveDenied when the bucket is.
        """
        ask = self.ask("GET", key, "storage.objects.get and storage.objects.list", {404}, {"fields": _FIELDS})
        answer = await self._send_request(ask)
        if answer.names_no_bucket:
            raise no_bucket(ask.where, answer.error()[0])
        return None if answer.status == 404 else ObjectInfo.of(answer.json())

    async def upload(
        self, resource: Mapping[str, Any], content: Content, *, replace: bool = False
    ) -> ObjectInfo | None:
        """Create the object that `resource` describes in one request.

        None when its name is taken. `replace`: write it whether there is one or not.
        """
        body = Multipart.of(resource, content)
        permission = "storage.objects.create and storage.objects.delete" if replace else "storage.objects.create"
        ask = StorageRequest(
            "POST",
            f"upload/storage/v1/b/{_quote_name(self.name)}/o",
            self.uri(resource["name"]),
            permission,
            expected={412},
            params={"uploadType": "multipart", "fields": _FIELDS, **({} if replace else _CREATE)},
            headers={"Content-Type": body.content_type},
            content=body,
        )
        answer = await self._send_request(ask)
        if answer.says_kept:
            raise failure(answer, ask.where, permission)
        return None if answer.status == 412 else ObjectInfo.of(answer.json())

    async def begin(self, resource: Mapping[str, Any], size: int) -> Session | None:
        """Open a create-only upload session for `size` bytes; None when the name is taken."""
        ask = StorageRequest(
            "POST",
            f"upload/storage/v1/b/{_quote_name(self.name)}/o",
            self.uri(resource["name"]),
            "storage.objects.create",
            expected={412},
            params={"uploadType": "resumable", "name": resource["name"], **_CREATE},
            headers={"X-Upload-Content-Type": resource["contentType"], "X-Upload-Content-Length": str(size)},
            json=resource,
        )
        answer = await self._send_request(ask)
        if answer.status == 412:
            return None
        location = answer.headers.get("Location")
        if not location:
            raise WriteInDoubt("the upload session was given no address")
        return Session.at(location, resource["contentType"], self.access.endpoint)

    async def send(self, session: Session, key: str, content: Content) -> ObjectInfo | bool:
        """Send the session's bytes that the server lacks; return the object once whole.

        True: some arrived, go on. False: the name was taken in the meantime. Raises Doubt when the session is gone.
        """
        ask = StorageRequest(
            "PUT",
            session.location,
            self.uri(key),
            "storage.objects.create",
            expected={308, 400, 404, 410, 412, 416},
            headers={"Content-Type": session.content_type, "Content-Range": session.range(content.size)},
            content=content,
            start=content.size if session.kept is None else session.kept,
        )
        before, session.kept = session.kept, None
        answer = await self._send_request(ask)
        if answer.status in {400, 404, 410, 416}:
            raise _judge_refused_part(failure(answer, ask.where, ask.permission), answer)
        if answer.status == 412:
            return False
        if answer.status == 308:
            kept = parse_kept_bytes(answer.headers)
            if kept >= content.size or (before is not None and kept <= before):
                raise WriteInDoubt(f"the server keeps {kept} of {content.size} bytes and goes no further")
            session.kept = kept
            return True
        return ObjectInfo.of(answer.json())

    async def delete(self, key: str, generation: str) -> None:
        """Delete exactly this generation; one that is gone already is fine."""
        params = {"generation": generation, "ifGenerationMatch": generation}
        ask = self.ask("DELETE", key, "storage.objects.delete", {404, 412}, params)
        if (answer := await self._send_request(ask)).says_kept:
            raise failure(answer, ask.where, ask.permission)

    def media(
        self, key: str, generation: str, start: int
    ) -> AbstractAsyncContextManager[tuple[aiohttp.ClientResponse, Callable[[], None]]]:
        """Open the bytes of one generation from `start` on, as they come, unverified.

        The response may be a 404 or 416.
        """
        headers = {"Range": f"bytes={start}-"} if start else {}
        params = {"alt": "media", **({"generation": generation} if generation else {})}
        ask = replace(self.ask("GET", key, "storage.objects.get", {404, 416}, params), headers=headers)
        return self.connection.stream(ask, self.patience.stall_s)

    async def page(self, prefix: str, token: str | None) -> tuple[dict[str, ObjectInfo], str | None]:
        """Return one page of objects by name, and the token of the next."""
        reply = await self._list(prefix, token, {"fields": f"items({_FIELDS}),nextPageToken"})
        return {str(item["name"]): ObjectInfo.of(item) for item in reply.get("items", [])}, reply.get("nextPageToken")

    async def folders(self, prefix: str, token: str | None) -> tuple[list[str], str | None]:
        """Return one page of the folders in a folder, and the token of the next."""
        reply = await self._list(prefix, token, {"delimiter": "/", "fields": "prefixes,nextPageToken"})
        return [str(one) for one in reply.get("prefixes", [])], reply.get("nextPageToken")

    async def _list(self, prefix: str, token: str | None, asked: Mapping[str, str]) -> dict[str, Any]:
        params = {"prefix": prefix, "maxResults": "1000", **asked}
        ask = StorageRequest(
            "GET",
            f"storage/v1/b/{_quote_name(self.name)}/o",
            self.uri(prefix),
            "storage.objects.list",
            params={**params, **({"pageToken": token} if token else {})},
        )
        reply: dict[str, Any] = (await self._send_request(ask)).json()
        return reply

    def ask(
        self,
        method: str,
        key: str,
        permission: str,
        expected: Collection[int],
        params: Mapping[str, str],
    ) -> StorageRequest:
        """Return a request about one object."""
        path = f"storage/v1/b/{_quote_name(self.name)}/o/{_quote_name(key)}"
        return StorageRequest(method, path, self.uri(key), permission, expected, params)

    async def aclose(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await let_go(connection)

    async def _send_request(self, ask: StorageRequest) -> StorageReply:
        return await self.connection.answer(ask, self.patience.stall_s)


def _judge_refused_part(refused: Exception, answer: StorageReply) -> WriteInDoubt:
    """Return what a refused part of an upload means.

    Either other bytes arrived than were declared, or the session is of no use.
    """
    if isinstance(refused, Mangled):
        return refused
    return SessionLost(f"the upload session is gone: HTTP {answer.status}: {answer.error()[0]}")


def _quote_name(text: str) -> str:
    return quote(text, safe="")


def _decode_hash(encoded: str | None) -> str:
    return base64.b64decode(encoded or "", validate=True).hex()
