"""Fetch what a reply only names: the video of an operation, and pictures.

A video lies in the answer, in a bucket, or at an address. Pictures are fetched with the allow-list, the turns and the
bounds of videos; their reply is kept before, so what does not come today is fetched by the next run.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from callsheet.errors import (
    BadImage,
    DownloadFailed,
    DownloadRefused,
    OperationExpired,
    PictureElsewhere,
    ProviderError,
)
from callsheet.providers.https_download import HttpsDownload
from callsheet.providers.outcomes import BY_ADDRESS, MAX_IMAGE_BYTES, find_addresses, read_picture
from callsheet.providers.output_bucket import BucketReader
from callsheet.providers.partial_file import write_video
from callsheet.providers.protocol import ImageResult, VideoReady
from callsheet.providers.reply_spool import Reply
from callsheet.providers.sent_tracking import listening
from callsheet.providers.video_addresses import object_of, resolve

# More addresses than that are in no answer that was asked for one picture.
MAX_ADDRESSES = 8


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

    async def is_there(self, video: VideoReady) -> bool:
        """Return False while a video's file is said to be still processed."""
        if video.data is not None or not video.uri:
            return True
        return await self._files.is_active(resolve(video.uri, self._files.base_url))

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


class PictureFetch:
    """Reads replies, and fetches the pictures that they only name.

    `open_files` is called at the first picture that has to be fetched.
    """

    def __init__(self, open_files: Callable[[], VideoFetch]) -> None:
        self._open_files = open_files

    async def read(self, reply: Reply, what: str) -> ImageResult:
        """Return the picture of a reply, whether its bytes or its address came.

        Raises what `read_picture` raises; BadImage for an address that is refused or gone, PictureElsewhere when the
        picture did not come this time.
        """
        try:
            return await asyncio.to_thread(read_picture, reply, what)
        except BadImage as error:
            if error.reason != BY_ADDRESS:
                raise
            return await self.fetch(reply, what, error)

    async def fetch(self, reply: Reply, what: str, named: BadImage) -> ImageResult:
        """Return the picture that a reply only names.

        `named` is the error that says so; its text begins that of a failure.
        """
        try:
            fetched = await self._fetch_all(await asyncio.to_thread(find_addresses, reply))
        except ProviderError as error:
            raise _judge_failure(named, error) from error
        return await asyncio.to_thread(read_picture, reply, what, fetched)

    async def _fetch_all(self, addresses: Sequence[str]) -> list[bytes]:
        """Return what is at the addresses; raises the last error when nothing came of any."""
        fetched: list[bytes] = []
        failure: ProviderError | None = None
        with tempfile.TemporaryDirectory() as folder, listening(lambda: None):  # no paid request is sent here
            for address in addresses[:MAX_ADDRESSES]:
                target = Path(folder) / "picture"
                try:
                    await self._open_files().fetch(VideoReady(uri=address), target)
                    fetched.append(await asyncio.to_thread(_read_bounded, target))
                except ProviderError as error:
                    failure = error
        if not fetched and failure is not None:
            raise failure
        return fetched


def _read_bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_IMAGE_BYTES + 1)


def _judge_failure(named: BadImage, error: ProviderError) -> ProviderError:
    """Return BadImage for an address that is refused or gone, else PictureElsewhere."""
    why = re.sub(r"\b([Tt])he video\b", r"\1he picture", str(error))
    if isinstance(error, DownloadRefused | OperationExpired) or error.status in (404, 410):
        failure: ProviderError = BadImage(
            f"{named} It was not fetched: {why} `callsheet resolve --resubmit` asks for it anew.", reason=BY_ADDRESS
        )
    else:
        failure = PictureElsewhere(
            f"{named} It did not come: {why} The next run fetches it, which is free; nothing is asked for anew.",
            reason=BY_ADDRESS,
        )
    failure.tokens = named.tokens
    return failure
