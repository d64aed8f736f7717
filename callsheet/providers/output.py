"""Where Agent Platform is asked to write videos: every attempt has its own prefix, by which a lost one is found."""

from __future__ import annotations

from callsheet.keys import label_of
from callsheet.providers.routes import Access, Route, Way
from callsheet.settings import OUTPUT_OFF, Settings

# The folder of the archive that videos are written to when no other place is given.
INCOMING = "incoming"


def output_root(settings: Settings, access: Access, route: Route) -> str | None:
    """The gs:// prefix for all videos that go this way, without a slash at its end; None when there is none.

    Only Agent Platform writes to buckets. Unless a place is given, only a project is trusted to have rights to the
    archive's bucket, an express key is not. A rehearsal needs a storage emulator.
    """
    if route.provider != "veo_agent" or settings.video_output == OUTPUT_OFF:
        return None
    if access.mode == "rehearsal" and settings.storage_emulator_host is None:
        return None
    if settings.video_output is not None:
        return settings.video_output.rstrip("/")
    archive = settings.archive_uri
    return f"{archive}/{INCOMING}" if route.way is Way.PROJECT and archive.startswith("gs://") else None


def prefix_of(root: str, key: str, n: int) -> str:
    """The prefix of attempt `n` at a job, with a slash at its end."""
    return f"{root}/{label_of(key)}-{n}/"
