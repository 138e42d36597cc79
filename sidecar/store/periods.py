"""Periods in the store: one ends, the next begins, or both as one, in one script."""

from collections.abc import Mapping

import msgspec

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.blocks import BLOCKS_MAX, Grant, checked_grant
from sidecar.domain.errors import (
    AmountOverflow,
    Conflict,
    IdempotencyMismatch,
    MergedInto,
    NotFound,
    StoreCorrupt,
)
from sidecar.domain.once import Once
from sidecar.domain.periods import SERIES, Closed, Closing, Opened, Turned, checked_carry
from sidecar.store.commands import TURN_PERIOD
from sidecar.store.keys import Keys
from sidecar.store.lane import Lane

_encode = msgspec.json.Encoder().encode


class Periods:
    """Of one tenant's environment. Every method raises StoreError when the store does not answer."""

    def __init__(self, lane: Lane, *, tenant: str, environment: str) -> None:
        self._lane = lane
        self._keys = Keys(tenant, environment)

    async def turn(
        self,
        customer_id: str,
        unit: str,
        closing: Closing | None,
        grant: Grant | None,
        once: Once,
        detail: Mapping[str, str],
    ) -> Turned:
        """Close the period that ends, open the one that `grant` says, or both as one.

        Answered once for each idempotency key in 24 hours, and once for ever for each end and each start in a unit.
        Raises InvalidInput, IdempotencyMismatch, NotFound, MergedInto, AmountOverflow, Conflict (there are too many
        live blocks); nothing was changed then.
        """
        place, account = self._keys.of(customer_id), self._keys.account(customer_id, unit)
        keys = [
            *place.ledger, account.account, account.terms, place.business,
            self._keys.ledger_once(customer_id, once.key),
        ]  # fmt: skip
        arguments = [account.name, once.fingerprint, SERIES, _encode(detail), *_closes(closing), *_opens(grant)]
        reply = await self._lane.send(TURN_PERIOD.pack(keys, arguments))
        if reply[0] in {b"turned", b"replayed"}:
            return _turned(reply[1].decode(), replayed=reply[0] == b"replayed")
        raise _error(customer_id, unit, reply)

    async def opened_last_ms(self, customer_id: str, unit: str) -> int | None:
        """The start of the period that was opened last; None: none ever was."""
        start: bytes | None = await self._lane.execute("HGET", self._keys.of(customer_id).business, opened_name(unit))
        return None if start is None else int(start)


def opened_name(unit: str, starts_at_ms: int | None = None) -> str:
    """The business key of a period's start; without one, of the start that was opened last."""
    return f"opened:{unit}" if starts_at_ms is None else f"opened:{unit}:{starts_at_ms}"


def closed_name(unit: str, ends_at_ms: int) -> str:
    """The business key of a period's end."""
    return f"closed:{unit}:{ends_at_ms}"


def _closes(closing: Closing | None) -> list[bytes | str | int]:
    if closing is None:
        return ["", 0, 0, 0]
    carry = checked_carry(closing.carry)
    return [closing.ends_at_ms, carry.percent, -1 if carry.limit is None else carry.limit, carry.lasts_ms or 0]


def _opens(grant: Grant | None) -> list[bytes | str | int]:
    if grant is None:
        return ["", "", 0, 0, ""]
    checked_grant(grant)
    assert grant.period_starts_at_ms is not None, "it says which period it belongs to"
    return [grant.period_starts_at_ms, grant.block_id, grant.amount, grant.priority, _encode(grant)]


def _turned(answer: str, *, replayed: bool) -> Turned:
    try:
        entry, closed, opened = answer.split(" ", 2)
        return Turned(
            closed=None if closed == "-" else Closed.of_text(closed[2:], duplicate=closed[0] == "1"),
            opened=None if opened == "-" else Opened.of_text(opened[2:], duplicate=opened[0] == "1"),
            entry="" if entry == "-" else entry,
            replayed=replayed,
        )
    except ValueError as error:
        raise StoreCorrupt(f"The script turn_period answered {answer!r}.") from error


def _error(customer_id: str, unit: str, reply: list[bytes]) -> Exception:
    match reply[0]:
        case b"mismatch":
            return IdempotencyMismatch()
        case b"unknown":
            return NotFound(f"There is no customer {customer_id}.")
        case b"merged":
            return MergedInto(customer_id, reply[1].decode())
        case b"overflow":
            return AmountOverflow(
                f"With this {customer_id} would have been granted more than {MAX_AMOUNT} base units of {unit}. "
                "Nothing was changed."
            )
        case b"too_many":
            return Conflict(f"{customer_id} has {BLOCKS_MAX} live blocks of {unit}; void or use some up first.")
        case b"series":
            return Conflict(f"{customer_id} has blocks of {unit} of as many series as it can have.")
    return StoreCorrupt(f"The script turn_period answered {reply!r}.")
