"""Transfers in the model, at the end of who gives: what is taken for another customer, and what is on its way.

What arrives is a grant, see `book_grants`.
"""

from collections.abc import Mapping

from sidecar.domain.amounts import checked
from sidecar.domain.blocks import Block, BlockState, Slice
from sidecar.domain.book_account import BookAccount, BookAccounts
from sidecar.domain.book_corrections import taken_of
from sidecar.domain.book_grants import NO_DETAIL, BookGrants
from sidecar.domain.journal import Kind
from sidecar.domain.once import Once
from sidecar.domain.outcomes import Sent, Short, Taken
from sidecar.domain.transfers import NoRoom, Piece, Room, Transfer, Way, transfer_story

_NOT_ENDED = (BlockState.ACTIVE, BlockState.SCHEDULED, BlockState.QUEUED)


class BookTransfers:
    """Of one payer. Repeatable as grants are, by the same keys."""

    def __init__(self, payer_id: str, accounts: BookAccounts, grants: BookGrants) -> None:
        self._payer_id = payer_id
        self._accounts = accounts
        self._grants = grants
        self.on_their_way: dict[str, Transfer] = {}
        """By their ids, until they have arrived."""

    def send(
        self,
        way: Way,
        amount: int | None,
        room: Room = Room(),  # noqa: B008  (a constant)
        *,
        owe: bool,
        now_ms: int,
        once: Once | None = None,
        detail: Mapping[str, str] = NO_DETAIL,
    ) -> Sent | Short:
        """Take `amount` out of the active blocks in burn order; with `owe`, what they do not cover is debt.

        None: all that is left of every block, of those that have not started too. Outcomes, in this order: Sent with
        `replayed`, Short (of all: there is nothing), Sent. Raises InvalidInput, IdempotencyMismatch, NoRoom.
        """
        checked(amount or 0)
        account = self._accounts.at(way.unit, now_ms)
        if (replayed := self._grants.replayed(once, now_ms, Taken)) is not None:
            return Sent(transfer_id=self._first(replayed), taken=replayed)
        totals = account.totals
        wanted = totals.available + totals.scheduled if amount is None else amount
        if not wanted or (amount is not None and totals.available < amount and not owe):
            return Short(amount or 0, totals.available)
        slices = _whole(account) if amount is None else taken_of(account, wanted)
        missing = wanted - sum(slice_.amount for slice_ in slices)
        if len(slices) + bool(missing) > room.blocks or wanted > room.amount:
            raise NoRoom(way.to_id, way.unit)
        pieces = [_piece(account, account.live[each.block], each.amount) for each in slices]
        for slice_ in slices:
            account.empty(slice_)
        owed = account.owe(missing)
        if owed:
            pieces.append(Piece(number=0, amount=owed, granted=owed, starts_at_ms=now_ms))
        charged = wanted - missing + owed
        story = transfer_story(way.transfer_id, self._payer_id)
        account.write(
            Kind.TRANSFER_OUT, now_ms, hold=story, charged=charged, uncollected=missing - owed, detail=dict(detail)
        )
        position = str(self._accounts.lines.position)
        self.on_their_way[way.transfer_id] = Transfer(way=way, pieces=tuple(pieces), entry=position)
        entry = f"{position} {way.transfer_id}"
        account.advance(now_ms)
        taken = Taken(amount=charged, owed=owed, slices=slices, totals=account.totals, entry=entry)
        return Sent(transfer_id=way.transfer_id, taken=self._grants.keep(once, now_ms, taken))

    @staticmethod
    def _first(replayed: Taken) -> str:
        return replayed.entry.partition(" ")[2]


def _whole(account: BookAccount) -> tuple[Slice, ...]:
    """All that is left, in the order in which it was granted."""
    blocks = sorted(account.live.values(), key=lambda block: block.number)
    left = (block for block in blocks if block.state in _NOT_ENDED and block.available)
    return tuple(Slice(block.number, block.available) for block in left)


def _piece(account: BookAccount, block: Block, amount: int) -> Piece:
    waits = block.state is BlockState.QUEUED
    after = account.named(block.grant.starts_after_block_id or "") if waits else None
    return Piece(
        number=block.number,
        after=0 if after is None else after.number,
        state=block.state,
        amount=amount,
        granted=block.granted,
        starts_at_ms=block.starts_at_ms or 0,
        ends_at_ms=block.grant.duration_ms if waits else block.expires_at_ms,
        terms=block.grant,
    )
