"""Transfers: credit that goes from one customer to another, block by block, each on its own terms.

Two customers lie in two partitions, so it takes two steps: what was taken is kept on its way, in pieces, and each
piece becomes a block of the other customer, once for ever. Pure: how pieces become grants, whoever finds them.
"""

import msgspec
from msgspec.structs import replace

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.blocks import BLOCKS_MAX, BlockState, Grant
from sidecar.domain.errors import Conflict
from sidecar.domain.journal import HoldStory

TRANSFER = "transfer"
"""Where the credit of a piece comes from that was in no block: it is owed for."""
CODE = "trf"


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken out of one block: of number 0, what nothing covered and is owed for."""

    number: int
    after: int = 0
    """Of a queued block, the number of the one that it waits for."""
    state: BlockState = BlockState.ACTIVE
    amount: int
    granted: int
    """What the block had at first."""
    starts_at_ms: int = 0
    ends_at_ms: int | None = None
    """When the block expires; of a queued one, how long it will last. None: never."""
    terms: Grant | None = None
    """None of number 0."""


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """From whom to whom, of what, and why."""

    transfer_id: str
    from_id: str
    to_id: str
    unit: str
    reason: str = ""
    detail: dict[str, str] = {}
    """Who asked for it."""


class Room(msgspec.Struct, frozen=True):
    """How many more blocks, and how much more, somebody can be granted in a unit."""

    blocks: int = BLOCKS_MAX
    amount: int = MAX_AMOUNT


class NoRoom(Conflict):
    """Whoever should get it cannot."""

    def __init__(self, customer_id: str, unit: str) -> None:
        super().__init__(
            f"{customer_id} cannot have so much more of {unit}, or so many more blocks of it: it can be granted "
            f"{MAX_AMOUNT} in all, and have {BLOCKS_MAX} live blocks. Nothing was changed."
        )


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """What is on its way."""

    way: Way
    pieces: tuple[Piece, ...]
    entry: str = ""
    """The place in the journal of who gave it; empty: that is archived, as what arrives must not be before."""

    @property
    def amount(self) -> int:
        return sum(piece.amount for piece in self.pieces)


def arriving_block_id(transfer_id: str, index: int) -> str:
    """The id of the block that a piece becomes; pieces count from 1."""
    return f"blk_{transfer_id.partition('_')[2]}_{index}"


def arriving_key(transfer_id: str, index: int) -> str:
    """What a piece is granted by, once for ever."""
    return f"{transfer_id}:{index}"


def transfer_story(key: str, customer_id: str) -> HoldStory:
    """What the ledger keeps of it in place of a hold: the transfer's id, of which `key` may name a piece."""
    return HoldStory(
        reservation_id=key.partition(":")[0],
        customer_id=customer_id,
        feature="",
        rule="",
        held=0,
        reserved_at_ms=0,
        charged_before=0,
    )


def arrivals(transfer: Transfer) -> list[Grant]:
    """The blocks that the pieces become, in the order in which they were granted: each after the one it waits for.

    A block keeps its expiry, priority, restriction, wallet, source and metadata, and is paid if it was; what it has
    of the price is its share. What counted blocks of its first owner, its series, stays behind.
    """
    indices = {piece.number: index for index, piece in enumerate(transfer.pieces, 1)}
    ordered = sorted(enumerate(transfer.pieces, 1), key=lambda numbered: numbered[1].number)
    return [_arrival(transfer.way, piece, index, indices.get(piece.after)) for index, piece in ordered]


def _arrival(way: Way, piece: Piece, index: int, after: int | None) -> Grant:
    block_id = arriving_block_id(way.transfer_id, index)
    terms = piece.terms or Grant(block_id=block_id, unit=way.unit, amount=piece.amount, source=TRANSFER)
    waits = piece.state is BlockState.QUEUED
    return replace(
        terms,
        block_id=block_id,
        amount=piece.amount,
        reason=way.reason,
        starts_at_ms=piece.starts_at_ms if piece.state is BlockState.SCHEDULED else None,
        expires_at_ms=None if waits else piece.ends_at_ms,
        duration_ms=piece.ends_at_ms if waits else None,
        starts_after_block_id=arriving_block_id(way.transfer_id, after) if waits and after else None,
        price_paid=_share(terms.price_paid, piece),
        series="",
        cap=None,
        dedup_key=None,
        external_payment_id=None,
        purchase=None,
        period_starts_at_ms=None,
        bonus=0,
        bonus_of=None,
        transfer=arriving_key(way.transfer_id, index),
    )


def _share(price: int | None, piece: Piece) -> int | None:
    """Of what was paid for the block; what was paid for stays so."""
    return max(1, price * piece.amount // piece.granted) if price else price
