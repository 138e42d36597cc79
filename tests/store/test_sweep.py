"""Sweeping: many holds, many payers, payers whose books are damaged, and never too late."""

import asyncio
import itertools
import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.domain.blocks import BlockState
from sidecar.domain.errors import StoreUnavailable
from sidecar.domain.journal import Kind
from sidecar.store.lane import Lane
from sidecar.store.ledger import CORRUPT_AGAIN_MS
from tests.support.books import NOW_MS, TOKENS, TTL_MS, UNIT, Purse, in_credits, open_lane, open_member, open_purse
from tests.support.clock import StoreClock, store_clock
from tests.support.store import StoreServer
from tests.support.sums import assert_due_in_time, assert_right


async def neighbours(lane: Lane, count: int) -> list[Purse]:
    """Customers with 100 credits who lie in one partition."""
    first = await open_purse(lane, "neighbour 0", granted=100)
    found, number = [first], 0
    while len(found) < count:
        number += 1
        customer = await first.customers.create(
            external_id=f"neighbour {number}", now_ms=NOW_MS, parent_id=first.customer_id
        )
        # A member lies beside its parent; without the parent it is a customer like any.
        place = first.keys.of(customer[0].customer_id)
        await lane.execute("HDEL", place.customer, "parent")
        purse = Purse(lane, customer[0].customer_id, f"neighbour {number}")
        await purse.grant(100, "opening")
        found.append(purse)
    return found


async def test_more_holds_than_one_look_finds(clock: StoreClock, purse: Purse) -> None:
    """They are looked at in steps; those that stay are not touched."""
    await asyncio.gather(
        *(purse.reserve(f"r{number}", 1, ttl_ms=TTL_MS + number % 2) for number in range(1000)),
    )
    clock.tick(TTL_MS)
    assert await purse.sweep() == 500
    assert await purse.balance() == in_credits(1000, 500, 500, 0)
    await assert_right(purse)
    clock.tick(TTL_MS)
    assert await purse.sweep() == 500
    await assert_right(purse)
    clock.tick(900_000)
    assert await purse.sweep() == 0
    clock.tick(900_000)
    assert await purse.sweep() == 0
    assert not await purse.lane.execute("EXISTS", purse.keys.of(purse.customer_id).holds)


async def test_holds_that_come_during_a_long_sweep_are_found_in_time(
    clock: StoreClock, purse: Purse, store_url: str
) -> None:
    await asyncio.gather(*(purse.reserve(f"r{number}", 1, ttl_ms=1000) for number in range(600)))
    clock.tick(1000)
    async with open_lane(store_url) as lane:
        other = purse.elsewhere(lane)
        _, expired = await asyncio.gather(
            asyncio.gather(*(other.reserve(f"s{number}", 1, ttl_ms=2000 - number) for number in range(100))),
            purse.sweep(),
        )
    assert expired == 600
    await assert_right(purse)
    clock.tick(2000)
    assert await purse.sweep() == 100
    await assert_right(purse)


async def test_a_sweep_is_bounded(clock: StoreClock, lane: Lane) -> None:
    several = await neighbours(lane, 5)
    for purse in several:
        await purse.reserve("r1", 10)
    clock.tick(TTL_MS)
    swept = [await several[0].ledger.sweep(several[0].partition, 2) for _ in range(4)]
    assert swept == [(2, 2), (2, 2), (1, 1), (0, 0)]


async def test_the_longest_overdue_comes_first(clock: StoreClock, lane: Lane) -> None:
    several = await neighbours(lane, 3)
    for ttl_ms, purse in zip((3000, 1000, 2000), several, strict=True):
        await purse.reserve("r1", 10, ttl_ms=ttl_ms)
    clock.tick(3000)
    held = []
    for _ in several:
        await several[0].ledger.sweep(several[0].partition, 1)
        held.append([(await purse.balance()).held for purse in several])
    assert held == [[10, 0, 10], [10, 0, 0], [0, 0, 0]]


async def test_holds_of_members_in_several_units(clock: StoreClock, purse: Purse) -> None:
    await purse.grant(100, "tokens", unit=TOKENS)
    member = await open_member(purse, cap=500)
    for number in range(20):
        await member.reserve(f"m{number}", 10, tokens=2)
        await purse.reserve(f"p{number}", 3, unit=TOKENS)
    clock.tick(TTL_MS)
    assert await purse.sweep() == 40
    assert [each.held for each in await purse.accounts.balances(purse.customer_id)] == [0, 0]
    assert (await member.share()).held == 0
    await assert_right(purse)


