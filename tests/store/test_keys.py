"""Keys: one partition for a customer, and never another tenant's."""

import re

import pytest

from sidecar.domain.errors import InvalidInput
from sidecar.domain.ids import new_id, partition_of
from sidecar.store.keys import Keys

CUSTOMER = new_id("cus", 1_700_000_000_000, b"0123456789")


def test_everything_of_a_customer_lies_in_one_partition() -> None:
    keys = Keys("acme", "test")
    place = keys.of(CUSTOMER)
    partition = partition_of("acme", "test", CUSTOMER)
    everything = [place.customer, place.keys, place.expired, place.due, place.journal]
    everything += [keys.grant_once(CUSTOMER, "k {1}"), keys.due(partition), keys.expired(partition)]
    assert {re.findall(rb"\{(.*?)\}", key)[0] for key in everything} == {b"%d" % partition}
    assert len(set(everything)) == len(everything) - 2


def test_tenants_and_environments_share_no_key() -> None:
    places = [Keys(*scope).of(CUSTOMER) for scope in (("a", "live"), ("a", "test"), ("b", "live"))]
    assert len({place.customer for place in places}) == 3
    assert len({Keys(tenant, "live").external("x") for tenant in ("a", "b")}) == 2


@pytest.mark.parametrize("text", ["", "cus_", "alice", CUSTOMER.upper(), CUSTOMER + "0", CUSTOMER + "\n"])
def test_what_is_no_customer_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="customer id"):
        Keys("a", "live").of(text)
