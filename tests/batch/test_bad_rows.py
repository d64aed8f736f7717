"""Batches whose sheets have rows that are wrong: the rest is made, and these alone once they are mended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as property_settings
from hypothesis import strategies as st

from callsheet.batch.open import open_records, open_run
from callsheet.batch.planning import plan_good_rows
from callsheet.batch.prepare import prepare_run, read_request
from callsheet.batch.report import Report, write_report
from callsheet.batch.request import RunRequest
from callsheet.batch.resume import request_again
from callsheet.batch.shards import end_shard, join_shards, list_attempts, open_shard
from callsheet.batch.start import open_batch, set_aside
from callsheet.batch.write_back import write_status
from callsheet.errors import ManifestError
from callsheet.orchestration.run_parameters import parameters_of, request_from
from callsheet.plan import Known
from callsheet.plan.grouping import Shard, shards_of
from callsheet.report.markdown import failures_markdown
from callsheet.settings import Settings, load_settings
from callsheet.steps.archive import write_shot
from callsheet.steps.images import make_images
from tests.support.media_samples import encoded, picture
from tests.support.service import Service
from tests.support.whole_batch import whole_batch

HEAD = "id,prompt,takes,reference_images,edit_of\n"
SHEET = HEAD + ",A cat,1,,\n,A dog,1,dog.png,\n,A cow,1,,\n,A hen,x,,\n,A dog in red,1,,0002:1\n,A goat,1,,\n"


@dataclass
class Desk:
    """A sheet with rows that are wrong, and the service that makes the others."""

    folder: Path
    settings: Settings
    service: Service

    @property
    def request(self) -> RunRequest:
        return RunRequest(str(self.folder / "farm.csv"), on_bad_row="skip")

    @property
    def archive(self) -> Path:
        return self.settings.home / "archive" / "farm" / "farm.rehearsal"

    def write(self, text: str) -> None:
        (self.folder / "farm.csv").write_text(text)

    async def run(self, **other: Any) -> Report:
        return await whole_batch(replace(self.request, **other), self.settings)

    def sent(self) -> int:
        return int(self.service.counts()["accepted"].get("image", 0))

    def document(self, name: str) -> Mapping[str, Any]:
        found: dict[str, Any] = json.loads((self.archive / name).read_text())
        return found


@pytest.fixture
def desk(tmp_path: Path, service: Service) -> Desk:
    desk = Desk(tmp_path, load_settings(home=tmp_path / "home", gemini_base_url=service.url, tier=3), service)
    desk.write(SHEET)
    return desk


async def test_the_good_rows_are_made_and_the_others_told_everywhere(desk: Desk) -> None:
    report = await desk.run()
    summary = report.summary
    assert (report.exit_code, desk.sent()) == (3, 3)
    assert (summary["shots"]["total"], summary["shots"]["done"], summary["shots"]["left_out"]) == (6, 3, 3)
    assert [(one["shot"], one["line"]) for one in summary["left_out"]] == [("0002", 3), ("0004", 5), ("0005", 6)]
    assert "farm.csv:3: reference_images: 'dog.png': there is no such file" in summary["left_out"][0]["problems"][0]
    assert "it is made of '0002', which is left out" in summary["left_out"][2]["problems"][0]
    assert desk.document("plan.json")["left_out"] == summary["left_out"], "the archive says it, too"
    marker = desk.document("_SUCCESS.json")
    assert (marker["complete"], marker["unfinished"]) == (False, ["0002", "0004", "0005"])
    assert sorted(path.name for path in (desk.archive / "shots").iterdir()) == ["0001", "0003", "0006"]


async def test_a_mended_row_is_made_alone_and_nothing_is_paid_for_twice(desk: Desk) -> None:
    await desk.run()
    (desk.folder / "dog.png").write_bytes(encoded(picture(1)))
    second = await desk.run()
    assert (second.exit_code, desk.sent()) == (3, 5), "the picture was put there: its shot, and what is made of it"
    desk.write(SHEET.replace("A hen,x", "A hen,1"))
    third = await desk.run(on_bad_row="stop")
    assert (third.exit_code, desk.sent(), third.summary["submissions"]["image"]) == (0, 6, 1)
    assert "left_out" not in third.summary
    assert "left_out" not in third.summary["shots"]
    assert desk.document("_SUCCESS.json")["complete"]
    assert "left_out" not in desk.document("plan.json")


async def test_by_hand_a_bad_row_stops_all_of_it(desk: Desk) -> None:
    with pytest.raises(ManifestError) as stopped:
        await desk.run(on_bad_row="stop")
    assert [problem.line for problem in stopped.value.problems] == [3, 5]
    assert (desk.sent(), desk.archive.exists()) == (0, False)


async def test_what_was_made_before_its_row_broke_stays_in_gallery_catalogue_and_record(desk: Desk) -> None:
    (desk.folder / "dog.png").write_bytes(encoded(picture(1)))
    desk.write(SHEET.replace("A hen,x", "A hen,1"))
    assert (await desk.run()).exit_code == 0
    (desk.folder / "dog.png").unlink()
    report = await desk.run()
    assert (report.exit_code, desk.sent()) == (3, 6)
    assert [one.shot for one in report.sidecars] == [f"000{n}" for n in range(1, 7)]
    marker = desk.document("_SUCCESS.json")
    assert (marker["unfinished"], marker["shots"]) == (["0002", "0005"], {"total": 6, "done": 4, "pending": 2})
    assert "dropped" in desk.document("plan.json")
    assert desk.document("plan.json")["dropped"] == [], "it is still in the manifest"
    (desk.folder / "dog.png").write_bytes(encoded(picture(1)))
    assert ((await desk.run()).exit_code, desk.sent()) == (0, 6)
    assert desk.document("_SUCCESS.json")["complete"]


async def test_a_row_that_its_route_refuses_is_left_out_with_what_is_made_of_it(desk: Desk) -> None:
    desk.write("id,prompt,edits,edit_of\na,A cat,,\nb,A dog,In red | =SUM(A1:A2),\nc,At night,,b:1\nd,#REF!,,\n")
    report = await desk.run()
    assert (report.exit_code, desk.sent()) == (3, 1), "not even the first picture of the row is paid for"
    assert [one["shot"] for one in report.summary["left_out"]] == ["b", "b-edit-1", "b-edit-2", "c", "d"]
    told = [one["problems"][0].partition("farm.csv:")[2] for one in report.summary["left_out"]]
    assert told[0].startswith("3: prompt: '=SUM(A1:A2)' is a formula")
    assert told[3].startswith("4: edit_of: it is made of 'b'")


async def test_a_misspelt_column_concerns_all_rows_and_stops_a_live_run(desk: Desk) -> None:
    desk.write("id,prompt,motion_promt\na,A cat,It runs\n")
    asked = await prepare_run(replace(desk.request, live=True), desk.settings)
    assert all(one.of_sheet for one in asked.manifest.unsendable)
    assert plan_good_rows(asked, Known()).left_out == ()


async def test_a_sheet_of_which_no_row_may_be_sent_stops(desk: Desk) -> None:
    desk.write("id,prompt\na,#REF!\nb,=SUM(A1:A2)\n")
    with pytest.raises(ManifestError) as stopped:
        await desk.run()
    assert len(stopped.value.problems) == 2


async def test_of_rows_that_ask_for_the_same_all_are_left_out(desk: Desk) -> None:
    desk.write("id,prompt\na,#REF!\nb,#REF!\nc,A cat\n")
    plan = plan_good_rows(await prepare_run(desk.request, desk.settings), Known())
    assert [one.shot for one in plan.left_out] == ["a", "b"], "what one would send for both, neither sends"


async def test_shots_that_are_asked_for_by_name_count_alone(desk: Desk) -> None:
    with pytest.raises(ManifestError, match=r"dog\.png"):
        await desk.run(only=("0002",))
    assert (await desk.run(only=("0001", "0002"))).exit_code == 3
    assert (await desk.run(only=("0001",))).exit_code == 0, "the rows that are wrong were not asked for"
    assert desk.sent() == 1


async def test_what_goes_on_with_a_batch_leaves_out_the_same_rows(desk: Desk) -> None:
    await desk.run()
    async with open_records(desk.settings) as (ledger, _):
        (row,) = await ledger.batches()
    again = request_again(row)
    assert again is not None
    assert again.skips_bad_rows
    assert request_from(parameters_of(again)).skips_bad_rows
    usual = RunRequest("farm.csv")
    assert "on_bad_row" not in {**parameters_of(usual), **usual.to_record()}, "deployments of before go on"


async def test_the_page_of_failures_says_which_rows_are_left_out_and_what_to_do(desk: Desk) -> None:
    asked = await prepare_run(desk.request, desk.settings)
    page = failures_markdown([], plan_good_rows(asked, Known()).left_out)
    assert page.count("is left out") == 4, "three shots; one says it of its parent"
    assert page.count("mend the row") == 3


def test_the_copy_of_the_sheet_says_which_rows_are_left_out(desk: Desk) -> None:
    report = asyncio.run(desk.run())
    asked = asyncio.run(prepare_run(desk.request, desk.settings))
    lines = [one["line"] for one in report.summary["left_out"]]
    status = Path(asyncio.run(write_status(asked, lines))).read_text().splitlines()
    assert [line.split(",")[5] for line in status[1:]] == [
        "done (rehearsal)", "left out", "done (rehearsal)", "left out", "left out", "done (rehearsal)"
    ]  # fmt: skip


async def work(desk: Desk, shard: Shard) -> dict[str, Any]:
    """What the run of a shard does, without Prefect."""
    async with open_run(replace(desk.request, shard=shard), desk.settings) as (run, asked):
        plan = await open_shard(run, asked.manifest, shard)
        for work in run.state.hold(await set_aside(run, plan)):
            await make_images(run, work)
            await write_shot(run, work)
        return await end_shard(run, plan)


async def test_two_shards_see_the_same_shots_around_a_bad_row_in_the_middle(desk: Desk) -> None:
    desk.write(HEAD + ",A cat,1,,\n,A dog,1,dog.png,\n,#REF!,1,,\n,A hen,x,,\n,A cow,1,,\n,A goat,1,,\n")
    async with open_run(desk.request, desk.settings) as (run, asked):
        plan = await open_batch(run, asked)
        going = await set_aside(run, plan)
        sent = await list_attempts(run)
        shards = shards_of(plan.places, {shot.id for shot in going}, 3, run.batch.manifest_sha256)
        assert [(shard.first, shard.last) for shard in shards] == [(1, 3), (4, 6)]
        assert await work(desk, shards[0]) == {"exit_code": 0, "shots": {"total": 1, "done": 1}}
        assert await work(desk, shards[1]) == {"exit_code": 0, "shots": {"total": 2, "done": 2}}
        await join_shards(run, going, sent)
        ended = (await write_report(run, 1.0)).summary
    assert (ended["exit_code"], ended["shots"]["done"], ended["shots"]["left_out"], desk.sent()) == (3, 3, 3, 3)
    # The picture comes, the sheet stays as it is: its shard has the same name and makes it alone.
    (desk.folder / "dog.png").write_bytes(encoded(picture(1)))
    async with open_run(desk.request, desk.settings) as (run, asked):
        plan = await open_batch(run, asked)
        going = await set_aside(run, plan)
        again = shards_of(plan.places, {shot.id for shot in going}, 3, run.batch.manifest_sha256)
        assert again == shards[:1]
        assert (await work(desk, again[0]))["shots"] == {"total": 2, "done": 2}
    assert desk.sent() == 4


async def test_a_picture_that_one_machine_lacks_is_told_by_its_shard_and_not_left_out(desk: Desk) -> None:
    (desk.folder / "dog.png").write_bytes(encoded(picture(1)))
    async with open_run(desk.request, desk.settings) as (run, asked):
        await open_batch(run, asked)
        shard = Shard(1, 3, run.batch.manifest_sha256)
    (desk.folder / "dog.png").unlink()
    with pytest.raises(ManifestError, match=r"dog\.png"):
        await work(desk, shard)
    assert desk.sent() == 0


#: How a row is wrong: its takes, its picture, or its prompt.
WRONG = st.sampled_from(
    ["{},99,", "{},x,", "{},1,none.png", "{},1,../../etc/passwd", "#REF!,1,", "=SUM(A1),1,", "A {{nope}},1,"]
)
ROWS = st.lists(
    st.tuples(st.integers(1, 3), st.one_of(st.none(), WRONG), st.booleans(), st.integers(0, 20)),
    min_size=1,
    max_size=10,
)


@given(ROWS)
@property_settings(max_examples=50, deadline=None)
def test_the_good_rows_ask_for_what_they_would_ask_for_if_no_row_were_bad(
    rows: list[tuple[int, str | None, bool, int]],
) -> None:
    whole, mixed = ["id,prompt,takes,reference_images,edit_of"], ["id,prompt,takes,reference_images,edit_of"]
    bad: dict[str, bool] = {}
    for place, (takes, wrong, is_named, earlier) in enumerate(rows, start=1):
        parent = next((shot for at, shot in enumerate(bad) if at == earlier), "")
        own, prompt, above = f"s{place}" if is_named else "", f"A lamp {place}", f"{parent}:1" if parent else ""
        whole.append(f"{own},{prompt},{takes},,{above}")
        mixed.append(f"{own},{(wrong or f'{{}},{takes},').format(prompt)},{above}")
        bad[own or f"{place:04d}"] = wrong is not None or (parent != "" and bad[parent])
    with TemporaryDirectory() as folder:
        settings, sheet = load_settings(home=Path(folder) / "home"), Path(folder) / "m.csv"
        sheet.write_text("\n".join(whole) + "\n")
        expected = find_keys(read_request(RunRequest(str(sheet)), settings))
        sheet.write_text("\n".join(mixed) + "\n")
        try:
            asked = read_request(RunRequest(str(sheet), on_bad_row="skip"), settings)
            found = find_keys(asked)
        except ManifestError:
            assert all(bad.values())
            return
        left_out = {one.shot for one in plan_good_rows(asked, Known()).left_out}
    assert left_out == {shot for shot, is_bad in bad.items() if is_bad}
    assert found == {shot: keys for shot, keys in expected.items() if shot not in left_out}


@given(ROWS, st.integers(1, 4))
@property_settings(max_examples=25, deadline=None)
def test_shards_of_any_size_have_the_good_rows_between_them_and_none_twice(
    rows: list[tuple[int, str | None, bool, int]], size: int
) -> None:
    mixed = [HEAD]
    for place, (takes, wrong, is_named, _) in enumerate(rows, start=1):
        own = f"s{place}" if is_named else ""
        mixed.append(f"{own},{(wrong or f'{{}},{takes},').format(f'A lamp {place}')},\n")
    with TemporaryDirectory() as folder:
        settings, sheet = load_settings(home=Path(folder) / "home"), Path(folder) / "m.csv"
        sheet.write_text("".join(mixed) + "last,A lamp,1,,\n")
        asked = read_request(RunRequest(str(sheet), on_bad_row="skip"), settings)
        plan, entered = plan_good_rows(asked, Known()), find_keys(asked)
        found: dict[str, Any] = {}
        for shard in shards_of(plan.places, entered, size, asked.manifest.sha256):
            part = read_request(replace(asked.request, shard=shard), settings)
            shots = [shot.id for shot in part.shots if shot.id in entered]
            assert shots == [shot for shot in plan.places[shard.stretch] if shot in entered]
            assert found.keys().isdisjoint(shots)
            found |= {shot: keys for shot, keys in find_keys(part).items() if shot in shots}
    assert found == entered


def find_keys(asked: Any) -> dict[str, list[tuple[str | None, str | None]]]:
    """What a run would send, by shot: the keys, or all that is asked of an edit but its parent."""
    plan = plan_good_rows(asked, Known())
    return {item.shot.id: [(action.job_key, action.wish) for action in item.actions] for item in plan.shots}
