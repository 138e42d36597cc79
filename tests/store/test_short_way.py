"""Reserve and commit have a short way for the common case: it does what the long one does, to the byte.

Two worlds, each with the same customer under a tenant of its own, live through the same stories; in one of them the
scripts have no short way.
"""

import asyncio
import itertools
import os
import re
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.domain.blocks import Grant
from sidecar.domain.errors import SidecarError, StoreError
from sidecar.domain.ids import new_id
from sidecar.domain.once import Once
from sidecar.domain.outcomes import Overrun
from sidecar.domain.spend_caps import SpendCap
from sidecar.store.accounts import Accounts
from sidecar.store.commands import COMMIT, CREATE_CUSTOMER, RESERVE, Script
from sidecar.store.keys import Keys
from sidecar.store.lane import Lane
from sidecar.store.ledger import CommitTerms, Ledger
from sidecar.store.spend_caps import SpendCaps
from tests.support.books import NOW_MS, RULE, TOKENS, UNIT, USAGE, open_lane
from tests.support.clock import StoreClock, store_clock
from tests.support.store import StoreServer

CREDENTIAL = "external:alice"
SHORT_WAY = re.compile(r"^if #KEYS == \d", re.MULTILINE)
COMMON = (RESERVE, COMMIT)


def without_short_way(script: Script) -> str:
    text, count = SHORT_WAY.subn(lambda match: match[0].replace("if ", "if false and "), script.text)
    assert count == 1, f"{script.name} has {count} short ways"
    return text


def short_way_alone(script: Script) -> str:
    """What does not take the short way is an error."""
    start = next(index for index, place in enumerate(script._places) if place.startswith("shared/"))
    return "".join(script.text.splitlines(keepends=True)[:start]) + "error('the long way')\n"


class Detour:
    """A lane on which other texts run in place of the scripts of reserve and commit."""

    def __init__(self, lane: Lane, tell: Callable[[Script], str]) -> None:
        self._lane = lane
        self._tell = tell
        self._digests: list[tuple[bytes, bytes]] = []

    async def open(self) -> None:
        self._digests = [
            (script.sha, await self._lane.execute("SCRIPT", "LOAD", self._tell(script))) for script in COMMON
        ]

    def ask(self, packed: bytes, decode: Any) -> Any:
        for usual, other in self._digests:
            packed = packed.replace(usual, other)
        return self._lane.ask(packed, decode)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lane, name)


class World:
    """A customer of one tenant; what happens to it, and all that the store has of it then."""

    def __init__(self, lane: Any, tenant: str, customer_id: str) -> None:
        names = {"tenant": tenant, "environment": "live"}
        self.lane = lane
        self.ledger, self.accounts = Ledger(lane, **names), Accounts(lane, **names)
        self.spend_caps = SpendCaps(lane, **names)
        self.keys = Keys(**names)
        self.place = self.keys.of(customer_id)
        self.customer_id = customer_id
        self.records: dict[str, Any] = {}

    async def open(self) -> None:
        keys = [self.place.customer, self.place.journal]
        await self.lane.send(CREATE_CUSTOMER.pack(keys, [self.customer_id, "alice", "", 1, "", b"{}", "", b"{}"]))

    async def reserve(self, name: str, amount: int, tokens: int | None, feature: str, ttl_ms: int) -> Any:
        parts = ((UNIT, amount),) if tokens is None else ((UNIT, amount), (TOKENS, tokens))
        record = self.ledger.hold(self.customer_id, name, parts, ttl_ms, feature, RULE, remember=name.endswith("!"))
        self.records.setdefault(name, record)
        return await answer(self.ledger.reserve(record, CREDENTIAL))

    async def commit(self, name: str, cost: int, other: int, step: int, overrun: Overrun) -> Any:
        record = self.records.get(name)
        if record is None:
            return None
        terms = CommitTerms(step=step, overrun=overrun, others=(other,) * (len(record.parts) - 1))
        return await answer(self.ledger.commit(record, cost, USAGE, "reported", terms))

    async def release(self, name: str) -> Any:
        record = self.records.get(name)
        return None if record is None else await answer(self.ledger.release(record, "why"))

    async def grant(self, key: str, grant: Grant) -> Any:
        granted = await self.accounts.grant(self.customer_id, grant, Once(key, "f0"))
        return granted.totals, granted.amount

    async def void(self, key: str, block_id: str) -> Any:
        changed = await answer(self.accounts.void(self.customer_id, UNIT, block_id, Once(key, "f0")))
        return getattr(changed, "totals", changed)

    async def cap(self, cap: SpendCap) -> Any:
        return await answer(self.spend_caps.add(self.customer_id, self.customer_id, cap))

    async def sweep(self) -> Any:
        return await self.ledger.sweep(self.keys.partition(self.customer_id), 10)

    async def everything(self) -> dict[str, Any]:
        execute = self.lane.execute
        entries = await execute("XRANGE", self.place.journal, "-", "+")
        units = {unit: self.keys.account(self.customer_id, unit) for unit in (UNIT, TOKENS)}
        return {
            "customer": by_field(await execute("HGETALL", self.place.customer)),
            "holds": by_field(await execute("HGETALL", self.place.holds)),
            "due": await execute("ZRANGE", self.place.due, 0, -1, "WITHSCORES"),
            "journal": [by_field(fields) for _, fields in entries],
            **{f"{unit}": await execute("GET", place.account) for unit, place in units.items()},
        }


