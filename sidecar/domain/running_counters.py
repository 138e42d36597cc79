"""Where counters stand while the past is gone through again, in the order of time.

The ledger says what was used, not where counters stood: positions are what the settlements gone through have come to,
so that the first of a period must be among them.
"""

from sidecar.domain.counters import Stand
from sidecar.domain.price import Price, Usage
from sidecar.domain.price_counted import counted_in

_PERIODS_MAX = 2
"""Of each counter so many periods are kept: what was quoted at the end of one is settled in the next."""


class RunningCounters:
    """The counters of all payers. Memory grows with them, not with settlements."""

    def __init__(self) -> None:
        self._used: dict[tuple[str, str], dict[str, int]] = {}

    def charge(self, payer_id: str, price: Price, usage: Usage, most: int, at_s: float) -> int:
        """What `usage` costs of a payer whose request was quoted at `at_s`; it is counted."""
        schedules = counted_in(price)
        if not schedules:
            return price.charge(usage, most)
        stands: dict[str, Stand] = {}
        for each in schedules:
            name, key = each.counting.name, each.counting.at(at_s).key
            used = self._used.get((payer_id, name), {}).get(key, 0)
            stands[name] = Stand(used)
            self._move(payer_id, name, key, used + each.settled(usage).units)
        return price.at(stands).charge(usage, most)

    def _move(self, payer_id: str, name: str, key: str, used: int) -> None:
        periods = self._used.setdefault((payer_id, name), {})
        if key not in periods and len(periods) >= _PERIODS_MAX:
            del periods[min(periods)]
        periods[key] = used
