"""Counters in a store that is verified, lost, and made again from the archive, all of them real."""

import struct
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sidecar.domain.counters import Advance, Counter, Counting, Over, Stand
from sidecar.domain.outcomes import CountersMoved, Reserved, Settled
from sidecar.services.comparison import Difference
from sidecar.services.rebuilding import Rebuilding, Rebuilt
from sidecar.services.verification import Report, Verification
from sidecar.store.audit import Audit
from sidecar.store.counters import Counters
from sidecar.store.journal import Journal
from sidecar.store.keys import Keys
from sidecar.store.leases import Leases
from sidecar.store.ledger import PaidBy
from sidecar.store.restore import Restore
from tests.support.archives import new_archive
from tests.support.clock import StoreClock, store_clock
from tests.support.store import StoreServer
from tests.support.town import ENVIRONMENT, NOW_MS, TENANT, UNIT, Town, open_town

NAMES = {"tenant": TENANT, "environment": ENVIRONMENT}
DAY_MS = 86_400_000
CALLS = Counting("api_calls", Over.EVER).at(NOW_MS / 1000)
PAGES = Counting("ocr/pages", Over.MONTH).at(NOW_MS / 1000)
TODAY = Counting("ocr/pages.day", Over.DAY).at(NOW_MS / 1000)


@pytest.fixture
def clock(store_url: str, shared_store: StoreServer) -> Iterator[StoreClock]:
    with store_clock(shared_store, NOW_MS) as clock:
        yield clock


@pytest.fixture
async def town(store_url: str, clock: StoreClock, tmp_path: Path) -> AsyncIterator[Town]:
    """Of two who pay, and a member; counters of three periods, and open holds."""
    async with open_town(store_url, new_archive(tmp_path)) as town:
        await town.customer("alice")
        await town.customer("bob", parent="alice")
        await town.customer("carol")
        await town.grant("alice", 1000)
        await town.grant("carol", 1000)
        await count(town, "alice", "r1", Advance(PAGES, 12), Advance(CALLS, 1), Advance(TODAY, 3))
        await count(town, "bob", "r2", Advance(PAGES, 7), Advance(CALLS, 1))
        await count(town, "carol", "r3", Advance(PAGES, 40))
        await claim(town, "carol", "open", Advance(PAGES, 5))
        await town.archived()
        yield town


async def claim(town: Town, name: str, reservation_id: str, *claims: Advance) -> None:
    for _ in range(2):
        parts = ((UNIT, 30),)
        record = town.ledger.hold(town.ids[name], reservation_id, parts, 600_000, "", "ocr", claims=claims)
        town.holds[reservation_id] = record
        outcome = await town.ledger.reserve_and_claim(record, f"external:{name}")
        if not isinstance(outcome, PaidBy):
            break
    assert isinstance(outcome, Reserved)


async def count(town: Town, name: str, reservation_id: str, *advances: Advance) -> None:
    await claim(town, name, reservation_id, *advances)
    settled = await town.ledger.commit_and_count(town.holds[reservation_id], 10, "", "reported", advances)
    assert isinstance(settled, Settled)


async def stands(town: Town, name: str) -> dict[Counter, Stand]:
    found = await Counters(town.lane, **NAMES).of(town.ids[name])
    return {each.counter: each.stand for each in found}


async def verified(town: Town, clock: StoreClock) -> Report:
    audit, journal = Audit(town.lane, tenant=TENANT, environment=ENVIRONMENT), town.journal
    return await Verification(audit, journal, town.archive, wait_s=0.0, now_s=lambda: clock.now_ms / 1000).run()


async def rebuilt(town: Town, clock: StoreClock) -> Rebuilt:
    audit, restore, leases = (
        Audit(town.lane, tenant=TENANT, environment=ENVIRONMENT),
        Restore(town.lane, **NAMES),
        Leases(town.lane, **NAMES),
    )
    parts = (restore, audit, Journal(town.lane, **NAMES), leases, town.archive, town.archiver)
    return await Rebuilding(*parts, now_s=lambda: clock.now_ms / 1000).run()


def lose(store: StoreServer, clock: StoreClock) -> None:
    with store.client() as client:
        client.flushall()
    clock.tick(0)


def payer(town: Town, name: str) -> bytes:
    return Keys(TENANT, ENVIRONMENT).of(town.ids[name]).customer


