"""The rehearsal service whose pictures and clips are rendered once for all services of a test session.

A picture or clip is determined by what was wished for; who wishes for the same gets the bytes that are there.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from callsheet.rehearsal import __main__ as service
from callsheet.rehearsal import render_image, render_video
from tests.support.forked import PLACE

Wish = TypeVar("Wish", render_image.PictureSpec, render_video.ClipWish)


def main() -> int:
    """Be the service."""
    render_image.render = _rendered_once(render_image.render)
    render_video.render = _rendered_once(render_video.render)
    return service.main()


def once_a_session(wish: str | bytes, write: Callable[[Path], object]) -> Path:
    """The file of what was wished for; `write` makes it at the path that it is given, once for all processes."""
    folder = Path(os.environ[PLACE]) / "media"
    folder.mkdir(exist_ok=True)
    path = folder / hashlib.sha256(wish if isinstance(wish, bytes) else wish.encode()).hexdigest()
    if not path.exists():
        part = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
        write(part)
        part.rename(path)
    return path


def _rendered_once(render: Callable[[Wish], bytes]) -> Callable[[Wish], bytes]:
    def rendered(wish: Wish) -> bytes:
        return once_a_session(pickle.dumps(wish), lambda part: part.write_bytes(render(wish))).read_bytes()

    return rendered
