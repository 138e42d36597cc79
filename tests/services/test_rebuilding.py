"""A store that was lost, and made again from the archive: both are real, and everything has happened before."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from sidecar.domain import proxy_keys
from sidecar.domain.blocks import BlockState, Grant, Slice
from sidecar.domain.customers import Customer
from sidecar.domain.errors import Conflict, StoreTimeout
from sidecar.domain.journal import HoldStory, Kind, Line, Position
from sidecar.domain.once import Once
from sidecar.domain.outcomes import (
    Account,
    Ended,
    Exceeded,
    Granted,
    Refunded,
    RefusalCode,
    Refused,
    Reserved,
    UnknownReservation,
)
from sidecar.domain.spend_caps import CapStand, Window
from sidecar.services.lease import WORKER
from sidecar.services.rebuilding import Rebuilding, Rebuilt
from sidecar.store.audit import Audit
from sidecar.store.corrections import Charged, Corrections
from sidecar.store.customers import PoolShare
from sidecar.store.journal import START
from sidecar.store.leases import Leases
from sidecar.store.proxy_keys import ProxyKey
from sidecar.store.restore import Restore
from tests.services.test_verification import verified
from tests.support.archives import new_archive
from tests.support.clock import StoreClock, store_clock
from tests.support.postgresql import PostgresServer, find_binaries
from tests.support.store import StoreServer
from tests.support.stories import HOUR_MS, everything
from tests.support.town import ENVIRONMENT, NOW_MS, TENANT, UNIT, Town, open_town


@pytest.fixture
def clock(store_url: str, shared_store: StoreServer) -> Iterator[StoreClock]:
    with store_clock(shared_store, NOW_MS) as clock:
        yield clock


@pytest.fixture
async def town(store_url: str, clock: StoreClock, tmp_path: Path) -> AsyncIterator[Town]:
    async with open_town(store_url, new_archive(tmp_path)) as town:
        yield town


@pytest.fixture
async def settled(town: Town, clock: StoreClock) -> Town:
    """A town to which everything has happened, and all is archived."""
    await everything(town, clock)
    await town.archived()
    return town


def rebuilding(town: Town) -> Rebuilding:
    names = {"tenant": TENANT, "environment": ENVIRONMENT}
    lane = town.lane
    audit = Audit(lane, tenant=TENANT, environment=ENVIRONMENT)
    return Rebuilding(
        *(Restore(lane, **names), audit, town.journal, Leases(lane, **names), town.archive, town.archiver),
        now_s=lambda: NOW_MS / 1000,
    )


def lose(store: StoreServer, clock: StoreClock) -> None:
    """All that the store has; not the time."""
    with store.client() as client:
        client.flushall()
    clock.tick(0)


async def accounts(town: Town) -> dict[str, list[Account]]:
    return {name: await town.accounts.accounts(customer_id) for name, customer_id in town.ids.items()}


class People(msgspec.Struct):
    """What is known of customers."""

    customers: list[Customer]
    keys: list[list[ProxyKey]]
    shares: list[PoolShare]
    caps: list[CapStand]


async def people(town: Town) -> People:
    ids = town.ids.values()
    members = [town.ids[name] for name in ("bob", "carol")]
    return People(
        [await town.customers.get(customer_id) for customer_id in ids],
        [await town.customers.keys(customer_id) for customer_id in ids],
        [await town.customers.pool_share(member, unit) for member in members for unit in (UNIT, "tokens")],
        [
            stand
            for customer_id in (town.ids["alice"], *members)
            for stand in await town.spend_caps.of(town.ids["alice"], customer_id, UNIT)
        ],
    )


async def test_everything_is_there_again(settled: Town, clock: StoreClock, shared_store: StoreServer) -> None:
    before, known = await accounts(settled), await people(settled)
    lose(shared_store, clock)
    rebuilt = await rebuilding(settled).run()
    assert (rebuilt.failed, rebuilt.archived) == ((), True)
    assert (rebuilt.customers, rebuilt.accounts) == (5, 4)
    report = await verified(settled)
    assert (report.differences, report.unchecked) == ((), ())
    assert (report.customers, report.accounts, report.holds) == (5, 4, 0)
    now = await people(settled)
    assert (now.customers, now.keys) == (known.customers, known.keys)
    assert [stand.spent > 0 for stand in known.caps] == [True, True, True]
    assert now.caps == [msgspec.structs.replace(stand, held=0) for stand in known.caps]
    assert now.shares == [msgspec.structs.replace(share, held=0) for share in known.shares]
    for name, those in before.items():
        for was, account in zip(those, (await accounts(settled))[name], strict=True):
            assert same_after_release(was, account), name


def same_after_release(was: Account, account: Account) -> bool:
    """Whether the account is what it was, but that what was held came back, paid debt and lapsed where it had to."""
    one, other = was.totals, account.totals
    paid = one.owed - other.owed
    lapsed = other.expired + other.voided - one.expired - one.voided
    assert (other.held, other.granted, other.scheduled) == (0, one.granted, one.scheduled)
    assert (other.available, other.spent) == (one.available + one.held - paid - lapsed, one.spent + paid)
    ended = {BlockState.EXPIRED, BlockState.VOIDED}
    blocks = {
        block.number: block.available + block.held
        for block in was.blocks
        if block.state not in ended and not one.owed
    }
    assert {block.number: block.available for block in account.blocks if not one.owed} == blocks
    kept = [block for block in was.blocks if block.number in blocks]
    assert [(block.grant, block.burn_position is None) for block in account.blocks if not one.owed] == [
        (block.grant, block.burn_position is None) for block in kept
    ]
    return True


async def test_what_came_back_to_ended_blocks_lapsed_and_paid_debt(
    settled: Town, clock: StoreClock, shared_store: StoreServer
) -> None:
    before = {name: each[0].totals for name, each in (await accounts(settled)).items() if each}
    lose(shared_store, clock)
    await rebuilding(settled).run()
    after = {name: each[0].totals for name, each in (await accounts(settled)).items() if each}
    assert after["alice"].expired - before["alice"].expired == 40
    assert after["alice"].voided - before["alice"].voided == 25
    assert (before["emil"].owed, before["emil"].held) == (60, 40)
    assert (after["emil"].owed, after["emil"].available, after["emil"].spent) == (20, 0, 100)


async def test_requests_go_on(settled: Town, clock: StoreClock, shared_store: StoreServer) -> None:
    lose(shared_store, clock)
    await rebuilding(settled).run()
    key = proxy_keys.credential(settled.secrets["laptop"])
    assert isinstance(await settled.reserve("alice", "by-key", 100, credential=key), Reserved)
    assert isinstance(await settled.reserve("alice", "r2", 100, credential="key:forged"), Refused)
    assert isinstance(await settled.commit("by-key", 80), object)
    assert isinstance(await settled.commit("still-open", 10, 1), UnknownReservation)
    chat = await settled.reserve("dora", "chat", 440, feature="chat")
    assert isinstance(chat, Reserved)
    assert isinstance(await settled.reserve("dora", "no-chat", 1500), Refused)
    refused = await settled.reserve("bob", "beyond-cap", 4793)
    assert isinstance(refused, Refused)
    assert (refused.code, refused.available) == (RefusalCode.POOL_CAP_REACHED, 4792)
    assert isinstance(await settled.reserve("bob", "within", 3), Reserved)
    await settled.commit("within", 3)
    await settled.grant("emil", 1000)
    await settled.archived()
    assert (await verified(settled)).differences == ()


async def test_keys_that_were_used_stay_used(settled: Town, clock: StoreClock, shared_store: StoreServer) -> None:
    lose(shared_store, clock)
    await rebuilding(settled).run()
    before = await accounts(settled)
    again = await settled.grant("alice", 80, series="daily", cap=50, dedup_key="2023-11-14")
    assert (again.duplicate, again.amount, again.withheld) == (True, 50, 30)
    payment = await settled.grant("alice", 9000, unit="tokens", external_payment_id="pay_1")
    assert (payment.duplicate, payment.amount, payment.withheld) == (True, 9000, 0)
    with pytest.raises(Conflict):
        await settled.grant("alice", 1, dedup_key="2023-11-14")
    with pytest.raises(Conflict):
        await settled.grant("dora", 9000, unit="tokens", external_payment_id="pay_1")
    assert (await settled.grant("dora", 80, series="weekly", cap=50)).block_id is None
    assert await accounts(settled) == before
    assert not (await settled.customers.create(external_id="alice", now_ms=NOW_MS))[1]


async def test_blocks_go_on_in_time(settled: Town, clock: StoreClock, shared_store: StoreServer) -> None:
    """What is scheduled and queued starts, and what expires does."""
    lose(shared_store, clock)
    await rebuilding(settled).run()
    (alice, *_) = await settled.accounts.accounts(settled.ids["alice"])
    states = {block.grant.amount: block.state for block in alice.blocks}
    assert (states[21], states[11], states[400]) == (BlockState.SCHEDULED, BlockState.QUEUED, BlockState.ACTIVE)
    clock.tick(20 * HOUR_MS)
    await settled.sweep()
    (alice, *_) = await settled.accounts.accounts(settled.ids["alice"])
    states = {block.grant.amount: block.state for block in alice.blocks}
    assert (states[21], states[11]) == (BlockState.ACTIVE, BlockState.QUEUED)
    assert 400 not in states
    paid = next(block for block in alice.blocks if block.grant.amount == 2000)
    await settled.void("alice", paid.grant.block_id)
    (alice, *_) = await settled.accounts.accounts(settled.ids["alice"])
    assert {block.state for block in alice.blocks if block.grant.amount == 11} == {BlockState.ACTIVE}
    await settled.archived()
    assert (await verified(settled)).differences == ()


async def test_what_was_given_back_is_not_given_back_again(
    town: Town, clock: StoreClock, shared_store: StoreServer
) -> None:
    alice, corrections = await town.customer("alice"), Corrections(town.lane, tenant=TENANT, environment=ENVIRONMENT)
    await town.grant("alice", 100)
    await town.cap_spend("alice", "month", 90, window=Window.MONTH)
    await town.reserve("alice", "r", 40)
    await town.commit("r", 40)
    caps = ((await town.spend_caps.of(alice, alice, UNIT))[0].cap.counters(clock.now_ms)[0].key,)
    story = HoldStory(
        reservation_id="r", customer_id=alice, feature="", rule="", held=0, reserved_at_ms=0, charged_before=0
    )
    charged = Charged(reference="ent_1", amount=40, slices=(Slice(1, 40),), story=story, caps=caps)
    rest = Grant(block_id="blk_rest", unit=UNIT, amount=1, source="refund")
    assert isinstance(await corrections.refund(alice, UNIT, charged, 15, rest, Once("r1", "f")), Refunded)
    await town.archived()
    assert (await verified(town)).clean
    lose(shared_store, clock)
    assert (await rebuilding(town).run()).failed == ()
    assert (await verified(town)).clean
    assert (await town.spend_caps.of(alice, alice, UNIT))[0].spent == 25
    assert await corrections.refund(alice, UNIT, charged, 26, rest, Once("r2", "f")) == Exceeded(15, 40)
    assert isinstance(await corrections.refund(alice, UNIT, charged, None, rest, Once("r3", "f")), Refunded)
    await town.archived()
    assert (await verified(town)).clean


async def test_a_block_that_has_lapsed_meanwhile(town: Town, clock: StoreClock, shared_store: StoreServer) -> None:
    await town.customer("alice")
    await town.grant("alice", 100, expires_at_ms=clock.now_ms + 1000)
    await town.reserve("alice", "r1", 30)
    await town.archived()
    lose(shared_store, clock)
    clock.tick(5000)
    await rebuilding(town).run()
    (account,) = await town.accounts.accounts(town.ids["alice"])
    assert (account.totals.available, account.totals.expired, account.blocks) == (0, 100, ())
    assert (await verified(town)).clean


async def test_a_queued_block_starts_though_only_the_end_before_it_was_archived(
    town: Town, clock: StoreClock, shared_store: StoreServer
) -> None:
    """The store was lost between two lines that one operation wrote."""
    await town.customer("alice")
    first = await town.grant("alice", 100)
    await town.grant("alice", 50, starts_after_block_id=first.block_id, duration_ms=HOUR_MS)
    await town.void("alice", first.block_id)
    lines = await town.journal.read(town.journal.partition(town.ids["alice"]), START, 9)
    assert isinstance(lines[-1], Line)
    assert lines[-1].kind is Kind.ACTIVATION
    await town.archive.append(lines[0].partition, lines[:-1], START)
    lose(shared_store, clock)
    await rebuilding(town).run()
    (account,) = await town.accounts.accounts(town.ids["alice"])
    (block,) = account.blocks
    assert (block.available, block.state, block.expires_at_ms) == (50, BlockState.ACTIVE, clock.now_ms + HOUR_MS)
    assert (await verified(town)).clean


async def test_a_clock_that_goes_back_loses_no_line(
    settled: Town, clock: StoreClock, shared_store: StoreServer
) -> None:
    """New lines stand behind the archive's, whatever time the new server has."""
    ahead = await settled.archive.positions()
    lose(shared_store, clock)
    await rebuilding(settled).run()
    granted = await settled.grant("dora", 5)
    partition = settled.journal.partition(settled.ids["dora"])
    assert Position.parse(granted.entry) > ahead[partition]
    await settled.archived()
    assert (await verified(settled, "dora")).clean