async def answer(work: Any) -> Any:
    try:
        return await work
    except StoreError as error:
        return type(error)
    except SidecarError as error:
        return type(error), str(error)


def by_field(pairs: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(pairs[0::2], pairs[1::2], strict=True))


async def two_worlds(lane: Lane, detour: Detour) -> tuple[World, World]:
    customer_id = new_id("cus", NOW_MS, os.urandom(10))
    worlds = World(lane, "short", customer_id), World(detour, "long", customer_id)
    for world in worlds:
        await world.open()
    return worlds


which = st.integers(0, 3)
amounts = st.sampled_from([0, 1, 2, 3, 5, 7, 10, 12, 40, 2**53 - 1])
small = st.integers(0, 12)
reserves = st.tuples(
    st.just("reserve"), small, st.sampled_from([None, None, None, None, 3]), st.sampled_from(["", "", "chat"]),
    st.sampled_from([1000, 5000, 60_000]), st.sampled_from([False, False, False, True]),
)  # fmt: skip
commits = st.tuples(
    st.just("commit"), which, amounts, small, st.sampled_from([0, 0, 0, 0, 0, 1, 2]), st.sampled_from(list(Overrun))
)
grants = st.tuples(
    st.just("grant"), st.sampled_from([UNIT, UNIT, UNIT, TOKENS]), st.integers(1, 30), st.integers(-1, 1),
    st.sampled_from([0, 0, 1000, 5000]), st.sampled_from([0, 0, 1000]), st.sampled_from([(), (), (), ("chat",)]),
)  # fmt: skip
others = st.one_of(
    st.tuples(st.sampled_from(["release", "again"]), which),
    st.tuples(st.just("void"), st.integers(1, 9)),
    st.tuples(st.just("tick"), st.sampled_from([1, 999, 1000, 5000])),
    st.tuples(st.just("sweep")),
    st.tuples(st.just("cap"), small),
)
happenings = st.one_of(reserves, commits, reserves, commits, grants, others)


