"""Who pays: the first source that a request satisfies, whatever this process has seen before."""

import ipaddress

import pytest

from sidecar.domain import proxy_keys
from sidecar.domain.customers import Customer
from sidecar.domain.ids import new_id
from sidecar.domain.rules import DEFAULT_IDENTITY, ApiKey, IdentitySource, TrustedHeader
from sidecar.http1.heads import RequestHead, parse_request
from sidecar.proxy import identity
from sidecar.proxy.identity import KNOWN_MAX, NAMED_S, Identities, Payer
from sidecar.services.outage import Outage
from sidecar.store.customers import Customers
from sidecar.store.keys import Keys
from sidecar.store.lane import Lane
from sidecar.tasks import Tasks

HERE = b"127.0.0.1"
NETWORKS = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("2001:db8::/32"))
FRONT = TrustedHeader(b"x-user", NETWORKS)
KEY = ApiKey(b"authorization", b"Bearer")


def head(*lines: bytes) -> RequestHead:
    return parse_request(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n", 99)


class Somebody:
    """A customer with an external id and a key."""

    def __init__(self, customer: Customer, secret: str) -> None:
        self.by_key = Payer(customer.customer_id, proxy_keys.credential(secret))
        self.by_front = Payer(customer.customer_id, proxy_keys.external_credential(customer.external_id))
        self.bearer = b"Authorization: Bearer " + secret.encode()
        self.user = b"X-User: " + customer.external_id.encode()
        self.secret = secret


@pytest.fixture
def customers(lane: Lane) -> Customers:
    return Customers(lane, tenant="default", environment="live")


@pytest.fixture
def outage(lane: Lane) -> Outage:
    return Outage(lane, Tasks())


@pytest.fixture
def identities(customers: Customers, outage: Outage) -> Identities:
    return Identities(customers, outage, "live")


@pytest.fixture
async def alice(customers: Customers) -> Somebody:
    return await somebody(customers, "alice")


@pytest.fixture
async def bob(customers: Customers) -> Somebody:
    return await somebody(customers, "bob")


async def somebody(customers: Customers, name: str) -> Somebody:
    customer, _ = await customers.create(external_id=name, now_ms=1)
    _, secret = await customers.create_key(customer.customer_id, name="k", now_ms=1)
    return Somebody(customer, secret)


async def find(
    identities: Identities, sources: tuple[IdentitySource, ...], *lines: bytes, peer: bytes = HERE
) -> Payer | None:
    """As the story asks: what is known, then the store."""
    found = identities.known(sources, head(*lines), peer)
    return found or await identities.look_up(sources, head(*lines), peer)


async def test_a_key_names_its_customer_without_the_store(identities: Identities, alice: Somebody) -> None:
    assert identities.known(DEFAULT_IDENTITY, head(alice.bearer), HERE) == alice.by_key
    assert identities.known(DEFAULT_IDENTITY, head(b"X-Api-Key: " + alice.secret.encode()), HERE) == alice.by_key


@pytest.mark.parametrize("prefix", [b"bearer ", b"BEARER   "])
async def test_a_scheme_in_any_case_and_with_any_spaces(
    identities: Identities, alice: Somebody, prefix: bytes
) -> None:
    assert await find(identities, (KEY,), b"Authorization: " + prefix + alice.secret.encode()) == alice.by_key


@pytest.mark.parametrize("value", [b"", b"Bearer", b"Bearer ", b"Basic eA==", b"Bearer pk_live_nonsense", b"\xff"])
async def test_what_is_no_key_identifies_nobody(identities: Identities, value: bytes) -> None:
    assert await find(identities, DEFAULT_IDENTITY, b"Authorization: " + value) is None


async def test_two_credentials_in_one_field_identify_nobody(
    identities: Identities, alice: Somebody, bob: Somebody
) -> None:
    assert await find(identities, DEFAULT_IDENTITY, alice.bearer, bob.bearer) is None
    assert await find(identities, (FRONT,), alice.user, bob.user) is None


async def test_a_key_of_the_other_environment_identifies_nobody(
    customers: Customers, outage: Outage, alice: Somebody
) -> None:
    assert await find(Identities(customers, outage, "test"), DEFAULT_IDENTITY, alice.bearer) is None


async def test_a_trusted_front_names_customers_and_the_store_is_asked_once(
    identities: Identities, alice: Somebody
) -> None:
    assert identities.known((FRONT,), head(alice.user), HERE) is None
    assert await find(identities, (FRONT,), alice.user) == alice.by_front
    assert identities.known((FRONT,), head(alice.user), HERE) == alice.by_front


@pytest.mark.parametrize("peer", [b"10.0.0.1", b"2001:db9::1", b"unknown", b"", b"::ffff:10.0.0.1"])
async def test_nobody_else_is_trusted_not_even_for_what_is_known(
    identities: Identities, alice: Somebody, peer: bytes
) -> None:
    assert await find(identities, (FRONT,), alice.user) == alice.by_front
    assert await find(identities, (FRONT,), alice.user, peer=peer) is None


@pytest.mark.parametrize("peer", [b"127.8.8.8", b"2001:db8::7", b"::ffff:127.0.0.1"])
async def test_networks_of_both_families(identities: Identities, alice: Somebody, peer: bytes) -> None:
    assert await find(identities, (FRONT,), alice.user, peer=peer) == alice.by_front


@pytest.mark.parametrize("value", [b"nobody", b"", b"\xff", b"a" * 2000, b"a b"])
async def test_an_id_that_nobody_has(identities: Identities, value: bytes) -> None:
    assert await find(identities, (FRONT,), b"X-User: " + value) is None


async def test_the_first_source_pays_before_and_after_it_is_known(
    identities: Identities, alice: Somebody, bob: Somebody
) -> None:
    for _ in range(3):
        assert await find(identities, (FRONT, KEY), alice.user, bob.bearer) == alice.by_front
        assert await find(identities, (KEY, FRONT), alice.user, bob.bearer) == bob.by_key


async def test_the_next_source_pays_where_the_first_is_not_satisfied(identities: Identities, bob: Somebody) -> None:
    for _ in range(2):
        assert await find(identities, (FRONT, KEY), b"X-User: nobody", bob.bearer) == bob.by_key
        assert await find(identities, (FRONT, KEY), b"X-User: bob", bob.bearer, peer=b"10.0.0.1") == bob.by_key
        assert await find(identities, (KEY, FRONT), b"Authorization: Bearer x", bob.user) == bob.by_front


async def test_memory_is_bounded(identities: Identities, alice: Somebody) -> None:
    customer_id = alice.by_key.customer_id
    for number in range(KNOWN_MAX + 10):
        secret = proxy_keys.mint("live", customer_id, number.to_bytes(32, "big"))
        assert identities.known((KEY,), head(b"Authorization: Bearer " + secret.encode()), HERE) is not None
    assert len(identities._by_text) <= KNOWN_MAX


async def test_the_operators_own_id_is_looked_up_and_believed_for_a_minute(
    lane: Lane, customers: Customers, outage: Outage, alice: Somebody
) -> None:
    now_s = 0.0
    identities = Identities(customers, outage, "live", lambda: now_s)
    before = lane.commands_total
    assert [await identities.external_id(alice.by_key) for _ in range(3)] == ["alice"] * 3
    assert lane.commands_total == before + 1
    place = Keys("default", "live").of(alice.by_key.customer_id)
    await lane.execute("HSET", place.customer, "external_id", "acme")
    now_s = NAMED_S - 1
    assert await identities.external_id(alice.by_key) == "alice"
    now_s = NAMED_S
    assert await identities.external_id(alice.by_key) == "acme"


async def test_a_customer_that_is_not_there_has_no_id_and_is_not_remembered(
    identities: Identities, customers: Customers
) -> None:
    nobody = Payer(new_id("cus", 1, bytes(10)), "key:x")
    assert await identities.external_id(nobody) is None
    assert identities._named == {}


async def test_memory_of_names_is_bounded(
    identities: Identities, alice: Somebody, bob: Somebody, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "KNOWN_MAX", 1)
    assert await identities.external_id(alice.by_key) == "alice"
    assert await identities.external_id(bob.by_key) == "bob"
    assert list(identities._named) == [bob.by_key.customer_id]


async def test_a_key_goes_on_for_whom_its_customer_was_merged_into(
    customers: Customers, identities: Identities, alice: Somebody, bob: Somebody
) -> None:
    ours, theirs = alice.by_key.customer_id, bob.by_key.customer_id
    assert await identities.look_again(alice.by_key, (KEY,), head(alice.bearer), HERE) is None
    await customers.merge(ours, theirs)
    assert await customers.move_keys(ours, theirs) == 1
    moved = Payer(theirs, alice.by_key.credential)
    assert await identities.look_again(alice.by_key, (KEY,), head(alice.bearer), HERE) == moved
    assert await find(identities, (KEY,), alice.bearer) == moved
    assert await identities.look_again(moved, (KEY,), head(alice.bearer), HERE) is None
    assert {key.hint for key in await customers.keys(theirs)} == {
        proxy_keys.hint(secret) for secret in (alice.secret, bob.secret)
    }
