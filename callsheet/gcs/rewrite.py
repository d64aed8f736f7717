"""Copies made by the storage service itself, inside a bucket or to another.

The bytes never come to this machine. The service needs several calls for what it cannot finish in one; each answer has
the token of the next (docs.cloud.google.com/storage/docs/json_api/v1/objects/rewrite, checked 2026-11-21).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from callsheet.gcs.answers import StorageReply
from callsheet.gcs.bucket import Bucket, ObjectInfo
from callsheet.gcs.connection import StorageRequest
from callsheet.gcs.patience import WriteInDoubt

# Told by the bytes, not by us: they are those of the source.
_GIVEN = frozenset({"name", "md5Hash"})
# The source (or the method) is unknown, the method is not allowed, the name is taken, the method is not implemented.
_NO_COPY = frozenset({404, 405, 412, 501})
_PERMISSIONS = "storage.objects.get on the source and storage.objects.create"


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
