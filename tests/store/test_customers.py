"""Customers and their proxy keys."""

import asyncio

import pytest

from sidecar.domain import proxy_keys
from sidecar.domain.errors import InvalidInput, NotFound
from sidecar.domain.ids import is_customer_id, new_id
from sidecar.domain.outcomes import RefusalCode, Refused, Reserved
from sidecar.store.customers import Customer, Customers
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
