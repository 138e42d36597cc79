"""Whose turn it is: parties take turns, and within a party who came first."""

from collections import deque
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.http1.exchange import Exchange
from sidecar.http1.fair_queue import FairQueue


class Waiting:
    """What the queue sees of an exchange."""

    def __init__(self, party: str) -> None:
        self.party = party


def waiting(party: str) -> Exchange:
    return cast(Exchange, Waiting(party))


def test_one_request_of_another_party_waits_for_one_turn() -> None:
    queue, flood, other = FairQueue(), [waiting("a") for _ in range(5)], waiting("b")
    for exchange in [*flood, other]:
        queue.add(exchange)
    assert [queue.pop() for _ in range(6)] == [flood[0], other, *flood[1:]]
    assert not queue
    with pytest.raises(KeyError):
        queue.pop()


def test_a_party_that_comes_again_has_its_turn_after_the_others() -> None:
    queue = FairQueue()
    first, second, other = waiting("a"), waiting("a"), waiting("b")
    queue.add(first)
    queue.add(other)
    assert queue.pop() is first
    queue.add(second)
    assert [queue.pop(), queue.pop()] == [other, second]


def test_who_stands_in_line_keeps_its_place() -> None:
    queue, first, second = FairQueue(), waiting("a"), waiting("a")
    for exchange in (first, second, first):
        queue.add(exchange)
    assert len(queue) == 2
    assert [queue.pop(), queue.pop()] == [first, second]


@given(st.lists(st.tuples(st.sampled_from(["add", "pop", "leave"]), st.sampled_from("abc")), max_size=60))
def test_nobody_is_lost_and_nobody_waits_for_more_than_a_round(steps: list[tuple[str, str]]) -> None:
    queue, lines = FairQueue(), dict[str, deque[Exchange]]()
    overtaken = dict[Exchange, set[str]]()
    for what, party in steps:
        line = lines.setdefault(party, deque())
        if what == "add":
            exchange = waiting(party)
            queue.add(exchange)
            line.append(exchange)
            overtaken[exchange] = set()
        elif what == "leave" and line:
            exchange = line.pop()
            queue.discard(exchange)
            queue.discard(exchange)
        elif what == "pop" and queue:
            served = queue.pop()
            assert lines[served.party].popleft() is served
            for name, others in lines.items():
                if others and name != served.party:
                    assert served.party not in overtaken[others[0]], "twice, before the other had its turn"
                    overtaken[others[0]].add(served.party)
        assert len(queue) == sum(map(len, lines.values()))