class TestRefusals:
    async def test_a_store_that_is_not_empty(self, settled: Town) -> None:
        before = await accounts(settled)
        with pytest.raises(Conflict, match="5 customers, 4 accounts"):
            await rebuilding(settled).run()
        assert await accounts(settled) == before

    async def test_a_store_with_a_worker(self, settled: Town, clock: StoreClock, shared_store: StoreServer) -> None:
        lose(shared_store, clock)
        leases = Leases(settled.lane, tenant=TENANT, environment=ENVIRONMENT)
        assert await leases.take(WORKER, "another", 60_000)
        with pytest.raises(Conflict, match="at work on this store"):
            await rebuilding(settled).run()
        await leases.give_back(WORKER, "another")
        assert (await rebuilding(settled).run()).customers == 5

    async def test_a_second_time(self, settled: Town, clock: StoreClock, shared_store: StoreServer) -> None:
        lose(shared_store, clock)
        await rebuilding(settled).run()
        with pytest.raises(Conflict, match="not empty"):
            await rebuilding(settled).run()

    async def test_an_empty_archive_makes_an_empty_store(self, town: Town) -> None:
        assert await rebuilding(town).run() == Rebuilt()
        assert (await verified(town)).clean


async def test_it_can_be_interrupted_anywhere(
    settled: Town, clock: StoreClock, shared_store: StoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt gets a little further than the one before, and repeats what that one may not have done."""
    before = {name: [each.totals.granted for each in those] for name, those in (await accounts(settled)).items()}
    lose(shared_store, clock)
    send, attempts = settled.lane.send, 0
    left = 0

    def sent(packed: bytes) -> asyncio.Future[object]:
        nonlocal left
        left -= 1
        if left < 0:
            raise StoreTimeout("The test breaks the connection.")
        return send(packed)

    while True:
        attempts += 1
        left = 30 + 9 * attempts
        monkeypatch.setattr(settled.lane, "send", sent)
        try:
            await rebuilding(settled).run()
        except StoreTimeout:
            continue
        finally:
            monkeypatch.setattr(settled.lane, "send", send)
        break
    assert attempts > 5
    assert (await verified(settled)).differences == ()
    after = {name: [each.totals.granted for each in those] for name, those in (await accounts(settled)).items()}
    assert after == before


async def test_an_unsound_account_is_named_and_the_others_are_made(
    settled: Town, clock: StoreClock, shared_store: StoreServer, tmp_path: Path
) -> None:
    with sqlite3.connect(tmp_path / "archive.db") as database:
        database.execute("UPDATE blocks SET spent = 0 WHERE customer_id = ?", (settled.ids["dora"],))
    database.close()
    lose(shared_store, clock)
    rebuilt = await rebuilding(settled).run()
    (why,) = rebuilt.failed
    assert why.startswith(settled.ids["dora"])
    assert (rebuilt.customers, rebuilt.accounts) == (5, 3)
    assert isinstance(await settled.reserve("alice", "r9", 1), Reserved | Ended)
    assert isinstance(await settled.grant("alice", 1), Granted)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresServer]:
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed")
    server = PostgresServer(binaries)
    try:
        server.start()
        yield server
    finally:
        server.remove()


async def test_the_same_from_postgresql(
    store_url: str, clock: StoreClock, shared_store: StoreServer, postgresql: PostgresServer
) -> None:
    async with open_town(store_url, postgresql.database()) as town:
        await everything(town, clock)
        await town.archived()
        before = await accounts(town)
        assert (await verified(town)).clean
        lose(shared_store, clock)
        assert len((await verified(town)).differences) > 5
        assert (await rebuilding(town).run()).failed == ()
        assert (await verified(town)).clean
        for name, those in before.items():
            for was, account in zip(those, (await accounts(town))[name], strict=True):
                assert same_after_release(was, account), name
