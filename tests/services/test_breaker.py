"""A breaker opens after failures in a row, lets one request find out, and pauses longer each time it was in vain."""

from hypothesis import given
from hypothesis import strategies as st

from sidecar.services.breaker import SPREAD, Breaker


def breaker(failures_max: int = 3) -> Breaker:
    return Breaker(failures_max=failures_max, pause_first_s=1.0, pause_most_s=4.0, spread=lambda: 1.0)


def fail(one: Breaker, now_s: float) -> bool:
    return one.failed(now_s, probe=one.begin())


def opened() -> Breaker:
    one = breaker()
    assert [fail(one, 0.0) for _ in range(3)] == [False, False, True]
    return one


def test_it_opens_after_failures_in_a_row_only() -> None:
    one = breaker()
    fail(one, 0)
    fail(one, 0)
    assert one.succeeded(probe=one.begin()) is False
    fail(one, 0)
    fail(one, 0)
    assert one.closed
    assert one.allows(0)
    assert fail(one, 0)
    assert (one.closed, one.allows(0.5), one.opens_in_s(0.25), one.opened_total) == (False, False, 0.75, 1)


def test_it_never_opens_where_it_shall_not() -> None:
    one = breaker(failures_max=0)
    assert not any(fail(one, 0) for _ in range(100))
    assert one.allows(0)


def test_one_request_finds_out_and_closes_it() -> None:
    one = opened()
    assert one.allows(1.0)
    assert one.begin() is True
    assert not one.allows(1.0), "the others wait for what it finds"
    assert one.succeeded(probe=True) is True
    assert one.closed
    assert one.begin() is False


def test_a_probe_in_vain_doubles_the_pause_up_to_the_most() -> None:
    one, now_s, pauses = opened(), 0.0, []
    for _ in range(4):
        pauses.append(one.opens_in_s(now_s))
        now_s += pauses[-1]
        assert one.allows(now_s)
        assert fail(one, now_s) is False
    assert pauses == [1.0, 2.0, 4.0, 4.0]
    assert one.opened_total == 1, "it was open all the time"


def test_a_probe_that_says_nothing_lets_the_next_one_go() -> None:
    one = opened()
    assert one.begin() is True
    one.ended(probe=True)
    assert one.allows(1.0)


def test_what_began_before_it_opened_neither_prolongs_the_pause_nor_ends_a_probe() -> None:
    one = breaker()
    early = [one.begin() for _ in range(5)]
    for probe in early[:4]:
        one.failed(0.0, probe=probe)
    assert one.opens_in_s(0.0) == 1.0
    assert one.begin() is True
    one.failed(1.5, probe=early[4])
    assert not one.allows(1.5), "the probe is still out"


def test_an_answer_to_what_began_before_closes_it() -> None:
    one = breaker()
    early = one.begin()
    for _ in range(3):
        fail(one, 0.0)
    assert one.succeeded(probe=early)
    assert one.closed


def test_pauses_are_spread() -> None:
    pauses = set()
    for _ in range(20):
        one = Breaker(failures_max=1, pause_first_s=10.0, pause_most_s=10.0)
        fail(one, 0.0)
        pauses.add(one.opens_in_s(0.0))
    assert len(pauses) > 1
    assert all(10 * (1 - SPREAD) <= pause <= 10 * (1 + SPREAD) for pause in pauses)


@given(st.lists(st.sampled_from(["begin", "succeeded", "failed", "ended", "later"]), max_size=60))
def test_at_most_one_probe_is_out_and_it_is_never_shut_for_ever(steps: list[str]) -> None:
    one, now_s, out = breaker(failures_max=2), 0.0, list[bool]()
    for step in steps:
        if step == "later":
            now_s += 1.0
        elif step == "begin":
            if one.allows(now_s):
                out.append(one.begin())
        elif out:
            probe = out.pop(0)
            if step == "succeeded":
                one.succeeded(probe=probe)
            elif step == "failed":
                one.failed(now_s, probe=probe)
            else:
                one.ended(probe=probe)
        if not one.closed:
            assert sum(out) <= 1
    for probe in out:
        one.ended(probe=probe)
    assert one.allows(now_s + 4.0)
