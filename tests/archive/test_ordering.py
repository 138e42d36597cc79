"""One writer at a time, in both databases."""

import asyncio

from sidecar.archive.database import Database
from sidecar.archive.ordering import EVENTS, one_writer


async def test_the_second_waits_for_the_end_of_the_first(database: Database) -> None:
    order: list[str] = []
    inside = asyncio.Event()

    async def first() -> None:
        async with database.writing() as transaction:
            await one_writer(transaction, EVENTS)
            inside.set()
            for _ in range(5):
                await asyncio.sleep(0)
            order.append("first")

    async def second() -> None:
        await inside.wait()
        async with database.writing() as transaction:
            await one_writer(transaction, EVENTS)
            order.append("second")

    await asyncio.gather(first(), second())
    assert order == ["first", "second"]
