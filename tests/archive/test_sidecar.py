"""A sidecar never forgets what its shot has paid for, however often the shot is edited."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from callsheet.archive.sidecar import ClipRecord, Sidecar, TakeRecord
from callsheet.archive.sidecar_io import sidecar_bytes, with_earlier
from tests.support.cared_for import PREFIX, finished_batch
from tests.support.cli import Cli
from tests.support.service import Service
from tests.support.sidecars import record, shot

SHEET = "id,prompt,takes,seed,motion_prompt,duration_s\ncup,{prompt},1,7,{motion},4\n"


def at(service: Service) -> dict[str, str]:
    return {"GOOGLE_GEMINI_BASE_URL": service.url, "GOOGLE_VERTEX_BASE_URL": service.url}


def sidecar_of(cli: Cli) -> dict[str, Any]:
    [path] = (cli.home / "archive").rglob("shot.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def run(cli: Cli, service: Service, prompt: str, motion: str = "It turns") -> dict[str, Any]:
    (cli.folder / "sheet.csv").write_text(SHEET.format(prompt=prompt, motion=motion))
    done = cli("run", "sheet.csv", "--json", **at(service))
    assert done.exit_code == 0, done.stderr
    return done.json


@pytest.mark.long
def test_an_edit_keeps_what_was_paid_for_and_a_rebuilt_ledger_finds_it_again(lean_cli: Cli, service: Service) -> None:
    run(lean_cli, service, "A cup")
    first = sidecar_of(lean_cli)
    run(lean_cli, service, "A blue cup")
    second = sidecar_of(lean_cli)
    assert [one["job_key"] for one in second["earlier_takes"]] == [first["takes"][0]["job_key"]]
    [earlier], [was] = second["earlier_clips"], first["clips"]
    for name in ("job_key", "operation", "usd", "file", "job"):
        assert earlier[name] == was[name]
    run(lean_cli, service, "A blue cup", "It falls")
    third = sidecar_of(lean_cli)
    assert {one["job_key"] for one in third["earlier_clips"]} == {was["job_key"], second["clips"][0]["job_key"]}

    for path in lean_cli.home.glob("ledger.db*"):
        path.unlink()
    told = lean_cli("ledger", "rebuild", "--json").json
    assert (told["jobs"], told["refused"], told["missing"]) == (5, [], [])
    again = run(lean_cli, service, "A cup")
    assert again["submissions"] == {"image": 0, "video": 0}
    assert lean_cli("archive", "verify", "--json").exit_code == 0


def test_earlier_parts_are_listed_once_and_come_back_with_an_edit_that_is_undone() -> None:
    old, new = sidecar(take(1, "1")), sidecar(take(1, "2"))
    edited = with_earlier(new, old)
    assert edited.earlier_takes == (take(1, "1").model_copy(update={"chosen": False}),)
    assert with_earlier(new, edited) == edited
    back = with_earlier(old, edited)
    assert [one.job_key for one in back.earlier_takes] == [take(1, "2").job_key]


def test_a_file_made_again_for_the_same_job_does_not_hide_the_one_of_before() -> None:
    other = take(1, "2").model_copy(update={"job_key": take(1, "1").job_key})
    [earlier] = with_earlier(sidecar(other), sidecar(take(1, "1"))).earlier_takes
    assert earlier.file == take(1, "1").file


def test_an_operation_without_a_file_is_remembered_and_a_take_that_cost_nothing_is_not() -> None:
    running = clip("1").model_copy(update={"file": None, "operation": "models/m/operations/1", "usd": 0.0})
    unsent = take(2, "3").model_copy(update={"file": None, "job": None, "usd": 0.0})
    before = sidecar(take(1, "1"), unsent).model_copy(update={"clips": (running,)})
    kept = with_earlier(sidecar(take(1, "1")), before)
    assert (kept.earlier_takes, kept.earlier_clips) == ((), (running,))


def take(number: int, digit: str) -> TakeRecord:
    file = record(f"{digit}-{number}.png", "image/png")
    return TakeRecord(take=number, job_key=digit * 64, file=file, usd=0.1, chosen=True)


def clip(digit: str) -> ClipRecord:
    file = record(f"{digit}.mp4", "video/mp4", None, 8.0)
    return ClipRecord(take=1, job_key=digit * 64, model="veo", file=file, usd=0.4)


def sidecar(*takes: TakeRecord) -> Sidecar:
    return shot().model_copy(update={"takes": tuple(takes), "clips": ()})


def test_sidecars_of_before_are_read_with_nothing_earlier(tmp_path: Path) -> None:
    old = json.loads(shot().model_dump_json())
    del old["earlier_takes"], old["earlier_clips"]
    found = Sidecar.model_validate({**old, "schema_version": 4})
    assert (found.earlier_takes, found.earlier_clips) == ((), ())


@pytest.mark.long
def test_cuts_of_a_replaced_clip_stay_listed_beside_it_and_are_nobodys_strangers(
    lean_cli: Cli, service: Service
) -> None:
    cutting = "id,prompt,takes,seed,motion_prompt,duration_s,cuts\ncup,A cup,1,7,{motion},4,1x1\n"

    def make(motion: str) -> dict[str, Any]:
        (lean_cli.folder / "sheet.csv").write_text(cutting.format(motion=motion))
        done = lean_cli("run", "sheet.csv", "--json", **at(service))
        assert done.exit_code == 0, done.stderr
        return done.json

    make("It turns")
    first = sidecar_of(lean_cli)
    make("It falls")
    second = sidecar_of(lean_cli)
    assert [one["file"]["file"] for one in second["earlier_cuts"]] == [one["file"]["file"] for one in first["cuts"]]

    archive, copy = lean_cli.home / "archive", lean_cli.folder / "copy"
    for path in archive.rglob("*.parquet"):
        path.unlink()
    stranger = {"CALLSHEET_HOME": str(lean_cli.folder / "elsewhere"), "CALLSHEET_ARCHIVE": str(archive)}
    told = lean_cli("archive", "verify", "--json", **stranger).json
    assert not [one for batch in told["batches"] for one in batch["findings"] if one["wrong"] == "foreign"]
    copied = lean_cli("archive", "copy", "sheet.rehearsal", str(copy), "--json")
    assert copied.exit_code == 0, copied.stderr
    moved = json.loads(next(copy.rglob("shot.json")).read_text())
    assert all(one["file"]["uri"].startswith(str(copy)) for one in moved["earlier_cuts"])

    for path in lean_cli.home.glob("ledger.db*"):
        path.unlink()
    assert lean_cli("ledger", "rebuild", "--json").json["missing"] == []
    assert make("It turns")["cuts"] == {"created": 0, "reused": 1}, "the cut of before came back with its clip"


def test_a_repair_makes_no_fuss_about_an_earlier_cut_that_is_gone(tmp_path: Path) -> None:
    with finished_batch(tmp_path) as kept:

        async def repaired() -> None:
            name = f"{PREFIX}/shots/kite/shot.json"
            used = Sidecar.model_validate_json(await kept.read(name))
            before = {"cuts": (), "earlier_cuts": used.cuts, "clips": (), "earlier_clips": used.clips}
            await kept.write(name, sidecar_bytes(used.model_copy(update=before)))
            shutil.rmtree(kept.settings.home / "spool")
            await kept.lose(*await kept.names("cut-", "poster-"))
            told = (await kept.verify(repair=True)).findings
            assert [one for one in told if not one.mended] == []
            assert (await kept.verify()).findings == ()

        asyncio.run(repaired())
