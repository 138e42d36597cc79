"""What a soak takes for growth."""

import pytest

from benchmarks.soak import Sample, judged


def sample(number: int, memory_mb: float = 90.0, sockets: int = 6, tasks: int = 13) -> Sample:
    return Sample(minutes=number, answers=number, faults=number, memory_mb=memory_mb, sockets=sockets, tasks=tasks)


def test_flat_is_flat_though_the_start_was_smaller() -> None:
    assert judged([sample(0, memory_mb=50.0, sockets=3), *map(sample, range(1, 9))]) == []


@pytest.mark.parametrize(
    ("grown", "said"),
    [
        ({"memory_mb": 120.0}, "memory grew from 90.0 to 120.0 MB"),
        ({"sockets": 7}, "sockets grew from 6 to 7"),
        ({"tasks": 14}, "tasks grew from 13 to 14"),
    ],
)
def test_what_grew_is_named(grown: dict[str, int], said: str) -> None:
    later = [sample(number, **grown) for number in range(6, 9)]
    assert judged([*map(sample, range(6)), *later]) == [said]


def test_two_moments_say_nothing() -> None:
    assert judged([sample(0), sample(1)]) == ["too short to judge: at least three quiet moments are needed"]
