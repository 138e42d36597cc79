"""What the scripts of holds answer, decoded. It asks nothing.

A reply that no script of ours would give is StoreCorrupt.
"""

import struct
from typing import Any

import msgspec

from sidecar.domain.errors import StoreCorrupt
from sidecar.domain.limits import Limit, Per, Rate
from sidecar.domain.outcomes import (
    CountersMoved,
    HoldState,
    Limited,
    RefusalCode,
    Refused,
    Rejected,
    Reserved,
    Resolved,
    Settled,
    UnknownReservation,
)
from sidecar.domain.spend_caps import Capped, CapScope, Window
from sidecar.store.counter_text import without_stands
from sidecar.store.hold_record import HoldRecord, slices_of

_REFUSALS = {
    code.value.encode(): code
    for code in (
        RefusalCode.UNIDENTIFIED,
        RefusalCode.KEY_EXPIRED,
        RefusalCode.CUSTOMER_SUSPENDED,
        RefusalCode.FEATURE_NOT_ALLOWED,
        RefusalCode.RATE_LIMITED,
        RefusalCode.CONCURRENCY_LIMITED,
        RefusalCode.POOL_CAP_REACHED,
        RefusalCode.SPEND_CAP_REACHED,
        RefusalCode.HOLDS_IN_FLIGHT,
        RefusalCode.INSUFFICIENT_CREDITS,
    )
}

_LIMITED = frozenset({RefusalCode.RATE_LIMITED, RefusalCode.CONCURRENCY_LIMITED})


def held(record: HoldRecord, reply: list[Any]) -> Reserved:
    count = 2 + len(record.parts)
    if len(reply) == count:
        return _held(record, reply)
    limits: list[Limit] = [each.limit for each in record.limits]
    taken, reply = reply[count:], reply[:count]
    limited_key = len(taken) > len(limits)
    if limited_key:
        if (rate := _rate_of_key(taken[-3:])) is not None:
            limits.append(rate)
        taken = taken[:-3]
    together = tuple(zip(limits, taken, strict=True))
    return msgspec.structs.replace(_held(record, reply), limits=together, limited_key=limited_key)


def _rate_of_key(told: list[int]) -> Rate | None:
    requests, period_ms, burst = told
    if not requests:
        return None
    return Rate(name="key", bucket="key", per=Per.KEY, count=requests, period_ms=period_ms, burst=burst)


def _held(record: HoldRecord, reply: list[Any]) -> Reserved:
    if len(record.parts) == 1:
        return Reserved(record.parts[0][1], reply[2], False, tuple(each for _, each in _slices(reply[1])))
    slices = _slices(reply[1])
    parts = [
        Reserved(amount, reply[1 + part], drawn=tuple(each for of, each in slices if of == part))
        for part, (_, amount) in enumerate(record.parts, 1)
    ]
    return msgspec.structs.replace(parts[0], others=tuple(parts[1:]))


def as_it_is(reserved: Reserved, *, replayed: bool = False) -> Reserved:
    """With what is held by now: a hold that was resized, or charged in steps, has another amount than at first."""
    parts = [
        msgspec.structs.replace(each, held=sum(part.amount for part in each.drawn), replayed=replayed)
        for each in (reserved, *reserved.others)
    ]
    return msgspec.structs.replace(parts[0], others=tuple(parts[1:]))


def _slices(packed: bytes) -> Any:
    try:
        return slices_of(packed)
    except struct.error as error:
        raise StoreCorrupt(f"A script answered the slices {packed!r}.") from error


def refused(script: str, record: HoldRecord, reply: list[Any]) -> Refused:
    code = _REFUSALS.get(reply[0])
    if code is None:
        raise _unexpected(script, reply)
    if len(reply) == 1:
        return Refused(code, record.held, unit=record.unit)
    if code in _LIMITED:
        _, index, taken, wait_ms, *key_rate = reply
        limit = record.limits[index - 1].limit if index <= len(record.limits) else _rate_of_key(key_rate)
        if limit is None:
            raise _unexpected(script, reply)
        limited = Limited(limit, taken, wait_ms)
        return Refused(code, record.held, unit=record.unit, limited=limited)
    if code is RefusalCode.SPEND_CAP_REACHED:
        return _capped(record, reply[1:])
    _, available, held, part, required = reply
    return Refused(code, required, available, held, record.parts[part - 1][0])