async def test_two_sweeps_at_once_expire_each_hold_once(clock: StoreClock, purse: Purse, store_url: str) -> None:
    await asyncio.gather(*(purse.reserve(f"r{number}", 1) for number in range(700)))
    clock.tick(TTL_MS)
    async with open_lane(store_url) as one, open_lane(store_url) as two:
        counts = await asyncio.gather(*(purse.elsewhere(lane).sweep() for lane in (one, two, purse.lane)))
    assert sum(counts) == 700
    expiries = [line for line in await purse.lines() if line.kind is Kind.HOLD_EXPIRY]
    assert len({line.hold.reservation_id for line in expiries if line.hold}) == len(expiries) == 700
    await assert_right(purse)


class TestDamage:
    """A payer whose books cannot be read is left alone, and nobody else waits for it."""

    @staticmethod
    async def damage(purse: Purse, what: str) -> None:
        place, account = purse.keys.of(purse.customer_id), purse.keys.account(purse.customer_id, UNIT)
        if what == "a hold":
            await purse.lane.execute("HSET", place.holds, "r1", "x" * 20)
        elif what == "an account":
            await purse.lane.execute("SET", account.account, "1000 700 300")
        elif what == "its units":
            await purse.lane.execute("HSET", place.customer, "units", "credits /")
        elif what == "a missing account":
            await purse.lane.execute("HSET", place.customer, "units", TOKENS)
        else:
            await purse.lane.execute("ZADD", place.due, 1, "nobody")

    @pytest.mark.parametrize("what", ["a hold", "an account", "its units", "a missing account", "a stranger"])
    async def test_others_are_swept(
        self, clock: StoreClock, lane: Lane, what: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        bad, *others = await neighbours(lane, 4)
        for purse in (bad, *others):
            await purse.reserve("r1", 10)
        await self.damage(bad, what)
        clock.tick(TTL_MS)
        assert await bad.sweep() == (4 if what == "a stranger" else 3)
        for purse in others:
            assert await purse.balance() == in_credits(100, 100, 0, 0)
            await assert_right(purse)
        assert bad.ledger.corrupt_total == 1
        (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert ("nobody" if what == "a stranger" else bad.customer_id) in record.getMessage()

    async def test_it_is_tried_again_later_so_others_have_their_turn(self, clock: StoreClock, lane: Lane) -> None:
        """However many are damaged."""
        *bad, good = await neighbours(lane, 4)
        for purse in (*bad, good):
            await purse.reserve("r1", 10)
            clock.tick(1)
        for purse in bad:
            await self.damage(purse, "a hold")
        clock.tick(TTL_MS)
        swept = [await good.ledger.sweep(good.partition, 2) for _ in range(4)]
        assert swept == [(2, 0), (2, 1), (0, 0), (0, 0)]
        for purse in bad:
            await lane.execute("HDEL", purse.keys.of(purse.customer_id).holds, "r1")
        clock.tick(CORRUPT_AGAIN_MS)
        assert (await good.ledger.sweep(good.partition, 9))[0] == 3
        assert good.ledger.corrupt_total == 3

    async def test_a_store_that_goes_away_is_no_damage(self, purse: Purse, monkeypatch: pytest.MonkeyPatch) -> None:
        def away(*_: object) -> None:
            raise StoreUnavailable("away")

        monkeypatch.setattr(purse.lane, "send", away)
        with pytest.raises(StoreUnavailable):
            await purse.sweep()
        assert purse.ledger.corrupt_total == 0


stories = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), st.integers(0, 9), st.integers(0, 40), st.integers(1, 5000)),
        st.tuples(st.just("resize"), st.integers(0, 9), st.integers(0, 60), st.integers(0, 3000)),
        st.tuples(st.just("commit"), st.integers(0, 9), st.integers(0, 50), st.integers(0, 2)),
        st.tuples(st.just("release"), st.integers(0, 12), st.just(0), st.just(0)),
        st.tuples(st.just("grant"), st.integers(0, 3), st.integers(1, 60), st.integers(1, 4000)),
        st.tuples(st.just("extend"), st.integers(0, 3), st.just(0), st.integers(1, 4000)),
        st.tuples(st.just("tick"), st.just(0), st.just(0), st.sampled_from([1, 999, 60_000, 900_000])),
        st.tuples(st.just("sweep"), st.just(0), st.just(0), st.just(0)),
    ),
    max_size=30,
)


