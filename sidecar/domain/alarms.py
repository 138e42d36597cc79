"""Alarms on what a customer has left: each goes off once, when that falls to it, and again only after it has risen.

Pure. What is left is what can be spent and what is held, together: only what was charged, or is over, makes it less.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from sidecar.domain.amounts import checked
from sidecar.domain.errors import InvalidInput

THRESHOLDS_MAX: Final = 16
_RISEN_PERCENT: Final = 105


class Alarm(NamedTuple):
    """Which thresholds went off, the highest first, and all that have not been risen above since they did."""

    gone_off: tuple[int, ...]
    low: tuple[int, ...]


def alarm(before: int, after: int, thresholds: Sequence[int], low: Iterable[int]) -> Alarm:
    """What a change of what is left, from `before` to `after`, means to the thresholds; `low` had gone off already.

    One goes off when what is left comes from above it to it, or below. It can do so again when more is left than it
    and 5 % of it, so that small changes around it are not told each time.
    """
    still = {each for each in low if each in thresholds and after * 100 <= each * _RISEN_PERCENT}
    gone_off = tuple(
        each for each in sorted(thresholds, reverse=True) if after <= each < before and each not in still
    )
    return Alarm(gone_off, tuple(sorted(still.union(gone_off))))


def checked_thresholds(amounts: Sequence[int]) -> tuple[int, ...]:
    """The thresholds in their order, the highest first; or InvalidInput."""
    if len(amounts) > THRESHOLDS_MAX:
        raise InvalidInput(f"A balance has at most {THRESHOLDS_MAX} thresholds; got {len(amounts)}.", "amounts")
    if any(checked(each, "amounts") == 0 for each in amounts):
        raise InvalidInput("A threshold is above 0; that nothing is left is told anyway.", "amounts")
    if len(set(amounts)) != len(amounts):
        raise InvalidInput("Each threshold must be there once.", "amounts")
    return tuple(sorted(amounts, reverse=True))
