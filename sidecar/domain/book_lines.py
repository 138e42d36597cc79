"""The journal of the model: lines with positions like those of a stream.

It tells the whole story of what is owned and owed: `moved` gets back from its moves what the accounts say. Only a
hold is not in it before it ends.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from sidecar.domain.journal import Kind, Line, Move, Moved, Position, Totals


class BookLines:
    """Lines about the accounts of one payer, oldest first."""

    def __init__(self, payer_id: str, partition: int) -> None:
        self.payer_id = payer_id
        self.partition = partition
        self.written: list[Line] = []
        self.position = Position()

    def write(
        self, kind: Kind, now_ms: int, *, unit: str, seq: int, after: Totals, moves: Iterable[Move], **told: Any
    ) -> None:
        """`told`: the further fields of `Line` that this kind has."""
        same_ms = self.position.ms >= now_ms
        self.position = Position(self.position.ms, self.position.number + 1) if same_ms else Position(now_ms)
        self.written.append(
            Line(
                partition=self.partition,
                position=self.position,
                kind=kind,
                customer_id=self.payer_id,
                unit=unit,
                seq=seq,
                after=after,
                moves=tuple(moves),
                **told,
            )
        )


def moved(lines: Iterable[Line], unit: str) -> Counter[tuple[Moved, int]]:
    """How much the moves of `unit` come to, by what they are and by block."""
    sums: Counter[tuple[Moved, int]] = Counter()
    for line in lines:
        if line.unit == unit:
            for move in line.moves:
                sums[move.what, move.block] += move.amount
    return sums
