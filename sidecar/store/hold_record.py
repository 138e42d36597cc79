"""What the store keeps of an open hold, as `lua/shared/due.lua` describes it: one text, its entry in the deadlines.

Whoever reserved can write it again exactly, so a commit or a release needs no look-up; the sweep and the listing of
open holds read it. The deadline is not in it: that is the entry's score.
"""

import re
from functools import lru_cache

import msgspec

from sidecar.domain.amounts import checked
from sidecar.domain.errors import InvalidInput, StoreCorrupt
from sidecar.domain.ids import is_customer_id
from sidecar.store.commands import bulk

_UNIT = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z", re.ASCII)


class HoldRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One hold. Equal records are the same hold to the store; `held` is in base units of `unit`."""

    customer_id: str
    reservation_id: str
    unit: str
    held: int
    ttl_ms: int
    rule: str
    packed: bytes
    """The arguments that begin every script of a hold: its entry, the field of its balance, the amount."""


def hold_record(customer_id: str, reservation_id: str, unit: str, amount: int, ttl_ms: int, rule: str) -> HoldRecord:
    """The record of a hold. Raises InvalidInput for what could not be kept or read back."""
    if " " in reservation_id:
        raise InvalidInput(f"A reservation id has no spaces; got {reservation_id!r}.", "reservation_id")
    if ttl_ms <= 0:
        raise InvalidInput(f"A hold lives for at least 1 ms; got {ttl_ms}.", "ttl_ms")
    field = _packed_field(unit)
    entry = f"{customer_id}:{reservation_id} {unit} {checked(amount)} {ttl_ms} {rule}".encode()
    packed = b"$%d\r\n%b\r\n%b%b" % (len(entry), entry, field, bulk(b"%d" % amount))
    return HoldRecord(
        customer_id=customer_id,
        reservation_id=reservation_id,
        unit=unit,
        held=amount,
        ttl_ms=ttl_ms,
        rule=rule,
        packed=packed,
    )


def parsed(entry: bytes) -> HoldRecord:
    """The record that an entry was written from; StoreCorrupt if it is none of ours."""
    try:
        name, unit, held, ttl_ms, rule = entry.decode().split(" ", 4)
        customer_id, _, reservation_id = name.partition(":")
        record = hold_record(
            customer_id=customer_id,
            reservation_id=reservation_id,
            unit=unit,
            amount=int(held),
            ttl_ms=int(ttl_ms),
            rule=rule,
        )
    except (ValueError, InvalidInput) as error:
        raise _corrupt(entry) from error
    if not is_customer_id(customer_id):
        raise _corrupt(entry)
    return record


def checked_unit(unit: str) -> str:
    """The name of a unit; InvalidInput if it is none: entries are split at spaces."""
    if _UNIT.match(unit) is None:
        raise InvalidInput(f"A unit has 1 to 64 letters, digits, dots or dashes; got {unit!r}.", "unit")
    return unit


@lru_cache(maxsize=64)
def _packed_field(unit: str) -> bytes:
    return bulk(f"unit:{checked_unit(unit)}".encode())


def _corrupt(entry: bytes) -> StoreCorrupt:
    return StoreCorrupt(f"The deadlines of the open holds have the entry {entry!r}.")
