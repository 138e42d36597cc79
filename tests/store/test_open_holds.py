"""Listing open holds, page by page."""

import pytest

from sidecar.domain.errors import InvalidInput, NotFound
from sidecar.domain.ids import new_id
from sidecar.domain.outcomes import OpenHold
from sidecar.store import open_holds
from sidecar.store.lane import Lane
from tests.support.books import RULE, UNIT, Purse, open_purse


async def all_pages(purse: Purse, customer_id: str | None, limit: int) -> list[OpenHold]:
    found: list[OpenHold] = []
    cursor: str | None = None
    while True:
        page, cursor = await purse.open_holds.page(customer_id=customer_id, limit=limit, cursor=cursor)
        assert len(page) <= limit
        found += page
        if cursor is None:
            return found
        assert len(page) == limit


async def test_a_hold_is_listed_with_its_deadline(purse: Purse) -> None:
    await purse.reserve("r1", 300, ttl_ms=90_000)
    ((hold,), cursor) = await purse.open_holds.page(customer_id=purse.customer_id, limit=10, cursor=None)
    assert cursor is None
    assert (hold.reservation_id, hold.customer_id, hold.unit) == ("r1", purse.customer_id, UNIT)
    assert (hold.held, hold.rule, hold.expires_at_ms - hold.created_at_ms) == (300, RULE, 90_000)


async def test_ended_holds_are_not_listed(purse: Purse) -> None:
    """Nor are those whose end is remembered, and those that were released before they began."""
    for name in ("r1", "r2", "r3"):
        await purse.reserve(name, 1, remember=name == "r3")
    await purse.commit("r1", 1)
    await purse.commit("r3", 1)
    await purse.release("r4")
    await purse.expired("r5", 1)
    assert [hold.reservation_id for hold in await all_pages(purse, None, 10)] == ["r2"]


@pytest.mark.parametrize("limit", [1, 7, 60, 61])
async def test_pages_miss_nothing_and_repeat_nothing(
    purse: Purse, lane: Lane, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many holds share a millisecond and a partition; several reads make one page."""
    monkeypatch.setattr(open_holds, "_READ_AT_ONCE", 4)
    purses = [purse, *[await open_purse(lane, f"customer {number}", granted=100) for number in range(3)]]
    for each in purses:
        for number in range(15):
            await each.reserve(f"r{number}", 1)
    expected = {(each.customer_id, f"r{number}") for each in purses for number in range(15)}
    found = [(hold.customer_id, hold.reservation_id) for hold in await all_pages(purse, None, limit)]
    assert len(found) == len(expected)
    assert set(found) == expected
    own = await all_pages(purse, purse.customer_id, limit)
    assert {hold.customer_id for hold in own} == {purse.customer_id}
    assert len(own) == 15


@pytest.mark.parametrize("cursor", ["x", "", "é", "MSAy", "YSBiIGM="])
async def test_a_foreign_cursor_is_refused(purse: Purse, cursor: str) -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        await purse.open_holds.page(customer_id=None, limit=1, cursor=cursor)


async def test_one_is_found_by_its_id(purse: Purse) -> None:
    await purse.reserve("r1", 300, remember=True)
    (listed,) = await purse.holds()
    assert await purse.open_holds.find(purse.customer_id, "r1") == listed
    await purse.commit("r1", 1)
    for name in ("r1", "r2"):
        with pytest.raises(NotFound, match=f"no open hold {name}"):
            await purse.open_holds.find(purse.customer_id, name)


async def test_those_of_nobody_are_not_found(purse: Purse) -> None:
    nobody = new_id("cus", 1, b"0123456789")
    with pytest.raises(NotFound, match=nobody):
        await purse.open_holds.page(customer_id=nobody, limit=1, cursor=None)
    with pytest.raises(NotFound, match=nobody):
        await purse.open_holds.find(nobody, "r1")
