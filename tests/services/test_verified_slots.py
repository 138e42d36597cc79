"""Verification of limits: the slots that a payer counts are those that its open holds have."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.domain.limits import InFlight, Rate, takings
from sidecar.services.verification import Report, Verification
from sidecar.store.audit import Audit
from sidecar.store.keys import Keys
from tests.support.archives import new_archive
from tests.support.town import ENVIRONMENT, TENANT, UNIT, Town, open_town

LIMITS = takings(
    (
        InFlight(name="few", bucket="few", most=5),
        Rate(name="fast", bucket="fast", count=10, period_ms=1000, burst=10, of=("tokens",)),
    ),
    "a-rule", "external:alice", {"tokens": 3},
)  # fmt: skip


@pytest.fixture
async def town(store_url: str, tmp_path: Path) -> AsyncIterator[Town]:
    """With one customer and two open holds, each with a slot."""
    async with open_town(store_url, new_archive(tmp_path)) as town:
        await town.customer("alice")
        await town.grant("alice", 100)
        for name in ("r1", "r2"):
            parts = ((UNIT, 5),)
            town.holds[name] = town.ledger.hold(town.ids["alice"], name, parts, 600_000, "", "a-rule", limits=LIMITS)
            await town.ledger.reserve(town.holds[name], "external:alice")
        await town.archived()
        yield town


async def verified(town: Town) -> Report:
    await town.archived()
    audit = Audit(town.lane, tenant=TENANT, environment=ENVIRONMENT)
    return await Verification(audit, town.journal, town.archive, wait_s=0.0).run()


async def test_slots_are_those_of_open_holds(town: Town) -> None:
    assert (await verified(town)).clean
    await town.commit("r1", 1)
    assert (await verified(town)).clean
    await town.release("r2")
    assert (await verified(town)).clean


@pytest.mark.parametrize(
    ("count", "found"),
    [(b"3", ("slots of few", "2", "3")), (b"many", ("slots of few", "2", "0")), (b"0", ("slots of few", "2", "0"))],
)
async def test_another_count_is_found(town: Town, count: bytes, found: tuple[str, str, str]) -> None:
    customer = Keys(TENANT, ENVIRONMENT).of(town.ids["alice"]).customer
    await town.lane.execute("HSET", customer, "in_flight:few", count)
    differences = (await verified(town)).differences
    assert found in [(each.what, each.expected, each.found) for each in differences]


async def test_a_slot_that_nobody_has_is_found(town: Town) -> None:
    customer = Keys(TENANT, ENVIRONMENT).of(town.ids["alice"]).customer
    await town.lane.execute("HSET", customer, "in_flight:gone", 1)
    (difference,) = (await verified(town)).differences
    assert (difference.what, difference.expected, difference.found) == ("slots of gone", "0", "1")
