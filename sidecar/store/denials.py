"""Sums of refusals by hour: a hash for each hour, with a field for each code, rule and customer."""

import asyncio
from collections import Counter
from collections.abc import Iterable

from sidecar.domain.denials import Denial
from sidecar.store.keys import Keys
from sidecar.store.lane import Lane

KEPT_S = 35 * 86_400


class DenialCounts:
    """Of one tenant's environment. Everything may raise StoreError. Hours are counted from 1970."""

    def __init__(self, lane: Lane, *, tenant: str, environment: str) -> None:
        self._lane = lane
        self._keys = Keys(tenant, environment)

    async def add(self, hour: int, counted: Counter[Denial]) -> None:
        """Add to the sums of an hour. They are kept for 35 days."""
        key = self._keys.denials(hour)
        increments = (
            self._lane.execute("HINCRBY", key, " ".join(denial), number) for denial, number in counted.items()
        )
        await asyncio.gather(*increments, self._lane.execute("EXPIRE", key, KEPT_S))

    async def between(self, hours: Iterable[int]) -> dict[int, Counter[Denial]]:
        """The sums of these hours; one without any is missing."""
        asked = list(hours)
        replies = await asyncio.gather(*(self._lane.execute("HGETALL", self._keys.denials(hour)) for hour in asked))
        found = {}
        for hour, reply in zip(asked, replies, strict=True):
            if reply:
                fields = zip(reply[::2], reply[1::2], strict=True)
                found[hour] = Counter({_denial(field.decode()): int(number) for field, number in fields})
        return found


def _denial(field: str) -> Denial:
    code, rest = field.split(" ", 1)
    rule, customer_id = rest.rsplit(" ", 1)
    return Denial(code, rule, customer_id)
