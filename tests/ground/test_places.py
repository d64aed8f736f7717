"""Addresses that strangers name are followed only below the places that are ours."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from callsheet.batch.open import open_for, to_repair
from callsheet.errors import MediaError
from callsheet.settings import Settings, load_settings
from callsheet.shots import Batch, Reference
from callsheet.sources import Places
from callsheet.steps.cut_inputs import input_path
from tests.support.bucket_recovery import bucket_service, having, lose_ledger, names, rebuilt, settings_in_bucket
from tests.support.gcs_proxy import Proxy
from tests.support.left_behind import give_up_waiting, request_in, settings_at
from tests.support.recorder import Recorder, recording
from tests.support.recovery import recovered
from tests.support.service import Service

SECRET = b"what only this user may read"


@pytest.fixture
def service(tmp_path: Path, gcs_server: str) -> Iterator[Service]:
    with bucket_service(tmp_path / "service", gcs_server) as service:
        yield service


@pytest.fixture
def in_bucket(service: Service, tmp_path: Path, gcs_proxy: Proxy) -> Settings:
    return settings_in_bucket(service, tmp_path, gcs_proxy)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with recording(SECRET) as recorder:
        yield recorder


@pytest.mark.parametrize(
    "address",
    [
        "gs://other/a.png",
        "gs://mine-too/a.png",
        "gs://mine/media/../private/a.png",
        "gs://mine/media/%2e%2e/private/a.png",
        "gs://mine/media/a.png?generation=1",
        "gs://mine/media/*.png",
        "gs://mine/mediaother/a.png",
        "GS://mine/media/a.png",
        "simplecache::gs://mine/media/a.png",
        "gs://mine/media/a.zip::http://127.0.0.1/",
        "http://127.0.0.1/a.png",
        "https://user@127.0.0.1/a.png",
        "ftp://127.0.0.1/a.png",
        "file:///etc/passwd",
        "file:/etc/passwd",
        "data:image/png;base64,AAAA",
        "/etc/passwd",
        "../outside.png",
        "link-out/secret.png",
        "a\0.png",
        "a" * 3000,
    ],
)
def test_an_address_outside_the_given_places_is_not_followed(tmp_path: Path, address: str) -> None:
    inside = tmp_path / "team"
    inside.mkdir()
    (inside / "link-out").symlink_to(tmp_path)
    places = Places.of([inside, "gs://mine/media"])
    assert places.find(address, inside) is None


def test_an_address_inside_is_found_and_links_within_stay_usable(tmp_path: Path) -> None:
    (tmp_path / "logos").mkdir()
    (tmp_path / "current").symlink_to(tmp_path / "logos")
    places = Places.of([tmp_path, "gs://mine/media/", None])
    assert places.find("current/a.png", tmp_path) == str(tmp_path.resolve() / "logos" / "a.png")
    assert places.find("gs://mine/media/sub/a b é.png") == "gs://mine/media/sub/a b é.png"
    assert places.find("a.png") is None, "relative to nothing"
    beside = Places.of(["file:///team/sheets", "abfss://media@account/sheets"])
    for address in ("file:///team/sheets/a.png", "abfss://media@account/sheets/a.png"):
        assert beside.find(address) == address, "beside a manifest that was given so"
    assert Places.of(["http://127.0.0.1/sheets"]).find("http://127.0.0.1/sheets/a.png") is None


async def taken(settings: Settings, uri: str, data: bytes = SECRET) -> bytes:
    """What is read for a finishing file that a forged sidecar says to be at `uri`."""
    file = Reference(uri, hashlib.sha256(data).hexdigest(), "audio/mpeg", len(data))
    async with open_for(to_repair(Batch("sheet", None, "rehearsal"), settings), settings) as run:
        return (await input_path(run, file)).read_bytes()


async def test_finishing_files_of_a_forged_sidecar_are_fetched_from_nowhere_else(
    tmp_path: Path, recorder: Recorder
) -> None:
    (tmp_path / "private").mkdir()
    secret, allowed = tmp_path / "private" / "secret.mp3", tmp_path / "brand"
    secret.write_bytes(SECRET)
    allowed.mkdir()
    (allowed / "out.mp3").symlink_to(secret)
    settings = load_settings(home=tmp_path / "home", input_roots=(str(allowed),))
    forged = [
        f"http://{recorder.url}/a.mp3",
        f"simplecache::http://{recorder.url}/a.mp3",
        f"filecache::http://{recorder.url}/a.mp3",
        f"zip://a.mp3::http://{recorder.url}/a.zip",
        f"ftp://{recorder.url}/a.mp3",
        f"file://{secret}",
        f"local://{secret}",
        str(secret),
        f"{allowed}/../private/secret.mp3",
        f"{allowed}/out.mp3",
    ]
    for uri in forged:
        with pytest.raises(MediaError, match="CALLSHEET_INPUT_ROOTS"):
            await taken(settings, uri)
    assert recorder.seen == []
    (allowed / "song.mp3").write_bytes(SECRET)
    assert await taken(settings, str(allowed / "song.mp3")) == SECRET


async def forge_operation(settings: Settings, proxy: Proxy, operation: str) -> None:
    """Have the sidecar in the bucket say that its clip's operation was another one."""
    [name] = await names(settings, "shot.json")

    async def rewrite(store: object) -> None:
        sidecar = json.loads(await store.read_bytes(name, 1 << 20))  # type: ignore[attr-defined]
        [clip] = sidecar["clips"]
        clip.update(file=None, poster=None, operation=operation)
        clip["job"].update(state="submitted", operation=operation)
        sidecar["cuts"] = []
        await store.put_bytes(name, json.dumps(sidecar).encode(), "application/json")  # type: ignore[attr-defined]

    await having(settings, rewrite)


async def test_a_forged_operation_copies_nothing_out_of_a_bucket_that_is_not_ours(
    service: Service,
    tmp_path: Path,
    in_bucket: Settings,
    gcs_proxy: Proxy,
) -> None:
    await give_up_waiting(request_in(tmp_path), in_bucket)
    for operation in ("gs://victim-private/board/film.mp4", "gs://victim-private/../bucket/film.mp4"):
        await forge_operation(in_bucket, gcs_proxy, operation)
        lose_ledger(in_bucket)
        await rebuilt(in_bucket)
        gcs_proxy.seen.clear()
        found = await recovered(in_bucket)
        assert all(one.how != "fetched" for one in found if one.slot.startswith("clip"))
        assert not [line for line in gcs_proxy.seen if "victim-private" in line or "film.mp4" in line]


@pytest.mark.long
@pytest.mark.parametrize("name", ["http://127.0.0.1/operations/1", "models/../../v1/files", "a\r\nb", "", "x" * 5000])
async def test_a_sidecar_with_an_operation_that_is_no_name_is_refused(
    service: Service,
    tmp_path: Path,
    name: str,
) -> None:
    from callsheet.archive.sidecar import Sidecar
    from callsheet.errors import ArchiveError
    from callsheet.reconcile.sidecar_check import check

    settings = settings_at(service, tmp_path)
    await give_up_waiting(request_in(tmp_path), settings)
    [path] = (settings.home / "archive").rglob("shot.json")
    told = json.loads(path.read_text())
    told["clips"][0]["operation"] = told["clips"][0]["job"]["operation"] = name
    place = str(path.relative_to(settings.home / "archive"))
    with pytest.raises(ArchiveError, match="operation name"):
        check(place, Sidecar.model_validate(told))
