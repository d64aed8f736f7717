"""Buckets with a retention policy, holds, a payer, no billing or a perimeter: right advice, and batches that go on."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet.archive import layout
from callsheet.archive.catalogue import part_bytes, write_changed
from callsheet.archive.numbered import name_version, newest, version_of
from callsheet.archive.parts import SCHEMA, latest, read_parts
from callsheet.archive.store import Stat
from callsheet.archive.store_gcs import GcsStore
from callsheet.errors import ArchiveDenied, ArchiveError, ArchiveKept, ManifestError
from callsheet.gcs.access import GoogleAccess, access_of
from callsheet.gcs.answers import StorageReply, failure
from callsheet.settings import load_settings
from callsheet.sources import read_bytes
from tests.support.cli import Cli
from tests.support.gcs_files import AT_ONCE, LARGE, SMALL, md5, put, store_at
from tests.support.gcs_proxy import Proxy

SIDECAR = "c/b/shots/a/shot.json"


@pytest.fixture
async def store(gcs_proxy: Proxy, tmp_path: Path) -> AsyncIterator[GcsStore]:
    store = store_at(gcs_proxy.url, tmp_path.name)
    yield store
    await store.aclose()


async def write(store: GcsStore, text: str, name: str = SIDECAR) -> str:
    return (await store.put_bytes(name, text.encode(), "application/json")).rpartition("/")[2]


# --- names that may not be replaced


async def test_a_document_that_may_not_be_replaced_is_followed_by_a_numbered_one(
    store: GcsStore, gcs_proxy: Proxy, tmp_path: Path
) -> None:
    gcs_proxy.keeps = True
    assert [await write(store, text) for text in ("one", "two", "two", "three", "three")] == [
        "shot.json",
        "shot-2.json",
        "shot-2.json",
        "shot-3.json",
        "shot-3.json",
    ]
    await put(store, tmp_path, "c/b/shots/a/take-1-0123456789ab.png", SMALL)
    for reader in (store, store_at(gcs_proxy.url, tmp_path.name)):
        assert await reader.read_bytes(SIDECAR, 100) == b"three"
        assert await reader.stat(SIDECAR) == Stat(5, md5(b"three"))
        listed = await reader.stats("c/b/")
        assert listed == {
            SIDECAR: Stat(5, md5(b"three")),
            "c/b/shots/a/take-1-0123456789ab.png": Stat(len(SMALL), md5(SMALL)),
        }
        assert await reader.read_bytes(SIDECAR, 100) == b"three"
        await reader.aclose()


async def test_a_writer_that_listed_nothing_reads_and_follows_the_newest_version(
    store: GcsStore, gcs_proxy: Proxy, tmp_path: Path
) -> None:
    gcs_proxy.keeps = True
    for n in range(12):
        await write(store, f"{n}")
    other = store_at(gcs_proxy.url, tmp_path.name)
    assert await other.read_bytes(SIDECAR, 100) == b"11", "shot-12.json comes before shot-2.json in a listing"
    assert await write(other, "new") == "shot-13.json"
    assert await store.read_bytes(SIDECAR, 100) == b"new", "what another process wrote is seen"
    await other.aclose()


async def test_writers_at_once_lose_no_version_and_remove_none(
    store: GcsStore, gcs_proxy: Proxy, tmp_path: Path
) -> None:
    gcs_proxy.keeps = True
    stores = [store_at(gcs_proxy.url, tmp_path.name) for _ in range(4)]
    names = await asyncio.gather(*(write(each, f"text {n}") for n, each in enumerate(stores)))
    assert sorted(names) == ["shot-2.json", "shot-3.json", "shot-4.json", "shot.json"]
    assert gcs_proxy.count("delete") == 0
    for each in stores:
        await each.aclose()


async def test_where_names_may_be_replaced_nothing_is_numbered_and_no_listing_is_needed_after_one(
    store: GcsStore, gcs_proxy: Proxy
) -> None:
    assert [await write(store, text) for text in ("one", "two")] == ["shot.json", "shot.json"]
    await store.stats("c/b/")
    before = gcs_proxy.count("list")
    assert await store.read_bytes(SIDECAR, 100) == b"two"
    assert gcs_proxy.count("list") == before


async def test_what_is_no_document_is_refused_with_the_reason(
    store: GcsStore, gcs_proxy: Proxy, tmp_path: Path
) -> None:
    await write(store, "one", "catalog/dt=2026-11-30/b-1.parquet")
    await put(store, tmp_path, "c/take.png", SMALL)
    gcs_proxy.keeps = True
    with pytest.raises(ArchiveKept, match=r"until 2027-01-01.*no permission helps"):
        await write(store, "two", "catalog/dt=2026-11-30/b-1.parquet")
    with pytest.raises(ArchiveKept, match="neither replaced nor removed"):
        await store.remove("c/take.png", Stat(len(SMALL), md5(SMALL)))


@given(st.sampled_from(["shot.json", "a/shot.json", "plan.json", "x/manifest.csv", "manifest"]), st.integers(1, 99_999))
def test_a_numbered_name_is_read_back(name: str, n: int) -> None:
    assert version_of(name_version(name, n)) == (name, n)


@given(st.text(max_size=30))
def test_any_name_is_a_version_of_itself_or_of_a_document(name: str) -> None:
    version = version_of(name)
    assert version is None or name_version(*version) == name


def test_names_that_only_look_numbered_are_left_alone() -> None:
    names = ["take-2-0123456789ab.png", "shot-1.json", "shot-02.json", "shots/shot-2/take.png", "spots/a-2.json"]
    assert newest(dict.fromkeys(names, 0)) == (dict.fromkeys(names, 0), {})


@pytest.mark.long
def test_a_batch_goes_on_in_a_bucket_that_keeps_what_is_stored(lean_cli: Cli, gcs_proxy: Proxy, tmp_path: Path) -> None:
    gcs_proxy.keeps = True
    lean_cli.env |= {
        "CALLSHEET_ARCHIVE": f"gs://bucket/{tmp_path.name}",
        "STORAGE_EMULATOR_HOST": gcs_proxy.url,
        "CALLSHEET_VIDEO_OUTPUT": "off",
    }
    sheet = lean_cli.folder / "sheet.csv"
    sheet.write_text("id,prompt,motion_prompt,cuts\na,A boat,It sails,1x1\n")
    first = lean_cli("run", "sheet.csv")
    assert first.exit_code == 0, first.stderr
    # A clip's sidecar is written again as soon as it is submitted, so the first run meets the policy already.
    assert "numbered names" in first.stderr
    sheet.write_text("id,prompt,motion_prompt,cuts,label\na,A boat,It sails,1x1;9x16,yes\nb,A cup,,,\n")
    second = lean_cli("run", "sheet.csv", "--json")
    assert second.exit_code == 0, second.stderr
    assert second.json["submissions"] == {"image": 1, "video": 0}
    third = lean_cli("run", "sheet.csv", "--json")
    assert (third.exit_code, third.json["submissions"]) == (0, {"image": 0, "video": 0})
    verified = lean_cli("archive", "verify", "sheet.rehearsal", "--json")
    assert verified.exit_code == 0, verified.stdout + verified.stderr
    assert lean_cli("gallery", "sheet.rehearsal").exit_code == 0
    links, real = links_and_newest(gcs_proxy, tmp_path.name)
    assert links == real
    assert re.fullmatch(r"shots/a/shot-\d+\.json", links[0]), "not the first one, which stays under its name"
    rebuilt = lean_cli("ledger", "rebuild", CALLSHEET_HOME=str(tmp_path / "other"))
    assert rebuilt.exit_code == 0, rebuilt.stderr
    again = lean_cli("plan", "sheet.csv", "--json", CALLSHEET_HOME=str(tmp_path / "other"))
    assert "create" not in json.dumps([action["what"] for shot in again.json["shots"] for action in shot["actions"]])


def links_and_newest(proxy: Proxy, prefix: str) -> tuple[list[str], list[str]]:
    """Return the sidecars that the batch's gallery links to, and the names of the newest ones."""

    async def read() -> tuple[list[str], list[str]]:
        store = store_at(proxy.url, prefix)
        _, numbers = newest(await store._list_objects("sheet/"))
        page = (await store.read_bytes("sheet/sheet.rehearsal/gallery.html", 1 << 20)).decode()
        await store.aclose()
        names = [f"sheet/sheet.rehearsal/shots/{shot}/shot.json" for shot in "ab"]
        real = [name_version(name, numbers.get(name, 1)).partition("rehearsal/")[2] for name in names]
        return re.findall(r'href="(shots/[^"]*json)"', page), real

    return asyncio.run(read())


