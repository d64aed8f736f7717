"""Recovery and the rebuilding of a lost ledger from an archive in a bucket, with a real storage server."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from callsheet.archive.store import Stat, Store
from callsheet.batch.recover import recover_all
from callsheet.clock import Clock
from callsheet.errors import ArchiveDenied
from callsheet.ledger import Job, JobState, Ledger
from callsheet.settings import Settings
from tests.support.bucket_recovery import bucket_service, having, lose_ledger, names, rebuilt, settings_in_bucket
from tests.support.gcs_proxy import Proxy
from tests.support.left_behind import BATCH, give_up_waiting, leave_behind, request_in
from tests.support.recovery import recovered
from tests.support.service import Service


@pytest.fixture
def service(tmp_path: Path, gcs_server: str) -> Iterator[Service]:
    with bucket_service(tmp_path / "service", gcs_server) as service:
        yield service


@pytest.fixture
def in_bucket(service: Service, tmp_path: Path, gcs_proxy: Proxy) -> Settings:
    return settings_in_bucket(service, tmp_path, gcs_proxy)


async def take_away(settings: Settings, name: str) -> bytes:
    async def remove(store: Store) -> bytes:
        data, found = await store.read_bytes(name, 1 << 30), await store.digests(name)
        assert await store.remove(name, Stat(found.size, found.md5))
        return data

    return await having(settings, remove)


async def jobs(settings: Settings) -> dict[str, Job]:
    async with await Ledger.open(settings.ledger_url, clock=Clock()) as ledger:
        return {job.slot: job for job in await ledger.jobs_of(BATCH)}


async def test_what_a_dead_process_left_is_stored_in_the_bucket_and_put_back_when_it_is_lost_there(
    service: Service, tmp_path: Path, in_bucket: Settings
) -> None:
    # What Agent Platform wrote to the bucket is moved, and is lost with its file; other videos it gives again.
    in_bucket = in_bucket.model_copy(update={"video_output": "off"})
    await leave_behind(request_in(tmp_path), in_bucket)
    assert [one.how for one in await recovered(in_bucket)] == ["fetched"]
    [clip], [take] = await names(in_bucket, "clip-"), await names(in_bucket, "take-")
    job = (await jobs(in_bucket))["clip-1"]
    data = await take_away(in_bucket, clip)
    assert (job.state, hashlib.sha256(data).hexdigest()) == (JobState.STORED, job.sha256)
    picture = await take_away(in_bucket, take)
    assert [one.how for one in await recover_all(in_bucket)] == ["fetched", "fetched"], "from the spool"
    assert (await take_away(in_bucket, clip), await take_away(in_bucket, take)) == (data, picture)
    shutil.rmtree(in_bucket.home / "spool")
    found = {one.slot: one for one in await recover_all(in_bucket)}
    assert (found["clip-1"].how, found["take-1"].how) == ("fetched", "lost")
    assert await take_away(in_bucket, clip) == data
    assert service.counts()["accepted"] == {"image": 1, "video": 1}


async def test_a_lost_ledger_is_rebuilt_from_the_bucket(
    service: Service, tmp_path: Path, in_bucket: Settings, gcs_proxy: Proxy
) -> None:
    await give_up_waiting(request_in(tmp_path), in_bucket)
    before = await jobs(in_bucket)
    lose_ledger(in_bucket)
    gcs_proxy.seen.clear()
    told = await rebuilt(in_bucket)
    assert (told.batches, told.jobs, told.refused, told.missing) == (1, 2, [], [])
    looks = [line for line in gcs_proxy.seen if "/take-" in line or "/clip-" in line]
    assert looks == [], "size and md5 of media come with the listing"
    after = await jobs(in_bucket)
    assert {slot: (job.state, job.sha256, job.spent_usd, job.operation) for slot, job in after.items()} == {
        slot: (job.state, job.sha256, job.spent_usd, job.operation) for slot, job in before.items()
    }
    async with await Ledger.open(in_bucket.ledger_url, clock=Clock()) as ledger:
        assets = await ledger.assets_of(BATCH)
    assert {asset.uri for asset in assets} <= {
        f"{in_bucket.archive_uri}/{name}"
        for kind in ("take-", "clip-", "thumb-", "poster-")
        for name in await names(in_bucket, kind)
    }
    [clip] = await names(in_bucket, "clip-")
    await having(in_bucket, lambda store: store.put_bytes(clip, b"something else", "video/mp4"))
    lose_ledger(in_bucket)
    assert [one.name for one in (await rebuilt(in_bucket)).missing] == [clip]


async def test_a_bucket_that_may_not_be_read_is_told_and_nothing_is_entered(
    tmp_path: Path, in_bucket: Settings, gcs_proxy: Proxy
) -> None:
    away = in_bucket.model_copy(update={"archive": "gs://no-such-bucket/x"})
    with pytest.raises(ArchiveDenied, match="no-such-bucket"):
        await rebuilt(away)
    assert await jobs(away) == {}
