"""What of a batch of journal lines others may want to hear of: its events, and the alarms of the balances. Pure.

Most lines say nothing: a charge is told only where it takes a balance past a mark.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

import msgspec

from sidecar.archive.schema import AccountRow, CustomerRow, EntryRow, EventRow, SpendCapsRow, WatchRow
from sidecar.domain.alarms import alarm
from sidecar.domain.auto_topups import AutoTopup
from sidecar.domain.counters import Counted, cap_of, counter_of, is_of_cap
from sidecar.domain.customers import Status
from sidecar.domain.errors import StoreCorrupt
from sidecar.domain.events import EventType
from sidecar.domain.journal import Kind, Line, Move, Moved
from sidecar.domain.periods import closed_of
from sidecar.domain.spend_caps import WHOLE, SpendCap, caps_of
from sidecar.domain.topups import TOPUP, topup_id
from sidecar.domain.watches import EVERYBODY, Thresholds, WatchKind

BalanceKey = tuple[str, str]
"""Whose, and of which unit."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OF_BLOCKS: Final = MappingProxyType(
    {
        Kind.GRANT: EventType.CREDITS_GRANTED,
        Kind.ACTIVATION: EventType.CREDITS_ACTIVATED,
        Kind.EXPIRY: EventType.CREDITS_EXPIRED,
        Kind.VOID: EventType.CREDITS_VOIDED,
        Kind.EXTENSION: EventType.CREDITS_EXTENDED,
        Kind.TRANSFER_IN: EventType.CREDITS_RECEIVED,
    }
)
_OF_OTHERS: Final = MappingProxyType(
    {
        Kind.ADJUSTMENT: EventType.CREDITS_ADJUSTED,
        Kind.REFUND: EventType.CREDITS_REFUNDED,
        Kind.CHARGEBACK: EventType.TOPUP_CHARGED_BACK,
        Kind.TRANSFER_OUT: EventType.CREDITS_SENT,
        Kind.PURCHASE: EventType.CREDITS_PURCHASED,
        Kind.PERIOD_CLOSE: EventType.PERIOD_CLOSED,
        Kind.HOLD_EXPIRY: EventType.RESERVATION_EXPIRED,
    }
)
_OF_STATUS: Final[Mapping[str, EventType]] = MappingProxyType(
    {
        Status.ACTIVE: EventType.CUSTOMER_REACTIVATED,
        Status.SUSPENDED: EventType.CUSTOMER_SUSPENDED,
        Status.MERGED: EventType.CUSTOMER_MERGED,
    }
)

_encode = msgspec.json.Encoder().encode


