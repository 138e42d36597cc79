"""Pauses between attempts: they grow, they have a limit, and they are never in step."""

from sidecar.store.pauses import Pauses


def test_they_grow_to_their_limit_and_begin_again() -> None:
    pauses = Pauses(first_s=1.0, most_s=5.0)
    for most_s in (1.0, 2.0, 4.0, 5.0, 5.0):
        assert most_s / 2 <= pauses.next_s() <= most_s
    pauses.reset()
    assert pauses.next_s() <= 1.0


def test_two_processes_do_not_wait_alike() -> None:
    assert len({Pauses().next_s() for _ in range(100)}) > 90
