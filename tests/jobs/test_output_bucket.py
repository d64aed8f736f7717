"""Videos that Agent Platform wrote to a bucket: fetched whole, copied into the archive by the service, not uploaded."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from callsheet.archive.store import Stat, StoredFile
from callsheet.archive.store_gcs import GcsStore
from callsheet.batch.open import open_run
from callsheet.batch.request import RunRequest
from callsheet.context.context import RunContext
from callsheet.context.shot_state import ShotState
from callsheet.errors import ArchiveConflict, DownloadFailed, DownloadStalled, OperationExpired, Unreachable
from callsheet.files import digest_file
from callsheet.gcs.access import GoogleAccess
from callsheet.jobs import store as deposit
from callsheet.jobs.output_bucket import output_of, remove_output
from callsheet.jobs.output_leftovers import remove_leftovers
from callsheet.ledger import JobState, Ledger
from callsheet.plan.requests import clip_order
from callsheet.providers.output_bucket import BucketReader
from callsheet.settings import load_settings
from callsheet.steps.clips import make_clips
from tests.support.gcs_files import AT_ONCE, SMALL, md5, put, sha256, store_at
from tests.support.gcs_proxy import Proxy
from tests.support.odd_video_server import Reply, odd_server
from tests.support.service import Service, start_service

# What the module makes once is made in one process.
pytestmark = pytest.mark.xdist_group("output")

VIDEO = b"\x00\x00\x00\x18ftyp" + SMALL * 40
NAME = "c/clip-abc.mp4"


def write(server: str, name: str, data: bytes = VIDEO, bucket: str = "bucket") -> str:
    """An object as Veo writes it: without our metadata."""
    url = f"{server}/upload/storage/v1/b/{bucket}/o"
    given: dict[str, Any] = {"params": {"uploadType": "media", "name": name}, "headers": {"Content-Type": "video/mp4"}}
    httpx2.post(url, content=data, trust_env=False, **given).raise_for_status()
    return f"gs://{bucket}/{name}"


@pytest.fixture
def source(gcs_server: str, tmp_path: Path) -> str:
    return write(gcs_server, f"{tmp_path.name}/incoming/job-1/7/sample 0 é.mp4")


@pytest.fixture
async def store(gcs_proxy: Proxy, tmp_path: Path) -> AsyncIterator[GcsStore]:
    store = store_at(gcs_proxy.url, tmp_path.name)
    yield store
    await store.aclose()


async def adopt(store: GcsStore, source: str, data: bytes = VIDEO) -> str | None:
    return await store.adopt_file(
        source, StoredFile(NAME, sha256=sha256(data), md5=md5(data), size=len(data), content_type="video/mp4",
        metadata={"shot": "hero 1 é"}, download_name="hero 1 clip.mp4"))  # fmt: skip


# --- the copy


@pytest.mark.long
@pytest.mark.parametrize(
    ("act", "times"),
    [
        ("", 0),
        ("503", 1),
        ("429", 2),
        ("html 502", 1),
        ("reply lost", 1),
        ("reset before", 1),
        ("stall", 1),
        ("truncated answer", 1),
        ("html answer", 1),
        ("in parts", 3),
        ("stuck", 2),
    ],
)
async def test_the_service_copies_and_no_byte_of_the_video_is_sent(
    act: str, times: int, store: GcsStore, source: str, gcs_proxy: Proxy, gcs_server: str, tmp_path: Path
) -> None:
    store._bucket.patience = AT_ONCE if act != "stall" else type(AT_ONCE)(stall_s=0.3, pause_s=0)
    if act:
        gcs_proxy.fault(act, on="rewrite", times=times)
    assert await adopt(store, source) == f"{store.uri}/{NAME}"
    assert await store.stat(NAME) == Stat(len(VIDEO), md5(VIDEO))
    assert gcs_proxy.count("upload") == gcs_proxy.count("begin") == gcs_proxy.count("media") == 0
    assert sum(gcs_proxy.body_bytes.values()) < 400 * gcs_proxy.count("rewrite"), "metadata only"
    assert gcs_proxy.faults == []
    assert await store.stat(source.removeprefix(f"{store.uri}/")) is not None, "the source is left where it is"
    url = f"{gcs_server}/storage/v1/b/bucket/o/{tmp_path.name}%2Fc%2Fclip-abc.mp4"
    about = httpx2.get(url, trust_env=False).json()
    assert about["metadata"] == {"sha256": sha256(VIDEO), "shot": "hero 1 é"}
    assert (about["contentType"], about["contentDisposition"][:6]) == ("video/mp4", "inline")


async def test_what_is_there_already_is_not_copied_again(store: GcsStore, source: str, gcs_proxy: Proxy) -> None:
    await adopt(store, source)
    gcs_proxy.seen.clear()
    assert await adopt(store, source) == f"{store.uri}/{NAME}"
    assert len(gcs_proxy.seen) == gcs_proxy.count("find") == 1


async def test_a_copy_from_another_bucket(store: GcsStore, gcs_server: str, gcs_proxy: Proxy, tmp_path: Path) -> None:
    httpx2.post(f"{gcs_server}/storage/v1/b", json={"name": "other"}, trust_env=False)
    source = write(gcs_server, f"{tmp_path.name}.mp4", bucket="other")
    assert await adopt(store, source) == f"{store.uri}/{NAME}"
    assert gcs_proxy.count("upload") == 0


@pytest.mark.parametrize(
    "why",
    [
        pytest.param(lambda proxy: proxy.fault("403", on="rewrite"), id="may not be copied"),
        pytest.param(lambda proxy: proxy.fault("503", on="rewrite", times=None), id="503 for ever"),
        pytest.param(lambda proxy: proxy.fault("400", on="rewrite"), id="refused"),
        pytest.param(lambda proxy: proxy.fault("501", on="rewrite"), id="a server that cannot copy"),
        pytest.param(lambda proxy: proxy.fault("404", on="rewrite"), id="gone in this moment"),
        pytest.param(lambda proxy: setattr(proxy, "hashes", ("crc32c",)), id="a composite object"),
    ],
)
async def test_what_cannot_be_copied_is_to_be_uploaded(
    why: Callable[[Proxy], None], store: GcsStore, source: str, gcs_proxy: Proxy, tmp_path: Path
) -> None:
    why(gcs_proxy)
    assert await adopt(store, source) is None
    gcs_proxy.hashes = ("md5Hash",)
    assert await store.stat(NAME) is None, "nothing half done is left"
    await put(store, tmp_path, NAME, VIDEO)
    assert await store.stat(NAME) == Stat(len(VIDEO), md5(VIDEO))


async def test_a_source_that_is_gone_or_other_bytes_is_not_copied(
    store: GcsStore, source: str, gcs_proxy: Proxy
) -> None:
    assert await adopt(store, f"{source}.none") is None
    assert await adopt(store, source, VIDEO + b"more") is None
    assert await adopt(store, "gs://no-such-bucket/video.mp4") is None
    assert gcs_proxy.count("rewrite") == 0
    assert await store.stat(NAME) is None


async def test_other_bytes_under_the_name_are_left_and_told_by_the_upload(
    store: GcsStore, source: str, tmp_path: Path
) -> None:
    await put(store, tmp_path, NAME, b"somebody else's")
    assert await adopt(store, source) is None
    with pytest.raises(ArchiveConflict, match="left as it is"):
        await put(store, tmp_path, NAME, VIDEO)
    assert await store.read_bytes(NAME, 99) == b"somebody else's"


# --- fetching it


@pytest.fixture
async def reader(gcs_proxy: Proxy) -> AsyncIterator[BucketReader]:
    reader = BucketReader(GoogleAccess(gcs_proxy.url), rehearsal=False)
    yield reader
    await reader.aclose()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tried again without pauses, and not for long."""
    monkeypatch.setattr("callsheet.gcs.access.RetryLimits.pause", lambda *_: 0)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("act", ["503", "reset before", "cut media", "short media", "flipped media", "swollen media"])