class Signals:
    """`watches` are those of the balances that the batch is about, and those for everybody.

    `caps` are the spend caps that it may count in.
    """

    def __init__(self, watches: Sequence[WatchRow] = (), caps: Sequence[SpendCapsRow] = ()) -> None:
        self.events: list[EventRow] = []
        self.fulfilled: dict[str, str] = {}
        """The requests for top-ups that were granted, and which top-up each was."""
        self.auto_topups = {
            (row.customer_id, row.unit): msgspec.json.decode(row.body, type=AutoTopup)
            for row in watches
            if row.kind == WatchKind.AUTO_TOPUP
        }
        self._told: Counter[str] = Counter()
        self._caps = {(row.customer_id, row.unit): row.caps for row in caps}
        self._thresholds = {
            (row.customer_id, row.unit): msgspec.json.decode(row.body, type=Thresholds).amounts
            for row in watches
            if row.kind == WatchKind.THRESHOLDS
        }

    def take(self, line: Line, entry: EntryRow, before: AccountRow, after: AccountRow, block_id: str) -> str:
        """Tell what the line is worth telling; answers the alarms that have gone off on the account after it.

        `block_id` is of the block that the line is about.
        """
        told = _told(line, block_id)
        if told is not None:
            self._add(entry, after, *told)
        if line.kind is Kind.GRANT and line.grant is not None and line.grant.auto_topup_request_id is not None:
            self.fulfilled[line.grant.auto_topup_request_id] = topup_id(line.customer_id, line.grant.block_id)
        if after.owed > 0 == before.owed:
            self._add(entry, after, EventType.OVERAGE_RECORDED, {"owed": after.owed})
        for counted in line.counted:
            if is_of_cap(counted.key):
                self._warn(line, entry, counted)
        place = (line.customer_id, line.unit)
        thresholds = self._thresholds.get(place) or self._for_everybody(place)
        low = before.low
        if thresholds or low:
            alarmed = alarm(before.left, after.left, thresholds, map(int, low.split(",") if low else ()))
            low = ",".join(map(str, alarmed.low))
            for threshold in alarmed.gone_off:
                self._add(entry, after, EventType.CREDITS_LOW_BALANCE, {"threshold": threshold})
        if before.left > 0 >= after.left:
            self._add(entry, after, EventType.CREDITS_EXHAUSTED, {})
        return low

    def take_customer(self, row: CustomerRow, before: CustomerRow | None, at_ms: int) -> None:
        """Tell that a customer was made or changed; `before` is as it was, if it was."""
        what = EventType.CUSTOMER_UPDATED
        if before is None:
            what = EventType.CUSTOMER_CREATED
        elif before.status != row.status:
            what = _OF_STATUS.get(row.status, what)
        self._keep(row.entry_id, what, row.customer_id, "", at_ms, {"status": row.status})

    def take_caps(self, row: SpendCapsRow) -> None:
        """From now on a customer has these spend caps."""
        self._caps[row.customer_id, row.unit] = row.caps

    def _warn(self, line: Line, entry: EntryRow, counted: Counted) -> None:
        """Tell what a charge made of a spend cap; of one that goes along with time nobody knows it by one counter."""
        askers = dict.fromkeys((line.customer_id, line.customer_id if line.hold is None else line.hold.customer_id))
        counter = counter_of(counted.key)
        for owner in askers:
            for cap in self._caps_of(owner, line.unit):
                if counter is None or cap.cap_id != cap_of(counted.key) or cap.window is None:
                    continue
                data = {"cap_id": cap.cap_id, "amount": cap.amount, "spent": counted.position}
                data |= {"resets_at": _instant(counter.until_ms), "entry_id": entry.entry_id}
                for percent in cap.passed(counted.position - counted.units, counted.position):
                    what = EventType.SPEND_CAP_REACHED if percent == WHOLE else EventType.SPEND_CAP_WARNING
                    told = data | {"percent": percent}
                    self._keep(entry.entry_id, what, owner, line.unit, entry.recorded_at_ms, told)

    def _caps_of(self, owner: str, unit: str) -> Sequence[SpendCap]:
        # What cannot be read keeps nothing from being archived.
        with suppress(StoreCorrupt):
            return caps_of(self._caps.get((owner, unit), ""), unit)
        return ()

    def _for_everybody(self, place: BalanceKey) -> Sequence[int]:
        return () if place in self._thresholds else self._thresholds.get((EVERYBODY, place[1]), ())

    def _add(self, entry: EntryRow, after: AccountRow, what: EventType, data: Mapping[str, Any]) -> None:
        at_ms = entry.event_at_ms if what is EventType.CREDITS_EXPIRED else entry.recorded_at_ms
        data = {**data, "balance": balance_after(after), "entry_id": entry.entry_id}
        self._keep(entry.entry_id, what, entry.customer_id, entry.unit, at_ms, data)

    def _keep(
        self, entry_id: str, what: EventType, customer_id: str, unit: str, at_ms: int, data: Mapping[str, Any]
    ) -> None:
        # An entry that is there already is not taken again, so neither are its events.
        self._told[entry_id] += 1
        self.events.append(
            EventRow(
                event_id=f"evt_{entry_id.removeprefix('ent_')}{self._told[entry_id]:02x}",
                type=what.value,
                customer_id=customer_id,
                unit=unit,
                occurred_at_ms=at_ms,
                data=_encode(data).decode(),
            )
        )


