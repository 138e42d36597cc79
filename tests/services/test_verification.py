"""Verification on a real store with a real archive: all is well after every operation, and no damage is missed."""

import asyncio
import contextlib
import sqlite3
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import redis

from sidecar.services.comparison import Difference
from sidecar.services.verification import Report, Verification
from sidecar.store.audit import Audit
from sidecar.store.keys import Keys
from tests.support.archives import new_archive
from tests.support.clock import StoreClock, store_clock
from tests.support.store import StoreServer
from tests.support.stories import everything
from tests.support.town import ENVIRONMENT, NOW_MS, TENANT, UNIT, Town, open_town

KEYS = Keys(TENANT, ENVIRONMENT)


@pytest.fixture
def clock(store_url: str, shared_store: StoreServer) -> Iterator[StoreClock]:
    with store_clock(shared_store, NOW_MS) as clock:
        yield clock


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "archive.db"


@pytest.fixture
async def town(store_url: str, clock: StoreClock, file: Path) -> AsyncIterator[Town]:
    async with open_town(store_url, new_archive(file.parent)) as town:
        yield town


async def verified(town: Town, customer: str | None = None, *, wait_s: float = 0.0) -> Report:
    audit = Audit(town.lane, tenant=TENANT, environment=ENVIRONMENT)
    verification = Verification(audit, town.journal, town.archive, wait_s=wait_s)
    return await verification.run(None if customer is None else town.ids[customer])


@pytest.fixture
async def settled(town: Town, clock: StoreClock) -> Town:
    """A town to which everything has happened, and all is archived."""
    await everything(town, clock)
    await town.archived()
    return town


async def test_all_is_well_in_an_empty_store(town: Town) -> None:
    assert await verified(town) == Report()


async def test_all_is_well_after_everything(settled: Town) -> None:
    report = await verified(settled)
    assert (report.differences, report.unchecked) == ((), ())
    assert (report.customers, report.accounts, report.holds) == (5, 4, 5)
    assert report.entries > 40
    one = await verified(settled, "dora")
    assert (one.clean, one.customers, one.accounts) == (True, 1, 1)


async def test_the_archive_may_need_a_moment(town: Town) -> None:
    await town.customer("alice")
    await town.grant("alice", 100)

    async def later() -> None:
        await asyncio.sleep(0)
        await town.archived()

    report, _ = await asyncio.gather(verified(town, wait_s=20.0), later())
    assert report.clean


async def test_what_is_not_archived_could_not_be_checked(town: Town) -> None:
    await town.customer("alice")
    await town.grant("alice", 100)
    await town.archived()
    await town.grant("alice", 100)
    report = await verified(town)
    assert not report.clean
    assert report.differences_total == 0
    (why,) = report.unchecked
    assert why.startswith(f"Partition {town.journal.partition(town.ids['alice'])}: the archive did not come to ")


async def test_nobody_could_not_be_checked(town: Town) -> None:
    town.ids["nobody"] = "cus_" + "0" * 26
    assert (await verified(town, "nobody")).unchecked == (f"There is no customer {town.ids['nobody']}.",)


async def test_all_is_well_under_traffic(town: Town) -> None:
    """Holds, settlements, grants and the archiver go on while everything is looked at, again and again."""
    names = [f"customer {number}" for number in range(6)]
    for name in names:
        await town.customer(name)
        await town.grant(name, 100_000)
    await town.customer("member", parent=names[0])
    at_work = 2

    async def requests(worker: int) -> None:
        nonlocal at_work
        for number in range(400):
            name, hold = [*names, "member"][(worker + number) % 7], f"r{worker}.{number}"
            await town.reserve(name, hold, 10 + number % 5)
            if number % 3:
                await town.commit(hold, number % 20)
            elif number % 2:
                await town.release(hold)
            if number % 25 == 0:
                await town.grant(names[worker], 5, dedup_key=hold)
                await town.customer(f"new {hold}")
                await town.grant(f"new {hold}", 1)
        at_work -= 1

    async def archive() -> None:
        while True:
            await town.archiver.archive_once()

    work = [asyncio.ensure_future(each) for each in (requests(0), requests(1))]
    archiving = asyncio.ensure_future(archive())
    looked_at = 0
    while at_work:
        report = await verified(town, wait_s=20.0)
        assert (report.differences, report.unchecked) == ((), ())
        looked_at += 1
    await asyncio.gather(*work)
    assert looked_at >= 1
    assert (await verified(town, wait_s=20.0)).holds == 2 * sum(
        number % 3 == 0 and number % 2 == 0 for number in range(400)
    )
    archiving.cancel()


