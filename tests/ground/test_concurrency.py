from __future__ import annotations

import asyncio

import pytest

from callsheet.concurrency import gather_all, gather_bounded


async def test_gather_bounded_with_more_parts_than_places_keeps_their_order_and_the_bound() -> None:
    at_work, most = 0, 0

    async def part(number: int) -> int:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(0)
        at_work -= 1
        return number

    assert await gather_bounded(3, map(part, range(20))) == list(range(20))
    assert most == 3


async def test_an_error_that_a_part_returns_is_its_result() -> None:
    async def part() -> Exception:
        return ValueError("kept for later")

    [result] = await gather_all([part()])
    assert isinstance(result, ValueError)


async def test_an_error_that_a_part_raises_is_raised_when_all_have_ended() -> None:
    ended = list[int]()

    async def part(number: int) -> None:
        await asyncio.sleep(0)
        if number == 0:
            raise ValueError("the first")
        await asyncio.sleep(0)
        ended.append(number)

    with pytest.raises(ValueError, match="the first"):
        await gather_bounded(2, map(part, range(5)))
    assert sorted(ended) == [1, 2, 3, 4]
