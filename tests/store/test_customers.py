"""Customers and their proxy keys."""

import asyncio
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from sidecar.domain import proxy_keys
from sidecar.domain.customers import Customer, Status
from sidecar.domain.errors import Conflict, InvalidInput, NotFound, VersionConflict
from sidecar.domain.ids import is_customer_id, new_id
from sidecar.domain.outcomes import RefusalCode, Refused, Reserved
from sidecar.store.customers import Customers
from sidecar.store.keys import Keys
from sidecar.store.lane import Lane
from tests.support.books import ENVIRONMENT, NOW_MS, TENANT, UNIT, Purse
from tests.support.store import StoreServer

NOBODY = new_id("cus", 1, b"0123456789")


@pytest.fixture
def customers(lane: Lane) -> Customers:
    return Customers(lane, tenant=TENANT, environment=ENVIRONMENT)


async def test_a_new_customer(customers: Customers) -> None:
    customer, created = await customers.create(external_id="user42:compan/ion é", display_name="Ann", now_ms=NOW_MS)
    assert created
    assert is_customer_id(customer.customer_id)
    assert customer == Customer(
        customer_id=customer.customer_id,
        external_id="user42:compan/ion é",
        display_name="Ann",
        status="active",
        created_at_ms=NOW_MS,
    )
    assert await customers.get(customer.customer_id) == customer
    assert await customers.resolve("user42:compan/ion é") == customer.customer_id


async def test_the_same_external_id_is_the_same_customer(customers: Customers) -> None:
    first, _ = await customers.create(external_id="é", display_name="first", now_ms=NOW_MS)
    again, created = await customers.create(external_id="e\u0301", display_name="second", now_ms=NOW_MS + 1)
    assert (again, created) == (first, False)
    assert await customers.resolve("e\u0301") == first.customer_id


async def test_creating_at_once_makes_one_customer(customers: Customers) -> None:
    results = await asyncio.gather(*(customers.create(external_id="a", now_ms=NOW_MS) for _ in range(50)))
    assert len({customer.customer_id for customer, _ in results}) == 1
    assert sum(created for _, created in results) == 1


async def test_a_crash_between_the_two_steps_is_mended(customers: Customers, lane: Lane) -> None:
    """The external id was given to a customer id, and the customer was not made."""
    await lane.execute("SET", Keys(TENANT, ENVIRONMENT).external("a"), NOBODY)
    assert await customers.resolve("a") == NOBODY
    customer, created = await customers.create(external_id="a", now_ms=NOW_MS)
    assert (customer.customer_id, created) == (NOBODY, True)


async def test_environments_do_not_share_customers(customers: Customers, lane: Lane) -> None:
    live, _ = await customers.create(external_id="a", now_ms=NOW_MS)
    other = Customers(lane, tenant=TENANT, environment="test")
    assert await other.resolve("a") is None
    with pytest.raises(NotFound):
        await other.get(live.customer_id)


@pytest.mark.parametrize(
    "external_id", ["", " a", "a ", "a\n", "a\x00b", "\ud800", "x" * 256, "\u00a0"], ids=lambda text: repr(text)[:12]
)
async def test_a_bad_external_id_is_refused(customers: Customers, external_id: str) -> None:
    with pytest.raises(InvalidInput, match="external_id"):
        await customers.create(external_id=external_id, now_ms=NOW_MS)
    with pytest.raises(InvalidInput):
        await customers.resolve(external_id)


async def test_the_longest_external_id_is_taken(customers: Customers) -> None:
    customer, _ = await customers.create(external_id="é" * 255, now_ms=NOW_MS)
    assert (await customers.get(customer.customer_id)).external_id == "é" * 255


async def test_nobody_is_not_found(customers: Customers) -> None:
    assert await customers.resolve("nobody") is None
    for attempt in (
        customers.get(NOBODY),
        customers.keys(NOBODY),
        customers.create_key(NOBODY, name="", now_ms=NOW_MS),
        customers.revoke_key(NOBODY, "key_1"),
    ):
        with pytest.raises(NotFound, match=NOBODY):
            await attempt


async def test_a_key_identifies_its_customer_until_it_is_revoked(customers: Customers, purse: Purse) -> None:
    key, text = await customers.create_key(purse.customer_id, name="laptop", now_ms=NOW_MS)
    assert proxy_keys.customer_id_of(text, ENVIRONMENT) == purse.customer_id
    assert (key.name, key.hint, key.created_at_ms) == ("laptop", f"{text[:12]}…{text[-4:]}", NOW_MS)
    credential = proxy_keys.credential(text)
    assert isinstance(await purse.reserve("r1", 1, credential=credential), Reserved)
    assert await customers.revoke_key(purse.customer_id, key.key_id) == key
    assert await purse.reserve("r2", 1, credential=credential) == Refused(RefusalCode.UNIDENTIFIED, 1, unit=UNIT)
    with pytest.raises(NotFound, match="no proxy key"):
        await customers.revoke_key(purse.customer_id, key.key_id)


