"""The sounds of one clip.

Each is made once and shared by all cuts that are to sound alike.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from callsheet.cuts.sound.make import Sound, make_sound
from callsheet.cuts.sound.plan import SoundSettings
from callsheet.media.ffmpeg import EncoderSlots


class Sounds:
    """Sounds of `clip` in `folder`, which is the caller's to make and to remove."""

    def __init__(self, clip: Path, folder: Path, encoders: EncoderSlots | None = None) -> None:
        self._clip, self._folder, self._encoders = clip, folder, encoders or EncoderSlots()
        self._made: dict[SoundSettings, Sound | None] = {}
        self._lock = asyncio.Lock()

    async def get(self, settings: SoundSettings, timeout_s: float) -> Sound | None:
        """Return the sound for these settings, making it when it is not there yet.

        None when there is nothing to hear.
        """
        async with self._lock:
            if settings not in self._made:
                target = self._folder / f"sound-{len(self._made)}.mp4"
                async with self._encoders.take():
                    self._made[settings] = await make_sound(self._clip, settings, target, timeout_s)
            return self._made[settings]
