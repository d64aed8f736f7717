"""Single requests to one Google Cloud Storage bucket through gcsfs, with every failure sorted: final or doubtful.

What gcsfs does and does not promise was measured on 2026-11-21 (gcsfs 2026.10.1); archive/gcs.py has the rule for
writes that is built on it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import requests

from callsheet.errors import ArchiveDenied, ArchiveError, SettingsError

# The resumable path sends chunks of this size; a multiple of 256 KiB. The default of 50 MiB takes 150 MB of memory.
CHUNK = 8 * 1024 * 1024
# gcsfs ends multipart bodies with this constant; data that holds it would be cut off silently.
_BOUNDARY = b"--==0=="
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=20, sock_read=90)
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}


class Doubt(Exception):
    """The request may or may not have had its effect; a look at the object tells."""


class Unauthenticated(Doubt):
    """401: the token was refused; a fresh one may be taken."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the bucket says of an object; `sha256` is what its writer declared, empty if nothing."""

    size: int
    md5: str
    generation: str
    sha256: str = ""


class Bucket:
    """One bucket. With an emulator host nothing is authenticated, otherwise Application Default Credentials are."""

    def __init__(self, name: str, *, emulator_host: str | None) -> None:
        self.name = name
        self._endpoint = emulator_host and (emulator_host if "://" in emulator_host else f"http://{emulator_host}")
        self._fs: Any = None
        self._opening = asyncio.Lock()

    async def find(self, key: str) -> Found | None:
        """The object's metadata in one request, None when it is absent."""
        fs = await self._filesystem()
        try:
            with self._sorted("storage.objects.get and storage.objects.list", key):
                reply = await fs._call(
                    "GET", "b/{}/o/{}", self.name, key, json_out=True, fields="size,md5Hash,generation,metadata"
                )
        except FileNotFoundError:
            return None
        return _found(reply)

    async def upload(self, key: str, data: bytes, content_type: str, metadata: Mapping[str, str], mode: str) -> None:
        """Send bytes; `mode` is "create" or "overwrite". The resumable path is taken where multipart is unsafe."""
        fs = await self._filesystem()
        # A chunk size of the whole length makes gcsfs take the resumable path, with a single chunk.
        chunk = len(data) if data and _BOUNDARY in data else len(data) + 1
        with self._sorted("storage.objects.create (and .delete, to replace an object)", key), self._missing(key):
            await fs._pipe_file(
                self._path(key), data, dict(metadata), content_type=content_type, chunksize=chunk, mode=mode
            )

    async def upload_file(self, key: str, source: Path, content_type: str, metadata: Mapping[str, str]) -> None:
        """Send a large file in chunks, create-only."""
        fs = await self._filesystem()
        with self._sorted("storage.objects.create", key), self._missing(key):
            await fs._put_file(
                str(source),
                self._path(key),
                metadata=dict(metadata),
                content_type=content_type,
                chunksize=CHUNK,
                mode="create",
            )

    async def delete(self, key: str, generation: str) -> None:
        """Delete exactly this generation; one that is gone already is fine."""
        fs = await self._filesystem()
        with contextlib.suppress(FileNotFoundError), self._sorted("storage.objects.delete", key):
            await fs._call("DELETE", "b/{}/o/{}", self.name, key, generation=generation)

    async def read(self, key: str, generation: str) -> bytes:
        """The bytes of one generation of a small object; Doubt when it was replaced meanwhile."""
        fs = await self._filesystem()
        try:
            with self._sorted("storage.objects.get", key):
                _, data = await fs._call("GET", "b/{}/o/{}", self.name, key, alt="media", generation=generation)
        except FileNotFoundError as error:
            raise Doubt(f"generation {generation} of {key} is gone") from error
        return bytes(data)

    async def download(self, key: str, target: Path) -> None:
        """Stream an object to a local file, not verified."""
        fs = await self._filesystem()
        with self._sorted("storage.objects.get", key), self._missing(key):
            await fs._get_file(self._path(key), str(target), concurrency=1, consistency="none")

    async def read_range(self, key: str, generation: str, start: int, end: int) -> bytes:
        """The bytes from `start` to before `end` of one generation; Doubt when it was replaced meanwhile."""
        fs = await self._filesystem()
        wanted = {"Range": f"bytes={start}-{end - 1}"}
        try:
            with self._sorted("storage.objects.get", key):
                _, data = await fs._call(
                    "GET", "b/{}/o/{}", self.name, key, alt="media", generation=generation, headers=wanted
                )
        except FileNotFoundError as error:
            raise Doubt(f"generation {generation} of {key} is gone") from error
        if len(data) != end - start:
            raise Doubt(f"{len(data)} bytes came instead of {end - start}")
        return bytes(data)

    async def page(self, prefix: str, token: str | None) -> tuple[dict[str, Found], str | None]:
        """One page of objects by name, and the token of the next."""
        fs = await self._filesystem()
        with self._sorted("storage.objects.list", prefix), self._missing(prefix):
            reply = await fs._call(
                "GET",
                "b/{}/o",
                self.name,
                json_out=True,
                prefix=prefix or None,
                maxResults=1000,
                pageToken=token,
                fields="items(name,size,md5Hash,generation,metadata/sha256),nextPageToken",
            )
        return {item["name"]: _found(item) for item in reply.get("items", [])}, reply.get("nextPageToken")

    async def aclose(self) -> None:
        """Close the HTTP session."""
        if self._fs is not None and self._fs._session is not None:
            await self._fs._session.close()
        self._fs = None

    def _path(self, key: str) -> str:
        return f"{self.name}/{key}"

    async def _filesystem(self) -> Any:
        async with self._opening:
            if self._fs is None:
                try:
                    # Looking for credentials reads files and may ask the metadata server: not on the event loop.
                    self._fs = await asyncio.to_thread(_connect, self._endpoint)
                except _auth_error() as error:
                    raise SettingsError(
                        f"No Google credentials for gs://{self.name}: {error}. Run `gcloud auth application-default "
                        "login`, or set GOOGLE_APPLICATION_CREDENTIALS. Nothing was read or written."
                    ) from error
        return self._fs

    @contextlib.contextmanager
    def _missing(self, key: str) -> Iterator[None]:
        """A 404 means the bucket is missing, except on an upload session, which the service may forget."""
        try:
            yield
        except FileNotFoundError as error:
            if error.errno is not None:  # raised by the local disk, not by gcsfs
                raise ArchiveError(
                    f"{error.filename} could not be read: {error.strerror}. Run again once it is there."
                ) from error
            if "upload_id=" in str(error):
                raise Doubt("the upload session is gone") from error
            raise ArchiveDenied(
                f"gs://{self.name}/{key}: not found. Either the bucket does not exist or this account may not see it: "
                f"check with `gcloud storage buckets describe gs://{self.name}`, then run again."
            ) from error

    @contextlib.contextmanager
    def _sorted(self, permission: str, key: str) -> Iterator[None]:
        """Let pass what is final, as our errors, and turn everything doubtful into Doubt."""
        where = f"gs://{self.name}/{key}"
        try:
            yield
        except FileNotFoundError:
            raise
        except (
            aiohttp.ClientError,
            requests.RequestException,
            ConnectionError,
            TimeoutError,
            json.JSONDecodeError,
        ) as error:
            raise Doubt(f"{type(error).__name__}: {error}") from error
        except FileExistsError as error:
            raise Doubt("the name was taken in the meantime") from error
        except _auth_error() as error:
            raise ArchiveDenied(f"{where}: credentials were refused: {error}. Log in again, then run again.") from error
        except _http_error() as error:
            raise _by_status(where, permission, error) from error
        except ValueError as error:
            raise ArchiveError(f"{where}: the request was refused: {error}. Nothing was written.") from error
        except OSError as error:
            if str(error).startswith("Forbidden"):
                raise _denied(where, permission, str(error).partition("\n")[2]) from error
            raise ArchiveError(f"{where}: {error}. Nothing is known to have been written; run again.") from error


