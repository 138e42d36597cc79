"""Transfers in the store: what is taken for another customer, and what is on its way to one.

It brings nothing to anybody: who finds something on its way grants its pieces, and says when that is done.
"""

import struct
from collections.abc import AsyncIterator, Mapping
from typing import Final

import msgspec

from sidecar.domain.amounts import checked
from sidecar.domain.blocks import NEVER_MS, Grant
from sidecar.domain.errors import IdempotencyMismatch, NotFound, StoreCorrupt
from sidecar.domain.once import Once
from sidecar.domain.outcomes import Sent, Short
from sidecar.domain.transfers import NoRoom, Piece, Room, Transfer, Way, transfer_story
from sidecar.store.account_text import STATE_NUMBERS, STATES
from sidecar.store.commands import TRANSFER
from sidecar.store.corrections import taken_of
from sidecar.store.keys import Keys
from sidecar.store.lane import Lane

_PIECE = struct.Struct(">IIBddddI")
_AT_ONCE: Final = 50

_encode = msgspec.json.Encoder().encode
_way = msgspec.json.Decoder(Way)
_terms = msgspec.json.Decoder(Grant)


class Transfers:
    """Of one tenant's environment. Every method raises StoreError when the store does not answer."""

    def __init__(self, lane: Lane, *, tenant: str, environment: str) -> None:
        self._lane = lane
        self._keys = Keys(tenant, environment)

    async def send(
        self, way: Way, amount: int | None, room: Room, *, owe: bool, once: Once, detail: Mapping[str, str]
    ) -> Sent | Short:
        """Take `amount` out of the active blocks in burn order, and keep it on its way; `owe`: what they lack, too.

        None: all that is left of every block, of those that have not started too; Short when there is nothing.
        Answered once for each idempotency key in 24 hours. Raises InvalidInput, IdempotencyMismatch, NotFound,
        Conflict (there is no `room` for it where it goes).
        """
        place, account = self._keys.of(way.from_id), self._keys.account(way.from_id, way.unit)
        keys = [
            *place.ledger, account.account, account.terms, self._on_its_way(way.from_id),
            self._keys.ledger_once(way.from_id, once.key),
        ]  # fmt: skip
        policy = "owe" if owe else "reject"
        arguments: list[bytes | str | int] = [
            account.name, once.fingerprint, checked(amount or 0), policy, way.transfer_id,
            _encode(transfer_story(way.transfer_id, way.from_id)), _encode(way), _encode(detail),
            room.blocks, room.amount,
        ]  # fmt: skip
        reply = await self._lane.send(TRANSFER.pack(keys, arguments))
        match reply[0]:
            case b"sent" | b"replayed":
                taken = taken_of(reply[1], replayed=reply[0] == b"replayed")
                entry, transfer_id = taken.entry.split(" ")
                return Sent(transfer_id=transfer_id, taken=msgspec.structs.replace(taken, entry=entry))
            case b"short":
                return Short(amount or 0, int(reply[1]))
            case b"mismatch":
                raise IdempotencyMismatch
            case b"unknown":
                raise NotFound(f"There is no customer {way.from_id}.")
            case b"no_room":
                raise NoRoom(way.to_id, way.unit)
        raise StoreCorrupt(f"The script transfer answered {reply!r}.")

    async def on_its_way(self, from_id: str, transfer_id: str) -> Transfer | None:
        """What was sent and has not arrived; None: it has, or it never was."""
        record: bytes | None = await self._lane.execute("HGET", self._on_its_way(from_id), transfer_id)
        return None if record is None else _transfer(record)

    async def waiting(self, partition: int) -> AsyncIterator[Transfer]:
        """All that the partition's customers sent and that has not arrived; what comes meanwhile may be missed."""
        cursor = b"0"
        while True:
            cursor, found = await self._lane.execute(
                "HSCAN", self._keys.transfers(partition), cursor, "COUNT", _AT_ONCE
            )
            for record in found[1::2]:
                yield _transfer(record)
            if cursor == b"0":
                return

    async def arrived(self, transfer: Transfer) -> None:
        """All its pieces were granted."""
        way = transfer.way
        await self._lane.execute("HDEL", self._on_its_way(way.from_id), way.transfer_id)

    async def put_back(self, transfer: Transfer) -> None:
        """Let it be on its way again, in a store that has lost what it had."""
        way, record = transfer.way, _record(transfer)
        await self._lane.execute("HSET", self._on_its_way(way.from_id), way.transfer_id, record)

    def _on_its_way(self, customer_id: str) -> bytes:
        return self._keys.transfers(self._keys.partition(customer_id))


def _transfer(record: bytes) -> Transfer:
    """As `lua/transfer.lua` writes it."""
    try:
        told, packed = record.split(b"\n", 1)
        entry, way = told.split(b" ", 1)
        pieces, at = list[Piece](), 0
        while at < len(packed):
            number, after, state, amount, granted, starts_at, ends_at, size = _PIECE.unpack_from(packed, at)
            at += _PIECE.size
            pieces.append(
                Piece(
                    number=number,
                    after=after,
                    state=STATES[state],
                    amount=int(amount),
                    granted=int(granted),
                    starts_at_ms=int(starts_at),
                    ends_at_ms=None if ends_at == NEVER_MS else int(ends_at),
                    terms=_terms.decode(packed[at : at + size]) if size else None,
                )
            )
            at += size
        return Transfer(way=_way.decode(way), pieces=tuple(pieces), entry=entry.decode())
    except (ValueError, KeyError, struct.error, msgspec.MsgspecError) as error:
        raise StoreCorrupt(f"What is on its way cannot be read: {error}.") from error


def _record(transfer: Transfer) -> bytes:
    packed = b""
    for piece in transfer.pieces:
        terms = b"" if piece.terms is None else _encode(piece.terms)
        ends_at = NEVER_MS if piece.ends_at_ms is None else piece.ends_at_ms
        numbers = piece.amount, piece.granted, piece.starts_at_ms, ends_at
        packed += _PIECE.pack(piece.number, piece.after, STATE_NUMBERS[piece.state], *numbers, len(terms)) + terms
    return transfer.entry.encode() + b" " + _encode(transfer.way) + b"\n" + packed
