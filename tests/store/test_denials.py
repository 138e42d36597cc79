"""Sums of refusals in the store."""

from collections import Counter

from sidecar.domain.denials import Denial
from sidecar.store.denials import KEPT_S, DenialCounts
from sidecar.store.keys import Keys
from sidecar.store.lane import Lane
from tests.support.books import ENVIRONMENT, TENANT

EMPTY = Denial("insufficient_credits", "chat", "cus_a")
NOBODY = Denial("unidentified", "", "")


async def test_what_processes_add_adds_up_by_hour(lane: Lane) -> None:
    counts = DenialCounts(lane, tenant=TENANT, environment=ENVIRONMENT)
    await counts.add(7, Counter({EMPTY: 2, NOBODY: 1}))
    await counts.add(7, Counter({EMPTY: 3}))
    await counts.add(9, Counter({NOBODY: 4}))
    assert await counts.between(range(7, 10)) == {7: Counter({EMPTY: 5, NOBODY: 1}), 9: Counter({NOBODY: 4})}
    assert await counts.between([8]) == {}
    left = await lane.execute("TTL", Keys(TENANT, ENVIRONMENT).denials(7))
    assert KEPT_S - 60 < left <= KEPT_S
