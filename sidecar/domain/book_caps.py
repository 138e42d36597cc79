"""Spend caps in the model: what each customer of a payer may spend in windows of time.

What counts is in the payer's counters: a hold counts in the window in which it was taken, with its part in the cap's
unit, until it ends; a charge counts there for good.
"""

from collections.abc import Iterable, Sequence

from sidecar.domain.book_counters import BookCounters
from sidecar.domain.book_holds import BookHold
from sidecar.domain.counters import Advance, Counted, Counter, Stand
from sidecar.domain.outcomes import RefusalCode, Refused
from sidecar.domain.spend_caps import Capped, CapScope, CapStand, SpendCap


class BookCaps:
    """Of one payer and the members of its pool."""

    def __init__(self, payer_id: str, counters: BookCounters) -> None:
        self._payer_id = payer_id
        self._counters = counters
        self._caps: dict[str, list[SpendCap]] = {}

    def add(self, customer_id: str, cap: SpendCap) -> None:
        self._caps.setdefault(customer_id, []).append(cap)

    def remove(self, customer_id: str, cap_id: str) -> None:
        self._caps[customer_id] = [cap for cap in self._caps[customer_id] if cap.cap_id != cap_id]

    def stands(self, customer_id: str, unit: str, now_ms: int) -> list[CapStand]:
        """The caps of a customer, in the order in which they were made, and how they stand."""
        found = []
        for cap in (each for each in self._caps.get(customer_id, []) if each.unit == unit):
            counters = cap.counters(now_ms)
            stands = self._counters.stands(Advance(counter) for counter in counters)
            spent, held = sum(stand.used for stand in stands), sum(stand.held for stand in stands)
            found.append(CapStand(cap, spent, held, counters[0].until_ms))
        return found

    def begin(self, hold: BookHold, now_ms: int) -> None:
        """From now on it counts in caps; with nothing yet."""
        for index, part in enumerate(hold.reservation.parts):
            counters = [cap.counters(now_ms)[0] for cap in self._applying(hold, part.unit)]
            hold.caps[index] = tuple(counters)
            self._counters.claim(Advance(counter) for counter in counters)

    def correct(self, hold: BookHold, part: int, held: int, spent: int = 0) -> tuple[Counted, ...]:
        """So much more or less is held of a part, and so much of it was charged."""
        counted = [self._counters.correct(counter, held, spent) for counter in hold.caps[part]]
        return tuple(each for some in counted for each in some)

    def beyond(self, hold: BookHold, part: int, amount: int, now_ms: int, *, grows: bool) -> Refused | None:
        """The refusal by the cap that lets nobody through for the longest; of equal ones, by the first.

        One that `grows` is refused by the first of those that it counts in and whose window is not over.
        """
        unit = hold.reservation.parts[part].unit
        if not grows:
            return self._refusal(self._applying(hold, unit), unit, amount, now_ms)
        for cap in self._of(hold, unit):
            if any(counter in hold.caps[part] for counter in cap.counters(now_ms)):
                refused = self._refusal([cap], unit, amount, now_ms)
                if refused is not None:
                    return refused
        return None

    def _of(self, hold: BookHold, unit: str) -> list[SpendCap]:
        customers = dict.fromkeys((self._payer_id, hold.reservation.customer_id))
        return [cap for each in customers for cap in self._caps.get(each, []) if cap.unit == unit]

    def _applying(self, hold: BookHold, unit: str) -> list[SpendCap]:
        asked = hold.reservation
        of = {CapScope.TOTAL: "", CapScope.FEATURE: asked.feature, CapScope.RULE: asked.rule, CapScope.KEY: asked.key}
        return [cap for cap in self._of(hold, unit) if of[cap.scope] == cap.of]

    def _refusal(self, caps: Iterable[SpendCap], unit: str, amount: int, now_ms: int) -> Refused | None:
        refused = [capped for cap in caps if (capped := self._capped(cap, amount, now_ms)) is not None]
        if not refused:
            return None
        capped = max(refused, key=_longest)
        left = max(capped.amount - capped.spent - capped.held, 0)
        return Refused(RefusalCode.SPEND_CAP_REACHED, amount, left, capped.held, unit, capped=capped)

    def _capped(self, cap: SpendCap, amount: int, now_ms: int) -> Capped | None:
        counters = cap.counters(now_ms)
        stands = self._counters.stands(Advance(counter) for counter in counters)
        spent, held = sum(stand.used for stand in stands), sum(stand.held for stand in stands)
        if not cap.blocks or spent + held + amount <= cap.amount:
            return None
        return Capped(
            cap_id=cap.cap_id,
            scope=cap.scope,
            of=cap.of,
            window=cap.window,
            rolling_ms=cap.rolling_ms,
            amount=cap.amount,
            spent=spent,
            held=held,
            reset_at_ms=counters[0].until_ms,
            wait_ms=_wait_ms(cap, amount, spent, list(zip(counters, stands, strict=True)), now_ms),
        )


def _wait_ms(
    cap: SpendCap, amount: int, spent: int, counted: Sequence[tuple[Counter, Stand]], now_ms: int
) -> int | None:
    if amount > cap.amount:
        return None
    if spent + amount <= cap.amount:
        return 0
    counts = sum(stand.used + stand.held for _, stand in counted)
    for counter, stand in reversed(counted):
        counts -= stand.used + stand.held
        if counts + amount <= cap.amount:
            return counter.until_ms - now_ms
    raise AssertionError("an empty window lets it through")


def _longest(capped: Capped) -> float:
    return float("inf") if capped.wait_ms is None else capped.wait_ms
