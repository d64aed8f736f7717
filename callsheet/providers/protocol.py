"""The protocols of the providers of pictures, videos and looks at pictures.

Requests and results are plain values; failures are classes of `callsheet.errors.ProviderError`, raised before anything
else sees the SDK's own errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from callsheet.errors import Rejected
from callsheet.providers.reply_spool import Keeper, Reply


def not_carried(field: str, value: object, why: str) -> Rejected:
    """Return the refusal of a request of which a part would be lost on its way.

    Nothing was sent, nothing is charged.
    """
    return Rejected(
        f"{field} {str(value)[:80]!r} cannot be sent: {why}. Nothing was sent. Leave it out, or use other credentials.",
        reason="NOT_CARRIED",
    )


def fold_negative(prompt: str, negative_prompt: str | None) -> str:
    """Return the text for a model that has no field for what must not be seen.

    It goes last.
    """
    return f"{prompt}\n\nAvoid: {negative_prompt}" if negative_prompt else prompt


# A request has at most 20 MB (ai.google.dev/gemini-api/docs/video, 2026), and base64 makes four bytes of three.
MAX_SOURCE_BYTES = 14_000_000


@dataclass(frozen=True, slots=True)
class InputImage:
    """A picture to send: its bytes and MIME type."""

    data: bytes = field(repr=False)
    mime_type: str


@dataclass(frozen=True, slots=True)
class InputVideo:
    """A video to send: its bytes, or the address (https, gs://) of one."""

    mime_type: str = "video/mp4"
    data: bytes | None = field(default=None, repr=False)
    uri: str | None = None


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """One picture to make.

    `size` is "512", "1K", "2K" or "4K"; references make it an edit. `safety` has categories of harm and thresholds in
    the provider's words. None means: not sent.
    """

    model: str
    prompt: str
    aspect_ratio: str | None = None
    size: str | None = None
    seed: int | None = None
    person_generation: str | None = None
    references: tuple[InputImage, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    system_instruction: str | None = None
    safety: tuple[tuple[str, str], ...] = ()
    thinking: str | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """A whole picture of a reply.

    Its size is in pixels as stored, 0 where it cannot be read; `is_thought` for an interim one.
    """

    data: bytes = field(repr=False)
    mime_type: str
    width: int = 0
    height: int = 0
    is_thought: bool = False


@dataclass(frozen=True, slots=True)
class ImageResult:
    """A picture as received: the bytes are the provider's, untouched.

    `tokens` counts by modality, as reported. `others` are the further whole pictures of the reply, `text` is what it
    says. `is_thought` means that the picture was marked as an interim one, and the only one. `request_id` is the
    provider's, of the exchange.
    """

    data: bytes = field(repr=False)
    mime_type: str
    model_version: str = ""
    response_id: str = ""
    tokens: dict[str, int] = field(default_factory=dict)
    text: str = ""
    others: tuple[Picture, ...] = ()
    is_thought: bool = False
    request_id: str = ""
    safety_ratings: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class LookRequest:
    """A question about pictures, to be answered in JSON of this schema.

    The answer has at most `max_tokens`, all thoughts included.
    """

    model: str
    prompt: str
    pictures: tuple[InputImage, ...]
    schema: Mapping[str, object] = field(repr=False)
    max_tokens: int
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class LookResult:
    """An answer as received, at most 16 KiB of it.

    Tokens are those billed, None where not reported. `request_id` is the provider's, of the exchange.
    """

    text: str
    input_tokens: int | None = None
    output_tokens: int | None = None
    model_version: str = ""
    response_id: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class VideoRequest:
    """One video to make.

    `duration_s` is in whole seconds. `output_uri` (gs://) only on Agent Platform. `source_video` is edited as the
    prompt says, or made longer (`extend`). It keeps to the subjects of `references` and the look of `style_references`.
    """

    model: str
    prompt: str
    first_frame: InputImage | None = None
    last_frame: InputImage | None = None
    negative_prompt: str | None = None
    aspect_ratio: str | None = None
    resolution: str | None = None
    duration_s: int | None = None
    seed: int | None = None
    person_generation: str | None = None
    output_uri: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    references: tuple[InputImage, ...] = ()
    source_video: InputVideo | None = None
    extend: bool = False
    style_references: tuple[InputImage, ...] = ()
    audio: bool | None = None
    enhance_prompt: bool | None = None


@dataclass(frozen=True, slots=True)
class VideoReady:
    """A finished operation with a video: `uri` (to fetch), `data` (inline), or both.

    Of both, the bytes come first. `others` are further videos of the same operation. `record` is what the provider said
    of it, as JSON without bytes. `tokens` counts by modality, as reported (`output_video`, for example).
    `request_id` is the provider's, of the poll that told of it.
    """

    mime_type: str = "video/mp4"
    uri: str | None = None
    data: bytes | None = field(default=None, repr=False)
    others: tuple[VideoReady, ...] = ()
    record: Mapping[str, object] = field(default_factory=dict, repr=False, compare=False)
    tokens: Mapping[str, int] = field(default_factory=dict, compare=False)
    request_id: str = field(default="", compare=False)


class ImageProvider(Protocol):
    """A maker of pictures, which never sends a request twice on its own."""

    async def make(self, request: ImageRequest, keeper: Keeper | None = None) -> ImageResult:
        """Return the picture, or raise a ProviderError.

        `errors.Unknown` when acceptance cannot be known. The reply is durable with `keeper` before anything reads it.
        """
        ...

    async def read(self, reply: Reply, what: str) -> ImageResult:
        """Return the picture of a kept reply, fetched first where it only names one.

        Raises what is wrong with it as a ProviderError. Sends no paid request.
        """
        ...


class LookProvider(Protocol):
    """An answerer of questions about pictures, which never sends a request twice."""

    async def look(self, request: LookRequest, keeper: Keeper | None = None) -> LookResult:
        """Return the answer, or raise a ProviderError.

        `errors.Unknown` when acceptance cannot be known. The reply is durable with `keeper` before anything reads it.
        """
        ...


class VideoProvider(Protocol):
    """A maker of videos by operations, which never sends a submission twice.

    It reads a video that is to be made longer by its bytes up to `max_source_bytes` (0: never); a larger one from a
    bucket (`reads_buckets`), or at the address where it still has what it made.
    """

    @property
    def max_source_bytes(self) -> int:
        """Return how many bytes of a video it reads in a request."""
        ...

    @property
    def reads_buckets(self) -> bool:
        """Return whether it reads videos of buckets, and not files of its own."""
        ...

    async def submit(self, request: VideoRequest, keeper: Keeper | None = None) -> str:
        """Return the operation's name, or raise a ProviderError.

        `errors.Unknown` when acceptance cannot be known. The reply is durable with `keeper` before anything reads it.
        """
        ...

    async def poll(self, operation: str) -> VideoReady | None:
        """Return the result when done, None while it runs.

        An outcome without a video raises its ProviderError.
        """
        ...

    async def download(self, video: VideoReady, target: Path) -> None:
        """Stream the video to `target`, which is overwritten.

        Raises DownloadFailed when the bytes do not arrive whole.
        """
        ...


@runtime_checkable
class CancellingProvider(Protocol):
    """A maker of videos that can be asked to stop an operation."""

    async def cancel(self, operation: str) -> None:
        """Ask it to stop an operation that runs; one that has ended stays as it is."""
        ...