# --- who pays


@pytest.mark.parametrize("project", ["our-project", None])
def test_manifest_in_a_bucket_whose_requester_pays_is_read_with_the_project(
    project: str | None, gcs_proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def upload() -> None:
        store = store_at(gcs_proxy.url, tmp_path.name)
        await write(store, "id,prompt\n", "sheet.csv")
        await store.aclose()

    asyncio.run(upload())
    gcs_proxy.asks_payer = True
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_proxy.url)
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    uri = f"gs://bucket/{tmp_path.name}/sheet.csv"
    if project:
        monkeypatch.setenv("CALLSHEET_STORAGE_PROJECT", project)
        assert read_bytes(uri) == b"id,prompt\n"
    else:
        with pytest.raises(ManifestError, match="CALLSHEET_STORAGE_PROJECT"):
            read_bytes(uri)


async def test_part_that_may_not_be_replaced_is_followed_by_one_that_find_believes(
    store: GcsStore, gcs_proxy: Proxy
) -> None:
    named = {"campaign": "s", "batch": "s.live", "shot": "a", "file": "take-1.png", "kind": "take"}
    row = dict.fromkeys(SCHEMA) | named | {"tags": []}
    day = date(2026, 11, 30)
    first = layout.catalogue_part("s.live", day, 1)
    await store.put_bytes(first, part_bytes([row | {"uri": "gs://old/a.png"}]), "application/octet-stream")
    gcs_proxy.keeps = True
    rows = [row | {"uri": "gs://new/a.png"}]
    with pytest.raises(ArchiveKept):
        await store.put_bytes(first, part_bytes(rows), "application/octet-stream")
    assert await write_changed(store, "s.live", rows, day) == layout.catalogue_part("s.live", day, 2)
    assert await write_changed(store, "s.live", rows, day) is None
    found = latest(
        read_parts({n: io.BytesIO(await store.read_bytes(n, 1 << 20)) for n in await store.list("catalog/")})[0]
    )
    assert found["uri"].to_list() == ["gs://new/a.png"]


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["multipart", "session"])
async def test_a_bucket_whose_requester_pays_is_told_who(data: bytes, gcs_proxy: Proxy, tmp_path: Path) -> None:
    gcs_proxy.asks_payer = True
    store = GcsStore("bucket", tmp_path.name, access=GoogleAccess(gcs_proxy.url, payer="our-project"), patience=AT_ONCE)
    await put(store, tmp_path, "c/take.png", data)
    assert await store.read_bytes("c/take.png", len(data)) == data
    assert list(await store.stats("")) == ["c/take.png"]
    assert sum("!400" in line for line in gcs_proxy.seen) == 1, "once, then it is known"
    await store.aclose()


