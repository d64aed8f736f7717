"""Fetch the video of an operation, wherever it is, for both routes.

In the answer, in a bucket, or at an address.
"""

from __future__ import annotations

from pathlib import Path

from callsheet.errors import DownloadFailed, OperationExpired, ProviderError
from callsheet.providers.bucket_download import BucketReader
from callsheet.providers.https_download import HttpsDownload
from callsheet.providers.partial_file import write_video
from callsheet.providers.protocol import VideoReady
from callsheet.providers.video_addresses import object_of, resolve


class VideoFetch:
    """Fetches videos from a bucket, or over https.

    Over https from the base URL of `files` and, live, from other hosts.
    """

    def __init__(self, files: HttpsDownload, bucket: BucketReader) -> None:
        self._files = files
        self._bucket = bucket

    async def ready(self, name: str) -> VideoReady | None:
        """Return the object that a job in doubt is said to have written, None until then."""
        return VideoReady(uri=name) if await self._bucket.holds(name) else None

    async def fetch(self, video: VideoReady, target: Path) -> None:
        """Write the video to `target`.

        The bytes that came in the answer come before any that have to be fetched. Raises DownloadFailed unless it comes
        whole, OperationExpired when it is gone.
        """
        if video.data is not None:
            return await write_video(video.data, target)
        if not video.uri:
            raise DownloadFailed("The operation names no file to fetch the video from. Poll it again: that is free.")
        address = resolve(video.uri, self._files.base_url)
        if not address.startswith("gs://"):
            return await self._files.fetch(address, target)
        try:
            await self._bucket.fetch(address, target)
        except (DownloadFailed, OperationExpired) as error:
            if object_of(video.uri) is None:
                raise
            # An address of Google's storage may be open to everyone, where this machine has no rights to the bucket.
            await self._open_to_all(video.uri, target, error)

    async def _open_to_all(self, url: str, target: Path, error: ProviderError) -> None:
        try:
            await self._files.fetch(url, target)
        except ProviderError:
            raise error from None
