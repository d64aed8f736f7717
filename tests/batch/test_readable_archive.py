"""An archive that may be read and not written to: a live run is refused in words before anything is paid for."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from callsheet.batch.request import RunRequest
from callsheet.errors import ArchiveDenied
from callsheet.settings import load_settings
from tests.support.service import Service
from tests.support.whole_batch import whole_batch


def refuse(*_: object, **__: object) -> None:
    raise PermissionError(errno.EACCES, "Permission denied")


async def test_live_run_on_an_archive_that_may_not_be_written_pays_for_nothing(
    tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sheet.csv").write_text("id,prompt\ncup,A cup\n")
    (tmp_path / "archive").mkdir()
    settings = load_settings(
        home=tmp_path / "home",
        archive=str(tmp_path / "archive"),
        gemini_base_url=service.url,
        gemini_api_key="dummy",
    )
    monkeypatch.setattr("callsheet.files.publish_new", refuse)
    monkeypatch.setattr(Path, "mkdir", _refusing(Path.mkdir, tmp_path / "archive"))
    with pytest.raises(ArchiveDenied, match="Give this user the right to write there"):
        await whole_batch(RunRequest(str(tmp_path / "sheet.csv"), live=True), settings)
    assert service.counts()["accepted"] == {"image": 0, "video": 0}


def _refusing(real: object, below: Path) -> object:
    def mkdir(path: Path, *args: object, **given: object) -> None:
        if path != below and path.is_relative_to(below):
            refuse()
        real(path, *args, **given)  # type: ignore[operator]

    return mkdir
