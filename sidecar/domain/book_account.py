"""One account of the model: its credit blocks, its debt, and the lines about them.

Amounts leave and enter blocks by a few small steps, each of which notes its move; `write` closes the moves into a
line of the journal. Totals are never kept: they are what the blocks, live and gone, add up to.

It decides nothing: who may draw, how much, and what an operation answers is in `books`.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.blocks import NEVER_MS, Block, BlockState, Grant, Slice
from sidecar.domain.book_lines import BookLines, moved
from sidecar.domain.burn_order import burn_rank
from sidecar.domain.journal import BlockImage, Kind, Move, Moved, Totals

_ENDED = (BlockState.EXPIRED, BlockState.VOIDED)
_WAITING = (BlockState.SCHEDULED, BlockState.QUEUED)


class BookAccount:
    """The blocks of one unit by their number: those in the list, and those that left it empty."""

    def __init__(self, unit: str, lines: BookLines) -> None:
        self.unit = unit
        self.owed = 0
        self.seq = 0
        self.live: dict[int, Block] = {}
        self.gone: dict[int, Block] = {}
        self._lines = lines
        self._moves: list[Move] = []
        self._expired_early = Counter[int]()
        """Of each block, what expired of it while it went on."""

    @property
    def blocks(self) -> list[Block]:
        """Every block there ever was."""
        return [*self.live.values(), *self.gone.values()]

    @property
    def totals(self) -> Totals:
        every, early = self.blocks, self._expired_early
        voided = sum(block.lapsed - early[block.number] for block in every if block.state is BlockState.VOIDED)
        return Totals(
            granted=sum(block.granted for block in every),
            scheduled=sum(block.available for block in every if block.state in _WAITING),
            available=sum(block.available for block in every if block.state is BlockState.ACTIVE),
            held=sum(block.held for block in every),
            spent=sum(block.spent for block in every),
            expired=sum(block.lapsed for block in every) - voided,
            voided=voided,
            owed=self.owed,
        )

    def named(self, block_id: str) -> Block | None:
        """The block in the list that has this id."""
        return next((block for block in self.live.values() if block.grant.block_id == block_id), None)

    def write(self, kind: Kind, now_ms: int, *, about: int | None = None, **told: Any) -> None:
        """Close the moves since the last line into a line; `about` is the number of the block that it shows."""
        self.seq += 1
        block = None if about is None else _image(self.live[about])
        self._lines.write(
            kind, now_ms, unit=self.unit, seq=self.seq, after=self.totals, moves=self._moves, block=block, **told
        )
        self._moves = []

    # Steps of the operations

    def add(self, grant: Grant, amount: int, *, starts_at_ms: int | None, now_ms: int) -> Block:
        """A new block of `amount`. It starts at `starts_at_ms`, or is queued when that is None."""
        ends = None if starts_at_ms is None else end_of(grant, starts_at_ms)
        active = starts_at_ms is not None and starts_at_ms <= now_ms
        number = len(self.live) + len(self.gone) + 1
        state = BlockState.QUEUED if starts_at_ms is None else BlockState.ACTIVE if active else BlockState.SCHEDULED
        self.live[number] = Block(
            number=number,
            grant=grant,
            state=state,
            granted=amount,
            available=amount,
            held=0,
            lapsed=0,
            created_at_ms=now_ms,
            starts_at_ms=starts_at_ms,
            expires_at_ms=ends,
        )
        self._note(Moved.GRANTED, number, amount)
        if active:
            self._repay(number, amount)
        return self.live[number]

    def hold(self, slices: Iterable[Slice]) -> None:
        for slice_ in slices:
            block = self.live[slice_.block]
            self._set(block, available=block.available - slice_.amount, held=block.held + slice_.amount)

    def spend(self, slices: Iterable[Slice]) -> None:
        """Out of what is available."""
        for slice_ in slices:
            block = self.live[slice_.block]
            self._set(block, available=block.available - slice_.amount)
            self._note(Moved.SPENT, slice_.block, slice_.amount)

    def empty(self, slice_: Slice) -> None:
        """Spend it; a block that has not started is over then."""
        self.spend([slice_])
        if self.live[slice_.block].state in _WAITING:
            self._set(self.live[slice_.block], state=BlockState.VOIDED)

    def settle(self, slice_: Slice, charge: int) -> None:
        """A slice is held no longer: `charge` of it is spent, the rest returns to its block.

        What returns repays debt first. Then it is available again, unless the block is over: then it lapses.
        """
        block = self.live[slice_.block]
        back = slice_.amount - charge
        self._set(block, available=block.available + back, held=block.held - slice_.amount)
        self._note(Moved.SPENT, slice_.block, charge)
        self._repay(slice_.block, back)
        if block.state in _ENDED:
            self._lapse(slice_.block, block.state)

    def expire_early(self, slice_: Slice) -> None:
        """A part of what is available of an active block expires; the block goes on."""
        block = self.live[slice_.block]
        self._set(block, available=block.available - slice_.amount, lapsed=block.lapsed + slice_.amount)
        self._expired_early[slice_.block] += slice_.amount
        self._note(Moved.EXPIRED, slice_.block, slice_.amount)

    def restore(self, number: int, amount: int) -> None:
        """What was spent out of an active block is in it again, and repays debt first."""
        block = self.live[number]
        self._set(block, available=block.available + amount)
        self._note(Moved.RESTORED, number, amount)
        self._repay(number, amount)

    def owe(self, amount: int) -> int:
        """Debt, as far as it can be counted; answers how much."""
        debt = min(amount, MAX_AMOUNT - self.owed)
        self.owed += debt
        self._note(Moved.OWED, 0, debt)
        return debt

    def void(self, number: int, now_ms: int, detail: dict[str, str]) -> int:
        """Whatever of the block is not held is voided; answers how much."""
        amount = self.live[number].available
        self._lapse(number, BlockState.VOIDED)
        self.write(Kind.VOID, now_ms, about=number, detail=detail)
        return amount

    def extend(self, number: int, expires_at_ms: int | None, now_ms: int, detail: dict[str, str]) -> None:
        self._set(self.live[number], expires_at_ms=expires_at_ms)
        self.write(Kind.EXTENSION, now_ms, about=number, detail=detail)

    # Events

    def advance(self, now_ms: int) -> None:
        """Let happen what is due, round by round until nothing is; then blocks that are over and empty leave."""
        while self._round(now_ms):
            pass
        for number, block in list(self.live.items()):
            if is_over(block) and not block.held:
                self.gone[number] = self.live.pop(number)

    def _round(self, now_ms: int) -> bool:
        """Lapses in burn order, then starts by (start, number). Whether there was any."""
        lapsed = started = False
        for block in sorted(self.live.values(), key=burn_rank):
            ends = block.expires_at_ms
            if block.state is BlockState.ACTIVE and ends is not None and ends <= now_ms:
                lapsed = True
                self._lapse(block.number, BlockState.EXPIRED)
                self.write(Kind.EXPIRY, now_ms, about=block.number)
                self._let_follow(block, ends)
            elif is_over(block):
                self._let_follow(block, now_ms)
        for block in sorted(self.live.values(), key=_start):
            if block.state is BlockState.SCHEDULED and _start(block)[0] <= now_ms:
                started = True
                self._set(block, state=BlockState.ACTIVE)
                self._repay(block.number, block.available)
                self.write(Kind.ACTIVATION, now_ms, about=block.number)
        return lapsed or started

    def _let_follow(self, over: Block, at_ms: int) -> None:
        """What waits for a block that is over has its start."""
        for block in list(self.live.values()):
            if block.state is BlockState.QUEUED and block.grant.starts_after_block_id == over.grant.block_id:
                ends = end_of(block.grant, at_ms)
                self._set(block, state=BlockState.SCHEDULED, starts_at_ms=at_ms, expires_at_ms=ends)

    # Smallest steps

    def _repay(self, number: int, most: int) -> None:
        """Debt is paid out of what is available of an active block, at most `most`."""
        block = self.live[number]
        amount = min(most, self.owed)
        self.owed -= amount
        self._set(block, available=block.available - amount)
        self._note(Moved.REPAID, number, amount)

    def _lapse(self, number: int, state: BlockState) -> None:
        block = self.live[number]
        self._set(block, state=state, available=0, lapsed=block.lapsed + block.available)
        self._note(Moved.EXPIRED if state is BlockState.EXPIRED else Moved.VOIDED, number, block.available)

    def _set(self, block: Block, **fields: Any) -> None:
        self.live[block.number] = replace(block, **fields)

    def _note(self, what: Moved, number: int, amount: int) -> None:
        if amount:
            self._moves.append(Move(what, number, amount))

    def check(self) -> None:
        """AssertionError unless the account, each block and the journal agree."""
        sums = moved(self._lines.written, self.unit)
        for block in self.blocks:
            number, early = block.number, self._expired_early[block.number]
            voided = block.lapsed - early if block.state is BlockState.VOIDED else 0
            assert min(block.available, block.held, block.spent, block.lapsed) >= 0, block
            assert block.granted == sums[Moved.GRANTED, number], block
            spent = sums[Moved.SPENT, number] + sums[Moved.REPAID, number] - sums[Moved.RESTORED, number]
            assert block.spent == spent, block
            assert voided == sums[Moved.VOIDED, number], block
            assert block.lapsed - voided == sums[Moved.EXPIRED, number], block
            assert block.state is not BlockState.ACTIVE or block.lapsed == early, block
        owed = sums[Moved.OWED, 0] - sum(amount for (what, _), amount in sums.items() if what is Moved.REPAID)
        assert self.owed == owed
        assert self.totals.balanced
        assert not (self.owed and any(_unrestricted(block) and block.available for block in self.live.values()))


class BookAccounts:
    """Every account of one payer, and their journal."""

    def __init__(self, payer_id: str, partition: int) -> None:
        self.lines = BookLines(payer_id, partition)
        self.by_unit: dict[str, BookAccount] = {}

    def at(self, unit: str, now_ms: int) -> BookAccount:
        """The account as it is at this moment; an empty one if there was none."""
        account = self.by_unit.setdefault(unit, BookAccount(unit, self.lines))
        account.advance(now_ms)
        return account


def is_over(block: Block) -> bool:
    """It has expired, was voided, or nothing of it is left to spend or to come back."""
    used_up = block.state is BlockState.ACTIVE and not block.available and not block.held
    return block.state in _ENDED or used_up


def end_of(grant: Grant, starts_at_ms: int) -> int | None:
    """When a block ends that starts then; None is never."""
    if grant.duration_ms is None:
        return grant.expires_at_ms
    ends_at_ms = starts_at_ms + grant.duration_ms
    return ends_at_ms if ends_at_ms < NEVER_MS else None


def _start(block: Block) -> tuple[int, int]:
    return NEVER_MS if block.starts_at_ms is None else block.starts_at_ms, block.number


def _unrestricted(block: Block) -> bool:
    active = block.state is BlockState.ACTIVE
    return active and not block.grant.eligible_features and not block.grant.eligible_rules


def _image(block: Block) -> BlockImage:
    return BlockImage(
        number=block.number,
        state=block.state.value,
        priority=block.grant.priority,
        paid=bool(block.grant.price_paid),
        granted=block.granted,
        available=block.available,
        held=block.held,
        lapsed=block.lapsed,
        created_at_ms=block.created_at_ms,
        starts_at_ms=block.starts_at_ms,
        expires_at_ms=block.expires_at_ms,
    )