async def test_a_video_comes_whole_through_one_fault(
    act: str, reader: BucketReader, source: str, gcs_proxy: Proxy, tmp_path: Path
) -> None:
    gcs_proxy.fault(act, on="media")
    await reader.fetch(source, tmp_path / "video.mp4")
    assert (tmp_path / "video.mp4").read_bytes() == VIDEO
    assert gcs_proxy.faults == []


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    ("act", "told"), [("flipped media", "md5"), ("503", "gave up"), ("403", "storage.objects.get")]
)
async def test_a_video_that_never_comes_whole_is_not_taken(
    act: str, told: str, reader: BucketReader, source: str, gcs_proxy: Proxy, tmp_path: Path
) -> None:
    gcs_proxy.fault(act, on="media", times=None)
    with pytest.raises(DownloadFailed, match=told):
        await reader.fetch(source, tmp_path / "video.mp4")
    assert not (tmp_path / "video.mp4").exists()


async def test_a_bucket_that_drips_is_given_up_after_some_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callsheet.providers.output_bucket.FLOOR_S", 0.2)
    monkeypatch.setattr("callsheet.providers.output_bucket.FETCH_S", 0.4)
    about = {"name": "video.mp4", "generation": "1", "size": str(len(VIDEO)), "md5Hash": "AAAAAAAAAAAAAAAAAAAAAA=="}
    async with odd_server() as server:
        server.rules = {"alt=media": Reply(VIDEO, drip=True), "GET /storage/v1/b/bucket/o/": Reply(about)}
        reader = BucketReader(GoogleAccess(server.url), rehearsal=False)
        with pytest.raises(DownloadStalled, match="256 KiB"):
            await reader.fetch("gs://bucket/video.mp4", tmp_path / "video.mp4")
        await reader.aclose()
        assert 2 <= len(server.asked("alt=media")) <= 4
    assert not (tmp_path / "video.mp4").exists()