class Story:
    """What happens to one payer, a step at a time."""

    def __init__(self, purse: Purse, clock: StoreClock) -> None:
        self.purse = purse
        self.clock = clock
        self.steps = 0

    async def play(self, todo: list[tuple[str, int, int, int]]) -> None:
        for what, *numbers in todo:
            self.steps += 1
            await getattr(self, what)(*numbers)
            await assert_due_in_time(self.purse)

    async def reserve(self, number: int, amount: int, ms: int) -> None:
        await self.purse.reserve(f"r{self.steps}", amount, ttl_ms=ms, remember=number % 2 == 0)

    async def resize(self, number: int, amount: int, ms: int) -> None:
        await self.purse.resize(self.some(number), amount, ttl_ms=ms)

    async def commit(self, number: int, amount: int, step: int) -> None:
        await self.purse.commit(self.some(number), amount, step=step)

    async def release(self, number: int, *_: int) -> None:
        await self.purse.release(self.some(number) if number < 10 else f"unknown{self.steps}")

    async def grant(self, number: int, amount: int, ms: int) -> None:
        start = self.clock.now_ms + ms if number else None
        await self.purse.grant(amount, f"g{self.steps}", starts_at_ms=start, duration_ms=ms)

    async def extend(self, number: int, _: int, ms: int) -> None:
        live = {BlockState.ACTIVE, BlockState.SCHEDULED}
        if blocks := [block for block in await self.purse.blocks() if block.state in live]:
            key = blocks[number % len(blocks)].grant.block_id.removeprefix("blk_")
            await self.purse.extend(key, self.clock.now_ms + 5000 + ms, once=f"e{self.steps}")

    async def tick(self, _: int, __: int, ms: int) -> None:
        self.clock.tick(ms)

    async def sweep(self, *_: int) -> None:
        await self.purse.sweep()

    def some(self, number: int) -> str:
        known = list(self.purse.records) or ["r0"]
        return known[-1 - number % len(known)]


def test_due_is_never_later_than_anything_that_is_due(shared_store: StoreServer, store_url: str) -> None:
    """Whatever happens to a payer; and once all of it has been swept, nothing overdue is left."""

    async def one(lane: Lane, clock: StoreClock, name: str, todo: list[tuple[str, int, int, int]]) -> None:
        purse = await open_purse(lane, name, granted=100)
        await Story(purse, clock).play(todo)
        await purse.sweep()
        assert await lane.execute("ZCOUNT", purse.keys.of(purse.customer_id).due, 0, clock.now_ms) == 0
        await assert_right(purse)

    with store_clock(shared_store, NOW_MS) as clock, asyncio.Runner() as runner:
        opened = open_lane(store_url)
        lane = runner.run(opened.__aenter__())
        count = itertools.count()

        @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(todo=stories)
        def any_story(todo: list[tuple[str, int, int, int]]) -> None:
            runner.run(one(lane, clock, f"customer {next(count)}", todo))

        try:
            any_story()
        finally:
            runner.run(opened.__aexit__(None, None, None))


async def test_a_deadline_in_the_index_is_what_the_payer_has(clock: StoreClock, purse: Purse) -> None:
    """The shorter life of a later hold moves it forward; a longer one does not move it back."""
    place = purse.keys.of(purse.customer_id)

    async def due() -> float:
        return float(await purse.lane.execute("ZSCORE", place.due, purse.customer_id))

    await purse.reserve("r1", 1, ttl_ms=5000)
    assert await due() == NOW_MS + 5000
    await purse.reserve("r2", 1, ttl_ms=2000)
    assert await due() == NOW_MS + 2000
    await purse.reserve("r3", 1, ttl_ms=9000)
    await purse.commit("r2", 1)
    assert await due() == NOW_MS + 2000
    clock.tick(2000)
    await purse.sweep()
    assert await due() == NOW_MS + 5000
