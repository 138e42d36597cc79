"""Some at a time: nothing is lost, nothing comes twice, and no list is longer than it may be."""

from collections.abc import AsyncIterator

import pytest

from sidecar.services.batches import AT_ONCE, batches


async def numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


@pytest.mark.parametrize("count", [0, 1, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 3 * AT_ONCE + 5])
async def test_all_items_in_their_order(count: int) -> None:
    read = [batch async for batch in batches(numbers(count))]
    assert [number for batch in read for number in batch] == list(range(count))
    assert all(len(batch) == AT_ONCE for batch in read[:-1])
    assert all(0 < len(batch) <= AT_ONCE for batch in read)