def _capped(record: HoldRecord, reply: list[Any]) -> Refused:
    part, required, *told = reply
    capped, unit = capped_of(told), record.parts[part - 1][0]
    left = max(capped.amount - capped.spent - capped.held, 0)
    return Refused(RefusalCode.SPEND_CAP_REACHED, required, left, capped.held, unit, capped=capped)


def capped_of(told: list[Any]) -> Capped:
    """A spend cap as scripts tell of it."""
    cap_id, scope, of, window, most, spent, held, reset_at_ms, wait_ms = told
    rolling = window.isdigit()
    return Capped(
        cap_id=cap_id.decode(),
        scope=CapScope(scope.decode()),
        of="" if scope == b"total" else of.decode(),
        window=None if rolling else Window(window.decode()),
        rolling_ms=int(window) if rolling else 0,
        amount=most,
        spent=spent,
        held=held,
        reset_at_ms=reset_at_ms,
        wait_ms=None if wait_ms < 0 else wait_ms,
    )


def counted(
    record: HoldRecord, reply: list[Any]
) -> Settled | UnknownReservation | Resolved | Rejected | CountersMoved:
    """Of a commit that counts."""
    reply, stands = without_stands(reply, len(record.claims))
    if reply[0] == b"moved":
        return CountersMoved(stands)
    outcome = committed(record, reply)
    return msgspec.structs.replace(outcome, stands=stands) if isinstance(outcome, Settled) else outcome


def committed(record: HoldRecord, reply: list[Any]) -> Settled | UnknownReservation | Resolved | Rejected:
    word = reply[0]
    if word in {b"committed", b"late"}:
        late = word == b"late"
        if len(reply) == 5:
            _, charged, debt, uncollected, available = reply
            return Settled(charged, available, debt, late, uncollected)
        parts = [
            Settled(charged, available, debt, late, uncollected)
            for charged, debt, uncollected, available in zip(*[iter(reply[1:])] * 4, strict=True)
        ]
        return msgspec.structs.replace(parts[0], others=tuple(parts[1:]))
    if word == b"unknown":
        return UnknownReservation()
    if word == b"replayed":
        pairs = zip(*[iter(reply[1:])] * 2, strict=True)
        parts = [Settled(charged, available, replayed=True) for charged, available in pairs]
        return msgspec.structs.replace(parts[0], others=tuple(parts[1:]))
    if word == b"rejected":
        return Rejected(reply[1], record.parts[reply[2] - 1][0])
    return _resolved("commit", reply)


def released(reply: list[Any]) -> Settled | UnknownReservation | Resolved:
    word = reply[0]
    if word in {b"released", b"replayed"}:
        parts = [Settled(0, available, replayed=word == b"replayed") for available in reply[1:]]
        return parts[0] if len(parts) == 1 else msgspec.structs.replace(parts[0], others=tuple(parts[1:]))
    if word == b"unknown":
        return UnknownReservation()
    return _resolved("release", reply)


def resized(record: HoldRecord, reply: list[Any]) -> Reserved | Refused | UnknownReservation | Resolved:
    word = reply[0]
    if word == b"resized":
        return as_it_is(_held(record, reply))
    if word == b"unknown":
        return UnknownReservation()
    if word == b"resolved":
        return _resolved("resize", reply)
    return refused("resize", record, reply)


def _resolved(script: str, reply: list[Any]) -> Resolved:
    try:
        word, state = reply
        assert word == b"resolved"
        return Resolved(HoldState(state.decode()))
    except (AssertionError, ValueError) as error:
        raise _unexpected(script, reply) from error


def _unexpected(script: str, reply: list[Any]) -> StoreCorrupt:
    return StoreCorrupt(f"The script {script} answered {reply!r}.")
