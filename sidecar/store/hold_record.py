"""A hold as it goes to the store and as the store keeps it; `lua/shared/hold.lua` describes the record.

Whoever reserved needs no look-up to settle: the record is packed once, and names the payer and its accounts.
"""

import re
import struct
from functools import lru_cache
from typing import NamedTuple

import msgspec

from sidecar.domain.amounts import checked
from sidecar.domain.blocks import Slice
from sidecar.domain.counters import Advance, counter_of
from sidecar.domain.errors import InvalidInput, StoreCorrupt
from sidecar.domain.ids import is_customer_id
from sidecar.domain.limits import Taking, ends_of
from sidecar.domain.outcomes import HoldState, OpenHold
from sidecar.store.commands import bulk
from sidecar.store.keys import checked_unit

PARTS_MAX = 8
"""Most units that one reservation may hold."""
_ID = re.compile(r"[\x21-\x7e]{1,128}\Z")
_NONE = "-"
"""The word for what there is not."""
_LIMITED = 2
"""Added to the word that says whether the end is remembered, when the end gives something back to limits."""
_CAPS = re.compile(r"\*\d:spend:")
_WORD = re.compile(r"[^\s\x00-\x1f]{1,255}\Z")
_HEAD = struct.Struct(">dBdIH")
_SLICE = struct.Struct(">BId")
_STATES = {
    1: HoldState.OPEN,
    2: HoldState.EXPIRED,
    4: HoldState.COMMITTED,
    5: HoldState.RELEASED,
    6: HoldState.COMMITTED_LATE,
}
_NO_HOLDS = frozenset({3, 7})


class HoldRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One hold, for the scripts. Amounts are base units."""

    customer_id: str
    """Who asks."""
    payer_id: str
    """Whose accounts are held: the customer's, or its parent's."""
    reservation_id: str
    parts: tuple[tuple[str, int], ...]
    """Units and amounts."""
    ttl_ms: int
    rule: str
    packed_id: bytes
    packed_text: bytes
    """What is kept with the hold."""
    claims: tuple[Advance, ...] = ()
    """The counters that its settlement may count in."""
    limits: tuple[Taking, ...] = ()
    """What it takes of limits; at its end, what it took."""

    @property
    def unit(self) -> str:
        return self.parts[0][0]

    @property
    def held(self) -> int:
        return self.parts[0][1]

    @property
    def member(self) -> str:
        """Who asks, if its parent pays; else nothing."""
        return "" if self.customer_id == self.payer_id else self.customer_id


class HoldText(NamedTuple):
    """The words that are kept with a hold, as `lua/shared/hold.lua` lists them."""

    reservation_id: str
    customer_id: str
    ttl_ms: int
    """All of its life, from when it was reserved to its deadline."""
    parts: tuple[tuple[str, int], ...]
    feature: str
    rule: str
    rules_version: str
    """Empty: it was not taken by a rule file, or by a sidecar that did not say."""
    claims: dict[str, int]
    """What it may count, by key of the counter."""
    slots: tuple[str, ...] = ()
    """The buckets of limits that it has a slot of."""
    caps: tuple[tuple[int, str], ...] = ()
    """The counters of spend caps that it counts in, each with its part, from 1."""
    note: str = ""
    """The word of what its caller said of it; see `domain.notes`."""


def hold_text(text: bytes) -> HoldText:
    """What the words say. Raises ValueError for what is none of ours."""
    words = text.decode().split(" ")
    longer_ms = int(words.pop()) if words[-1].startswith("+") else 0
    caps = words.pop()[1:].split(",") if _CAPS.match(words[-1]) else []
    reservation_id, customer_id, ttl_ms, _, held, feature, rule = words[:7]
    if not is_customer_id(customer_id):
        raise ValueError(customer_id)
    pairs = (each.split("=") for each in held.split(","))
    return HoldText(
        reservation_id=reservation_id,
        customer_id=customer_id,
        ttl_ms=int(ttl_ms) + longer_ms,
        parts=tuple((unit, int(amount)) for unit, amount in pairs),
        feature="" if feature == _NONE else feature,
        rule="" if rule == _NONE else rule,
        # Holds of before there were versions end with the rule.
        rules_version="" if len(words) == 7 or words[7] == _NONE else words[7],
        claims=dict(_claim(each) for each in words[8].split(",")) if words[8:] and words[8] != _NONE else {},
        caps=tuple((int(each[0]), each[2:]) for each in caps),
        slots=tuple(each for each in words[9].split(",") if "=" not in each and each != _NONE) if words[9:] else (),
        note=words[10] if words[10:] else "",
    )


class StoredHold(msgspec.Struct, frozen=True, kw_only=True):
    """A record as the store has it. `time_ms`: its deadline while it is open, later when it is forgotten."""

    time_ms: int
    state: HoldState
    charged: int
    steps: int
    """How many have charged it."""
    slices: tuple[tuple[int, Slice], ...]
    """With their part, from 1."""
    reservation_id: str
    customer_id: str
    ttl_ms: int
    parts: tuple[tuple[str, int], ...]
    feature: str
    rule: str
    rules_version: str
    claims: dict[str, int] = {}
    """What it may count, by key of the counter."""
    slots: tuple[str, ...] = ()
    """The buckets of limits that it has a slot of."""
    caps: tuple[tuple[int, str], ...] = ()
    """The counters of spend caps that it counts in, each with its part, from 1."""
    note: str = ""
    """The word of what its caller said of it."""

    def drawn(self, part: int) -> tuple[Slice, ...]:
        return tuple(each for of, each in self.slices if of == part)


def hold_record(
    *,
    customer_id: str,
    payer_id: str,
    reservation_id: str,
    parts: tuple[tuple[str, int], ...],
    ttl_ms: int,
    feature: str,
    rule: str,
    rules_version: str = "",
    remember: bool = False,
    claims: tuple[Advance, ...] = (),
    limits: tuple[Taking, ...] = (),
    note: str = "",
) -> HoldRecord:
    """The record of a hold. Raises InvalidInput for what could not be kept or read back."""
    packed_id = _packed_id(reservation_id)
    if ttl_ms <= 0:
        raise InvalidInput(f"A hold lives for at least 1 ms; got {ttl_ms}.", "ttl_ms")
    if len(parts) == 1:
        unit, amount = parts[0]
        held = f"{_checked_unit(unit)}={checked(amount)}"
    else:
        held = _checked_parts(parts)
    told = _told(feature, rule, rules_version)
    if limits and customer_id != payer_id:
        # Members have buckets of their own among those of their payer.
        limits = tuple(msgspec.structs.replace(each, bucket=f"{customer_id}/{each.bucket}") for each in limits)
    ends = ends_of(limits)
    text = f"{reservation_id} {customer_id} {ttl_ms} {remember + (_LIMITED if ends else 0)} {held} {told}"
    if claims or ends or note:
        text += " " + (",".join(f"{claim.counter.key}={claim.units}" for claim in claims) or _NONE)
    if ends or note:
        text += f" {ends or _NONE}"
    if note:
        text += f" {note}"
    return HoldRecord(
        customer_id=customer_id,
        payer_id=payer_id,
        reservation_id=reservation_id,
        parts=parts,
        ttl_ms=ttl_ms,
        rule=rule,
        packed_id=packed_id,
        packed_text=bulk(text.encode()),
        claims=claims,
        limits=limits,
    )


def held_again(record: HoldRecord, reservation_id: str, amount: int) -> HoldRecord:
    """The record of a new reservation for what another one was for, in its one unit.

    It takes nothing of limits: its request was let through, and has begun. It claims what that did, wherever its
    counters stand by now.
    """
    remember = int(_words(record)[3]) % _LIMITED == 1
    claims = tuple(Advance(claim.counter, claim.units) for claim in record.claims)
    return _changed(record, reservation_id, amount, remember=remember, claims=claims)


def not_held(record: HoldRecord) -> HoldRecord:
    """The record of what was reserved and is known to nobody any more, to be charged in its one unit.

    Its end is remembered. It counts nothing, and takes nothing of limits.
    """
    return _changed(record, record.reservation_id, record.held, remember=True, claims=())


def _words(record: HoldRecord) -> list[str]:
    return record.packed_text.split(b"\r\n", 1)[1].removesuffix(b"\r\n").decode().split(" ")


def _changed(
    record: HoldRecord, reservation_id: str, amount: int, *, remember: bool, claims: tuple[Advance, ...]
) -> HoldRecord:
    _, customer_id, ttl_ms, _, _, *told = _words(record)
    text = " ".join((
        reservation_id, customer_id, ttl_ms, str(int(remember)), f"{record.unit}={checked(amount)}",
        *told[: 4 if claims else 3],
    ))  # fmt: skip
    return msgspec.structs.replace(
        record,
        reservation_id=reservation_id,
        parts=((record.unit, amount),),
        packed_id=_packed_id(reservation_id),
        packed_text=bulk(text.encode()),
        claims=claims,
        limits=(),
    )


def stored_hold(record: bytes) -> StoredHold | None:
    """What the store has among a payer's holds; None for what is no hold.

    That is the mark of a release that came first, and the queue of those who wait for holds to come back.
    """
    try:
        return _parsed(record)
    except (struct.error, ValueError, KeyError) as error:
        raise StoreCorrupt(f"A customer's holds have the record {record!r}.") from error


def record_of(stored: StoredHold, payer_id: str) -> HoldRecord:
    """The record that settles a hold which was found in the store."""
    counters = [(counter_of(key), units) for key, units in stored.claims.items()]
    return hold_record(
        customer_id=stored.customer_id,
        payer_id=payer_id,
        reservation_id=stored.reservation_id,
        parts=stored.parts,
        ttl_ms=stored.ttl_ms,
        feature=stored.feature,
        rule=stored.rule,
        rules_version=stored.rules_version,
        remember=True,
        claims=tuple(Advance(counter, units) for counter, units in counters if counter is not None),
    )


def open_hold(stored: StoredHold, payer_id: str) -> OpenHold:
    """What can be told of an open hold; what it has in further units is in `others`."""
    parts = [
        OpenHold(
            reservation_id=stored.reservation_id,
            customer_id=stored.customer_id,
            payer_id=payer_id,
            unit=unit,
            held=sum(each.amount for each in stored.drawn(part)),
            charged=stored.charged if part == 1 else 0,
            feature=stored.feature,
            rule=stored.rule,
            rules_version=stored.rules_version,
            created_at_ms=stored.time_ms - stored.ttl_ms,
            expires_at_ms=stored.time_ms,
            drawn=stored.drawn(part),
            note=stored.note,
        )
        for part, (unit, _) in enumerate(stored.parts, 1)
    ]
    return msgspec.structs.replace(parts[0], others=tuple(parts[1:]))


def slices_of(packed: bytes) -> tuple[tuple[int, Slice], ...]:
    """Slices with their part, as the scripts answer them. Raises struct.error for what is none of ours."""
    if len(packed) == _SLICE.size:
        part, block, amount = _SLICE.unpack(packed)
        return ((part, Slice(block, int(amount))),)
    return tuple((part, Slice(block, int(amount))) for part, block, amount in _SLICE.iter_unpack(packed))


def _parsed(record: bytes) -> StoredHold | None:
    time_ms, state, charged, steps, count = _HEAD.unpack_from(record)
    if state in _NO_HOLDS:
        return None
    end = _HEAD.size + count * _SLICE.size
    text = hold_text(record[end:])
    return StoredHold(
        time_ms=int(time_ms),
        state=_STATES[state],
        charged=int(charged),
        steps=steps,
        slices=slices_of(record[_HEAD.size : end]),
        reservation_id=text.reservation_id,
        customer_id=text.customer_id,
        ttl_ms=text.ttl_ms,
        parts=text.parts,
        feature=text.feature,
        rule=text.rule,
        rules_version=text.rules_version,
        claims=text.claims,
        slots=text.slots,
        caps=text.caps,
        note=text.note,
    )


def _claim(text: str) -> tuple[str, int]:
    key, units = text.split("=")
    return key, int(units)


def _checked_parts(parts: tuple[tuple[str, int], ...]) -> str:
    if not 1 <= len(parts) <= PARTS_MAX:
        raise InvalidInput(f"A reservation holds 1 to {PARTS_MAX} units; got {len(parts)}.", "parts")
    if len({unit for unit, _ in parts}) < len(parts):
        raise InvalidInput("A reservation names each unit once.", "parts")
    return ",".join(f"{_checked_unit(unit)}={checked(amount)}" for unit, amount in parts)


def _packed_id(reservation_id: str) -> bytes:
    if _ID.match(reservation_id) is None:
        raise InvalidInput(
            f"A reservation id has 1 to 128 visible ASCII characters; got {reservation_id!r}.", "reservation_id"
        )
    return bulk(reservation_id.encode())


@lru_cache(maxsize=1024)
def _told(feature: str, rule: str, rules_version: str) -> str:
    """The words about the rule; the same few for all holds."""
    named = {"feature": feature, "rule": rule, "rules_version": rules_version}
    for name, word in named.items():
        if word and _WORD.match(word) is None:
            raise InvalidInput(f"A {name} has 1 to 255 characters and no spaces; got {word!r}.", name)
    return " ".join(word or _NONE for word in named.values())


_checked_unit = lru_cache(maxsize=64)(checked_unit)
