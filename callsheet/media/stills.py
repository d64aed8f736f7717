"""Pictures derived from pictures and videos: posters and thumbnails."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import av
import av.error
from PIL import Image, ImageOps

from callsheet.errors import MediaError
from callsheet.files import replacing
from callsheet.media.containers import HEAD_BYTES, picture_type, video_type
from callsheet.media.facts import VideoProbe
from callsheet.media.probe import ANSWER_FORMATS, SAFE_OPTIONS, container_of, open_image, probe_any
from callsheet.media.provenance import stamp_jpeg

JPEG_QUALITY = 85
# Pictures that Google does not take as an input: it takes PNG, JPEG, WebP, HEIC and HEIF (pages of 2026-11).
NOT_TAKEN = frozenset({"image/avif", "image/gif", "image/bmp", "image/tiff"})


def poster(video: Path, target: Path, at_s: float = 1.0, *, xmp: str | None = None) -> tuple[int, int]:
    """Write the upright frame at `at_s` seconds as a JPEG; return its size in px.

    The last frame when the video is shorter. `target` appears only whole and stamped with `xmp`. Raises MediaError when
    the video cannot be decoded.
    """
    return _save(video_frame(video, at_s), target, xmp)


def thumbnail(source: Path, target: Path, max_side: int = 480, *, xmp: str | None = None) -> tuple[int, int]:
    """Write a small JPEG of a picture or of a video's first frame; return its size.

    It fits `max_side` px; the size is in px. Orientation is applied, transparency becomes white. Raises MediaError when
    the source cannot be decoded.
    """
    return _save(small_picture(source, max_side), target, xmp)


def small_picture(source: Path | bytes, max_side: int) -> Image.Image:
    """Return an upright RGB copy of at most `max_side` px a side.

    Of a picture, or of the first frame of a video.
    """
    if isinstance(source, Path) and _is_video(source):
        frame = video_frame(source, 0.0)
        frame.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
        return frame
    name = source.name if isinstance(source, Path) else "The picture"
    try:
        with open_image(BytesIO(source) if isinstance(source, bytes) else source, ANSWER_FORMATS) as image:
            image.draft("RGB", (max_side, max_side))  # lets JPEG decode at a fraction of its size
            image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS, reducing_gap=2.0)
            return _flatten(ImageOps.exif_transpose(image))
    except MediaError as error:
        raise MediaError(f"{name}: {error}") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise MediaError(f"{name} cannot be decoded ({error}). It has to be made or fetched again.") from error


def as_png(source: Path) -> bytes:
    """Return the picture as a PNG, its pixels as stored: the same bytes every time.

    Raises MediaError when it cannot be decoded.
    """
    out = BytesIO()
    try:
        with open_image(source, ANSWER_FORMATS) as image:
            image.convert("RGBA" if image.has_transparency_data else "RGB").save(out, "PNG")
    except MediaError as error:
        raise MediaError(f"{source.name}: {error}") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise MediaError(f"{source.name} cannot be decoded ({error}). It has to be made or fetched again.") from error
    return out.getvalue()


def video_frame(video: Path, at_s: float) -> Image.Image:
    """Return the upright frame with square pixels shown at `at_s` seconds.

    It is the last one before, when none begins just then.
    """
    probe = probe_any(video)
    try:
        frame = _decode_at(video, max(0.0, at_s))
    except (av.error.FFmpegError, ValueError) as error:
        raise MediaError(f"{video.name} cannot be decoded ({error}). It has to be fetched again.") from error
    if frame is None:
        raise MediaError(f"{video.name} holds no picture that can be decoded. It has to be fetched again.")
    return _turn_upright(frame, probe)


def _decode_at(video: Path, at_s: float) -> Image.Image | None:
    kind = container_of(video)
    with av.open(str(video.absolute()), format=kind, options=SAFE_OPTIONS) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        start_s = float((stream.start_time or 0) * (stream.time_base or 0))
        if kind == "mp4":  # others may have no index, and are read from their start
            container.seek(int((start_s + at_s) / (stream.time_base or 1)), stream=stream)
        shown: av.VideoFrame | None = None
        for frame in container.decode(stream):
            if shown is not None and frame.time is not None and frame.time > start_s + at_s + 1e-6:
                break
            shown = frame
        return None if shown is None else shown.to_image()  # type: ignore[no-untyped-call]


def _turn_upright(image: Image.Image, probe: VideoProbe) -> Image.Image:
    if probe.interlaced:  # every second line: one of the two moments
        image = image.resize((image.width, image.height // 2), Image.Resampling.NEAREST).resize(image.size)
    if probe.sar != 1:
        image = image.resize((max(1, round(image.width * probe.sar)), image.height))
    turns = {90: Image.Transpose.ROTATE_270, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_90}
    turn = turns.get(probe.rotation or 0)
    return image if turn is None else image.transpose(turn)


def _flatten(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    ground = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(ground, layer).convert("RGB")


def _is_video(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    return video_type(head) is not None and picture_type(head) is None  # AVIF and HEIC are in boxes as well


def _save(image: Image.Image, target: Path, xmp: str | None) -> tuple[int, int]:
    with replacing(target) as part:
        image.save(part, "JPEG", quality=JPEG_QUALITY)
        if xmp is not None:
            stamp_jpeg(part, xmp)
    return image.size
