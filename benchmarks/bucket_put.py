"""One way of putting a folder's files into a bucket: `bucket_put WAY URL FOLDER`.

A process of its own, which prints the seconds of wall clock and of CPU that the putting took, and the peak of the
process's memory in MB, as JSON. Imports and the first connection are not counted in the seconds.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.bench import Spent, spent
from callsheet.archive.store import StoredFile
from callsheet.files import Digests, digests

BUCKET = "bench"
# As many files at once for each.
AT_ONCE = 8


def callsheet(url: str, files: Sequence[Path]) -> Spent:
    """Put by callsheet's archive: create-only, verified.

    It gets the hashes, which the spool has made on arrival.
    """
    known = {path: digests(path) for path in files}
    return asyncio.run(_into_the_store(url, known))


async def _into_the_store(url: str, files: Mapping[Path, Digests]) -> Spent:
    from callsheet.archive.store_gcs import GcsStore
    from callsheet.gcs.access import GoogleAccess

    store = GcsStore(BUCKET, "callsheet", access=GoogleAccess(url))
    await store.stat("warm")
    with spent() as found:
        await asyncio.gather(
            *(
                store.put_file(
                    path, StoredFile(path.name, sha256=has.sha256, md5=has.md5, size=has.size, content_type="image/png")
                )
                for path, has in files.items()
            )
        )
    await store.aclose()
    return found


def gcsfs_put(url: str, files: Sequence[Path]) -> Spent:
    """Put by gcsfs at its defaults, which verify nothing."""
    os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
    from gcsfs import GCSFileSystem

    bucket = GCSFileSystem(token="anon", endpoint_url=url)  # noqa: S106
    bucket.exists(f"{BUCKET}/warm")
    with spent() as found:
        bucket.put([str(path) for path in files], [f"{BUCKET}/gcsfs/{path.name}" for path in files], batch_size=AT_ONCE)
    return found


def transfer_manager(url: str, files: Sequence[Path]) -> Spent:
    """Put by google-cloud-storage's transfer manager, with its own checksums.

    It runs in threads.
    """
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage
    from google.cloud.storage import transfer_manager as manager

    client = storage.Client("bench", AnonymousCredentials(), client_options={"api_endpoint": url})
    bucket = client.bucket(BUCKET)
    bucket.blob("warm").exists()
    pairs = [(str(path), bucket.blob(f"google/{path.name}")) for path in files]
    with spent() as found:
        manager.upload_many(pairs, worker_type=manager.THREAD, max_workers=AT_ONCE, raise_exception=True)
    return found


def peak_mb() -> float:
    """Return the most memory this process has used since it began, in MB.

    What wait4 reports counts its parent's from before.
    """
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


WAYS = {"callsheet": callsheet, "gcsfs": gcsfs_put, "google": transfer_manager}


if __name__ == "__main__":
    way, url, folder = sys.argv[1:]
    used = WAYS[way](url, sorted(Path(folder).iterdir()))
    print(json.dumps({"wall": used.seconds, "cpu": used.cpu_s, "peak": peak_mb()}))
