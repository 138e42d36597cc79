"""Entitlement checks: whether a customer could use something now, and how much of it. It holds nothing.

Decided as a reservation without a key would be, in the same order, but for what depends on who else asks at that
moment: a check is an answer to look at, not a promise. Whoever acts on it reserves.
"""

from collections.abc import Iterator

import msgspec

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.costs import UNITS, Cost
from sidecar.domain.counters import AT_ZERO, Stand
from sidecar.domain.outcomes import RefusalCode
from sidecar.domain.overage import OveragePolicy
from sidecar.domain.price import Number, Price
from sidecar.domain.price_counted import CountedSchedule
from sidecar.domain.price_schedule import SchedulePrice
from sidecar.domain.spend_caps import Capped


class Question(msgspec.Struct, frozen=True):
    """What the store is asked: of whose blocks one may draw, and where the counter that a price depends on stands."""

    unit: str
    feature: str = ""
    rule: str = ""
    counter: str = ""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What a question finds of the payer's account.

    `available` and `held`: of the blocks that this feature and rule may draw from; `owed`: of the whole account.
    """

    available: int
    held: int
    owed: int
    stand: Stand = AT_ZERO
    share: int | None = None
    """What a member of a pool may still take of it; None: no cap."""
    caps: tuple[Capped, ...] = ()
    """The spend caps that could refuse it."""
    overage: OveragePolicy = OveragePolicy.BLOCK
    most_owed: int = 0
    """How much may be owed; open holds keep `over` of that."""
    over: int = 0

    @property
    def reach(self) -> int:
        """The most that one request may cost, but for caps; -1: none passes, whatever it costs."""
        if self.most_owed == MAX_AMOUNT:
            return MAX_AMOUNT
        if self.most_owed and self.owed + self.over <= self.most_owed:
            return self.available + self.most_owed - self.owed - self.over
        return -1 if self.owed else self.available

    @property
    def effective(self) -> int:
        """What could be spent, after debt."""
        return self.available - self.owed

    @property
    def cap(self) -> Capped | None:
        """The cap that leaves least; of those that leave the same, the one that does so for longest."""
        if not self.caps:
            return None
        return min(self.caps, key=lambda cap: (_left(cap), -cap.reset_at_ms))


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a customer, with an answer to each question."""

    customer_id: str
    external_id: str
    status: str
    active: bool
    """Its payer too."""
    standings: tuple[Standing, ...]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Some units of a feature; `cost` None: what they cost depends on the request, and nobody knows before it."""

    feature: str
    units: Number
    unit: str
    rule: str = ""
    cost: Cost | None = None

    @property
    def question(self) -> Question:
        counter = next((each.key for each in self.cost.counts.values()), "") if self.cost is not None else ""
        return Question(self.unit, self.feature, self.rule, counter)


class Entitlement(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a check; `reason` None: it could be used.

    `cap`: the spend cap that refuses it, or that leaves less than there is to spend. `most`: whole units that could
    be used at once, None: any number, or nobody knows (`cost` is None, too).
    """

    asked: Asked
    standing: Standing
    reason: RefusalCode | None
    cost: int | None
    most: int | None
    cap: Capped | None


def judge(asked: Asked, standing: Standing, *, active: bool) -> Entitlement:
    """Whether so much could be used where things stand so. Of what has no known price, whether anything could."""
    placed = None
    if asked.cost is not None:
        placed = asked.cost.placed({each.key: standing.stand for each in asked.cost.counts.values()})
    cost = None if placed is None else placed.exactly
    reason = _refusal(1 if cost is None else cost, standing) if active else RefusalCode.CUSTOMER_SUSPENDED
    cap = standing.cap
    if cap is not None and reason is not RefusalCode.SPEND_CAP_REACHED and _left(cap) >= standing.reach:
        cap = None
    most = None
    if placed is not None and placed.price is not None:
        most = most_units(placed.price, _room(standing)) if active else 0
    return Entitlement(asked=asked, standing=standing, reason=reason, cost=cost, most=most, cap=cap)


def _refusal(needed: int, standing: Standing) -> RefusalCode | None:
    if standing.share is not None and needed > standing.share:
        return RefusalCode.POOL_CAP_REACHED
    if standing.cap is not None and needed > _left(standing.cap):
        return RefusalCode.SPEND_CAP_REACHED
    if needed <= standing.reach:
        return None
    if standing.effective + standing.held + standing.most_owed >= needed:
        return RefusalCode.HOLDS_IN_FLIGHT
    return RefusalCode.INSUFFICIENT_CREDITS


def _left(cap: Capped) -> int:
    return cap.amount - cap.spent - cap.held


def _room(standing: Standing) -> int:
    """The most that one cost may be."""
    left = [standing.reach]
    if standing.share is not None:
        left.append(standing.share)
    if standing.cap is not None:
        left.append(_left(standing.cap))
    return min(left)


def most_units(price: Price, room: int) -> int | None:
    """The most whole units that cost at most `room`, and of which no fewer cost more; None: any number does.

    With volume tiers more may cost less: it ends before the first number that costs too much.
    """
    if not 0 <= room < MAX_AMOUNT:
        return 0 if room < 0 else None
    if not isinstance(price, SchedulePrice):
        rate = dict(price.numerators).get(UNITS, 0)
        most = room * price.denominator // rate if rate else MAX_AMOUNT
        return most if most < MAX_AMOUNT else None
    low = 0
    for end, tier_rate in _stretches(price):
        if _cost(price, end) > room:
            return _last_within(price, low, end, tier_rate, room)
        low = end
    return None


def _stretches(price: SchedulePrice) -> Iterator[tuple[int, Number]]:
    """Where the rate changes, or the last number of units; and the rate up to there. In between, more costs more."""
    (schedule,) = price.schedules
    used = schedule.stand.used if isinstance(schedule, CountedSchedule) else 0
    for tier in schedule.tiers:
        if tier.up_to is None:
            yield MAX_AMOUNT, tier.rate
        elif tier.up_to > used:
            yield tier.up_to - used, tier.rate


def _last_within(price: SchedulePrice, low: int, end: int, rate: Number, room: int) -> int:
    """The last number from `low` on that costs at most `room`, if `end` costs more.

    The rate says where it should be; what a cost is rounded by is made up for in steps that double.
    """
    first = low + 1
    if _cost(price, first) > room:
        return low
    low = first
    if rate:
        exactly = sum(each.due({UNITS: first}) for each in price.schedules)
        guess = min(first + int((room - exactly) // rate), end - 1)
        if guess > low:
            low, end = (guess, end) if _cost(price, guess) <= room else (low, guess)
    step = 1
    while low + step < end and _cost(price, low + step) <= room:
        low, step = low + step, 2 * step
    end = min(end, low + step)
    while end - low > 1:
        middle = (low + end) // 2
        low, end = (middle, end) if _cost(price, middle) <= room else (low, middle)
    return low


def _cost(price: Price, units: int) -> int:
    return price.charge({UNITS: units})
