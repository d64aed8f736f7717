"""The clips of an operation, as files, also made longer.

They are made when first requested, and are the same after a restart. A longer one has the packets of its source, and
its last seconds again: nothing is decoded or encoded. What follows begins with a key frame, so it plays like one clip.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any

import av
from av.error import FFmpegError
from av.packet import Packet

from callsheet.rehearsal import errors
from callsheet.rehearsal.requests import VideoAsk
from callsheet.rehearsal.service import Service
from callsheet.rehearsal.state import Operation

# How the names of interactions begin; of how many the file is late, and by how many seconds of the clock.
INTERACTION = "interactions/v1_"
LATE_SHARE, LATE_S = 0.25, 3.0
_FILE = re.compile(r"\bfiles/([0-9a-f]{16}[0-9])\b")


def file_ids(operation: Operation) -> list[str]:
    """Return the ids of the operation's files: its own id and a digit."""
    return [f"{operation.id}{sample}" for sample in range(int(read_ask(operation)["samples"]))]


async def clip(service: Service, operation: Operation, file_id: str) -> bytes:
    """Return the bytes of one of the operation's files, made at the first call."""
    path = await service.media.clip(file_id, _choose_maker(service, operation, int(file_id[-1])))
    return path.read_bytes()


def _choose_maker(service: Service, operation: Operation, sample: int) -> Callable[[], bytes]:
    ask = read_ask(operation)
    if source := service.media.input(ask.get("source")):
        comment = f"{ask['fingerprint'][:12]} {operation.take + sample}"
        return partial(extend_video, source, ask["duration_s"], comment)
    first, last = service.media.input(ask["first"]), service.media.input(ask["last"])

    def make() -> bytes:
        # Imported on the thread, at the first clip: PyAV takes a fifth of a second to load.
        from callsheet.rehearsal import render_video

        wish = render_video.ClipWish(
            prompt=ask["prompt"],
            width=ask["width"],
            height=ask["height"],
            duration_s=ask["duration_s"],
            seed=ask["seed"],
            take=operation.take + sample,
            audio=ask["audio"],
            first_frame=first,
            last_frame=last,
        )
        return render_video.render(wish)

    return make


async def read_source(service: Service, ask: VideoAsk) -> VideoAsk:
    """Return the request with the bytes of the video that it makes longer.

    Raises the refusal of what is no video of this service.
    """
    if ask.source_data is not None or not ask.source:
        return ask
    found = _FILE.search(ask.source)
    operation = service.state.operation_by_id(found[1][:-1]) if found else None
    if found is None or operation is None or operation.outcome != "made" or found[1] not in file_ids(operation):
        raise errors.invalid("The input video is not a video that was made here.")
    if service.now_s() < operation.due or expired(service, operation):
        raise errors.invalid("The input video is not there, or not there any more.")
    return replace(ask, source_data=await clip(service, operation, found[1]))


def is_processed(service: Service, operation: Operation) -> bool:
    """Return whether the files of a done operation are not there yet.

    Those of some interactions come a little later than they.
    """
    late = operation.name.startswith(INTERACTION) and int(operation.id[0], 16) < LATE_SHARE * 16
    return late and service.now_s() < operation.due + LATE_S


def read_ask(operation: Operation) -> dict[str, Any]:
    """Return the request that the operation was submitted with."""
    loaded: dict[str, Any] = json.loads(operation.ask)
    return loaded


def expired(service: Service, operation: Operation) -> bool:
    """Return whether the retention of the operation and its files is over."""
    return service.now_s() > operation.due + service.config.retention_s


@dataclass(frozen=True, slots=True)
class SourceVideo:
    """What is known of a video that is to be made longer: pixels and seconds."""

    width: int
    height: int
    seconds: float


def probe_source(data: bytes) -> SourceVideo | None:
    """Return what a video is, None for bytes that are no video of H.264."""
    try:
        with av.open(io.BytesIO(data)) as container:
            stream = next((one for one in container.streams.video if one.codec_context.name == "h264"), None)
            if stream is None or not stream.duration or not stream.time_base:
                return None
            return SourceVideo(stream.width, stream.height, float(stream.duration * stream.time_base))
    except (FFmpegError, ValueError):
        return None


def extend_video(data: bytes, seconds: int, comment: str) -> bytes:
    """Return the MP4 file, longer by so many seconds.

    The same values give the same bytes. `comment` stands in the file: two requests for the same give two files.
    """
    out = io.BytesIO()
    with av.open(io.BytesIO(data), "r") as given, av.open(out, "w", format="mp4") as container:
        container.metadata["comment"] = f"callsheet rehearsal {comment}"
        tracks = [*given.streams.video[:1], *given.streams.audio[:1]]
        copies = [container.add_stream_from_template(track) for track in tracks]
        read: list[list[Packet[Any]]] = [[] for _ in tracks]
        for packet in given.demux(*tracks):
            if packet.dts is not None:
                read[tracks.index(packet.stream)].append(packet)
        end = max(_end_of(packets) for packets in read[:1]) + seconds
        every = [
            (moment, number, packet)
            for number, packets in enumerate(read)
            for moment, packet in _lengthen(packets, end, from_key_frame=number == 0)
        ]
        for _, number, packet in sorted(every, key=lambda one: one[:2]):
            packet.stream = copies[number]
            container.mux(packet)
    return out.getvalue()


def _end_of(packets: Sequence[Packet[Any]]) -> Fraction:
    last = packets[-1]
    return ((last.dts or 0) + (last.duration or 0)) * (last.time_base or Fraction(1))


def _lengthen(
    packets: Sequence[Packet[Any]], end: Fraction, *, from_key_frame: bool
) -> Iterator[tuple[Fraction, Packet[Any]]]:
    """Yield the packets with their moments, then the last ones again until `end`."""
    keys = [number for number, packet in enumerate(packets) if packet.is_keyframe]
    again = packets[keys[-1] if from_key_frame else 0 :]
    base, moment = packets[0].time_base or Fraction(1), packets[0].dts or 0
    for number in range(10**6):
        source = packets[number] if number < len(packets) else again[(number - len(packets)) % len(again)]
        lasts = source.duration or 1
        if (moment + lasts) * base > end:
            return
        copy = Packet(bytes(source))
        copy.dts, copy.pts = moment, moment + (source.pts or 0) - (source.dts or 0)
        copy.duration, copy.time_base, copy.is_keyframe = lasts, base, source.is_keyframe
        yield moment * base, copy
        moment += lasts
