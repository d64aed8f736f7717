"""The policy of tasks: only an archive or ledger out of reach makes a step worth doing again."""

from __future__ import annotations

from typing import Any, cast

import pytest
from prefect.states import Completed, exception_to_failed_state

from callsheet.errors import ArchiveConflict, ArchiveDenied, ArchiveError, LedgerError, NoVideo
from tasks.policy import POLICY, worth_retrying


async def is_retried(error: Exception) -> bool:
    try:
        raise error
    except Exception as raised:
        state = await exception_to_failed_state(raised)
    return await worth_retrying(cast(Any, None), cast(Any, None), state)


@pytest.mark.parametrize("error", [ArchiveError("no answer"), LedgerError("locked")])
async def test_what_is_out_of_reach_is_tried_again(error: Exception) -> None:
    assert await is_retried(error)


@pytest.mark.parametrize(
    "error", [ArchiveDenied("no permission"), ArchiveConflict("other bytes"), NoVideo("nothing"), ValueError("a bug")]
)
async def test_what_will_not_mend_is_not(error: Exception) -> None:
    assert not await is_retried(error)


async def test_nothing_is_cached_or_persisted_by_the_scheduler() -> None:
    assert not await worth_retrying(cast(Any, None), cast(Any, None), Completed(data=None))
    assert POLICY["persist_result"] is False
    assert POLICY["retries"] > 0
