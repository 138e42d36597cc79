"""Takes credit out of an account by request, and gives charges back: the store's side of adjustments and refunds."""

import struct
from collections.abc import Mapping
from typing import Any

import msgspec

from sidecar.domain.amounts import MAX_AMOUNT, checked
from sidecar.domain.blocks import BLOCKS_MAX, Grant, Slice, checked_grant
from sidecar.domain.errors import (
    AmountOverflow,
    Conflict,
    IdempotencyMismatch,
    InvalidInput,
    NotFound,
    StoreCorrupt,
)
from sidecar.domain.journal import HoldStory, Kind
from sidecar.domain.once import Once
from sidecar.domain.outcomes import Exceeded, Refunded, Short, Taken
from sidecar.store.account_text import IMAGE
from sidecar.store.accounts import totals_of
from sidecar.store.commands import REFUND, TAKE
from sidecar.store.keys import Keys
from sidecar.store.lane import Lane

_TAKEN = struct.Struct(">ddH")
_SLICE = struct.Struct(">Id")
_REFUNDED = struct.Struct(">4d")

_encode = msgspec.json.Encoder().encode


class Charged(msgspec.Struct, frozen=True, kw_only=True):
    """A charge that may be reversed, as the ledger has it."""

    reference: str
    """The id of its entry."""
    amount: int
    slices: tuple[Slice, ...]
    """What blocks paid, in the order in which they get it back."""
    story: HoldStory
    member: str = ""
    """Who asked, if its parent pays."""
    usage: str = ""
    source: str = ""
    caps: tuple[str, ...] = ()
    """The counters of spend caps that it counts in."""


class Corrections:
    """Of one tenant's environment.

    Every method raises StoreError when the store does not answer. Each is answered once for each idempotency key in
    24 hours; IdempotencyMismatch when it was used for another request.
    """

    def __init__(self, lane: Lane, *, tenant: str, environment: str) -> None:
        self._lane = lane
        self._keys = Keys(tenant, environment)

    async def take(
        self,
        customer_id: str,
        unit: str,
        amount: int,
        *,
        kind: Kind,
        owe: bool,
        once: Once,
        detail: Mapping[str, str] | None = None,
    ) -> Taken | Short:
        """Take `amount` out of the active blocks in burn order; with `owe`, what they do not cover is debt.

        Raises InvalidInput, IdempotencyMismatch, NotFound.
        """
        if checked(amount) == 0:
            raise InvalidInput("amount must be above 0; got 0.", "amount")
        place, account = self._keys.of(customer_id), self._keys.account(customer_id, unit)
        keys = [*place.ledger, account.account, self._keys.ledger_once(customer_id, once.key)]
        policy = "owe" if owe else "reject"
        arguments: list[bytes | str | int] = [
            account.name, once.fingerprint, kind.value, amount, policy, _encode(detail or {}),
        ]  # fmt: skip
        reply = await self._lane.send(TAKE.pack(keys, arguments))
        if reply[0] == b"short":
            return Short(amount, int(reply[1]))
        if reply[0] in {b"taken", b"replayed"}:
            return taken_of(reply[1], replayed=reply[0] == b"replayed")
        raise _error("take", customer_id, unit, reply)

    async def refund(
        self,
        customer_id: str,
        unit: str,
        charged: Charged,
        amount: int | None,
        rest: Grant,
        once: Once,
        detail: Mapping[str, str] | None = None,
    ) -> Refunded | Exceeded:
        """Reverse `amount` of a charge, None: all that is left of it; what no block takes back is granted as `rest`.

        Spend caps whose window is kept count less by it. All refunds of a charge together are at most the charge,
        however many ask at once. Raises InvalidInput,
        IdempotencyMismatch, NotFound, AmountOverflow, Conflict (too many live blocks).
        """
        if amount is not None and checked(amount) == 0:
            raise InvalidInput("amount must be above 0; got 0.", "amount")
        place, account = self._keys.of(customer_id), self._keys.account(customer_id, unit)
        keys = [*place.ledger, account.account, account.terms, self._keys.ledger_once(customer_id, once.key)]
        pairs = [number for slice_ in charged.slices for number in (slice_.block, slice_.amount)]
        arguments: list[bytes | str | int] = [
            account.name, once.fingerprint, charged.reference, charged.amount, amount or 0, charged.member,
            _encode(charged.story), charged.usage, charged.source,
            _encode({**(detail or {}), "reference": charged.reference}),
            rest.block_id, _encode(checked_grant(rest)), rest.priority, 1 if rest.price_paid else 0,
            rest.expires_at_ms or 0, ",".join(charged.caps), *pairs,
        ]  # fmt: skip
        reply = await self._lane.send(REFUND.pack(keys, arguments))
        if reply[0] == b"exceeded":
            return Exceeded(int(reply[1]), charged.amount)
        if reply[0] in {b"refunded", b"replayed"}:
            return _refunded(reply[1], replayed=reply[0] == b"replayed")
        raise _error("refund", customer_id, unit, reply)


def taken_of(answer: bytes, *, replayed: bool) -> Taken:
    """An answer of the scripts that take; `entry` is all that follows the totals."""
    amount, owed, count = _TAKEN.unpack_from(answer)
    slices_end = _TAKEN.size + count * _SLICE.size
    slices = tuple(Slice(block, int(taken)) for block, taken in _SLICE.iter_unpack(answer[_TAKEN.size : slices_end]))
    _, totals = totals_of(answer[slices_end : slices_end + IMAGE.size])
    entry = answer[slices_end + IMAGE.size :].decode()
    return Taken(amount=int(amount), owed=int(owed), slices=slices, totals=totals, entry=entry, replayed=replayed)


def _refunded(answer: bytes, *, replayed: bool) -> Refunded:
    amount, restored, granted, total = map(int, _REFUNDED.unpack_from(answer))
    _, totals = totals_of(answer[_REFUNDED.size : _REFUNDED.size + IMAGE.size])
    entry, block_id = answer[_REFUNDED.size + IMAGE.size :].decode().split(" ", 1)
    return Refunded(
        amount=amount,
        restored=restored,
        granted=granted,
        block_id=block_id or None,
        total=total,
        totals=totals,
        entry=entry,
        replayed=replayed,
    )


def _error(script: str, customer_id: str, unit: str, reply: list[Any]) -> Exception:
    match reply[0]:
        case b"mismatch":
            return IdempotencyMismatch()
        case b"unknown":
            return NotFound(f"There is no customer {customer_id}.")
        case b"past":
            return InvalidInput("What blocks cannot take back must expire in the future.", "expires_at_ms")
        case b"overflow":
            return AmountOverflow(
                f"{customer_id} was granted {reply[1]} base units of {unit} so far; with this it would pass "
                f"{MAX_AMOUNT}. Nothing was changed."
            )
        case b"too_many":
            return Conflict(f"{customer_id} has {BLOCKS_MAX} live blocks of {unit}; void or use some up first.")
    return StoreCorrupt(f"The script {script} answered {reply!r}.")
