"""Credit blocks that are ended or extended; once for each key, and never what holds keep."""

import pytest

from sidecar.domain.errors import Conflict, IdempotencyMismatch, InvalidInput, NotFound
from sidecar.domain.journal import Kind, Totals
from sidecar.store.lane import Lane
from tests.support.books import NOW_MS, Purse, in_credits, open_purse
from tests.support.clock import StoreClock
from tests.support.sums import assert_right

HOUR_MS = 3_600_000


@pytest.fixture
async def empty(clock: StoreClock, lane: Lane) -> Purse:
    """A customer without credit, at `NOW_MS`."""
    return await open_purse(lane)


async def order(purse: Purse) -> list[str]:
    """The blocks by the order in which they burn."""
    return [block.grant.block_id.removeprefix("blk_") for block in await purse.blocks()]


class TestVoids:
    async def test_what_is_left_can_be_spent_no_more(self, purse: Purse) -> None:
        await purse.reserve("r1", 300)
        await purse.reserve("r2", 200)
        changed = await purse.void("opening")
        assert (changed.block_id, changed.amount) == ("blk_opening", 500)
        assert changed.totals == Totals(granted=1000, held=500, voided=500)
        await assert_right(purse)
        await purse.commit("r1", 100)
        await purse.release("r2")
        assert await purse.balance() == in_credits(1000, 0, 0, 100, voided=900)
        assert await purse.blocks() == ()
        await assert_right(purse)
        voids = [line for line in await purse.lines() if line.kind is Kind.VOID]
        assert [(line.moves[0].amount, str(line.position)) for line in voids] == [(500, changed.entry)]

    async def test_what_comes_back_of_it_still_repays_debt(self, purse: Purse) -> None:
        await purse.reserve("r1", 300)
        await purse.void("opening")
        await purse.reserve("r2", 0)
        await purse.commit("r2", 120)
        await purse.release("r1")
        assert await purse.balance() == in_credits(1000, 0, 0, 120, voided=880)
        await assert_right(purse)

    async def test_a_block_that_has_not_started(self, empty: Purse) -> None:
        await empty.grant(10, "one", starts_at_ms=NOW_MS + 1000)
        await empty.grant(20, "two", starts_after_block_id="blk_one")
        assert (await empty.void("two")).amount == 20
        assert (await empty.void("one")).totals == Totals(granted=30, voided=30)
        assert await empty.blocks() == ()
        await assert_right(empty)

    async def test_once(self, purse: Purse) -> None:
        first = await purse.void("opening", once="k")
        again = await purse.void("opening", once="k")
        assert (again.amount, again.totals, again.entry, again.replayed) == (1000, first.totals, first.entry, True)
        with pytest.raises(NotFound, match="no live block blk_opening"):
            await purse.void("opening", once="k2")
        with pytest.raises(IdempotencyMismatch):
            await purse.void("other", once="k", fingerprint="bb")

    @pytest.mark.parametrize("state", ["unknown", "expired", "used up"])
    async def test_what_is_over_cannot_be_ended_or_extended(
        self, empty: Purse, clock: StoreClock, state: str
    ) -> None:
        await empty.grant(10, "g", expires_at_ms=NOW_MS + 1000)
        await empty.reserve("r1", 10)
        if state == "used up":
            await empty.commit("r1", 10)
        if state == "expired":
            clock.tick(1000)
        key = "nothing" if state == "unknown" else "g"
        with pytest.raises(NotFound, match=f"no live block blk_{key}"):
            await empty.void(key)
        with pytest.raises(NotFound, match=f"no live block blk_{key}"):
            await empty.extend(key, None)


class TestExtensions:
    async def test_its_place_in_the_order_follows(self, empty: Purse, clock: StoreClock) -> None:
        await empty.grant(10, "one", expires_at_ms=NOW_MS + 1000)
        await empty.grant(10, "two", expires_at_ms=NOW_MS + 2000)
        changed = await empty.extend("one", NOW_MS + 3000)
        assert (changed.amount, changed.totals) == (0, Totals(granted=20, available=20))
        assert await order(empty) == ["two", "one"]
        await empty.extend("two", None)
        assert await order(empty) == ["one", "two"]
        await assert_right(empty)
        clock.tick(2999)
        assert (await empty.balance()).available == 20
        clock.tick(1)
        assert (await empty.balance()).available == 10
        assert [line.kind for line in await empty.lines()][2:] == [Kind.EXTENSION, Kind.EXTENSION, Kind.EXPIRY]
        await assert_right(empty)

    async def test_to_earlier(self, empty: Purse, clock: StoreClock) -> None:
        await empty.grant(10, "one")
        await empty.extend("one", NOW_MS + 1)
        await assert_right(empty)
        clock.tick(1)
        assert await empty.sweep() == 0
        assert await empty.balance() == in_credits(10, 0, 0, 0, expired=10)

    async def test_what_waits_for_it_waits_longer(self, empty: Purse, clock: StoreClock) -> None:
        await empty.grant(10, "one", expires_at_ms=NOW_MS + 1000)
        await empty.grant(20, "two", starts_after_block_id="blk_one")
        await empty.extend("one", NOW_MS + 5000)
        clock.tick(4999)
        assert (await empty.balance()).scheduled == 20
        clock.tick(1)
        assert (await empty.balance()).available == 20

    async def test_only_to_a_time_to_come_and_not_of_what_waits(self, empty: Purse, clock: StoreClock) -> None:
        await empty.grant(10, "one", starts_at_ms=NOW_MS + 1000)
        await empty.grant(20, "two", starts_after_block_id="blk_one")
        for at_ms in (NOW_MS, NOW_MS + 1000):
            with pytest.raises(InvalidInput, match=f"after now \\({NOW_MS} ms\\) and after it starts"):
                await empty.extend("one", at_ms)
        with pytest.raises(Conflict, match="waits for another"):
            await empty.extend("two", None)
        await empty.extend("one", NOW_MS + 1001)
        await assert_right(empty)

    async def test_once(self, empty: Purse) -> None:
        await empty.grant(10, "one")
        first = await empty.extend("one", NOW_MS + 1000, once="k")
        again = await empty.extend("one", NOW_MS + 1000, once="k")
        assert (again.entry, again.totals, again.replayed) == (first.entry, first.totals, True)
