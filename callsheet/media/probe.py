"""Measurements of a picture or video: size, format, timing, and wholeness."""

from __future__ import annotations

from fractions import Fraction
from io import BytesIO
from itertools import islice
from pathlib import Path

import av
import av.error
from PIL import Image, UnidentifiedImageError

from callsheet.errors import MediaError
from callsheet.media.containers import (
    HEAD_BYTES,
    HEIC_TYPES,
    MAX_PIXELS,
    Mp4Layout,
    boxes_of,
    find_box,
    picture_type,
    read_layout,
    video_type,
)
from callsheet.media.facts import MAX_DURATION_S, Colours, ImageProbe, VideoProbe

_META_HEAD = 4  # version and flags of a full box


def heic_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height in pixels of the largest picture in a whole HEIC.

    None when it is cut short or damaged.
    """
    top = {box.kind: box for box in boxes_of(data)}
    if any(kind not in top or top[kind].end > len(data) for kind in (b"ftyp", b"meta", b"mdat")):
        return None
    meta = data[top[b"meta"].body + _META_HEAD : top[b"meta"].end]
    properties = find_box(meta, b"iprp", b"ipco")
    if properties is None:
        return None
    extents = [properties[box.body : box.end] for box in boxes_of(properties) if box.kind == b"ispe"]
    sizes = [(int.from_bytes(one[4:8], "big"), int.from_bytes(one[8:12], "big")) for one in extents if len(one) >= 12]
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


MAX_VIDEO_SIDE = 8192
IMAGE_FORMATS = ("PNG", "JPEG", "WEBP")
# What a provider's answer may be besides (ComfyUI#12511): taken, shown and measured, but not asked for.
ANSWER_FORMATS = (*IMAGE_FORMATS, "AVIF", "GIF", "BMP", "TIFF")
# Nothing but the given file may be opened, whatever it claims to refer to.
SAFE_OPTIONS = {"protocol_whitelist": "file"}
_PNG_END = b"IEND\xaeB`\x82"  # the last chunk with its checksum
# FFmpeg's AVColorSpace and AVColorTransferCharacteristic (ISO/IEC 23091-2: matrix coefficients, transfer).
_COLOURS: dict[int, Colours] = {1: "bt709", 5: "bt601", 6: "bt601", 9: "bt2020", 10: "bt2020"}
_HDR: dict[int, Colours] = {16: "pq", 18: "hlg"}
# FFmpeg's AVFieldOrder; every other one is interlaced. MPEG-1, 2 and 4 Part 2 leave it unknown (FFmpeg 9.0.2).
_UNKNOWN_ORDER, _PROGRESSIVE = 0, 1
_TOLD_BY_PICTURES = ("mpeg1video", "mpeg2video", "mpeg4")


def probe_image(source: Path | bytes) -> ImageProbe:
    """Return the size and format of a PNG, JPEG or WebP.

    Raises MediaError when it is empty, foreign, cut short or over 80 megapixels. Pixels are not decoded: a PNG is
    checked by its checksums, a JPEG by its end marker, a WebP by its length.
    """
    name = source.name if isinstance(source, Path) else "The picture"
    data = source.read_bytes() if isinstance(source, Path) else source
    if not data:
        raise MediaError(f"{name} is empty (0 bytes). It has to be made or fetched again.")
    if picture_type(data[:HEAD_BYTES]) in HEIC_TYPES:
        return _probe_heic(data, name)
    try:
        with open_image(BytesIO(data), ANSWER_FORMATS) as image:
            format_, (width, height) = image.format or "", image.size
            whole = _is_whole(image, format_, data)
    except MediaError as error:
        raise MediaError(f"{name}: {error}") from None
    if not whole:
        raise MediaError(f"{name} is a {format_} that is cut short or damaged. It has to be fetched again.")
    return ImageProbe(width, height, Image.MIME[format_], format_, len(data))


def _probe_heic(data: bytes, name: str) -> ImageProbe:
    size = heic_size(data)
    if size is None or 0 in size:
        raise MediaError(f"{name} is a HEIC that is cut short or damaged. It has to be fetched again.")
    if size[0] * size[1] > MAX_PIXELS:
        raise MediaError(f"{name}: {size[0]}x{size[1]} is more than {MAX_PIXELS // 1_000_000} megapixels.")
    return ImageProbe(*size, picture_type(data[:HEAD_BYTES]) or "image/heic", "HEIC", len(data))


def open_image(file: BytesIO | Path, formats: tuple[str, ...] = IMAGE_FORMATS) -> Image.Image:
    """Open a picture of an allowed format and size, read lazily.

    Raises MediaError otherwise.
    """
    try:
        image = Image.open(file, formats=formats)
    except UnidentifiedImageError:
        raise MediaError(f"not a picture ({', '.join(formats)}), or its start is damaged.") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise MediaError(f"the picture cannot be opened ({error}).") from error
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise MediaError(f"{image.width}x{image.height} is more than {MAX_PIXELS // 1_000_000} megapixels.")
    return image


def _is_whole(image: Image.Image, format_: str, data: bytes) -> bool:
    if format_ == "JPEG":
        # The scan comes last; a marker before it can belong to an embedded thumbnail.
        return data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda") > 0
    if format_ == "WEBP":
        return len(data) >= int.from_bytes(data[4:8], "little") + 8
    if format_ == "PNG" and _PNG_END not in data:
        return False
    if format_ == "GIF" and b";" not in data[-16:]:
        return False
    try:
        image.verify() if format_ == "PNG" else image.load()
    except (OSError, SyntaxError, ValueError):
        return False
    return True


def probe_video(path: Path) -> VideoProbe:
    """Return all that is known of an MP4 by its index.

    Raises MediaError when it is empty, foreign, cut short or out of bounds.
    """
    return _probe_container(path, "mp4", read_layout(path))


def container_of(path: Path) -> str:
    """Return FFmpeg's name of a video's container; "mp4" for what is none."""
    with path.open("rb") as file:
        kind = video_type(file.read(HEAD_BYTES))
    return kind[1] if kind else "mp4"


def probe_any(path: Path) -> VideoProbe:
    """Return all that is known of a video in any container.

    MediaError as for one of them.
    """
    return probe_video(path) if container_of(path) == "mp4" else probe_foreign(path)


def probe_foreign(path: Path) -> VideoProbe:
    """Return the same for a video in another container (WebM, say).

    As far as the container has it. Raises MediaError when it is none.
    """
    with path.open("rb") as file:
        kind = video_type(file.read(HEAD_BYTES))
    if kind is None:
        raise MediaError(f"{path.name} is no video of a kind known here. It has to be fetched again.")
    return _probe_container(path, kind[1], Mp4Layout(moov_first=False, has_edit_list=False, rotation=0))


def _probe_container(path: Path, format_: str, layout: Mp4Layout) -> VideoProbe:
    try:
        with av.open(str(path.absolute()), format=format_, options=SAFE_OPTIONS) as container:
            if not container.streams.video:
                raise MediaError(f"{path.name} has no video stream.")
            video = container.streams.video[0]
            audio = next(iter(container.streams.audio), None)
            if any(stream is not None and stream.codec_context is None for stream in (video, audio)):
                raise MediaError(f"{path.name} uses a codec that is not known here. Use H.264 video with AAC audio.")
            origin = Fraction(container.start_time or 0, av.time_base)
            rate = video.average_rate or Fraction(0)
            duration_s = float((video.duration or 0) * (video.time_base or 0))
            if format_ != "mp4" and not duration_s:  # others tell it of the whole alone
                duration_s = (container.duration or 0) / av.time_base
            probe = VideoProbe(
                width=video.width,
                height=video.height,
                duration_s=duration_s,
                fps=float(rate),
                frames=video.frames or None,
                video_codec=video.codec_context.name,
                pix_fmt=video.codec_context.pix_fmt or "",
                audio_codec=audio.codec_context.name if audio else None,
                sample_rate=audio.sample_rate if audio else None,
                channels=audio.channels if audio else None,
                size=path.stat().st_size,
                has_edit_list=layout.has_edit_list,
                moov_first=layout.moov_first,
                rotation=layout.rotation,
                colours=_HDR.get(int(video.codec_context.color_trc))
                or _COLOURS.get(int(video.codec_context.colorspace)),
                sar=Fraction(video.sample_aspect_ratio or 1) or Fraction(1),
                constant_rate=_is_constant(rate, video.base_rate),
                video_start_s=float((video.start_time or 0) * (video.time_base or 0) - origin),
                audio_start_s=float((audio.start_time or 0) * (audio.time_base or 0) - origin) if audio else None,
                interlaced=_is_interlaced(container, video),
            )
    except (av.error.FFmpegError, ValueError) as error:
        raise MediaError(f"{path.name} cannot be read as a video ({error}). It has to be fetched again.") from error
    return _check_bounds(probe, path.name)


def _is_interlaced(container: av.container.InputContainer, video: av.VideoStream) -> bool:
    """Return whether the stream says that it is interlaced.

    Of the old codecs whose streams do not say so, the first picture says it.
    """
    order = video.codec_context.field_order
    if order == _UNKNOWN_ORDER and video.codec_context.name in _TOLD_BY_PICTURES:
        return any(bool(frame.interlaced_frame) for frame in islice(container.decode(video), 1))
    return order not in (_UNKNOWN_ORDER, _PROGRESSIVE)


def _is_constant(average: Fraction, base: Fraction | None) -> bool:
    return bool(base) and abs(float(average) / float(base or 1) - 1) < 0.01


def _check_bounds(probe: VideoProbe, name: str) -> VideoProbe:
    if not (0 < probe.width <= MAX_VIDEO_SIDE and 0 < probe.height <= MAX_VIDEO_SIDE):
        raise MediaError(f"{name} has frames of {probe.width}x{probe.height}; at most {MAX_VIDEO_SIDE} px a side.")
    if not (0 < probe.duration_s <= MAX_DURATION_S and probe.fps > 0):
        raise MediaError(f"{name} lasts {probe.duration_s:.3f} s at {probe.fps:.2f} fps; up to {MAX_DURATION_S:.0f} s.")
    return probe
