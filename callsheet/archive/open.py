"""Opening of the archive that the settings name: a local folder, or a bucket."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from callsheet.archive.store import Store
from callsheet.archive.store_local import LocalStore
from callsheet.errors import SettingsError
from callsheet.gcs.access import GoogleAccess, RetryLimits, access_of
from callsheet.settings import Settings


def open_archive(
    settings: Settings, *, uri: str | None = None, link: bool = False, patience: RetryLimits | None = None
) -> Store:
    """Open the archive that the settings name, or the one at `uri`.

    It is reached with the same credentials; see open_store.
    """
    return open_store(uri or settings.archive_uri, access=access_of(settings), link=link, patience=patience)


def open_store(
    uri: str, *, access: GoogleAccess | None = None, link: bool = False, patience: RetryLimits | None = None
) -> Store:
    """Open the store at an fsspec URI; SettingsError for others.

    A folder (a path or file://) or gs://bucket/prefix. `link` lets a folder take over the caller's file by a hard link
    instead of a copy: only for files that are synced to disk and never written to again.
    `patience` is how long a bucket is waited for.
    """
    parts = urlsplit(uri)
    if "://" not in uri:
        return LocalStore(Path(uri), link=link)
    if parts.scheme == "file" and not parts.netloc:
        return LocalStore(Path(uri.removeprefix("file://")), link=link)
    if parts.scheme in {"gs", "gcs"} and parts.netloc:
        # Imported here: with gcsfs and aiohttp it takes some 0.4 s, which a folder does not need.
        from callsheet.archive.store_gcs import GcsStore

        bucket, _, prefix = uri.partition("://")[2].partition("/")
        return GcsStore(bucket, prefix.strip("/"), access=access, patience=patience)
    raise SettingsError(
        f"CALLSHEET_ARCHIVE: {uri!r} is not an archive that callsheet can write to. "
        "Give a folder, file:///path or gs://bucket/prefix."
    )
