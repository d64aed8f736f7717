"""The rule by which an object is written, and copies made by the service itself.

The rule ended with the right bytes under every fault tried. Create it, with its md5 declared, and trust the answer only
when it describes the right bytes. After whatever else, look at the object: right is done, absent is sent again. One
that is wrong and says it is this very file was damaged on the way: exactly that generation is deleted. Any other is
left alone. gcsfs by itself reports truncated and flipped uploads as success, and its own good write as "exists" when
the answer is lost (measured 2026-11-21).

A copy inside a bucket or to another never comes to this machine. The service needs several calls for what it cannot
finish in one; each answer has the token of the next
(docs.cloud.google.com/storage/docs/json_api/v1/objects/rewrite, checked 2026-11-21).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from callsheet.errors import ArchiveConflict, ArchiveError
from callsheet.gcs.access import WriteInDoubt
from callsheet.gcs.answers import Mangled, StorageReply
from callsheet.gcs.bucket import Bucket, ObjectInfo, SessionLost
from callsheet.gcs.connection import StorageRequest
from callsheet.gcs.fetch import Sink, fetch
from callsheet.gcs.upload import Content, Session

# Up to this size an object is sent in one request and again as a whole; above it, in a session that can be resumed.
RESUMABLE = 8 * 1024 * 1024
# Told by the bytes, not by us: they are those of the source.
_GIVEN = frozenset({"name", "md5Hash"})
# The source (or the method) is unknown, the method is not allowed, the name is taken, the method is not implemented.
_NO_COPY = frozenset({404, 405, 412, 501})
_PERMISSIONS = "storage.objects.get on the source and storage.objects.create"


class Write:
    """One object on its way into the bucket.

    `resource` describes it, `content` has the bytes that `md5` is of.
    """

    def __init__(self, bucket: Bucket, resource: Mapping[str, Any], content: Content, md5: str) -> None:
        self._bucket = bucket
        self._resource = resource
        self._key = str(resource["name"])
        self._content = content
        self._md5 = md5
        self._declared = str((resource.get("metadata") or {}).get("sha256", ""))
        self._effort = bucket.effort(self._key)
        # For a large object it costs little to look whether it is there, and much to send it in vain.
        self._look = self._large = content.size > RESUMABLE
        self._session: Session | None = None
        self._kept = 0

    async def create(self) -> None:
        """Create the object and return when it has the right bytes.

        Raises ArchiveConflict when others have its name.
        """
        await self._effort.of(self._create_once)

    async def replace(self) -> None:
        """Write the object over whatever has its name; return when its bytes are right."""
        await self._effort.of(self._replace_once)

    async def _create_once(self) -> None:
        found = await self._bucket.find(self._key) if self._look else None
        self._look = True
        if found is None:
            found = await self._send() or await self._bucket.find(self._key)
        if found is None:
            raise WriteInDoubt("the name was taken, and then it was not")
        if await self._is_right(found):
            return
        if found.declared != self._declared or not found.generation:
            raise self._describe_conflict(found)
        await self._check_source()
        await self._bucket.delete(self._key, found.generation)
        raise WriteInDoubt(f"the stored object was damaged ({found.size} bytes, md5 {found.md5}) and was deleted")

    async def _replace_once(self) -> None:
        found = await self._bucket.find(self._key) if self._look else None
        self._look = True
        if found is not None and await self._is_right(found):
            return
        written = await self._bucket.upload(self._resource, self._content, replace=True)
        if written is None or not await self._is_right(written):
            raise WriteInDoubt("the document does not have the bytes that were sent")

    async def _send(self) -> ObjectInfo | None:
        """Return the object that was made of what we sent; None when the name was taken."""
        try:
            if self._large:
                return await self._send_in_session()
            return await self._bucket.upload(self._resource, self._content)
        except Mangled:
            await self._check_source()
            raise

    async def _send_in_session(self) -> ObjectInfo | None:
        while True:
            if self._session is None:
                self._session = await self._bucket.begin(self._resource, self._content.size)
            if self._session is None:
                return None
            try:
                sent = await self._bucket.send(self._session, self._key, self._content)
            except (SessionLost, Mangled):
                self._session = None
                raise
            if sent is True:
                self._note_progress(self._session)
                continue
            self._session = None
            return sent or None

    def _note_progress(self, session: Session) -> None:
        if (session.kept or 0) > self._kept:
            self._kept = session.kept or 0
            self._effort.progress()

    async def _is_right(self, found: ObjectInfo) -> bool:
        """Return whether the object has our bytes, by the best that the server reports.

        At worst they are read back.
        """
        if found.size != self._content.size:
            return False
        if found.md5:
            return found.md5 == self._md5
        if found.crc32c:
            return found.crc32c == (await self._content.checksums()).crc32c
        sink = Sink()
        await fetch(self._bucket, self._key, found, sink, self._effort)
        return sink.digests().md5 == self._md5

    async def _check_source(self) -> None:
        """Raise ArchiveError when our own file is not what it was said to be."""
        found = (await self._content.checksums()).md5
        if found != self._md5:
            raise ArchiveError(
                f"{self._bucket.uri(self._key)}: the file to be stored is not what was declared: it has the md5 "
                f"{found} instead of {self._md5}. Nothing was stored; fetch the file again."
            )

    def _describe_conflict(self, found: ObjectInfo) -> ArchiveConflict:
        return ArchiveConflict(
            f"{self._bucket.uri(self._key)} exists with other bytes ({found.size} bytes, md5 {found.md5}; to be "
            f"stored: {self._content.size} bytes, md5 {self._md5}). It was left as it is. Move it away if it is "
            "damaged, then run again."
        )


class Rewrite:
    """One object on its way from `source` to the name in `resource`.

    `resource` describes it; `size` and `md5` are known.
    """

    def __init__(
        self, source: tuple[Bucket, str], target: Bucket, resource: Mapping[str, Any], *, size: int, md5: str
    ) -> None:
        self._source, self._source_key = source
        self._target = target
        self._key = str(resource["name"])
        self._about = {name: value for name, value in resource.items() if name not in _GIVEN}
        self._right = size, md5
        self._effort = target.effort(self._key)
        self._token: str | None = None
        self._done_bytes = 0

    async def create(self) -> bool:
        """Copy the object, create-only; return whether it has the right bytes.

        They are compared by size and md5. False when this is no way to have it: the source is gone, is other bytes or
        has no md5 (a composite object), its name has other bytes, or the server does not copy. Raises what a bucket
        raises.
        """
        return await self._effort.of(self._create_copy)

    async def _create_copy(self) -> bool:
        there = await self._target.find(self._key)
        if there is None:
            source = await self._source.find(self._source_key)
            if source is None or not self._is_right(source):
                return False
            there = await self._copy(source.generation) or await self._target.find(self._key)
        return there is not None and self._is_right(there)

    async def _copy(self, generation: str) -> ObjectInfo | None:
        """Return the object that the copying made.

        None when its name is taken, the source is gone, or copying is not offered.
        """
        while True:
            answer = await self._call(generation)
            if answer.status in _NO_COPY:
                self._token = None
                return None
            told = answer.json()
            if told.get("done"):
                self._token = None
                return ObjectInfo.of(told.get("resource") or {})
            self._take_token(told)

    def _take_token(self, told: Mapping[str, Any]) -> None:
        """Take over the token of the next call.

        Raises Doubt unless the answer has one and reports progress.
        """
        before, self._token = self._done_bytes, told.get("rewriteToken")
        self._done_bytes = int(told.get("totalBytesRewritten") or 0)
        if not self._token or self._done_bytes <= before:
            raise WriteInDoubt(f"the copying stopped at {self._done_bytes} bytes")
        self._effort.progress()

    async def _call(self, generation: str) -> StorageReply:
        source, target = self._source, self._target
        path = f"{_format_place(source, self._source_key)}/rewriteTo/{_format_place(target, self._key)}"
        params = {"sourceGeneration": generation, "ifGenerationMatch": "0"}
        if self._token:
            params["rewriteToken"] = self._token
        ask = StorageRequest(
            "POST",
            f"storage/v1/{path}",
            target.uri(self._key),
            _PERMISSIONS,
            expected=_NO_COPY,
            params=params,
            json=self._about,
        )
        return await target.connection.answer(ask, target.patience.stall_s)

    def _is_right(self, found: ObjectInfo) -> bool:
        return (found.size, found.md5) == self._right


def _format_place(bucket: Bucket, key: str) -> str:
    return f"b/{quote(bucket.name, safe='')}/o/{quote(key, safe='')}"
