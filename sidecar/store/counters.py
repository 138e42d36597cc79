"""Reads the counters of a payer. The scripts of holds write them, with the money and never without."""

from sidecar.domain.counters import Counter, CounterState, is_of_cap
from sidecar.domain.errors import StoreCorrupt
from sidecar.store.counter_text import FIELD, LIST, listed, stand_of
from sidecar.store.keys import Keys
from sidecar.store.lane import Lane


class Counters:
    """Of one tenant's environment. Everything may raise StoreError."""

    def __init__(self, lane: Lane, *, tenant: str, environment: str) -> None:
        self._lane = lane
        self._keys = Keys(tenant, environment)

    async def of(self, payer_id: str) -> list[CounterState]:
        """All counters of a payer that are kept but those of spend caps, by their keys."""
        place = self._keys.of(payer_id)
        text: bytes | None = await self._lane.execute("HGET", place.customer, LIST)
        try:
            counters = sorted((key, at) for key, at in listed(text or b"").items() if not is_of_cap(key))
        except ValueError as error:
            raise StoreCorrupt(f"The customer {payer_id} has the counters {text!r}.") from error
        if not counters:
            return []
        packed = await self._lane.execute("HMGET", place.customer, *(f"{FIELD}{key}" for key, _ in counters))
        return [
            CounterState(Counter(key, forget_at_ms), stand_of(each))
            for (key, forget_at_ms), each in zip(counters, packed, strict=True)
            # One that was forgotten between the two questions is none any more.
            if each is not None
        ]