async def test_keys_are_listed_oldest_first_and_never_whole(
    customers: Customers, purse: Purse, shared_store: StoreServer
) -> None:
    made = [await customers.create_key(purse.customer_id, name=f"k{n}", now_ms=NOW_MS + n) for n in range(3)]
    assert await customers.keys(purse.customer_id) == [key for key, _ in made]
    with shared_store.client() as client:
        stored = b"".join(client.dump(name) or b"" for name in client.keys("*"))
    assert not any(text[-43:].encode() in stored for _, text in made)


async def test_a_change_is_a_version(customers: Customers) -> None:
    made, _ = await customers.create(external_id="a", now_ms=NOW_MS, metadata={"tier": "gold"})
    assert (made.version, made.metadata) == (1, {"tier": "gold"})

    def suspend(customer: Customer) -> Customer:
        return replace(customer, status=Status.SUSPENDED)

    changed = await customers.update(made.customer_id, suspend, expected=1)
    assert changed == replace(made, status="suspended", version=2)
    assert await customers.get(made.customer_id) == changed
    assert await customers.update(made.customer_id, suspend) == changed
    with pytest.raises(VersionConflict, match="has version 2 now, not 1"):
        await customers.update(made.customer_id, suspend, expected=1)
    with pytest.raises(NotFound):
        await customers.update(NOBODY, suspend)


async def test_changes_at_once_are_all_made(customers: Customers) -> None:
    made, _ = await customers.create(external_id="a", now_ms=NOW_MS)

    def put(name: str) -> Callable[[Customer], Customer]:
        return lambda customer: replace(customer, metadata={**customer.metadata, name: "x"})

    await asyncio.gather(*(customers.update(made.customer_id, put(f"n{number}")) for number in range(8)))
    changed = await customers.get(made.customer_id)
    assert (len(changed.metadata), changed.version) == (8, 9)


async def test_a_suspended_customer_is_refused_until_it_is_not(customers: Customers, purse: Purse) -> None:
    await customers.update(purse.customer_id, lambda customer: replace(customer, status=Status.SUSPENDED))
    refused = await purse.reserve("r1", 1)
    assert isinstance(refused, Refused)
    assert refused.code is RefusalCode.CUSTOMER_SUSPENDED
    await customers.update(purse.customer_id, lambda customer: replace(customer, status=Status.ACTIVE))
    assert isinstance(await purse.reserve("r2", 1), Reserved)


async def test_a_renamed_customer_is_known_by_its_new_external_id_alone(customers: Customers, purse: Purse) -> None:
    old = (await customers.get(purse.customer_id)).external_id
    renamed = await customers.rename(purse.customer_id, "new", expected=1)
    assert (renamed.external_id, renamed.version) == ("new", 2)
    assert await customers.find("new") == renamed
    assert (await customers.find(old), await customers.resolve(old)) == (None, None)
    assert isinstance(await purse.reserve("r1", 1, credential="external:new"), Reserved)
    refused = await purse.reserve("r2", 1, credential=f"external:{old}")
    assert isinstance(refused, Refused)
    assert refused.code is RefusalCode.UNIDENTIFIED
    other, made = await customers.create(external_id=old, now_ms=NOW_MS)
    assert made
    assert other.customer_id != purse.customer_id


async def test_an_external_id_of_another_is_not_taken(customers: Customers) -> None:
    first, _ = await customers.create(external_id="a", now_ms=NOW_MS)
    second, _ = await customers.create(external_id="b", now_ms=NOW_MS)
    with pytest.raises(Conflict, match=f"'a' belongs to {first.customer_id}"):
        await customers.rename(second.customer_id, "a")
    with pytest.raises(VersionConflict):
        await customers.rename(second.customer_id, "c", expected=7)
    assert await customers.resolve("c") is None
    assert await customers.find("a") == first
    assert await customers.rename(second.customer_id, "b") == second


async def test_a_crash_in_a_renaming_is_mended(customers: Customers, lane: Lane) -> None:
    """After the first step, and before the last one."""
    index = Keys(TENANT, ENVIRONMENT).external
    customer, _ = await customers.create(external_id="a", now_ms=NOW_MS)
    await lane.execute("SET", index("b"), customer.customer_id)
    assert await customers.find("b") is None
    renamed = await customers.rename(customer.customer_id, "b")
    await lane.execute("SET", index("a"), customer.customer_id)
    assert await customers.find("a") is None
    other, made = await customers.create(external_id="a", now_ms=NOW_MS)
    assert made
    assert await customers.find("a") == other
    assert await customers.find("b") == renamed


async def test_of_many_who_want_an_external_id_one_gets_it(customers: Customers) -> None:
    made = [(await customers.create(external_id=f"c{number}", now_ms=NOW_MS))[0] for number in range(6)]

    async def rename(customer: Customer) -> bool:
        try:
            await customers.rename(customer.customer_id, "wanted")
        except Conflict:
            return False
        return True

    assert sum(await asyncio.gather(*map(rename, made))) == 1
    owner = await customers.find("wanted")
    assert owner is not None
    assert owner.external_id == "wanted"