async def test_without_a_project_it_is_said_at_once(gcs_proxy: Proxy, store: GcsStore, tmp_path: Path) -> None:
    gcs_proxy.asks_payer = True
    for call in (put(store, tmp_path, "c/take.png", SMALL), store.stats(""), store.read_bytes("x", 9)):
        with pytest.raises(ArchiveDenied, match="set CALLSHEET_STORAGE_PROJECT"):
            await call
    assert len(gcs_proxy.seen) == 3, "nothing was tried again"


def test_the_payer_is_the_project_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert access_of(load_settings()).payer is None
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "cloud")
    assert access_of(load_settings()).payer == "cloud"
    monkeypatch.setenv("CALLSHEET_STORAGE_PROJECT", "storage")
    assert access_of(load_settings()).payer == "storage"


# --- advice by reason


def answer(status: int, message: str, reason: str = "", details: list[dict[str, Any]] | None = None) -> StorageReply:
    error: dict[str, Any] = {"code": status, "message": message}
    if reason:
        error["errors"] = [{"message": message, "domain": "global", "reason": reason}]
    if details:
        error["details"] = details
    return StorageReply(status, {}, json.dumps({"error": error}).encode())


REFUSALS = [
    (answer(403, "The account associated with the project has been disabled.", "accountDisabled"), "billing"),
    (
        answer(403, "The billing account for the owning project is disabled in state absent", "accountDisabled"),
        "billing",
    ),
    (answer(403, "The billing account for the owning project is disabled in state closed", "forbidden"), "billing"),
    (
        answer(
            403,
            "Request is prohibited by organization's policy.",
            "forbidden",
            [{"reason": "SECURITY_POLICY_VIOLATED", "metadata": {"uid": "AbC-123"}}],
        ),
        "AbC-123.*perimeter",
    ),
    (
        answer(
            403,
            "Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: XyZ",
            "vpcServiceControls",
        ),
        "XyZ.*perimeter",
    ),
    (answer(400, "Bucket is a requester pays bucket but no user project provided.", "required"), "STORAGE_PROJECT"),
    (answer(400, "User project specified in the request is invalid.", "UserProjectInvalid"), "STORAGE_PROJECT"),
    (answer(403, "Cloud Storage JSON API has not been used in project 1 before", "accessNotConfigured"), "Enable"),
    (answer(403, "Permission denied on Cloud KMS key. Please ensure ...", "forbidden"), "service agent"),
    (answer(403, "Object 'b/o' is under active Temporary hold and cannot be", "objectUnderActiveHold"), "hold"),
    (answer(403, "Object 'b/o' is subject to bucket's retention policy", "retentionPolicyNotMet"), "retention"),
    (answer(412, "Object 'b/o' is under active Event-Based hold and cannot be", "conditionNotMet"), "hold"),
]


@pytest.mark.parametrize(("refusal", "advice"), REFUSALS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_refusal_is_told_with_what_helps(refusal: StorageReply, advice: str) -> None:
    error = failure(refusal, "gs://bucket/object", "storage.objects.create")
    assert isinstance(error, ArchiveDenied)
    assert "storage.objects.create" not in str(error), "no permission on the bucket would help"
    assert "Grant this account" not in str(error)
    assert re.search(advice, str(error)), str(error)


@pytest.mark.parametrize("name", ["billing-2026", "kms", "requester pays", "retention policy"])
def test_the_name_of_an_object_is_no_reason(name: str) -> None:
    message = f"robot@p.iam does not have storage.objects.get access to the object {name}."
    error = failure(answer(403, message, "forbidden"), f"gs://bucket/{name}", "storage.objects.get")
    assert "Grant this account storage.objects.get" in str(error)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b'{"error":null}', b'{"error":{"errors":[1]}}', b'{"error":{"details":5}}']
)
@pytest.mark.parametrize("status", [400, 402, 403, 412])
def test_odd_bodies_are_told_without_a_traceback(body: bytes, status: int) -> None:
    assert isinstance(failure(StorageReply(status, {}, body), "gs://b/o", "storage.objects.get"), ArchiveError)
