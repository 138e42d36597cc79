"""Keys: one partition for a customer, and never another tenant's."""

import re

import pytest

from sidecar.domain.errors import InvalidInput
from sidecar.domain.ids import new_id, partition_of
from sidecar.store.commands import bulk
from sidecar.store.keys import Keys

CUSTOMER = new_id("cus", 1_700_000_000_000, b"0123456789")


def test_everything_of_a_customer_lies_in_one_partition() -> None:
    keys = Keys("acme", "test")
    place = keys.of(CUSTOMER)
    partition = partition_of("acme", "test", CUSTOMER)
    accounts = [keys.account(CUSTOMER, unit) for unit in ("credits", "tokens")]
    everything = [place.customer, place.keys, place.due, place.holds, place.journal, place.business]
    everything += [key for account in accounts for key in (account.account, account.terms)]
    everything += [keys.ledger_once(CUSTOMER, "k {1}"), keys.holds_copy(CUSTOMER), keys.archived(partition)]
    everything += [keys.due(partition), keys.journal(partition)]
    assert {re.findall(rb"\{(.*?)\}", key)[0] for key in everything} == {b"%d" % partition}
    assert len(set(everything)) == len(everything) - 2


def test_what_every_request_sends_is_packed_once() -> None:
    keys = Keys("acme", "test")
    place, account = keys.of(CUSTOMER), keys.account(CUSTOMER, "credits")
    assert place.ledger == [place.customer, place.due, place.holds, place.journal]
    assert place.packed_ledger == b"".join(map(bulk, place.ledger))
    assert (place.packed_customer, account.packed_account) == (bulk(place.customer), bulk(account.account))
    assert (account.name, account.packed_name) == (f"{CUSTOMER} credits", bulk(f"{CUSTOMER} credits".encode()))


@pytest.mark.parametrize("unit", ["", "my credits", "é", "u" * 65, "a:b", "a=b", "a,b"])
def test_what_is_no_unit_is_refused(unit: str) -> None:
    with pytest.raises(InvalidInput, match="A unit has"):
        Keys("a", "live").account(CUSTOMER, unit)


def test_tenants_and_environments_share_no_key() -> None:
    places = [Keys(*scope).of(CUSTOMER) for scope in (("a", "live"), ("a", "test"), ("b", "live"))]
    assert len({place.customer for place in places}) == 3
    assert len({Keys(tenant, "live").external("x") for tenant in ("a", "b")}) == 2


@pytest.mark.parametrize("text", ["", "cus_", "alice", CUSTOMER.upper(), CUSTOMER + "0", CUSTOMER + "\n"])
def test_what_is_no_customer_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="customer id"):
        Keys("a", "live").of(text)


def test_a_key_of_the_ledger_and_one_of_another_write_never_meet() -> None:
    """In whichever partition the second one lies."""
    keys = Keys("acme", "test")
    for number in range(500):
        assert keys.ledger_once(CUSTOMER, f"k{number}") != keys.once(CUSTOMER, f"k{number}")