Damage = Callable[[redis.Redis, Town], None]


def account(town: Town, name: str = "alice", unit: str = UNIT) -> bytes:
    return KEYS.account(town.ids[name], unit).account


def changed(client: redis.Redis, key: bytes, at: int, by: float) -> None:
    """Add to the amount at this byte of an account."""
    text = client.getrange(key, at, at + 7)
    assert isinstance(text, bytes)
    (amount,) = struct.unpack(">d", text)
    client.setrange(key, at, struct.pack(">d", amount + by))


def a_changed_total(at: int) -> Damage:
    return lambda client, town: changed(client, account(town), 8 * at, 7)


def a_changed_block(at: int) -> Damage:
    return lambda client, town: changed(client, account(town, "dora"), 88 + at, 1)


def a_changed_block_and_total(client: redis.Redis, town: Town) -> None:
    """Credit out of nothing, entered everywhere that a change of the store could reach but the journal."""
    for at in (8, 24, 88 + 4, 88 + 58):
        changed(client, account(town), at, 1_000_000)


def a_hold_with_another_slice(client: redis.Redis, town: Town) -> None:
    holds = KEYS.of(town.ids["alice"]).holds
    record = client.hget(holds, "still-open")
    assert isinstance(record, bytes)
    client.hset(holds, "still-open", record[:26] + struct.pack(">d", 3.0) + record[34:])


def a_lost_hold(client: redis.Redis, town: Town) -> None:
    client.hdel(KEYS.of(town.ids["alice"]).holds, "open-too")


def a_lost_account(client: redis.Redis, town: Town) -> None:
    client.delete(account(town, "dora"))


def a_lost_customer(client: redis.Redis, town: Town) -> None:
    client.delete(KEYS.of(town.ids["dora"]).customer)


def a_lost_external_id(client: redis.Redis, town: Town) -> None:
    client.delete(KEYS.external("dora"))


def a_torn_account(client: redis.Redis, town: Town) -> None:
    client.append(account(town, "dora"), b"half a block")


def a_torn_hold(client: redis.Redis, town: Town) -> None:
    client.hset(KEYS.of(town.ids["alice"]).holds, "torn", b"\x00" * 70)


def an_account_of_another_type(client: redis.Redis, town: Town) -> None:
    client.delete(account(town, "dora"))
    client.sadd(account(town, "dora"), "x")


def lost_terms(client: redis.Redis, town: Town) -> None:
    client.delete(KEYS.account(town.ids["alice"], UNIT).terms)


def lost_units(client: redis.Redis, town: Town) -> None:
    client.hdel(KEYS.of(town.ids["alice"]).customer, "units")


def a_key_that_nobody_made(client: redis.Redis, town: Town) -> None:
    client.hset(KEYS.of(town.ids["dora"]).customer, "key:forged", "key_forged")


def a_lost_key(client: redis.Redis, town: Town) -> None:
    customer = KEYS.of(town.ids["alice"]).customer
    client.hdel(customer, *(field for field in client.hkeys(customer) if field[:4] == b"key:"))


def another_share(client: redis.Redis, town: Town) -> None:
    field = f"member:{town.ids['bob']}:{UNIT}"
    client.hset(KEYS.of(town.ids["alice"]).customer, field, struct.pack(">3d", 6000, 1, 2))


