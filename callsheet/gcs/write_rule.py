"""The rule by which an object is written.

It ended with the right bytes under every fault tried. Create it, with its md5 declared, and trust the answer only when
it describes the right bytes. After whatever else, look at the object: right is done, absent is sent again. One that is
wrong and says it is this very file was damaged on the way: exactly that generation is deleted. Any other is left alone.
gcsfs by itself reports truncated and flipped uploads as success, and its own good write as "exists" when the answer is
lost (measured 2026-11-21).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from callsheet.errors import ArchiveConflict, ArchiveError
from callsheet.gcs.answers import Mangled
from callsheet.gcs.bucket import Bucket, ObjectInfo, SessionLost
from callsheet.gcs.content import Content
from callsheet.gcs.fetch import Sink, fetch
from callsheet.gcs.patience import WriteInDoubt
from callsheet.gcs.upload import Session

# Up to this size an object is sent in one request and again as a whole; above it, in a session that can be resumed.
RESUMABLE = 8 * 1024 * 1024


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
