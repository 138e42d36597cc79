"""The counters of the model, by themselves; `tests/ledger` compares them with the store's."""

from sidecar.domain.book_counters import BookCounters
from sidecar.domain.counters import Advance, Counted, Counter, CounterState, Stand

PAGES, CALLS = Counter("pages@2026-11", 1000), Counter("calls@ever", 9000)


def test_claims_and_counts() -> None:
    counters = BookCounters()
    counters.claim([Advance(PAGES, 12), Advance(CALLS, 1)])
    assert counters.moved((Advance(PAGES, 1, 0, 11),), claims=True)
    assert not counters.moved((Advance(PAGES, 1, 0, 0),), claims=False)
    counters.give_back([Advance(PAGES, 12)])
    assert counters.count([Advance(PAGES, 7)]) == (Counted(PAGES.key, 7, 7),)
    assert counters.stands([Advance(PAGES), Advance(CALLS)]) == (Stand(7), Stand(0, 1))


def test_old_ones_are_forgotten_when_nothing_is_held() -> None:
    counters = BookCounters()
    counters.claim([Advance(PAGES, 1), Advance(CALLS)])
    counters.forget(1000)
    assert [state.counter for state in counters.all()] == [CALLS, PAGES]
    counters.give_back([Advance(PAGES, 1)])
    counters.forget(1000)
    assert counters.all() == [CounterState(CALLS, Stand())]