def balance_after(account: AccountRow) -> dict[str, int]:
    """What an event says of the account that it is about."""
    return {"available": account.available, "held": account.held, "owed": account.owed}


def _told(line: Line, block_id: str) -> tuple[EventType, dict[str, Any]] | None:
    """What a line says by its kind, whatever becomes of the balance; None: nothing."""
    if line.kind in _OF_BLOCKS:
        return _of_block(line, block_id)
    data: dict[str, Any]
    match line.kind:
        case Kind.ADJUSTMENT:
            data = {"amount": -line.charged, "reason": line.detail.get("why", "")}
        case Kind.REFUND:
            data = {"amount": line.charged, "reference_entry_id": line.detail.get("reference", "")}
        case Kind.CHARGEBACK:
            bought = "" if line.hold is None else line.hold.reservation_id
            charged = {"amount": line.charged, "unrecoverable": line.uncollected}
            data = {"topup_id": topup_id(line.customer_id, bought), "block_id": bought, **charged}
        case Kind.TRANSFER_OUT:
            assert line.hold is not None, "it says which transfer it is"
            sent = _moved(line.moves, Moved.SPENT) + _moved(line.moves, Moved.OWED)
            data = {"transfer_id": line.hold.reservation_id, "amount": sent}
        case Kind.PURCHASE:
            data = {"amount": line.charged, "purchase_id": line.detail.get("purchase", "")}
        case Kind.PERIOD_CLOSE:
            ends_at_ms, closed = closed_of(line.detail["period"])
            data = {"period_end": _instant(ends_at_ms), "amount": closed.expired, "carried": closed.carried}
        case Kind.HOLD_EXPIRY:
            assert line.hold is not None, "it says which hold expired"
            data = {"reservation_id": line.hold.reservation_id, "held": line.hold.held, "charged": line.charged}
        case _:
            return None
    return _OF_OTHERS[line.kind], data


def _of_block(line: Line, block_id: str) -> tuple[EventType, dict[str, Any]] | None:
    if line.kind is Kind.GRANT:
        return _granted(line)
    data: dict[str, Any] = {"block_id": block_id, **_ends(line)}
    if line.kind is Kind.TRANSFER_IN:
        assert line.hold is not None, "it says which transfer it belongs to"
        data |= {"transfer_id": line.hold.reservation_id, "amount": _moved(line.moves, Moved.GRANTED)}
    elif line.kind in {Kind.EXPIRY, Kind.VOID}:
        data["amount"] = _moved(line.moves, Moved.EXPIRED) + _moved(line.moves, Moved.VOIDED)
    if line.kind is Kind.EXPIRY and not data["amount"]:
        return None
    return _OF_BLOCKS[line.kind], data


def _granted(line: Line) -> tuple[EventType, dict[str, Any]]:
    grant = line.grant
    assert grant is not None, "a grant says its terms"
    data: dict[str, Any] = {"block_id": grant.block_id, "amount": grant.amount, "source": grant.source, **_ends(line)}
    if grant.source != TOPUP:
        return EventType.CREDITS_GRANTED, data
    if grant.bonus_of is not None:
        return EventType.CREDITS_GRANTED, {**data, "bonus_of": grant.bonus_of}
    named = {
        "package_id": grant.package_id,
        "external_payment_id": grant.external_payment_id,
        "auto_topup_request_id": grant.auto_topup_request_id,
    }
    return EventType.TOPUP_GRANTED, {"topup_id": topup_id(line.customer_id, grant.block_id), **data, **named}


def _moved(moves: Sequence[Move], what: Moved) -> int:
    return sum(move.amount for move in moves if move.what is what)


def _ends(line: Line) -> dict[str, datetime | None]:
    ends_at_ms = None if line.block is None else line.block.expires_at_ms
    return {"expires_at": None if ends_at_ms is None else _instant(ends_at_ms)}


def _instant(at_ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=at_ms)
