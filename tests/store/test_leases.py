"""Leases in a real store."""

import pytest

from sidecar.store.lane import Lane
from sidecar.store.leases import Leases
from tests.support.lines import ENVIRONMENT, TENANT
from tests.support.store import StoreServer


@pytest.fixture
def leases(lane: Lane) -> Leases:
    return Leases(lane, tenant=TENANT, environment=ENVIRONMENT)


async def test_one_has_it_until_it_is_given_back(leases: Leases) -> None:
    assert await leases.take("work", "one", 60_000)
    assert not await leases.take("work", "two", 60_000)
    assert await leases.take("other work", "two", 60_000)
    await leases.give_back("work", "one")
    assert await leases.take("work", "two", 60_000)


async def test_who_has_it_keeps_it_for_longer(leases: Leases, shared_store: StoreServer) -> None:
    assert await leases.take("work", "one", 10_000)
    assert await leases.take("work", "one", 60_000)
    with shared_store.client() as client:
        (name,) = client.keys("*lease*")
        assert 10_000 < client.pttl(name) <= 60_000


async def test_what_is_another_s_is_not_given_back(leases: Leases) -> None:
    await leases.take("work", "one", 60_000)
    await leases.give_back("work", "two")
    assert not await leases.take("work", "two", 60_000)


async def test_environments_are_apart(lane: Lane, leases: Leases) -> None:
    await leases.take("work", "one", 60_000)
    assert await Leases(lane, tenant=TENANT, environment="test").take("work", "two", 60_000)
