"""Odd servers of videos: every name is polled, every address fetched, every answer kept and read for what is in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from callsheet import errors
from callsheet.providers import Providers, open_providers
from callsheet.providers.operations import name_path
from callsheet.providers.protocol import VideoReady, VideoRequest
from callsheet.providers.video_addresses import is_allowed, object_of, resolve
from callsheet.settings import Settings
from tests.support.odd_video_server import Asked, Reply, odd_server
from tests.support.odd_videos import CASES, Odd
from tests.support.wire_server import AGENT_MODEL, GEMINI_VIDEO, Catalogue

KEY = "AQ.secret-key-of-the-test-0123456789"
ROUTES = {"gemini": GEMINI_VIDEO, "agent": AGENT_MODEL}


def rules_of(case: Odd, url: str) -> dict[str, object]:
    """The case's answers as rules of the server."""

    def here(reply: Reply) -> Reply:
        return Reply(reply.payload.replace(b"{url}", url.encode()), reply.status, reply.headers, reply.kind, reply.cut)

    polls = case.poll if isinstance(case.poll, list) else [case.poll]
    files = {f"GET {path}": answer for path, answer in case.files.items()}
    rules: dict[str, object] = {":predictLongRunning": case.submit, ":fetchPredictOperation": [*map(here, polls)]}
    return {**files, **rules, "GET /v1beta/files": Reply(b"", 404), "GET /v1beta/": [*map(here, polls)]}


async def outcome(providers: Providers, model: str, target: Path) -> tuple[str, str]:
    """What becomes of one video: "video", or the error's class, and what it says."""
    provider = providers.videos_for(model)
    try:
        name = await provider.submit(VideoRequest(model, "a cat runs"))
        ready: VideoReady | None = None
        for _ in range(3):
            ready = ready or await provider.poll(name)
        assert ready is not None
        await provider.download(ready, target)
    except errors.ProviderError as error:
        return error.kind, str(error)
    return "video", ""


@pytest.mark.parametrize("route", ROUTES)
async def test_odd_exchange_has_the_right_outcome(route: str, tmp_path: Path) -> None:
    wrong = []
    async with odd_server() as server:
        given = Settings(
            _env_file=None, gemini_base_url=server.url, vertex_base_url=server.url, gemini_api_key=KEY,
            agent_platform_api_key=KEY if route == "agent" else None,
        )  # fmt: skip
        async with open_providers(given, mode="live", rehearsal_url=None, catalogue=Catalogue()) as providers:
            for case in CASES:
                server.rules, server.seen = rules_of(case, server.url), []  # type: ignore[assignment]
                target = tmp_path / "clip.mp4"
                target.unlink(missing_ok=True)
                got, said = await outcome(providers, ROUTES[route], target)
                came = target.read_bytes() if target.exists() else b""
                right = got == case.want and case.says in said and (got != "video" or came == case.data)
                clean = said.isprintable() and KEY not in said
                if not right or not clean or len(server.asked(":predictLongRunning")) != 1:
                    wrong.append((case.id, got, said, [f"{one.method} {one.path}" for one in server.seen]))
    assert not wrong, "\n".join(map(str, wrong))


def test_table_has_more_than_forty_cases_of_different_names() -> None:
    assert len({case.id for case in CASES}) == len(CASES) > 40


def test_key_goes_to_no_other_host() -> None:
    base = "https://gateway.example.com/veo/"
    assert resolve("files/a", base) == f"{base}v1beta/files/a:download?alt=media"
    assert is_allowed("https://cdn.example.org/x.mp4?sig=1", base, foreign=True)
    assert not is_allowed("https://cdn.example.org/x.mp4", base, foreign=False)
    for url in (
        "https://localhost/x", "https://127.0.0.1/x", "https://[::1]/x", "https://2130706433/x", "https://10.1.2.3/x",
        "https://db.internal/x", "https://printer.local/x", "https://cdn.example.org:8443/x", "http://cdn.example.org/x",
        "https://user@cdn.example.org/x", "ftp://cdn.example.org/x", "https://metadata.google.internal/x", "https://intranet/x",
    ):  # fmt: skip
        assert not is_allowed(url, base, foreign=True), url


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://storage.googleapis.com/b/out/clip.mp4", "gs://b/out/clip.mp4"),
        ("https://storage.cloud.google.com/b/out/clip%201.mp4", "gs://b/out/clip 1.mp4"),
        ("https://b.storage.googleapis.com/out/clip.mp4", "gs://b/out/clip.mp4"),
        ("https://storage.googleapis.com/storage/v1/b/b/o/out%2Fclip.mp4?alt=media", "gs://b/out/clip.mp4"),
        ("https://storage.googleapis.com/download/storage/v1/b/b/o/out%2Fclip.mp4?alt=media", "gs://b/out/clip.mp4"),
        ("https://storage.googleapis.com/b/out/clip.mp4?X-Goog-Signature=1", None),
        ("https://storage.googleapis.com/b", None),
        ("https://storage.googleapis.com.evil.example/b/o", None),
    ],
)
def test_address_of_googles_storage_is_an_object_unless_it_is_signed(url: str, name: str | None) -> None:
    assert object_of(url) == name


def test_operation_name_stays_one_path_whatever_is_in_it() -> None:
    assert name_path("models/m/operations/a==") == "models/m/operations/a=="
    assert name_path("models/m/operations/ä?x#y%2e") == "models/m/operations/%C3%A4%3Fx%23y%252e"
    assert name_path("/v1beta/models/m/operations/1") == "models/m/operations/1"
    for name in ("../x", "a/../b", "a\\..\\b", "a//b", "http://x/operations/1", "a b", "a\nb", "", "x" * 2000):
        with pytest.raises(ValueError, match="not an operation name"):
            name_path(name)


async def test_every_operation_name_is_sent_back_to_agent_platform_as_it_came(tmp_path: Path) -> None:
    asked: list[Asked] = []

    def polled(one: Asked) -> Reply:
        asked.append(one)
        return Reply({"done": False})

    async with odd_server() as server:
        given = Settings(_env_file=None, vertex_base_url=server.url, agent_platform_api_key=KEY)
        server.rules = {":fetchPredictOperation": polled}
        async with open_providers(given, mode="live", rehearsal_url=None, catalogue=Catalogue()) as providers:
            for name in ("task_1==", "projects/p/locations/l/publishers/google/models/m/operations/é=="):
                assert await providers.videos_for(AGENT_MODEL).poll(name) is None
                assert asked[-1].json == {"operationName": name}
    assert asked[0].path == f"/v1beta1/publishers/google/models/{AGENT_MODEL}:fetchPredictOperation"
