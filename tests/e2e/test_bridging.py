"""Real processes whose store goes away, by a rule that says `allow`: who is served, and what the books say later."""

import signal
from pathlib import Path

from tests.e2e.bridge import gone, metric, process, served, spent
from tests.e2e.house import CREDIT
from tests.support.store import StoreServer
from tests.support.upstream import Upstream

GRANTED = 100


async def test_allowed_requests_are_charged_by_the_heir_of_a_killed_process(
    durable: StoreServer, upstream: Upstream, tmp_path: Path
) -> None:
    first = process(upstream, durable, tmp_path)
    await first.start()
    buyer, stranger = await first.control.buyer(GRANTED * CREDIT), await first.control.buyer(GRANTED * CREDIT)
    assert await served(first, "/allowed/a", buyer, 1) == 1
    await gone(first, durable)
    assert await served(first, "/denied/a", buyer, 1) == 0
    assert await served(first, "/allowed/a", stranger, 1) == 0
    assert await served(first, "/allowed/a", buyer, 25) == 20
    assert await metric(first, "sidecar_overspend_bound_base_units") == 20 * CREDIT
    assert await metric(first, 'sidecar_bridged_requests_total{way="allow"}') == 20
    await first.stop(signal.SIGKILL)
    await first.close()
    durable.start()
    async with process(upstream, durable, tmp_path) as second:
        await spent(second, buyer, 21)
        assert await metric(second, "sidecar_spool_replayed_total") == 20
        assert await metric(second, "sidecar_overspend_base_units_total") == 0
        entries = await second.control.ledger(buyer)
        assert sum("enforced=false" in entry.get("usage", "") for entry in entries) == 20
