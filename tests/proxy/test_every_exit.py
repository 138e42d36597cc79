"""The table of exits, played: each cell that can be, on a real store and real sockets, and what it leaves behind.

A cell without a play fails, so whoever adds a phase or an event says in `plays` how it comes about.
"""

import pytest

from sidecar.domain.exits import EXITS, Event, Exit, Pays, Phase
from sidecar.domain.journal import Kind, Line
from sidecar.proxy.exits import EXHAUSTED
from sidecar.store.lane import Lane
from tests.proxy.aftermath import ENDS, Leftovers, assert_nothing_left, ended, lines_of
from tests.proxy.plays import PLAYS, SETTINGS
from tests.proxy.shop import Shop
from tests.proxy.standing import shop_for
from tests.support.exits_page import word
from tests.support.rawhttp import Answer

CELLS = [pytest.param(*place, cell, id=".".join(place)) for place, cell in EXITS.items() if isinstance(cell, Exit)]


@pytest.mark.parametrize(("phase", "event", "cell"), CELLS)
async def test_every_exit(lane: Lane, phase: Phase, event: Event, cell: Exit) -> None:
    play = PLAYS.get((phase, event))
    assert play is not None, f"nothing plays {phase}.{event}: say how it comes about"
    leftovers = Leftovers()
    settings = SETTINGS.get((phase, event), {})
    if event in (Event.PAUSE, Event.CRASH):
        settings = {"ttl_ms": 50, "settle_s": 0.05 if event is Event.CRASH else 5, **settings}
    async with shop_for(phase, lane, **settings) as shop:  # type: ignore[arg-type]  # Each play names real ones.
        answer = await play(shop)
        await ended(shop)
        await assert_nothing_left(shop)
        lines = [line for line in await lines_of(shop) if line.hold is not None and line.hold.rule != "other"]
        assert_told(phase, event, cell, lines)
        assert_seen(phase, event, cell, answer)
        assert_counted(cell, shop)
    await leftovers.assert_none()


def assert_told(phase: Phase, event: Event, cell: Exit, lines: list[Line]) -> None:
    """The ledger has one line for the hold, if there was one, and it says what happened."""
    kinds = [line.kind for line in lines]
    match cell.pays:
        case Pays.NOTHING_HELD:
            assert kinds == ([Kind.COMMIT] if cell.outcome == "charged" else [])
        case Pays.RELEASED:
            assert kinds == [Kind.RELEASE]
            assert lines[0].reason.startswith(f"{word(phase, event)}: ")
        case Pays.GIVEN_BACK:
            assert kinds in ([], [Kind.RELEASE])
        case Pays.UNKNOWN | Pays.DELIVERED:
            name = word(phase, event)
            assert len(kinds) == 1
            assert f"end={name}" in lines[0].usage.split() or lines[0].reason.startswith(f"{name}: ")
        case Pays.HELD:
            assert kinds == [Kind.COMMIT]
            assert lines[0].usage.endswith(EXHAUSTED)
        case Pays.COST:
            assert kinds == [Kind.COMMIT]
        case Pays.EXPIRED:
            assert kinds == [Kind.HOLD_EXPIRY]
        case Pays.LATE:
            assert kinds in ([Kind.COMMIT], [Kind.HOLD_EXPIRY, Kind.LATE_COMMIT])
    assert sum(line.kind in ENDS for line in lines) <= 1


def assert_seen(phase: Phase, event: Event, cell: Exit, answer: Answer | None) -> None:
    """The client is told why, or sees that the answer is not whole, or has gone."""
    if event in (Event.CLIENT_GONE, Event.CRASH, Event.EXHAUSTED) or (phase is Phase.BODY and cell.answers):
        assert answer is None
    elif cell.answers:
        assert answer is not None
        assert answer.get("x-sidecar-refusal") == cell.answers
    else:
        assert answer is not None
        assert answer.all("x-sidecar-refusal") == []
        assert answer.status == (500 if event is Event.REFUSED and phase in (Phase.SEND, Phase.HEAD) else 200)


def assert_counted(cell: Exit, shop: Shop) -> None:
    """Once, beside those that a play needs."""
    outcomes = [outcome for (rule, outcome) in shop.metrics.requests if rule not in ("free", "other")]
    assert not cell.outcome or cell.outcome in outcomes
