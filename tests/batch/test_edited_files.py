"""`edit_of` with a file: a picture is made from one of the archive, of an earlier batch or of somebody else's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from callsheet.errors import ManifestError
from callsheet.settings import load_settings
from tests.support.pictures import a_png
from tests.support.service import Service, start_service
from tests.support.video_folder import VideoFolder

HEADER = "id,prompt,edit_of,takes,reference_images\n"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = start_service(tmp_path_factory.mktemp("service"), factor=60, latency={"image": 0, "video": 20})
    yield service
    service.process.terminate()
    service.process.wait(timeout=120)


@pytest.fixture
def folder(tmp_path: Path, shared: Service) -> VideoFolder:
    settings = load_settings(home=tmp_path / "home", gemini_base_url=shared.url, tier=3)
    return VideoFolder(tmp_path, settings, shared, HEADER)


def archived(folder: VideoFolder, shot: str, campaign: str = "sheet") -> dict[str, Any]:
    place = Path(folder.settings.archive_uri) / campaign / f"{campaign}.rehearsal" / "shots" / shot
    told: dict[str, Any] = json.loads((place / "shot.json").read_text()) | {"place": place}
    return told


def test_a_picture_of_an_earlier_batch_is_edited_with_its_bytes_first_and_told_as_its_parent(
    folder: VideoFolder,
) -> None:
    folder.write("kite,A kite,,2,\n")
    folder.run()
    kite = archived(folder, "kite")
    address = kite["takes"][1]["file"]["uri"]
    (folder.place / "logo.png").write_bytes(a_png("orange"))
    folder.write(f"red,Make it red,{address},1,logo.png\n")
    summary = folder.run(campaign="summer")
    assert (summary["exit_code"], summary["submissions"]["image"]) == (0, 1)
    red = archived(folder, "red", "summer")
    (take,) = red["takes"]
    asked = take["job"]["request"]["inputs"]
    assert (len(asked), asked[0]) == (2, kite["takes"][1]["file"]["sha256"])
    assert take["file"]["parent"] == asked[0]
    assert red["image"]["edit_of"] == address
    again = folder.run(campaign="summer")
    assert (again["exit_code"], again["submissions"]["image"], again["images"]["reused"]) == (0, 0, 1)


def test_a_file_beside_the_sheet_is_edited_and_the_plan_says_of_what(folder: VideoFolder) -> None:
    (folder.place / "photo.JPG").write_bytes(a_png("green"))
    folder.write("blue,Make it blue,photo.JPG,1,\n")
    (planned,) = folder.plan_json()["shots"]
    assert planned["edit_of"] == str(folder.place / "photo.JPG")
    assert folder.run()["exit_code"] == 0


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ("red,Make it red,missing.png,1,", "edit_of: 'missing.png'"),
        ("red,Make it red,https://example.com/a.png,1,", "web addresses are not fetched"),
        ("red,Make it red,../other/a.png,1,", "leads out of the manifest's folder"),
        ("red,Make it red,gs://somebody/a.png,1,", "outside the allowed places"),
        ("red,Make it red,note.png,1,", "no picture of a known type"),
        ("red,Make it red,kit,1,", "unknown shot 'kit'"),
    ],
)
def test_a_file_that_cannot_be_edited_is_refused_at_its_cell(folder: VideoFolder, cells: str, told: str) -> None:
    (folder.place / "note.png").write_text("no picture")
    folder.write(f"kite,A kite,,1,\n{cells}\n")
    with pytest.raises(ManifestError) as raised:
        folder.run()
    assert told in str(raised.value)
    assert "sheet.csv:3" in str(raised.value)


def test_a_shot_whose_id_looks_like_a_file_is_still_the_shot(folder: VideoFolder) -> None:
    folder.write("kite.png,A kite,,1,\n", "red,Make it red,kite.png,1,\n")
    folder.run()
    assert archived(folder, "red")["image"]["edit_of"] == "kite.png:1"
