"""A short form of the chaos run (`make chaos`): every fault class, SIGKILL, days that turn, a ledger that is lost."""

from __future__ import annotations

import pytest

from tests.e2e.chaos import Size, battle
from tests.support.cli import Cli


@pytest.mark.timeout(600)
def test_a_killed_batch_under_all_faults_is_paid_once_and_ends_like_an_undisturbed_one(
    lean_cli: Cli,
) -> None:
    found = battle(lean_cli, Size(stills=2, videos=2), kills=2, seed=7)
    assert found["kills"] >= 1
    assert found["ledgers rebuilt"] >= found["days turned"] >= 1
    for claim, (holds, figures) in found["claims"].items():
        assert holds, f"{claim}: {figures}\n{found}"