@pytest.mark.usefixtures("at_once")
async def test_a_video_without_an_md5_is_verified_by_its_crc32c(
    reader: BucketReader, source: str, gcs_proxy: Proxy, tmp_path: Path
) -> None:
    gcs_proxy.hashes = ("crc32c",)
    await reader.fetch(source, tmp_path / "video.mp4")
    gcs_proxy.fault("flipped media", on="media")
    with pytest.raises(DownloadFailed, match="other bytes"):
        await reader.fetch(source, tmp_path / "video.mp4")


async def test_only_an_object_that_is_gone_counts_as_gone(
    reader: BucketReader, source: str, gcs_proxy: Proxy, tmp_path: Path
) -> None:
    target = tmp_path / "video.mp4"
    with pytest.raises(OperationExpired, match="not in its bucket any more"):
        await reader.fetch(f"{source}.none", target)
    for uri in ("gs://no-such-bucket/video.mp4", f"{source}.none"):
        gcs_proxy.fault("404", on="list")  # a server that does not say what it is that is missing
        with pytest.raises(DownloadFailed, match="gcloud storage buckets describe"):
            await reader.fetch(uri, target)
    gcs_proxy.fault("403", on="find")
    with pytest.raises(DownloadFailed, match=r"storage\.objects\.get"):
        await reader.fetch(source, target)
    gcs_proxy.fault("403", on="list")
    with pytest.raises(Unreachable, match=r"storage\.objects\.list"):
        await reader.names("gs://bucket/")
    assert not target.exists()


# --- from the operation to the archive


VEO = "veo-3.1-fast-generate-001"
SHEET = f"id,prompt,takes,motion_prompt,duration_s,video_model\nkite,,0,A kite climbs over dunes,4,{VEO}\n"


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory, gcs_server: str) -> Iterator[Service]:
    state = tmp_path_factory.mktemp("service") / "state"
    service = start_service(state, factor=60, latency={"image": 0, "video": 20}, gcs_endpoint=gcs_server)
    yield service
    service.process.terminate()
    service.process.wait(timeout=20)


@pytest.fixture
def platform(serving: Service) -> Iterator[Service]:
    """A service that writes finished videos to their storageUri. Whatever happens, one is paid for in each test."""
    serving.script()
    before = serving.counts()["accepted"]["video"]
    yield serving
    assert serving.counts()["accepted"]["video"] == before + 1


@contextlib.asynccontextmanager
async def studio_at(
    platform: Service, proxy: Proxy, folder: Path, live: bool = False, **more: Any
) -> AsyncIterator[tuple[RunContext, ShotState]]:
    (folder / "sheet.csv").write_text(SHEET)
    given: dict[str, Any] = {
        "home": folder / "home",
        "archive": f"gs://bucket/{folder.name}",
        "storage_emulator_host": proxy.url,
    }
    if live:
        given |= {"google_cloud_project": "p", "vertex_base_url": platform.url}
    settings = load_settings(gemini_base_url=platform.url, **{**given, **more})
    async with open_run(RunRequest(str(folder / "sheet.csv"), live=live), settings) as (run, asked):
        await run.resources.ledger.open_batch(run.batch, [("kite", 0)])
        yield run, ShotState(asked.shots[0])


