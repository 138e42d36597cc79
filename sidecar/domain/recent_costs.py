"""What requests of one rule have cost lately, in this process: the percentile of it that the next one holds.

It is kept in order as costs come, so that a quote only looks at it: 0.5 µs for a cost among 200, nothing for a quote.
"""

import bisect
import math
from collections import deque
from fractions import Fraction

ENOUGH = 20
"""So many costs say something, or as many as are kept if that is less."""
OF_MAX = 10_000


class RecentCosts:
    """The last `of` costs in base units. `value` is their `percentile`, None until there are enough of them.

    At least `percentile` of a hundred costs were at most `value`, which is one of them (the nearest rank).
    """

    def __init__(self, percentile: Fraction, of: int) -> None:
        self.percentile = percentile
        self.of = of
        self.value: int | None = None
        self._last: deque[int] = deque(maxlen=of)
        self._in_order: list[int] = []
        self._share = percentile / 100
        self._enough = min(ENOUGH, of)

    @property
    def note(self) -> str:
        """What it means for a hold, in words for people."""
        shown = float(self.percentile)
        return f"after {self._enough} costs, percentile {shown:g} of the last {self.of} of this rule is held"

    def add(self, cost: int) -> None:
        """A request has cost so much; the oldest cost is forgotten if there are too many."""
        last, in_order = self._last, self._in_order
        if len(last) == self.of:
            del in_order[bisect.bisect_left(in_order, last[0])]
        last.append(cost)
        bisect.insort(in_order, cost)
        count = len(in_order)
        if count >= self._enough:
            self.value = in_order[math.ceil(count * self._share) - 1]

    def keeps_like(self, other: "RecentCosts") -> bool:
        """Whether both come to the same whenever they see the same."""
        return (self.percentile, self.of) == (other.percentile, other.of)

    def add_all(self, earlier: "RecentCosts") -> None:
        """What another one knows, in its order: a rule that was loaded again goes on with what it has seen."""
        for cost in earlier._last:
            self.add(cost)