def a_key_without_its_limits(client: redis.Redis, town: Town) -> None:
    place = KEYS.of(town.ids["alice"])
    (key,) = [key for key in map(msgspec.json.decode, client.hvals(place.keys)) if key["name"] == "rolling"]
    for each in (key, key["retiring"]):
        client.hset(place.customer, each["credential"], key["key_id"])


def lost_overage(client: redis.Redis, town: Town) -> None:
    client.hdel(KEYS.of(town.ids["emil"]).customer, "overage", f"overheld:{UNIT}")


def another_parent(client: redis.Redis, town: Town) -> None:
    client.hset(KEYS.of(town.ids["bob"]).customer, "parent", town.ids["dora"])


def an_older_account(client: redis.Redis, town: Town) -> None:
    """As a replica that was promoted too early has it."""
    changed(client, account(town, "dora"), 0, -1)


def a_customer_that_was_never_archived(client: redis.Redis, town: Town) -> None:
    client.hset(KEYS.of("cus_" + "7" * 26).customer, mapping={"status": "active", "external_id": "ghost"})


def an_account_that_was_never_archived(client: redis.Redis, town: Town) -> None:
    copied = client.get(account(town, "dora"))
    assert copied is not None
    client.set(account(town, "dora", "ghosts"), copied)


DAMAGE: list[tuple[Damage, set[str]]] = [
    (a_changed_total(1), {"conservation: granted", "granted"}),
    (a_changed_total(2), {"conservation: granted", "scheduled", "scheduled by blocks", "balance"}),
    (a_changed_total(3), {"conservation: granted", "available by blocks", "balance"}),
    (a_changed_total(4), {"conservation: granted", "held by blocks", "held by open holds"}),
    (a_changed_total(5), {"conservation: granted", "spent"}),
    (a_changed_total(6), {"conservation: granted", "expired"}),
    (a_changed_total(7), {"conservation: granted", "voided"}),
    (a_changed_total(8), {"owed"}),
    (a_changed_block(4), {"available by blocks"}),
    (a_changed_block(12), {"held by blocks"}),
    (a_changed_block_and_total, {"granted", "balance"}),
    (a_hold_with_another_slice, {"held by open holds"}),
    (a_lost_hold, {"held by open holds"}),
    (a_lost_account, {"account"}),
    (a_lost_customer, {"customer"}),
    (a_lost_external_id, {"index of external ids"}),
    (a_torn_account, {"torn: account", "account"}),
    (a_torn_hold, {"torn: hold torn"}),
    (an_account_of_another_type, {"torn"}),
    (lost_terms, {"block 2: terms"}),
    (lost_units, {"units of the customer"}),
    (a_key_that_nobody_made, {"proxy key key_forged"}),
    (lost_overage, {"overage", "held as overage"}),
    (another_parent, {"parent"}),
    (an_older_account, {"journal lines"}),
    (a_customer_that_was_never_archived, {"customer"}),
    (an_account_that_was_never_archived, {"account"}),
]


class TestDamageInTheStore:
    @pytest.mark.parametrize(("damage", "expected"), DAMAGE, ids=lambda each: getattr(each, "__name__", None))
    async def test_it_is_found_and_named(
        self, settled: Town, shared_store: StoreServer, damage: Damage, expected: set[str]
    ) -> None:
        with shared_store.client() as client:
            damage(client, settled)
        report = await verified(settled)
        assert expected <= {each.what for each in report.differences}
        assert all(each.customer_id for each in report.differences)
        assert not report.unchecked

    async def test_a_block_that_was_changed_is_named_with_its_account(
        self, settled: Town, shared_store: StoreServer
    ) -> None:
        with shared_store.client() as client:
            changed(client, account(settled, "dora"), 88 + 4, 5)
        (first, *_) = found = (await verified(settled)).differences
        assert {(each.customer_id, each.unit) for each in found} == {(settled.ids["dora"], UNIT)}
        assert first == Difference(
            customer_id=settled.ids["dora"], unit=UNIT, what="available by blocks", expected="495", found="490"
        )
        assert (await verified(settled, "alice")).clean

    async def test_a_member_s_share(self, settled: Town, shared_store: StoreServer) -> None:
        with shared_store.client() as client:
            another_share(client, settled)
            a_lost_key(client, settled)
            a_key_without_its_limits(client, settled)
        found = {each.what: (each.expected, each.found) for each in (await verified(settled)).differences}
        bob = f"share of {settled.ids['bob']}"
        assert found[f"{bob}: held"] == ("90", "1")
        assert found[f"{bob}: spent"] == ("208", "2")
        assert found["cap of its pool"] == ("5000", "6000")
        keys = [how for what, how in found.items() if what.startswith("proxy key")]
        assert sorted(keys) == [("works", "does not work"), ("works", "has other limits")]

    async def test_a_store_that_has_lost_everything(self, settled: Town, shared_store: StoreServer) -> None:
        with shared_store.client() as client:
            client.flushall()
        found = (await verified(settled)).differences
        assert {each.customer_id for each in found if each.what == "customer"} == set(settled.ids.values())
        assert any(each.what.startswith("journal of partition") for each in found)