class Killed(BaseException):
    """The process is gone."""


async def clip_of(run: RunContext, work: ShotState) -> str:
    """The clip's name in the archive, made and checked."""
    await make_clips(run, work)
    assert work.failures_of_all() == []
    asset = work.clips[0].asset
    assert asset is not None
    name = asset.uri.removeprefix(f"{run.resources.store.uri}/")
    assert await run.resources.store.stat(name) == Stat(asset.size, asset.md5)
    assert digest_file(await deposit.fetch(run, asset.sha256, asset.size)).md5 == asset.md5
    return name


def uploads(proxy: Proxy, of: str) -> list[str]:
    return [line for line in proxy.seen if line.startswith(("upload", "begin")) and of in line]


async def test_a_clip_is_moved_inside_the_bucket(
    platform: Service, gcs_proxy: Proxy, gcs_server: str, tmp_path: Path
) -> None:
    async with studio_at(platform, gcs_proxy, tmp_path) as (run, work):
        name = await clip_of(run, work)
        job = await run.resources.ledger.job(clip_order(run.batch, work.shot, None, None).key)
        (tried,) = await run.resources.ledger.attempts_on(job.key)
        assert await run.resources.store.list("incoming/") == (), "nothing is left where it was written"
        size = job.size or 0
    assert job.state is JobState.STORED
    assert tried.output == f"gs://bucket/{tmp_path.name}/incoming"
    assert job.details is not None
    assert job.details["output"].startswith(f"{tried.output}/{job.key[:40]}-1/")
    assert uploads(gcs_proxy, "clip-") == []
    assert gcs_proxy.count("rewrite") == 1
    assert gcs_proxy.body_bytes["upload"] < size, "a poster, and nothing as large as the clip"
    assert name.rpartition("/")[2].startswith("clip-")
    url = f"{gcs_server}/storage/v1/b/bucket/o/{quote(f'{tmp_path.name}/{name}', safe='')}"
    about = httpx2.get(url, trust_env=False).json()
    assert (about["contentType"], about["metadata"]["shot"]) == ("video/mp4", "kite")
    assert about["contentDisposition"].startswith('inline; filename="sheet-kite-clip')


async def test_a_clip_that_may_not_be_copied_is_uploaded(platform: Service, gcs_proxy: Proxy, tmp_path: Path) -> None:
    gcs_proxy.fault("403", on="rewrite", times=None)
    gcs_proxy.fault("403", on="delete", times=None)
    async with studio_at(platform, gcs_proxy, tmp_path) as (run, work):
        await clip_of(run, work)
        assert uploads(gcs_proxy, "clip-")
        left = await run.resources.store.list("incoming/")
        assert len(left) == 1, "it may not be removed, which hinders nothing"
        await remove_leftovers(run)
        gcs_proxy.faults.clear()
        await remove_leftovers(run)
        assert await run.resources.store.list("incoming/") == ()


