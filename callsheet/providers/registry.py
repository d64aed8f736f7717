"""Open the providers of a batch: one set of clients per process.

They are kept until the end, then closed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Protocol

from callsheet.errors import NotRehearsal, SettingsError
from callsheet.gcs.access import access_of
from callsheet.keys import labels_of
from callsheet.providers.bucket_download import BucketReader
from callsheet.providers.output_bucket import SubmissionEvidence, evidence_in, evidence_under, output_root, prefix_of
from callsheet.providers.protocol import ImageProvider, LookProvider, VideoProvider
from callsheet.providers.rehearsal_gate import RehearsalGate
from callsheet.providers.routing import Access, RoutableModel, Way, access_to, choose_route, tell_of_other_key
from callsheet.settings import Settings
from callsheet.shots import Mode

if TYPE_CHECKING:
    from google import genai

    from callsheet.providers.video_fetch import VideoFetch

# Longest wait for the reply to a video's submission, and on the Gemini API to a poll, in seconds. On Agent Platform,
# where a poll may carry the video itself, polls go through the pictures' client and wait as long as a picture may.
VIDEO_REPLY_S = 120.0


def load_sdk() -> None:
    """Import google-genai now, while the process waits for something else.

    It takes about a second.
    """
    import google.genai  # noqa: F401


class ModelSource(Protocol):
    """The part of the catalogue that routing needs."""

    def get(self, model_id: str) -> RoutableModel:
        """Return the model, or raise an error that names what is there."""
        ...


class Providers:
    """The providers of one mode.

    Clients are made when a model first needs them (importing the SDK takes a second).
    """

    def __init__(
        self,
        settings: Settings,
        access: Access,
        catalogue: ModelSource,
        stack: AsyncExitStack,
        video_reply_s: float = VIDEO_REPLY_S,
    ) -> None:
        self._video_reply_s = video_reply_s
        self._settings = settings
        self._access = access
        self._catalogue = catalogue
        self._stack = stack
        self._rehearsal = access.mode == "rehearsal"
        self._gate = RehearsalGate(access.gemini_url) if self._rehearsal else None
        self._bucket = BucketReader(access_of(settings), rehearsal=self._rehearsal)
        stack.push_async_callback(self._bucket.aclose)
        self._clients: dict[tuple[Way, bool], genai.Client] = {}
        self._images: dict[Way, ImageProvider] = {}
        self._gemini_videos: VideoProvider | None = None
        self._agent_videos: dict[str, VideoProvider] = {}
        self._files: dict[Way, VideoFetch] = {}
        self._looks: dict[Way, LookProvider] = {}

    def scope(self, model_id: str, *, about_people: bool = False) -> str:
        """Name whose quota requests to the model use.

        See `Access.scope`, and `choose_route`.
        """
        model = self._catalogue.get(model_id)
        return self._access.scope(choose_route(model, self._access, about_people=about_people).way.platform)

    def credential(self, model_id: str) -> str:
        """Name the key or project that signs requests to this model.

        In words and without the secret itself.
        """
        return self._access.credential(choose_route(self._catalogue.get(model_id), self._access).way)

    def output_root(self, model_id: str) -> str | None:
        """Return the gs:// folder for videos by this model, None without a bucket."""
        return output_root(self._settings, self._access, choose_route(self._catalogue.get(model_id), self._access))

    def output_uri(self, model_id: str, key: str, n: int, root: str | None = None) -> str | None:
        """Return the gs:// prefix for attempt `n` at a video, None without a bucket.

        The prefix belongs to that attempt alone. `root` is the folder that the ledger has for that attempt, "" for
        none; None: that of the settings.
        """
        folder = self.output_root(model_id) if root is None else root
        return prefix_of(folder, key, n) if folder else None

    def takes_labels(self, model_id: str) -> bool:
        """Return whether requests to this model carry labels.

        They do not on the live Gemini API.
        """
        way = choose_route(self._catalogue.get(model_id), self._access).way
        return self._rehearsal or way is not Way.GEMINI

    async def evidence_of(self, model_id: str, key: str, n: int, root: str | None = None) -> SubmissionEvidence | None:
        """Return what is certain about attempt `n`, whose reply was never seen.

        None when nobody can say. Call it only when that attempt has been given up: a rehearsal accepts it no more.
        `root` as in `output_uri`. Raises Unreachable.
        """
        if self._gate is not None:
            return await evidence_in(self._access.gemini_url, labels_of(key, n), self._gate)
        prefix = self.output_uri(model_id, key, n, root)
        return await evidence_under(self._bucket, prefix) if prefix else None

    def when_answered_by_another(self, tell: Callable[[NotRehearsal], None]) -> None:
        """Have `tell` called when a server other than the rehearsal service answers.

        Nothing more is sent to it.
        """
        if self._gate is not None:
            self._gate.on_shut = tell

    def images_for(self, model_id: str, *, about_people: bool = False) -> ImageProvider:
        """Return the provider of pictures by this model.

        `about_people`: the request says whether people may be shown (see `choose_route`). Raises SettingsError when no
        credentials lead there.
        """
        route = choose_route(self._catalogue.get(model_id), self._access, about_people=about_people)
        if route.provider != "genai_images":
            raise SettingsError(f"Model {model_id} makes videos, not pictures: choose an image model.")
        if route.way not in self._images:
            self._images[route.way] = self._open_images(route.way)
        return self._images[route.way]

    def videos_for(self, model_id: str) -> VideoProvider:
        """Return the provider of videos by this model.

        Raises SettingsError when no credentials lead there.
        """
        route = choose_route(self._catalogue.get(model_id), self._access)
        if route.provider in ("genai_images", "genai_looks"):
            raise SettingsError(f"Model {model_id} makes no videos: choose a video model.")
        if route.provider == "veo_gemini":
            self._gemini_videos = self._gemini_videos or self._open_veo_gemini()
            return self._gemini_videos
        if model_id not in self._agent_videos:
            self._agent_videos[model_id] = self._open_veo_agent(route.way, model_id)
        return self._agent_videos[model_id]

    def looks_for(self, model_id: str) -> LookProvider:
        """Return the provider of looks by this model.

        Raises SettingsError when no credentials lead there.
        """
        route = choose_route(self._catalogue.get(model_id), self._access)
        if route.provider != "genai_looks":
            raise SettingsError(f"Model {model_id} answers no questions about pictures: choose one of the kind look.")
        if route.way not in self._looks:
            self._looks[route.way] = self._open_looks(route.way)
        return self._looks[route.way]

    def _open_looks(self, way: Way) -> LookProvider:
        from callsheet.providers.genai import GenaiLooks
        from callsheet.providers.sdk_clients import secrets_of

        labels = way is not Way.GEMINI or self._rehearsal
        return GenaiLooks(self._open_client(way, fresh=False), labels=labels, secrets=secrets_of(self._access, way))

    def _open_images(self, way: Way) -> ImageProvider:
        from callsheet.providers.genai import GenaiImages
        from callsheet.providers.picture_fetch import PictureFetch
        from callsheet.providers.sdk_clients import secrets_of

        client = self._open_client(way, fresh=False)
        agent_platform = way is not Way.GEMINI
        return GenaiImages(
            client,
            agent_platform=agent_platform,
            labels=agent_platform or self._rehearsal,
            secrets=secrets_of(self._access, way),
            pictures=PictureFetch(partial(self._open_files, way)),
        )

    def _open_veo_agent(self, way: Way, model: str) -> VideoProvider:
        from callsheet.providers.sdk_clients import secrets_of
        from callsheet.providers.veo_agent import VeoAgentPlatform

        return VeoAgentPlatform(
            self._open_client(way, fresh=True),
            self._open_client(way, fresh=False),
            model=model,
            files=self._open_files(way),
            secrets=secrets_of(self._access, way),
        )

    def _open_files(self, way: Way) -> VideoFetch:
        """Return what fetches the files that replies name.

        Objects of buckets, and addresses, on every route.
        """
        from callsheet.providers.https_download import HttpsDownload
        from callsheet.providers.sdk_clients import base_url, plain_client, secrets_of
        from callsheet.providers.video_fetch import VideoFetch

        if way not in self._files:
            url = base_url(way, self._access)
            client = plain_client(url, self._video_reply_s, self._gate)
            self._stack.push_async_callback(client.aclose)
            headers = self._access.signature(way)
            https = HttpsDownload(client, url, headers, secrets_of(self._access, way), foreign=not self._rehearsal)
            self._files[way] = VideoFetch(https, self._bucket)
        return self._files[way]

    def _open_veo_gemini(self) -> VideoProvider:
        from callsheet.providers.secrets import ApiKey
        from callsheet.providers.veo_gemini import VeoGemini

        key = self._access.gemini_key
        provider = VeoGemini(
            self._access.gemini_url,
            ApiKey(key.get_secret_value() if key else "", self._access.variable(Way.GEMINI)),
            timeout_s=self._video_reply_s,
            bucket=self._bucket,
            gate=self._gate,
        )
        self._stack.push_async_callback(provider.aclose)
        return provider

    def _open_client(self, way: Way, *, fresh: bool) -> genai.Client:
        from callsheet.providers.sdk_clients import base_url, open_client, open_session

        if (way, fresh) not in self._clients:
            session = open_session(base_url(way, self._access), fresh=fresh, gate=self._gate)
            self._stack.push_async_callback(session.close)
            timeout_s = self._video_reply_s if fresh else self._settings.image_timeout_s
            client = open_client(way, self._access, session, timeout_s)
            self._stack.push_async_callback(client.aio.aclose)
            self._stack.callback(client.close)
            self._clients[way, fresh] = client
        return self._clients[way, fresh]


@asynccontextmanager
async def open_providers(
    settings: Settings,
    *,
    mode: Mode,
    rehearsal_url: str | None,
    catalogue: ModelSource,
    video_reply_s: float = VIDEO_REPLY_S,
) -> AsyncIterator[Providers]:
    """Open the providers of `mode` until the block ends; then close all clients.

    Also after an error. A rehearsal talks to `rehearsal_url` only, with dummy credentials. Raises SettingsError before
    any network use.
    """
    access = access_to(settings, mode, rehearsal_url)
    if mode == "live":
        tell_of_other_key(settings)
    async with AsyncExitStack() as stack:
        yield Providers(settings, access, catalogue, stack, video_reply_s)
