"""Exchanges that wait for a connection, in fair order: each party has its turn, and within a party who came first.

So a customer who sends a thousand requests at once waits for its own, and another one's only request for one turn.
"""

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sidecar.http1.exchange import Exchange


class FairQueue:
    """Waiting exchanges by their `party`; all operations take constant time."""

    __slots__ = ("_lines", "_size")

    def __init__(self) -> None:
        self._lines: OrderedDict[str, OrderedDict[Exchange, None]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, exchange: "Exchange") -> None:
        """Stand in line; who stands there already keeps its place."""
        line = self._lines.setdefault(exchange.party, OrderedDict())
        if exchange not in line:
            line[exchange] = None
            self._size += 1

    def discard(self, exchange: "Exchange") -> None:
        """Leave the line, if it stands there."""
        line = self._lines.get(exchange.party)
        if line is not None and exchange in line:
            del line[exchange]
            self._size -= 1
            if not line:
                del self._lines[exchange.party]

    def pop(self) -> "Exchange":
        """The first of the party whose turn it is; KeyError when nobody waits."""
        party, line = self._lines.popitem(last=False)
        exchange, _ = line.popitem(last=False)
        self._size -= 1
        if line:
            self._lines[party] = line
        return exchange
