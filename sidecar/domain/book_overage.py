"""Overage in the model: what a payer may owe in each unit, and what its open holds may yet owe."""

from collections import Counter

NO_BLOCK = 0
"""The number that slices of no block have: what a hold keeps beyond what blocks had."""


class BookOverage:
    """Of one payer."""

    def __init__(self) -> None:
        self._most: dict[str, int] = {}
        self.held: Counter[str] = Counter()
        """By unit, what open holds keep of no block."""

    def allow(self, unit: str, most: int) -> None:
        """From now on so much may be owed; 0: nothing."""
        self._most[unit] = most

    def most(self, unit: str) -> int:
        return self._most.get(unit, 0)

    def fits(self, unit: str, owed: int, missing: int) -> bool:
        """Whether `missing` may be held beyond what blocks have, by one who owes so much."""
        most = self.most(unit)
        return most > 0 and owed + self.held[unit] + missing <= most

    def left(self, unit: str, owed: int) -> int:
        """How much more may be held so."""
        return max(self.most(unit) - owed - self.held[unit], 0)
