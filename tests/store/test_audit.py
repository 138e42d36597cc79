"""Reading all books of a payer at one moment, on real servers."""

import asyncio
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.domain.errors import StoreCorrupt
from sidecar.domain.ids import PARTITIONS
from sidecar.domain.journal import Totals
from sidecar.store.audit import Audit
from sidecar.store.commands import CREATE_CUSTOMER
from sidecar.store.customers import PoolShare
from sidecar.store.keys import Keys
from sidecar.store.lane import Lane
from tests.support.archives import new_archive
from tests.support.store import StoreServer
from tests.support.town import ENVIRONMENT, TENANT, UNIT, Town, open_town

KEYS = Keys(TENANT, ENVIRONMENT)


@pytest.fixture
async def town(store_url: str, tmp_path: Path) -> AsyncIterator[Town]:
    async with open_town(store_url, new_archive(tmp_path)) as town:
        yield town


@pytest.fixture
def audit(town: Town) -> Audit:
    return Audit(town.lane, tenant=TENANT, environment=ENVIRONMENT)


async def test_nobody(audit: Audit, town: Town) -> None:
    await town.customer("alice")
    assert (await audit.payer(town.ids["alice"], [UNIT])).accounts == {}
    nobody = await audit.payer("cus_" + "0" * 26, [UNIT])
    assert (nobody.status, nobody.accounts, nobody.torn) == (None, {}, ())


async def test_all_books_at_one_moment(audit: Audit, town: Town) -> None:
    alice = await town.customer("alice")
    bob = await town.customer("bob", parent="alice")
    await town.customers.set_pool_cap(bob, UNIT, 500)
    key, _ = await town.customers.create_key(alice, name="laptop", now_ms=1)
    first = await town.grant("alice", 100, priority=1)
    second = await town.grant("alice", 1000, priority=2)
    await town.grant("alice", 50, unit="tokens")
    await town.reserve("alice", "r1", 30)
    await town.reserve("bob", "r2", 90, 5)
    await town.reserve("bob", "r3", 10)
    await town.commit("r3", 4)
    books = await audit.payer(alice)
    assert (books.status, books.external_id, books.parent_id) == ("active", "alice", "")
    assert list(books.credentials.values()) == [key.key_id]
    assert (books.holds, books.torn) == (2, ())
    assert books.held == {(UNIT, 1): 100, (UNIT, 2): 20, ("tokens", 3 - 2): 5}
    assert books.held_by_member == {(bob, UNIT): 90, (bob, "tokens"): 5}
    assert books.shares[bob, UNIT] == PoolShare(unit=UNIT, cap=500, held=90, spent=4)
    account = books.accounts[UNIT]
    assert account.totals == Totals(granted=1100, available=976, held=120, spent=4)
    assert account.block_ids == {1: first.block_id, 2: second.block_id}
    assert [(block.number, block.available, block.held) for block in account.blocks] == [(1, 0, 100), (2, 976, 20)]
    assert books.position == (await town.journal.extents())[audit.partition(alice)].last


async def test_reading_lets_nothing_happen(
    audit: Audit, town: Town, store_url: str, shared_store: StoreServer
) -> None:
    """A block that is past its end stays as it is."""
    alice = await town.customer("alice")
    await town.grant("alice", 100, expires_at_ms=2**52)
    with shared_store.client() as client:
        account = KEYS.account(alice, UNIT).account
        client.setrange(account, 72, struct.pack(">d", 1))
        client.setrange(account, 88 + 20, struct.pack(">d", 1))
        before = client.get(account)
        assert (await audit.payer(alice)).accounts[UNIT].blocks[0].available == 100
        assert client.get(account) == before
        assert client.xlen(KEYS.of(alice).journal) == 2


async def test_many_holds_are_copied_and_read_in_pieces(town: Town, shared_store: StoreServer) -> None:
    """The sums are those of one moment though holds come and go all the time."""
    alice = await town.customer("alice")
    await town.grant("alice", 100_000)
    await asyncio.gather(*(town.reserve("alice", f"r{number}", 1 + number % 7) for number in range(1500)))
    audit = Audit(town.lane, tenant=TENANT, environment=ENVIRONMENT, holds_at_once=100)
    stop = False

    async def traffic() -> None:
        number = 1500
        while not stop:
            await asyncio.gather(
                town.reserve("alice", f"r{number}", 3),
                town.commit(f"r{number - 1500}", 1),
                town.release(f"r{number - 700}"),
            )
            number += 1

    at_work = asyncio.ensure_future(traffic())
    for _ in range(5):
        books = await audit.payer(alice)
        account = books.accounts[UNIT]
        assert sum(books.held.values()) == account.totals.held
        assert {number: held for (_, number), held in books.held.items()} == {1: account.blocks[0].held}
        assert books.holds > 500
    stop = True
    await at_work
    with shared_store.client() as client:
        assert not client.exists(KEYS.holds_copy(alice))