async def test_what_was_counted_is_verified(town: Town, clock: StoreClock) -> None:
    report = await verified(town, clock)
    assert (report.differences, report.unchecked) == ((), ())


@pytest.mark.parametrize(
    ("damage", "what", "expected", "found"),
    [
        (struct.pack(">dd", 18, 0), "position", "19", "18"),
        (struct.pack(">dd", 19, 4), "held by open holds", "0", "4"),
        (None, "position", "19", "0"),
    ],
)
async def test_damage_shows(
    town: Town,
    clock: StoreClock,
    shared_store: StoreServer,
    damage: bytes | None,
    what: str,
    expected: str,
    found: str,
) -> None:
    with shared_store.client() as client:
        if damage is None:
            client.hdel(payer(town, "alice"), f"counter:{PAGES.key}")
        else:
            client.hset(payer(town, "alice"), f"counter:{PAGES.key}", damage)
    differences = (await verified(town, clock)).differences
    wanted = Difference(
        customer_id=town.ids["alice"], what=f"counter {PAGES.key}: {what}", expected=expected, found=found
    )
    assert wanted in differences
    torn = [each for each in differences if each.what == f"torn: counter {PAGES.key}"]
    assert len(torn) == (damage is None)


async def test_what_is_no_counter_is_torn(town: Town, clock: StoreClock, shared_store: StoreServer) -> None:
    with shared_store.client() as client:
        client.hset(payer(town, "alice"), mapping={f"counter:{PAGES.key}": "rubbish", "counters": "rubbish"})
    torn = {each.what for each in (await verified(town, clock)).differences if each.what.startswith("torn")}
    assert torn == {f"torn: counter {PAGES.key}", "torn: counters"}


async def test_counters_that_were_forgotten_are_no_difference(town: Town, clock: StoreClock) -> None:
    clock.tick(3 * DAY_MS)
    await town.sweep()
    await town.archived()
    assert (await stands(town, "alice")).keys() == {PAGES, CALLS}
    assert (await verified(town, clock)).clean


async def test_positions_are_there_again(town: Town, clock: StoreClock, shared_store: StoreServer) -> None:
    lose(shared_store, clock)
    assert (await rebuilt(town, clock)).failed == ()
    assert await stands(town, "alice") == {PAGES: Stand(19), CALLS: Stand(2), TODAY: Stand(3)}
    assert await stands(town, "bob") == {}
    # What the open hold could have counted is gone with it.
    assert await stands(town, "carol") == {PAGES: Stand(40)}
    assert (await verified(town, clock)).clean
    record = town.ledger.hold(
        town.ids["carol"], "r9", ((UNIT, 1),), 1000, "", "ocr", claims=(Advance(PAGES, 1, 0, 9),)
    )
    assert await town.ledger.reserve_and_claim(record, "external:carol") == CountersMoved((Stand(40),))
    await count(town, "carol", "r10", Advance(PAGES, 2))
    await town.archived()
    assert await stands(town, "carol") == {PAGES: Stand(42)}
    assert (await verified(town, clock)).clean


async def test_periods_that_are_over_for_long_stay_away(
    town: Town, clock: StoreClock, shared_store: StoreServer
) -> None:
    clock.tick(3 * DAY_MS)
    lose(shared_store, clock)
    await rebuilt(town, clock)
    assert (await stands(town, "alice")).keys() == {PAGES, CALLS}
    assert (await verified(town, clock)).clean


async def test_they_are_forgotten_in_their_time_as_before(
    town: Town, clock: StoreClock, shared_store: StoreServer
) -> None:
    lose(shared_store, clock)
    await rebuilt(town, clock)
    clock.tick(3 * DAY_MS)
    await town.sweep()
    assert (await stands(town, "alice")).keys() == {PAGES, CALLS}
    clock.tick(90 * DAY_MS)
    await town.sweep()
    assert (await stands(town, "alice")).keys() == {CALLS}
    assert await stands(town, "carol") == {}


async def test_a_rebuild_that_goes_on_leaves_what_was_counted_meanwhile(
    town: Town, clock: StoreClock, shared_store: StoreServer
) -> None:
    lose(shared_store, clock)
    await rebuilt(town, clock)
    await count(town, "carol", "r11", Advance(PAGES, 2))
    with shared_store.client() as client:
        client.set(Keys(TENANT, ENVIRONMENT).rebuilding(), "begun")
    await rebuilt(town, clock)
    assert await stands(town, "carol") == {PAGES: Stand(42)}