def _found(reply: Mapping[str, Any]) -> Found:
    # A composite object has no md5 (docs.cloud.google.com/storage/docs/composite-objects, checked 2026-11-21).
    md5 = base64.b64decode(reply.get("md5Hash", "")).hex()
    return Found(int(reply["size"]), md5, str(reply["generation"]), reply.get("metadata", {}).get("sha256", ""))


def _by_status(where: str, permission: str, error: Any) -> Exception:
    status, message = error.code, str(error.message)[:300]
    if status == 401:
        return Unauthenticated(message)
    if status in _TRANSIENT:
        return Doubt(f"HTTP {status}: {message}")
    if status == 403:
        return _denied(where, permission, message)
    return ArchiveError(f"{where}: the request was refused: {message}. Nothing was written.")


def _denied(where: str, permission: str, message: str) -> ArchiveDenied:
    return ArchiveDenied(
        f"{where}: access denied: {message[:300]} Nothing was written. Grant this account {permission} on the bucket "
        "(role Storage Object User), then run again."
    )


def _connect(endpoint: str | None) -> Any:
    # Read by gcsfs at import. With it on, every operation first asks over gRPC what kind of bucket it has: 39-78 s
    # each where gRPC is blocked (measured 2026-11-21). The plain class is taken too, should gcsfs be loaded already.
    os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
    from gcsfs.core import GCSFileSystem

    return GCSFileSystem(
        token="anon" if endpoint else "google_default",
        endpoint_url=endpoint,
        asynchronous=True,
        skip_instance_cache=True,
        use_listings_cache=False,
        requests_timeout=_TIMEOUT,
        session_kwargs={"timeout": _TIMEOUT},
        # gcsfs would hash everything once more here; the look at the object after each write checks the same md5.
        consistency="none",
    )


def _auth_error() -> type[Exception]:
    from google.auth.exceptions import GoogleAuthError

    return GoogleAuthError


def _http_error() -> type[Exception]:
    from gcsfs.retry import HttpError

    return HttpError  # type: ignore[no-any-return]