class Story:
    """The same in both worlds, one thing after the other."""

    def __init__(self, worlds: tuple[World, World], clock: StoreClock) -> None:
        self.worlds = worlds
        self.clock = clock
        self.steps = self.blocks = 0
        self.asked: dict[str, tuple[Any, ...]] = {}

    async def live(self, todo: list[tuple[Any, ...]]) -> None:
        for what, *how in [("grant", UNIT, 20, 0, 0, 0, ()), *todo]:
            if what == "tick":
                self.clock.tick(*how)
                continue
            self.steps += 1
            asked = getattr(self, what)(*how)
            short, long = [
                await getattr(world, "reserve" if what == "again" else what)(*asked) for world in self.worlds
            ]
            assert short == long, (what, asked)
        short, long = [await world.everything() for world in self.worlds]
        assert short == long

    def reserve(self, amount: int, tokens: int | None, feature: str, ttl_ms: int, remember: bool) -> tuple[Any, ...]:
        name = f"r{self.steps}" + "!" * remember
        self.asked[name] = (name, amount, tokens, feature, ttl_ms)
        return self.asked[name]

    def again(self, which: int) -> tuple[Any, ...]:
        return self.asked.get(self.some(which)) or self.reserve(1, None, "", 1000, False)

    def commit(self, which: int, *how: Any) -> tuple[Any, ...]:
        return self.some(which), *how

    def release(self, which: int) -> tuple[Any, ...]:
        return (self.some(which),)

    def sweep(self) -> tuple[Any, ...]:
        return ()

    def cap(self, amount: int) -> tuple[SpendCap]:
        now_ms = self.clock.now_ms
        return (
            SpendCap(cap_id=f"cap_{self.steps}", unit=UNIT, amount=amount, rolling_ms=60_000, created_at_ms=now_ms),
        )

    def void(self, which: int) -> tuple[Any, ...]:
        return f"key {self.steps}", f"blk_{which}"

    def some(self, which: int) -> str:
        """One of the last reservations."""
        names = list(self.asked) or ["none"]
        return names[-1 - which % len(names)]

    def grant(
        self, unit: str, amount: int, priority: int, life_ms: int, start_ms: int, features: tuple[str, ...]
    ) -> tuple[str, Grant]:
        self.blocks += 1
        grant = Grant(
            block_id=f"blk_{self.blocks}",
            unit=unit,
            amount=amount,
            source="test",
            priority=priority,
            duration_ms=life_ms or None,
            starts_at_ms=self.clock.now_ms + start_ms if start_ms else None,
            eligible_features=features,
        )
        return f"key {self.steps}", grant


def reserve(amount: int, tokens: int | None = None, feature: str = "", remember: bool = False) -> tuple[Any, ...]:
    return "reserve", amount, tokens, feature, 60_000, remember


def commit(which: int, cost: int, *, step: int = 0, overrun: Overrun = Overrun.OWE) -> tuple[Any, ...]:
    return "commit", which, cost, 0, step, overrun


def grant(amount: int, priority: int = 0, life_ms: int = 0, *features: str) -> tuple[Any, ...]:
    return "grant", UNIT, amount, priority, life_ms, 0, features


STORIES = {
    "the common case": [reserve(5), commit(0, 2)],
    "all of the hold": [reserve(5), commit(0, 5)],
    "nothing of the hold": [reserve(5), commit(0, 0)],
    "above the hold": [reserve(5), reserve(5), commit(0, 7)],
    "above all there is": [reserve(5), reserve(5), commit(0, 40), commit(1, 2), reserve(0), reserve(1)],
    "a hold of nothing": [reserve(0), commit(0, 0), reserve(0), commit(0, 3)],
    "more than there is": [reserve(21), reserve(20), reserve(1)],
    "the last of a block": [reserve(12), reserve(8), commit(0, 8), commit(1, 12)],
    "a block that others wait for": [reserve(20), grant(5), commit(0, 20), reserve(5)],
    "slices of two blocks": [grant(5, -1), reserve(12), commit(0, 2), reserve(12), commit(0, 6)],
    "the fifth block": [*[grant(2, -1)] * 4, *[reserve(2)] * 4, reserve(3), commit(0, 1), commit(4, 1)],
    "a block that has lapsed": [grant(10, -1, 1000), reserve(5), ("tick", 1000), reserve(6), commit(1, 2)],
    "a block that has lapsed unseen": [grant(10, -1, 1000), reserve(5), ("tick", 1000), commit(0, 2)],
    "a lapsed block that is swept": [
        grant(10, -1, 1000), reserve(5), ("tick", 1000), ("sweep",), commit(0, 2), reserve(3), commit(0, 1),
    ],
    "a block of others": [
        grant(10, -1, 0, "chat"), reserve(5), reserve(5, feature="chat"), commit(0, 1), commit(1, 1),
    ],
    "a block to come": [("grant", UNIT, 10, -1, 0, 1000, ()), reserve(5), ("tick", 1000), reserve(5), commit(1, 1)],
    "a voided block": [reserve(5), ("void", 1), commit(0, 2), reserve(1)],
    "an end to remember": [reserve(5, remember=True), commit(0, 2), commit(0, 2), commit(0, 3), ("again", 0)],
    "steps": [reserve(5), commit(0, 1, step=1), commit(0, 1, step=1), commit(0, 2, step=2), commit(0, 1)],
    "a rejected cost": [reserve(5), commit(0, 6, overrun=Overrun.REJECT), commit(0, 5, overrun=Overrun.REJECT)],
    "two units": [("grant", TOKENS, 9, 0, 0, 0, ()), reserve(5, 4), commit(0, 3), reserve(1), commit(0, 1)],
    "a hold that has expired": [reserve(5), ("tick", 60_000), ("sweep",), commit(0, 2), commit(0, 2)],
    "a hold that is overdue": [reserve(5), ("tick", 60_000), commit(0, 2), ("sweep",)],
    "the same again": [reserve(5), ("again", 0), commit(0, 2), ("again", 0), ("release", 0), ("again", 0)],
    "a release that came first": [("release", 0), reserve(5), ("release", 0), ("release", 0), ("again", 0)],
    "a cap": [reserve(5), ("cap", 6), reserve(5), reserve(2), commit(0, 2), commit(1, 5), reserve(2), commit(0, 1)],
    "a shorter life": [reserve(5), ("reserve", 5, None, "", 1000, False), reserve(5), ("tick", 1000), ("sweep",)],
}  # fmt: skip
"""Each condition of the short ways, met and not met."""


