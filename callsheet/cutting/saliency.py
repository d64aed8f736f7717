"""Finding the subject of a clip without a model: what differs from its surroundings, and what moves on its own."""

from __future__ import annotations

from pathlib import Path

from callsheet.cutting.subject import Subject
from callsheet.media.probe import VideoProbe


def find_subject(path: Path, probe: VideoProbe) -> Subject:
    """The subject of a clip in shares of the upright picture, over time; how="saliency".

    how="centre" without boxes, and the reason, when nothing stands out. Deterministic. MediaError when the clip cannot
    be decoded. Blocks for some tenths of a second: call it on a thread.
    """
    raise NotImplementedError
