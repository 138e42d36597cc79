"""Places in the journal, and the ids that its lines have for everybody else."""

import itertools

import pytest

from sidecar.domain.journal import Position, Totals, entry_id

PLACES = [
    (partition, Position(ms, number))
    for ms, number, partition in itertools.product((0, 1, 1_795_385_829_358, 2**48 - 1), (0, 1, 2**24 - 1), (0, 63))
]


@pytest.mark.parametrize("text", ["0-0", "1795385829358-0", "1795385829358-17"])
def test_a_position_reads_as_the_stream_writes_it(text: str) -> None:
    assert str(Position.parse(text)) == text


def test_positions_are_in_the_order_of_time() -> None:
    assert Position(1, 9) < Position(2, 0) < Position(2, 1) < Position(10, 0)


def test_ids_are_unique_and_sort_by_time() -> None:
    ids = [entry_id(partition, position) for partition, position in PLACES]
    assert ids == sorted(set(ids))
    assert {len(each) for each in ids} == {24}


@pytest.mark.parametrize("owed", [0, 5])
def test_totals_balance_whatever_is_owed(owed: int) -> None:
    totals = Totals(granted=21, scheduled=1, available=2, held=3, spent=4, expired=5, voided=6, owed=owed)
    assert totals.balanced
    assert not Totals(granted=21, available=20).balanced
