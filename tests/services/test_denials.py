"""Refusals on their way to the store."""

from collections import Counter

import pytest

from sidecar.domain.denials import Denial
from sidecar.domain.errors import StoreTimeout, StoreUnavailable
from sidecar.services.denials import KINDS_MAX, Denials
from sidecar.store.denials import DenialCounts
from sidecar.store.lane import Lane
from sidecar.tasks import Tasks
from sidecar.telemetry import Metrics
from tests.support.books import ENVIRONMENT, TENANT

EMPTY = Denial("insufficient_credits", "chat", "cus_a")


class Unsteady(DenialCounts):
    """Fails as often as it is told to."""

    failures: list[Exception]

    async def add(self, hour: int, counted: Counter[Denial]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        await super().add(hour, counted)


@pytest.fixture
def counts(lane: Lane) -> Unsteady:
    counts = Unsteady(lane, tenant=TENANT, environment=ENVIRONMENT)
    counts.failures = []
    return counts


async def test_what_is_counted_is_added_to_its_hour(counts: Unsteady) -> None:
    metrics = Metrics()
    denials = Denials(counts, metrics.take_denials, now_s=lambda: 2 * 3600 + 1)
    metrics.denials[EMPTY] += 2
    await denials.flush()
    await denials.flush()
    assert await counts.between([2]) == {2: Counter({EMPTY: 2})}


async def test_without_the_store_it_waits(counts: Unsteady) -> None:
    metrics = Metrics()
    denials = Denials(counts, metrics.take_denials, now_s=lambda: 0)
    counts.failures = [StoreUnavailable("away"), StoreUnavailable("away")]
    for _ in range(3):
        metrics.denials[EMPTY] += 1
        await denials.flush()
    assert await counts.between([0]) == {0: Counter({EMPTY: 3})}


async def test_nothing_is_added_twice(counts: Unsteady, caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    denials = Denials(counts, metrics.take_denials, now_s=lambda: 0)
    counts.failures = [StoreTimeout("who knows")]
    metrics.denials[EMPTY] += 1
    await denials.flush()
    await denials.flush()
    assert await counts.between([0]) == {}
    assert "missing in the reports" in caplog.text


async def test_memory_is_bounded_however_many_are_refused(counts: Unsteady) -> None:
    metrics = Metrics()
    denials = Denials(counts, metrics.take_denials, now_s=lambda: 0)
    for number in range(KINDS_MAX + 50):
        metrics.denials[Denial("rate_limited", "chat", f"cus_{number}")] += 1
    await denials.flush()
    found = (await counts.between([0]))[0]
    assert (len(found), found.total()) == (KINDS_MAX + 1, KINDS_MAX + 50)
    assert found[Denial("rate_limited", "chat", "")] == 50


async def test_it_flushes_by_itself(counts: Unsteady) -> None:
    metrics, tasks = Metrics(), Tasks()
    told = list[int]()

    def now_s() -> float:
        told.append(1)
        return 0

    denials = Denials(counts, metrics.take_denials, interval_s=0.001, now_s=now_s)
    metrics.denials[EMPTY] += 1
    task = tasks.start(denials.run(), "denials")
    await counts.between([0])
    while not told:
        await counts.between([0])
    task.cancel()