@pytest.mark.long
@pytest.mark.parametrize("moment", ["before the ledger has it", "before the first copy is removed"])
async def test_killed_after_the_copy_and_run_again(
    moment: str, platform: Service, gcs_proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def kill(*_: Any) -> None:
        raise Killed

    if moment == "before the ledger has it":
        monkeypatch.setattr(Ledger, "record_files", kill)
    else:
        monkeypatch.setattr(deposit, "remove_output", kill)
    with pytest.raises((Killed, BaseExceptionGroup)):
        async with studio_at(platform, gcs_proxy, tmp_path) as (run, work):
            await make_clips(run, work)
    monkeypatch.undo()
    async with studio_at(platform, gcs_proxy, tmp_path, archive=f"gs://bucket/{tmp_path.name}") as (run, work):
        assert len(await run.resources.store.list("incoming/")) == 1
        for asset in await run.resources.ledger.assets_of(run.batch.name):
            run.state.add_asset(asset)
        await clip_of(run, work)
        await remove_leftovers(run)
        assert await run.resources.store.list("incoming/") == ()
        clips = [name for name in await run.resources.store.list("") if "/clip-" in name]
    assert len(clips) == 1, "under the name of its hash"
    assert uploads(gcs_proxy, "clip-") == []


async def test_a_clip_whose_local_bytes_are_lost_is_still_archived(
    platform: Service, gcs_proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spool's disk breaks after the ledger has the result and before the archive has the file."""

    async def kill(*_: Any) -> None:
        raise Killed

    monkeypatch.setattr(deposit, "_put", kill)
    with pytest.raises((Killed, BaseExceptionGroup)):
        async with studio_at(platform, gcs_proxy, tmp_path) as (run, work):
            await make_clips(run, work)
    monkeypatch.undo()
    for path in (tmp_path / "home" / "spool").glob("??/*"):
        path.unlink()
    async with studio_at(platform, gcs_proxy, tmp_path) as (run, work):
        await clip_of(run, work)
    assert uploads(gcs_proxy, "clip-") == []


async def test_a_lost_video_is_found_where_it_was_to_be_written_and_moved_from_there(
    platform: Service, gcs_proxy: Proxy, tmp_path: Path
) -> None:
    """Live, as far as callsheet can tell: the reply is lost, and the settings are others when it is looked for."""
    platform.script({"match": {"kind": "video"}, "fault": "drop-after", "times": 1})
    earlier = f"gs://bucket/{tmp_path.name}-veo"
    async with studio_at(platform, gcs_proxy, tmp_path, live=True, video_output=earlier) as (run, work):
        await make_clips(run, work)
        key = clip_order(run.batch, work.shot, None, None).key
        assert (await run.resources.ledger.job(key)).state is JobState.UNKNOWN
    async with studio_at(platform, gcs_proxy, tmp_path, live=True) as (run, work):
        while await run.resources.providers.evidence_of(VEO, key, 1, earlier) is None:
            await run.state.rest_really(0.05)
        name = await clip_of(run, work)
        job = await run.resources.ledger.job(key)
        assert job.details is not None
        assert job.operation == job.details["output"]
    assert uploads(gcs_proxy, name.rpartition("/")[2]) == []
    outside = store_at(gcs_proxy.url, f"{tmp_path.name}-veo")
    assert await outside.list("") == ()
    await outside.aclose()


async def test_an_object_that_a_person_named_is_not_taken_for_ours(
    platform: Service, gcs_proxy: Proxy, gcs_server: str, tmp_path: Path
) -> None:
    """`resolve --adopt gs://...` may name a file of somebody's own: it is read, and left where it is."""
    async with studio_at(platform, gcs_proxy, tmp_path) as (run, work):
        name = await clip_of(run, work)
        job = await run.resources.ledger.job(clip_order(run.batch, work.shot, None, None).key)
        kept = write(gcs_server, f"{tmp_path.name}/my/own.mp4", await read(run, name))
        theirs = replace(job, details={"output": kept})
        assert output_of(theirs) is None
        await remove_output(run, theirs)
        assert await run.resources.store.stat("my/own.mp4") == Stat(job.size or 0, job.md5 or "")
        ours = write(gcs_server, f"{tmp_path.name}/incoming/{job.key[:40]}-1/7/other.mp4", b"other bytes")
        await remove_output(run, replace(job, details={"output": ours}))
        assert len(await run.resources.store.list("incoming/")) == 1, "it is not the video that is archived"


async def read(run: RunContext, name: str) -> bytes:
    return await run.resources.store.read_bytes(name, 1 << 28)


async def test_only_what_is_archived_is_removed(
    platform: Service, gcs_proxy: Proxy, gcs_server: str, tmp_path: Path
) -> None:
    """Another attempt's video was paid for too, and what is not ours is nobody's business here."""
    root = f"gs://bucket/{tmp_path.name}-veo"
    async with studio_at(platform, gcs_proxy, tmp_path, video_output=root) as (run, work):
        key = clip_order(run.batch, work.shot, None, None).key
        foreign = [f"{tmp_path.name}-veo/{key[:40]}-2/9/sample_0.mp4", f"{tmp_path.name}-veo/readme.txt"]
        for name in foreign:
            write(gcs_server, name)
        await clip_of(run, work)
        await remove_leftovers(run)
        outside = store_at(gcs_proxy.url, f"{tmp_path.name}-veo")
        assert {f"{tmp_path.name}-veo/{name}" for name in await outside.list("")} == set(foreign)
        await outside.aclose()
    assert uploads(gcs_proxy, "clip-") == []