class TestTorn:
    """What cannot be read is named, and the rest is still read."""

    @pytest.mark.parametrize(
        ("at", "damage", "what"),
        [
            (8, struct.pack(">d", 0.5), "account"),
            (8, struct.pack(">d", -1.0), "account"),
            (8, struct.pack(">d", float("nan")), "account"),
            (88 + 30, b"\x09", "block at byte 88"),
            (88 + 4, struct.pack(">d", 1.5), "block at byte 88"),
            (88 + 2 * 74, b"x", "account"),
        ],
    )
    async def test_an_account(
        self, audit: Audit, town: Town, shared_store: StoreServer, at: int, damage: bytes, what: str
    ) -> None:
        alice = await town.customer("alice")
        await town.grant("alice", 100)
        await town.grant("alice", 100)
        with shared_store.client() as client:
            client.setrange(KEYS.account(alice, UNIT).account, at, damage)
        (torn,) = (await audit.payer(alice)).torn
        assert (torn.unit, torn.what) == (UNIT, what)

    @pytest.mark.parametrize("record", [b"", b"x" * 80, struct.pack(">dBdIH", 1, 1, 0, 0, 3) + b"y" * 70])
    async def test_a_hold(self, audit: Audit, town: Town, shared_store: StoreServer, record: bytes) -> None:
        alice = await town.customer("alice")
        await town.grant("alice", 100)
        await town.reserve("alice", "r1", 10)
        with shared_store.client() as client:
            client.hset(KEYS.of(alice).holds, "r2", record)
        books = await audit.payer(alice)
        assert [torn.what for torn in books.torn] == ["hold r2"]
        assert books.held == {(UNIT, 1): 10}

    async def test_terms_shares_and_units(self, audit: Audit, town: Town, shared_store: StoreServer) -> None:
        alice = await town.customer("alice")
        await town.grant("alice", 100)
        with shared_store.client() as client:
            client.hset(KEYS.account(alice, UNIT).terms, "1", "{")
            client.hset(KEYS.of(alice).customer, "member:cus_x:credits", b"abc")
            client.hset(KEYS.of(alice).customer, "units", "credits b:d")
        books = await audit.payer(alice)
        assert sorted(torn.what for torn in books.torn) == ["share of cus_x", "terms of block 1", "units"]
        assert books.accounts[UNIT].block_ids == {}

    async def test_a_key_of_another_type_cannot_be_read(
        self, audit: Audit, town: Town, shared_store: StoreServer
    ) -> None:
        alice = await town.customer("alice")
        with shared_store.client() as client:
            client.rpush(KEYS.account(alice, UNIT).account, "x")
        with pytest.raises(StoreCorrupt):
            await audit.payer(alice, [UNIT])


async def test_names_are_those_of_one_partition_and_one_environment(audit: Audit, town: Town, lane: Lane) -> None:
    wanted = set()
    for number in range(40):
        customer_id = await town.customer(f"customer {number}")
        await town.grant(f"customer {number}", 5)
        await town.reserve(f"customer {number}", "r1", 1)
        wanted |= {(customer_id, ""), (customer_id, UNIT)}
    elsewhere = Keys(TENANT, "test").of("cus_" + "1" * 26)
    await lane.send(
        CREATE_CUSTOMER.pack(
            [elsewhere.customer, elsewhere.journal], ["cus_" + "1" * 26, "x", "", 1, "", b"{}", "", b"{}"]
        )
    )
    found = set()
    for partition in range(PARTITIONS):
        async for name in audit.names(partition):
            assert audit.partition(name[0]) == partition
            found.add(name)
    assert found == wanted


async def test_the_index_of_external_ids(audit: Audit, town: Town) -> None:
    alice = await town.customer("alice")
    assert await audit.external("alice") == alice
    assert await audit.external("bob") is None
