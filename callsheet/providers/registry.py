"""Open the providers of a batch: one set of clients per process.

They are kept until the end, then closed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from callsheet.errors import NotRehearsal, SettingsError
from callsheet.gcs.access import access_of
from callsheet.keys import labels_of
from callsheet.providers import output_bucket as outputs
from callsheet.providers.access import Access, Way, access_to, tell_of_other_key
from callsheet.providers.output_bucket import SubmissionEvidence
from callsheet.providers.protocol import ImageProvider, LookProvider, VideoProvider
from callsheet.providers.rehearsal_gate import RehearsalGate
from callsheet.providers.routing import ModelSource, Route, SentAttempt, choose_route
from callsheet.settings import Settings
from callsheet.shots import Mode

if TYPE_CHECKING:
    from google import genai

    from callsheet.providers.fetch import VideoFetch

# Longest wait for the reply to a video's submission, and on the Gemini API to a poll, in seconds. On Agent Platform,
# where a poll may carry the video itself, polls go through the pictures' client and wait as long as a picture may.
VIDEO_REPLY_S = 120.0


def load_sdk() -> None:
    """Import google-genai now, while the process waits for something else.

    It takes about a second.
    """
    import google.genai  # noqa: F401


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
        self._bucket = outputs.BucketReader(access_of(settings), rehearsal=self._rehearsal)
        stack.push_async_callback(self._bucket.aclose)
        self._clients: dict[tuple[Way, bool, str], genai.Client] = {}
        self._images: dict[tuple[Way, str], ImageProvider] = {}
        self._gemini_videos: VideoProvider | None = None
        self._agent_videos: dict[str, VideoProvider] = {}
        self._omni: dict[Way, VideoProvider] = {}
        self._files: dict[tuple[Way, str], VideoFetch] = {}
        self._looks: dict[tuple[Way, str], LookProvider] = {}
        self._of_routes: dict[Access, Providers] = {}

    def of_attempt(self, attempt: SentAttempt | None, operation: str = "") -> Providers:
        """Return the providers on the route that an attempt took.

        Without credentials for it they lead nowhere: SettingsError when they are asked for a model's.
        """
        if attempt is None:
            return self
        access = self._access.as_sent(attempt.credential or "", attempt.scope, operation)
        if access not in (self._access, *self._of_routes):
            limited = Providers(self._settings, access, self._catalogue, self._stack, self._video_reply_s)
            limited._gate = self._gate
            self._of_routes[access] = limited
        return self._of_routes.get(access, self)

    def scope(self, model_id: str, *, about_people: bool = False) -> str:
        """Name whose quota requests to the model use: see `Access.scope`."""
        model = self._catalogue.get(model_id)
        return self._access.scope(choose_route(model, self._access, about_people=about_people).way.platform)

    def credential(self, model_id: str) -> str:
        """Name the key or project that signs requests to this model, without secrets."""
        return self._access.credential(self._route_to(model_id).way)

    def output_root(self, model_id: str) -> str | None:
        """Return the gs:// folder for videos by this model, None without a bucket."""
        return outputs.output_root(self._settings, self._access, self._route_to(model_id))

    def output_uri(self, model_id: str, key: str, n: int, root: str | None = None) -> str | None:
        """Return the gs:// prefix for attempt `n` at a video, None without a bucket.

        The prefix belongs to that attempt alone. `root` is the folder that the ledger has for that attempt, "" for
        none; None: that of the settings.
        """
        folder = self.output_root(model_id) if root is None else root
        return outputs.prefix_of(folder, key, n) if folder else None

    def takes_labels(self, model_id: str) -> bool:
        """Return whether requests carry labels: on the Gemini API interactions do."""
        if self._rehearsal or self._access.only == "agent_platform":
            return True
        route = self._route_to(model_id)
        return route.provider == "omni" or route.way is not Way.GEMINI

    async def evidence_of(self, model_id: str, key: str, n: int, root: str | None = None) -> SubmissionEvidence | None:
        """Return what is certain about attempt `n`, whose reply was never seen.

        None when nobody can say. Call it only when that attempt has been given up: a rehearsal accepts it no more.
        `root` as in `output_uri`. Raises Unreachable.
        """
        if self._gate is not None:
            return await outputs.evidence_in(self._access.gemini_url, labels_of(key, n), self._gate)
        prefix = self.output_uri(model_id, key, n, root)
        return await outputs.evidence_under(self._bucket, prefix) if prefix else None

    def when_answered_by_another(self, tell: Callable[[NotRehearsal], None]) -> None:
        """Have `tell` called when a server other than the rehearsal service answers."""
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
        place = (route.way, route.location)
        if place not in self._images:
            self._images[place] = self._open_images(*place)
        return self._images[place]

    def videos_for(self, model_id: str) -> VideoProvider:
        """Return the provider of videos by this model.

        Raises SettingsError when no credentials lead there.
        """
        route = self._route_to(model_id)
        if route.provider in ("genai_images", "genai_looks"):
            raise SettingsError(f"Model {model_id} makes no videos: choose a video model.")
        if route.provider == "omni":
            if route.way not in self._omni:
                self._omni[route.way] = self._open_omni(route.way)
            return self._omni[route.way]
        if route.provider == "veo_gemini":
            self._gemini_videos = self._gemini_videos or self._open_veo_gemini()
            return self._gemini_videos
        if model_id not in self._agent_videos:
            self._agent_videos[model_id] = self._open_veo_agent(route, model_id)
        return self._agent_videos[model_id]

    def looks_for(self, model_id: str) -> LookProvider:
        """Return the provider of looks by this model.

        Raises SettingsError when no credentials lead there.
        """
        route = self._route_to(model_id)
        if route.provider != "genai_looks":
            raise SettingsError(f"Model {model_id} answers no questions about pictures: choose one of the kind look.")
        place = (route.way, route.location)
        if place not in self._looks:
            self._looks[place] = self._open_looks(*place)
        return self._looks[place]

    def _open_looks(self, way: Way, location: str) -> LookProvider:
        from callsheet.providers.genai import GenaiLooks
        from callsheet.providers.plain_client import secrets_of

        labels = way is not Way.GEMINI or self._rehearsal
        client = self._open_client(way, location, fresh=False)
        return GenaiLooks(client, labels=labels, secrets=secrets_of(self._access, way))

    def _open_images(self, way: Way, location: str) -> ImageProvider:
        from callsheet.providers.fetch import PictureFetch
        from callsheet.providers.genai import GenaiImages
        from callsheet.providers.plain_client import secrets_of

        client = self._open_client(way, location, fresh=False)
        return GenaiImages(
            client,
            agent_platform=way is not Way.GEMINI,
            labels=self._rehearsal or way is not Way.GEMINI,
            secrets=secrets_of(self._access, way),
            pictures=PictureFetch(partial(self._open_files, way, location)),
        )

    def _open_veo_agent(self, route: Route, model: str) -> VideoProvider:
        from callsheet.providers.plain_client import secrets_of
        from callsheet.providers.veo_agent import VeoAgentPlatform

        return VeoAgentPlatform(
            self._open_client(route.way, route.location, fresh=True),
            self._open_client(route.way, route.location, fresh=False),
            model=model,
            files=self._open_files(route.way, route.location),
            secrets=secrets_of(self._access, route.way),
        )

    def _route_to(self, model_id: str) -> Route:
        return choose_route(self._catalogue.get(model_id), self._access)

    def _at(self, location: str) -> Access:
        return replace(self._access, location=location) if location else self._access

    def _open_files(self, way: Way, location: str = "") -> VideoFetch:
        """Return what fetches the files that replies name.

        Objects of buckets, and addresses, on every route.
        """
        from callsheet.providers.fetch import VideoFetch
        from callsheet.providers.https_download import HttpsDownload
        from callsheet.providers.plain_client import base_url, plain_client, secrets_of

        if (way, location) not in self._files:
            url = base_url(way, self._at(location))
            client = plain_client(url, self._video_reply_s, self._gate)
            self._stack.push_async_callback(client.aclose)
            headers = self._access.signature(way)
            https = HttpsDownload(client, url, headers, secrets_of(self._access, way), foreign=not self._rehearsal)
            self._files[way, location] = VideoFetch(https, self._bucket)
        return self._files[way, location]

    def _open_veo_gemini(self) -> VideoProvider:
        from callsheet.providers.plain_client import ApiKey
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

    def _open_omni(self, way: Way) -> VideoProvider:
        from callsheet.providers.omni import OmniInteractions, interactions_route
        from callsheet.providers.plain_client import plain_client

        adc = self._settings.google_application_credentials
        route = interactions_route(way, self._access, adc, self._video_reply_s)
        fresh, kept = (plain_client(route.root, self._video_reply_s, self._gate, fresh=new) for new in (True, False))
        for client in (fresh, kept):
            self._stack.push_async_callback(client.aclose)
        return OmniInteractions(route, fresh, kept, self._open_files(way))

    def _open_client(self, way: Way, location: str, *, fresh: bool) -> genai.Client:
        from callsheet.providers.genai import open_client, open_session
        from callsheet.providers.plain_client import base_url

        if (way, fresh, location) not in self._clients:
            access = self._at(location)
            session = open_session(base_url(way, access), fresh=fresh, gate=self._gate)
            self._stack.push_async_callback(session.close)
            timeout_s = self._video_reply_s if fresh else self._settings.image_timeout_s
            client = open_client(way, access, session, timeout_s)
            self._stack.push_async_callback(client.aio.aclose)
            self._stack.callback(client.close)
            self._clients[way, fresh, location] = client
        return self._clients[way, fresh, location]


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