class TestDamageOnTheWay:
    async def test_a_lost_line(self, town: Town, shared_store: StoreServer) -> None:
        await town.customer("alice")
        await town.grant("alice", 100)
        granted = await town.grant("alice", 10)
        await town.grant("alice", 1)
        with shared_store.client() as client:
            client.xdel(KEYS.of(town.ids["alice"]).journal, granted.entry)
        await town.archived()
        found = {each.what.rpartition(": ")[2] for each in (await verified(town)).differences}
        assert {"seq_gap", "seq", "granted", "block 2"} <= found

    async def test_a_lost_last_line(self, town: Town, shared_store: StoreServer) -> None:
        await town.customer("alice")
        await town.grant("alice", 100)
        granted = await town.grant("alice", 10)
        await town.customer("somebody behind", parent="alice")
        with shared_store.client() as client:
            client.xdel(KEYS.of(town.ids["alice"]).journal, granted.entry)
        await town.archived()
        found = {each.what: each for each in (await verified(town)).differences}
        assert found["journal lines"] == Difference(
            customer_id=town.ids["alice"], unit=UNIT, what="journal lines", expected="2", found="1"
        )


class TestDamageInTheArchive:
    @pytest.mark.parametrize(
        ("statement", "expected"),
        [
            ("UPDATE entries SET after_spent = after_spent + 1 WHERE seq = 2", "hash"),
            ("UPDATE entries SET reason = 'another' WHERE seq = 2", "hash"),
            ("DELETE FROM entries WHERE seq = 3", "link"),
            ("UPDATE postings SET amount = amount * 2 WHERE account IN ('balance', 'consumed')", "spent"),
            ("UPDATE postings SET amount = amount + 1 WHERE account = 'expired'", "postings"),
            ("DELETE FROM postings WHERE account = 'voided'", "postings"),
            ("UPDATE accounts SET spent = spent + 1, available = available - 1", "archive's account: spent"),
            ("UPDATE blocks SET spent = 0 WHERE number = 2", "archive's block 2: left"),
            ("DELETE FROM accounts WHERE unit = 'tokens'", "end"),
            ("DELETE FROM customers", "customer"),
            ("UPDATE keys SET revoked = 1", "proxy key"),
        ],
    )
    async def test_it_is_found_and_named(self, settled: Town, file: Path, statement: str, expected: str) -> None:
        with contextlib.closing(sqlite3.connect(file)) as database, database:
            triggers = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
            for (name,) in triggers:
                database.execute(f"DROP TRIGGER {name}")
            assert database.execute(statement).rowcount
        found = [each.what for each in (await verified(settled)).differences]
        assert [what for what in found if what.endswith(f": {expected}") or what.startswith(expected)], found

    async def test_an_archive_beyond_its_store(self, settled: Town, file: Path) -> None:
        with contextlib.closing(sqlite3.connect(file)) as database, database:
            database.execute("UPDATE positions SET ms = ms + 1000000")
        ahead = [each for each in (await verified(settled)).differences if each.what.startswith("journal of")]
        assert len(ahead) == len(await settled.archive.positions())
