"""Steps of a long request: each charged once, in order, whatever becomes of replies; the end charges the rest."""

import pytest

from sidecar.domain.errors import StoreError
from sidecar.domain.journal import Kind
from sidecar.services.hold import Hold
from sidecar.services.steps import Steps
from sidecar.store.commands import COMMIT
from tests.services.desk import Desk
from tests.support.relay import Relay


async def stepped(desk: Desk, hold: Hold, *costs: int) -> Steps:
    steps = Steps(hold)
    for cost in costs:
        steps.begin(cost, f"a={cost}", "observed")
        assert await steps.deliver(desk.holds._ledger) == 0
    return steps


async def lines(desk: Desk) -> list[tuple[Kind, int, str]]:
    return [(line.kind, line.charged, line.usage) for line in await desk.purse.lines() if line.hold is not None]


async def test_each_step_makes_the_hold_smaller_and_the_end_charges_the_rest(desk: Desk) -> None:
    hold = await desk.take()
    steps = await stepped(desk, hold, 100, 50)
    assert (hold.held, steps.charged, steps.promised) == (150, 150, 150)
    assert await desk.books() == (700, 150, 150)
    settled = await desk.holds.commit(hold, 20, "a=20", "reported", steps=steps)
    assert settled is not None
    assert settled.charged == 20
    assert await desk.books() == (830, 0, 170)
    assert await lines(desk) == [
        (Kind.STEP_COMMIT, 100, "a=100"),
        (Kind.STEP_COMMIT, 50, "a=50"),
        (Kind.COMMIT, 20, "a=20"),
    ]


async def test_a_step_whose_reply_is_lost_is_charged_once(relayed: Desk, relay: Relay) -> None:
    hold = await relayed.take()
    steps = await stepped(relayed, hold, 10)
    relay.lose_reply_to = COMMIT.sha
    steps.begin(100, "a=100", "observed")
    with pytest.raises(StoreError):
        await steps.deliver(relayed.holds._ledger)
    assert relay.lost_total == 1
    assert (steps.charged, steps.promised) == (10, 110)
    await relayed.holds.commit(hold, 20, "a=20", "reported", steps=steps)
    assert await relayed.holds.settling.drain(20)
    assert (steps.charged, steps.pending) == (110, None)
    assert await relayed.books() == (870, 0, 130)
    assert [charged for _, charged, _ in await lines(relayed)] == [10, 100, 20]


async def test_what_was_promised_and_could_not_be_charged_is_charged_at_the_end(desk: Desk) -> None:
    """The step meant a hold that has ended; the session goes on with another one."""
    ended, hold = await desk.take(), await desk.take()
    steps = Steps(ended)
    steps.begin(100, "a=100", "observed")
    await desk.holds.release(ended, "it was lost")
    settled = await desk.holds.commit(hold, 20, "a=20", "reported", steps=steps)
    assert settled is not None
    assert settled.charged == 120
    assert await desk.books() == (880, 0, 120)