@pytest.mark.parametrize("name", STORIES)
async def test_each_case_is_the_same_on_the_long_way(lane: Lane, clock: StoreClock, name: str) -> None:
    detour = Detour(lane, without_short_way)
    await detour.open()
    await Story(await two_worlds(lane, detour), clock).live(STORIES[name])


def test_any_story_is_the_same_on_the_long_way(shared_store: StoreServer, store_url: str) -> None:
    with store_clock(shared_store, NOW_MS) as clock, asyncio.Runner() as runner:
        opened = open_lane(store_url)
        lane = runner.run(opened.__aenter__())
        detour = Detour(lane, without_short_way)
        runner.run(detour.open())

        async def one(todo: list[tuple[Any, ...]]) -> None:
            await Story(await two_worlds(lane, detour), clock).live(todo)

        @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(todo=st.lists(happenings, min_size=10, max_size=30))
        def any_story(todo: list[tuple[Any, ...]]) -> None:
            runner.run(one(todo))

        try:
            any_story()
        finally:
            runner.run(opened.__aexit__(None, None, None))


@pytest.mark.parametrize("blocks", [1, 4])
async def test_the_common_case_takes_the_short_way(lane: Lane, clock: StoreClock, blocks: int) -> None:
    """Without the functions of the long way: from any of the first blocks, with a first hold and with others."""
    detour = Detour(lane, short_way_alone)
    await detour.open()
    _, world = await two_worlds(lane, detour)
    for number in range(1, blocks + 1):
        await world.grant(f"k{number}", Grant(block_id=f"blk_{number}", unit=UNIT, amount=10, source="test"))
    for number in range(1, blocks):
        # Used up but for what is held: it is passed over.
        assert (await world.reserve(f"all{number}", 10, None, "", 60_000)).held == 10
    for name in ("r1", "r2"):
        assert (await world.reserve(name, 4, None, "chat", 60_000)).held == 4
    for name, cost in (("r1", 4), ("r2", 0)):
        assert (await world.commit(name, cost, 0, 0, Overrun.REJECT)).charged == cost
    assert (await world.everything())[UNIT][32:40] == struct.pack(">d", 10 * (blocks - 1))


async def test_damage_is_found_on_both_ways(lane: Lane, clock: StoreClock) -> None:
    """Totals that are too small for the block's amounts, and the other way round."""
    detour = Detour(lane, without_short_way)
    await detour.open()
    for at, value, commit_first in itertools.product((24, 32, 88 + 4, 88 + 12), (0.0, 3.0), (False, True)):
        worlds = await two_worlds(lane, detour)
        answers: list[Any] = []
        for world in worlds:
            await world.grant("k", Grant(block_id="blk_1", unit=UNIT, amount=10, source="test"))
            await world.reserve("r1", 4, None, "", 60_000)
            account = world.keys.account(world.customer_id, UNIT).account
            await world.lane.execute("SETRANGE", account, at, struct.pack(">d", value))
            if commit_first:
                answers.append(await world.commit("r1", 4, 0, 0, Overrun.OWE))
            answers.append(await world.reserve("r2", 4, None, "", 60_000))
            answers.append(await world.commit("r1", 4, 0, 0, Overrun.OWE))
        assert answers[: len(answers) // 2] == answers[len(answers) // 2 :]
