"""Some items of an asynchronous iterator at a time, for who works on several at once in bounded memory."""

from collections.abc import AsyncIterator
from typing import TypeVar

T = TypeVar("T")

AT_ONCE = 32


async def batches(items: AsyncIterator[T]) -> AsyncIterator[list[T]]:
    """All items in their order, `AT_ONCE` in each list but the last."""
    batch: list[T] = []
    async for item in items:
        batch.append(item)
        if len(batch) == AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch
