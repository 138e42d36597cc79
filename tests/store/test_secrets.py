"""Secrets in the store: the same for all of one environment, and only for them."""

import asyncio

from sidecar.store.lane import Lane
from sidecar.store.secrets import Secrets


def of(lane: Lane, tenant: str = "acme", environment: str = "live") -> Secrets:
    return Secrets(lane, tenant=tenant, environment=environment)


async def test_all_who_ask_get_the_same(lane: Lane) -> None:
    asked = [of(lane).shared("signing", 32) for _ in range(20)]
    (kept,) = set(await asyncio.gather(*asked))
    assert len(kept) == 32


async def test_each_environment_and_name_has_its_own(lane: Lane) -> None:
    kept = {
        await of(lane).shared("signing", 32),
        await of(lane).shared("other", 32),
        await of(lane, environment="test").shared("signing", 32),
        await of(lane, tenant="other").shared("signing", 32),
    }
    assert len(kept) == 4
