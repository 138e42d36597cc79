"""The holds of the model: what was asked for, what is set aside for it, and how long an end is remembered.

==============  =====================================  ===================  ======================
a hold is       until                                  a reserve of its id  a commit of it
==============  =====================================  ===================  ======================
open            it is settled, or a sweep finds it     replayed             charged
                past its deadline
expired         15 minutes after that sweep            ended                charged, and late
committed or    24 h after it, if it is remembered;    ended                replayed if it charges
released        else no longer                                              the same, or resolved
dead            60 s after its release, which came     ended                unknown
                before any reserve
forgotten       it is reserved                         held                 unknown
==============  =====================================  ===================  ======================

What is to be forgotten is forgotten by the next sweep.
"""

from collections.abc import Iterable, Sequence

import msgspec

from sidecar.domain.amounts import checked
from sidecar.domain.blocks import Slice
from sidecar.domain.book_overage import NO_BLOCK
from sidecar.domain.counters import Advance, Counter
from sidecar.domain.errors import InvalidInput
from sidecar.domain.journal import HoldStory
from sidecar.domain.outcomes import HoldState, OpenHold, Rejected, Settled

LATE_COMMIT_MS = 15 * 60_000
DEAD_MS = 60_000
REMEMBERED_MS = 24 * 3_600_000


class Part(msgspec.Struct, frozen=True):
    """So much of one unit."""

    unit: str
    amount: int


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """What a request asks to set aside, all of it or nothing. One with the same fields is a repetition of it."""

    reservation_id: str
    customer_id: str
    """Who asks: the payer or a member of its pool."""
    parts: tuple[Part, ...]
    """In different units; the first is the one that is answered for."""
    ttl_ms: int
    feature: str = ""
    rule: str = ""
    key: str = ""
    """The id of the proxy key that it was asked with, if any."""
    remember: bool = False
    """Whether its end is known for 24 h after it."""
    claims: tuple[Advance, ...] = ()
    """What it may count, and where the counters must stand for its amounts."""


def checked_reservation(reservation: Reservation) -> Reservation:
    """`reservation`, or InvalidInput."""
    units = [part.unit for part in reservation.parts]
    if not units or len(set(units)) < len(units):
        raise InvalidInput(f"A reservation has one amount in each of its units; got {units}.", "parts")
    for part in reservation.parts:
        checked(part.amount)
    checked_ttl_ms(reservation.ttl_ms)
    return reservation


def checked_ttl_ms(ttl_ms: int) -> int:
    if checked(ttl_ms, "ttl_ms") < 1:
        raise InvalidInput(f"A hold lives for at least 1 ms; got {ttl_ms}.", "ttl_ms")
    return ttl_ms


class BookHold:
    """One reservation that took effect, as it stands. Lists are by part."""

    def __init__(self, reservation: Reservation, now_ms: int) -> None:
        self.reservation = reservation
        self.state = HoldState.OPEN
        self.until_ms = now_ms + reservation.ttl_ms
        """The deadline of an open hold; of an ended one, when it is forgotten."""
        self.reserved_at_ms = now_ms
        self.slices: list[tuple[Slice, ...]] = [() for _ in reservation.parts]
        """What is still held, in the order in which it is charged."""
        self.charged = 0
        """By step commits so far, in the first unit."""
        self.steps = 0
        self.charges: tuple[int, ...] = ()
        """Of a commit that is remembered, what it asked for, and `settled`, what it was answered."""
        self.settled: tuple[Settled, ...] = ()
        self.caps: list[tuple[Counter, ...]] = [() for _ in reservation.parts]
        """The counters of spend caps that it counts in."""

    def held(self, part: int) -> int:
        return sum(slice_.amount for slice_ in self.slices[part])

    def story(self, part: int) -> HoldStory:
        asked = self.reservation
        return HoldStory(
            reservation_id=asked.reservation_id,
            customer_id=asked.customer_id,
            feature=asked.feature,
            rule=asked.rule,
            held=self.held(part),
            reserved_at_ms=self.reserved_at_ms,
            charged_before=self.charged,
        )

    def shown(self, payer_id: str) -> OpenHold:
        asked = self.reservation
        parts = [
            OpenHold(
                reservation_id=asked.reservation_id,
                customer_id=asked.customer_id,
                payer_id=payer_id,
                unit=part.unit,
                held=self.held(index),
                charged=self.charged if index == 0 else 0,
                feature=asked.feature,
                rule=asked.rule,
                created_at_ms=self.reserved_at_ms,
                expires_at_ms=self.until_ms,
                drawn=self.slices[index],
            )
            for index, part in enumerate(asked.parts)
        ]
        return msgspec.structs.replace(parts[0], others=tuple(parts[1:]))

    def above(self, charges: Sequence[int]) -> Rejected | None:
        """Why a charge is more than is held, if it is."""
        for index, charge in enumerate(charges):
            if charge > self.held(index):
                return Rejected(self.held(index), self.reservation.parts[index].unit)
        return None

    def check_parts(self, amounts: Sequence[int]) -> None:
        """InvalidInput unless `amounts` are one for each part."""
        if len(amounts) != len(self.reservation.parts):
            raise InvalidInput(
                f"The reservation has {len(self.reservation.parts)} parts; got {len(amounts)}.", "amount"
            )
        for amount in amounts:
            checked(amount)

    def settle(self, part: int, cost: int, *, final: bool) -> list[tuple[Slice, int]]:
        """End its slices, those of blocks first: what of each is held no longer, and how much of that pays `cost`.

        Unless this is `final`, what pays nothing stays held.
        """
        ended, kept = [], list(self.slices[part])
        for place, slice_ in sorted(enumerate(kept), key=lambda each: each[1].block == NO_BLOCK):
            pays = min(slice_.amount, cost)
            gone = slice_.amount if final else pays
            cost -= pays
            ended.append((msgspec.structs.replace(slice_, amount=gone), pays))
            kept[place] = msgspec.structs.replace(slice_, amount=slice_.amount - gone)
        self.slices[part] = tuple(slice_ for slice_ in kept if slice_.amount)
        return ended

    def is_like(self, reservation: Reservation) -> bool:
        """Whether it is the same customer's, and in the same first unit."""
        asked, unit = self.reservation, reservation.parts[0].unit
        return (asked.customer_id, asked.parts[0].unit) == (reservation.customer_id, unit)

    def pay(self, cost: int) -> tuple[Slice, ...]:
        """Take `cost` out of its first part, as far as it goes; what was taken."""
        paid, kept = [], []
        for slice_ in self.slices[0]:
            taken = min(slice_.amount, cost)
            cost -= taken
            paid.append(msgspec.structs.replace(slice_, amount=taken))
            kept.append(msgspec.structs.replace(slice_, amount=slice_.amount - taken))
        self.slices[0] = tuple(slice_ for slice_ in kept if slice_.amount)
        return tuple(slice_ for slice_ in paid if slice_.amount)


def held_by(holds: Iterable[BookHold]) -> tuple[dict[tuple[str, int], int], dict[tuple[str, str], int]]:
    """What they hold: by unit and block, and by customer and unit."""
    by_block: dict[tuple[str, int], int] = {}
    by_member: dict[tuple[str, str], int] = {}
    for hold in holds:
        for index, part in enumerate(hold.reservation.parts):
            member = hold.reservation.customer_id, part.unit
            by_member[member] = by_member.get(member, 0) + hold.held(index)
            for slice_ in hold.slices[index]:
                key = part.unit, slice_.block
                by_block[key] = by_block.get(key, 0) + slice_.amount
    return by_block, by_member
