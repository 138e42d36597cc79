"""The counters of the model: what a payer has used in periods, and what open holds may still count.

They move with the money: a reserve claims, every end of a hold gives the claim back, a commit counts besides.
"""

from collections.abc import Iterable, Sequence

from sidecar.domain.counters import AT_ZERO, Advance, Counted, Counter, CounterState, Stand, is_of_cap


class BookCounters:
    """Of one payer."""

    def __init__(self) -> None:
        self._stands: dict[Counter, Stand] = {}

    def stands(self, advances: Iterable[Advance]) -> tuple[Stand, ...]:
        """Where the counters of these stand."""
        return tuple(self._stands.get(each.counter, AT_ZERO) for each in advances)

    def moved(self, advances: tuple[Advance, ...], *, claims: bool) -> bool:
        """Whether one of them stands elsewhere; of `claims`, together with what is held."""
        return any(
            stand.used < each.low or stand.used + (stand.held if claims else 0) > each.high
            for each, stand in zip(advances, self.stands(advances), strict=True)
        )

    def claim(self, claims: Iterable[Advance]) -> None:
        for each in claims:
            stand = self._stands.get(each.counter, AT_ZERO)
            self._stands[each.counter] = Stand(stand.used, stand.held + each.units)

    def give_back(self, claims: Iterable[Advance]) -> None:
        """Of those that are still known."""
        for each in claims:
            stand = self._stands.get(each.counter)
            if stand is not None:
                self._stands[each.counter] = Stand(stand.used, max(stand.held - each.units, 0))

    def correct(self, counter: Counter, held: int, used: int) -> tuple[Counted, ...]:
        """So much more or less is held in a counter, and so much was used; nothing for one that is forgotten."""
        stand = self._stands.get(counter)
        if stand is None:
            return ()
        self._stands[counter] = Stand(stand.used + used, max(stand.held + held, 0))
        return (Counted(counter.key, used, stand.used + used),) if used else ()

    def lower(self, keys: Sequence[str], used: int) -> tuple[Counted, ...]:
        """So much less was used in the counters with these keys, as far as they are known."""
        known = {counter.key: counter for counter in self._stands}
        lowered = [self.correct(known[key], 0, -used) for key in keys if key in known]
        return tuple(each for some in lowered for each in some)

    def count(self, advances: Iterable[Advance]) -> tuple[Counted, ...]:
        counted = []
        for each in advances:
            stand = self._stands.get(each.counter, AT_ZERO)
            self._stands[each.counter] = Stand(stand.used + each.units, stand.held)
            counted.append(Counted(each.counter.key, each.units, stand.used + each.units))
        return tuple(counted)

    def forget(self, now_ms: int) -> None:
        """Those of old periods in which nothing is held."""
        for counter, stand in list(self._stands.items()):
            if counter.forget_at_ms <= now_ms and not stand.held:
                del self._stands[counter]

    def all(self) -> list[CounterState]:
        """But those of spend caps, by their keys."""
        stands = ((counter, stand) for counter, stand in self._stands.items() if not is_of_cap(counter.key))
        return sorted(
            (CounterState(counter, stand) for counter, stand in stands),
            key=lambda state: state.counter.key,
        )
