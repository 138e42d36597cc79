"""Any operations, archived, lost and rebuilt: every account is what it was, with what was held given back."""

import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.domain.errors import Conflict, InvalidInput, NotFound
from sidecar.domain.journal import Totals
from sidecar.domain.outcomes import Account, Overrun
from tests.services.test_rebuilding import accounts, lose, rebuilding
from tests.services.test_verification import verified
from tests.support.archives import new_archive
from tests.support.clock import StoreClock, store_clock
from tests.support.store import StoreServer
from tests.support.town import NOW_MS, Town, open_town

HOUR_MS = 3_600_000
WHO = st.sampled_from(["alice", "bob"])
AMOUNT = st.integers(1, 80)
NUMBER = st.integers(0, 4)


class Play:
    """Operations on two customers, one of whom is a member of the other's pool."""

    def __init__(self, town: Town, clock: StoreClock) -> None:
        self.town = town
        self.clock = clock
        self.blocks: list[str] = []
        self.count = 0
        self.scoped = False
        """Of blocks that not everybody may draw from nobody knows afterwards how much was held: they pay no debt."""

    async def grant(self, amount: int, priority: int, kind: str) -> None:
        now = self.clock.now_ms
        kinds: dict[str, dict[str, Any]] = {
            "plain": {"price_paid": 5, "currency": "EUR"},
            "short": {"expires_at_ms": now + HOUR_MS},
            "later": {"starts_at_ms": now + HOUR_MS, "duration_ms": 3 * HOUR_MS},
            "scoped": {"eligible_features": ("chat",), "eligible_rules": ("another",)},
            "series": {"series": "daily", "cap": 100},
            "after": {"starts_after_block_id": self.blocks[-1] if self.blocks else "blk_0", "duration_ms": HOUR_MS},
            "keyed": {"dedup_key": f"key {amount % 5}"},
        }
        granted = await self.town.grant("alice", amount, priority=priority, **kinds[kind])
        self.scoped |= kind == "scoped"
        if granted.block_id is not None and not granted.duplicate:
            self.blocks.append(granted.block_id)

    async def reserve(self, who: str, amount: int, feature: str) -> None:
        self.count += 1
        await self.town.reserve(who, f"r{self.count}", amount, feature=feature, ttl_ms=9 * HOUR_MS)

    async def commit(self, number: int, cost: int, step: int) -> None:
        if (name := f"r{self.count - number}") in self.town.holds:
            await self.town.commit(name, cost, step=step, overrun=Overrun.OWE)

    async def release(self, number: int) -> None:
        if (name := f"r{self.count - number}") in self.town.holds:
            await self.town.release(name)

    async def void(self, number: int) -> None:
        await self.town.void("alice", self.blocks[-1 - number] if number < len(self.blocks) else "blk_0")

    async def extend(self, number: int, hours: int) -> None:
        block = self.blocks[-1 - number] if number < len(self.blocks) else "blk_0"
        await self.town.extend("alice", block, self.clock.now_ms + hours * HOUR_MS if hours else None)

    async def tick(self, hours: int) -> None:
        self.clock.tick(hours * HOUR_MS)
        await self.town.sweep()

    async def give_everything_back(self) -> None:
        """Release all holds, which the archive does not learn."""
        for name in self.town.holds:
            await self.town.release(name)


def paid(of: dict[str, list[Account]]) -> list[tuple[int, int]]:
    """Which of the blocks paid debts depends on which hold came back first."""
    return [(account.totals.spent, account.totals.owed) for account in of["alice"] if account.totals != Totals()]


def amounts(of: dict[str, list[Account]]) -> dict[str, list[tuple[Totals, dict[int, tuple[str, int, int]]]]]:
    """Totals and live blocks, of accounts that have any."""
    return {
        name: [
            (
                account.totals,
                {block.number: (block.state.value, block.available, block.lapsed) for block in account.blocks},
            )
            for account in those
            if account.totals != Totals()
        ]
        for name, those in of.items()
    }


Operation = Callable[[Play], Coroutine[object, object, None]]
KINDS = st.sampled_from(["plain", "short", "later", "scoped", "series", "after", "keyed"])


def operation(method: Callable[..., Coroutine[object, object, None]], *drawn: st.SearchStrategy[Any]) -> Any:
    return st.tuples(*drawn).map(lambda arguments: partial(_call, method, arguments))


async def _call(
    method: Callable[..., Coroutine[object, object, None]], arguments: tuple[object, ...], play: Play
) -> None:
    with contextlib.suppress(Conflict, InvalidInput, NotFound):
        await method(play, *arguments)


OPERATIONS = st.lists(
    st.one_of(
        operation(Play.grant, AMOUNT, st.integers(0, 2), KINDS),
        operation(Play.grant, AMOUNT, st.integers(0, 2), KINDS),
        operation(Play.reserve, WHO, st.integers(0, 60), st.sampled_from(["", "chat"])),
        operation(Play.reserve, WHO, st.integers(0, 60), st.sampled_from(["", "chat"])),
        operation(Play.reserve, WHO, st.integers(0, 60), st.sampled_from(["", "chat"])),
        operation(Play.commit, NUMBER, st.integers(0, 500), st.sampled_from([0, 0, 1, 2])),
        operation(Play.release, NUMBER),
        operation(Play.void, NUMBER),
        operation(Play.extend, NUMBER, st.integers(0, 5)),
        operation(Play.tick, st.integers(1, 2)),
    ),
    min_size=10,
    max_size=60,
)


@pytest.fixture(scope="module")
def server() -> Iterator[StoreServer]:
    server = StoreServer()
    server.start()
    yield server
    server.remove()


@given(operations=OPERATIONS)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_story(server: StoreServer, operations: list[Operation]) -> None:
    with server.client() as client:
        client.flushall()
    with store_clock(server, NOW_MS) as clock, tempfile.TemporaryDirectory() as folder:
        asyncio.run(_played(server, clock, new_archive(Path(folder)), operations))


async def _played(server: StoreServer, clock: StoreClock, archive_url: str, operations: list[Operation]) -> None:
    async with open_town(server.url, archive_url) as town:
        await town.customer("alice")
        await town.customer("bob", parent="alice")
        play = Play(town, clock)
        for each in operations:
            await each(play)
        await town.archived()
        assert (await verified(town)).differences == ()
        in_debt = any(account.totals.owed for account in (await accounts(town))["alice"])
        await play.give_everything_back()
        before = await accounts(town)
        lose(server, clock)
        assert (await rebuilding(town).run()).failed == ()
        report = await verified(town)
        assert (report.differences, report.unchecked) == ((), ())
        after = await accounts(town)
        if not in_debt:
            assert amounts(after) == amounts(before)
        elif not play.scoped:
            assert paid(after) == paid(before)
        await town.grant("alice", 7)
        await town.reserve("alice", "again", 1)
        await town.archived()
        assert (await verified(town)).differences == ()
