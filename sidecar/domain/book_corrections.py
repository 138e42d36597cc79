"""What takes credit out of an account by right, and what gives a charge back, in the model.

What is taken comes out of every active block, whatever it is restricted to. A refund undoes a charge block by block,
the last that paid first; what has no block to go back to is a new block.
"""

from collections.abc import Mapping, Sequence

from sidecar.domain.amounts import checked
from sidecar.domain.blocks import BlockState, Grant, Slice
from sidecar.domain.book_account import BookAccount, BookAccounts
from sidecar.domain.book_counters import BookCounters
from sidecar.domain.book_grants import NO_DETAIL, BookGrants, check_room
from sidecar.domain.book_members import BookMembers
from sidecar.domain.burn_order import burn_rank
from sidecar.domain.errors import InvalidInput
from sidecar.domain.journal import HoldStory, Kind
from sidecar.domain.once import Once
from sidecar.domain.outcomes import Exceeded, Refunded, Short, Taken


class BookCorrections:
    """Of one payer. Repeatable as grants are, by the same keys."""

    def __init__(
        self, accounts: BookAccounts, grants: BookGrants, members: BookMembers, counters: BookCounters
    ) -> None:
        self._accounts = accounts
        self._grants = grants
        self._members = members
        self._counters = counters
        self._refunded: dict[str, int] = {}

    def take(
        self,
        unit: str,
        amount: int,
        *,
        kind: Kind,
        owe: bool,
        now_ms: int,
        once: Once | None = None,
        detail: Mapping[str, str] = NO_DETAIL,
    ) -> Taken | Short:
        """Take `amount` out of the blocks in burn order; with `owe`, what they do not cover is debt.

        Outcomes, in this order: Taken with `replayed`, Short, Taken. Raises InvalidInput, IdempotencyMismatch.
        """
        _check_amount(amount)
        account = self._accounts.at(unit, now_ms)
        if (replayed := self._grants.replayed(once, now_ms, Taken)) is not None:
            return replayed
        available = account.totals.available
        if available < amount and not owe:
            return Short(amount, available)
        slices = taken_of(account, amount)
        account.spend(slices)
        missing = amount - sum(slice_.amount for slice_ in slices)
        owed = account.owe(missing)
        charged = amount - missing + owed
        account.write(kind, now_ms, charged=charged, uncollected=missing - owed, detail=dict(detail))
        entry = str(self._accounts.lines.position)
        account.advance(now_ms)
        taken = Taken(amount=charged, owed=owed, slices=slices, totals=account.totals, entry=entry)
        return self._grants.keep(once, now_ms, taken)

    def refund(
        self,
        unit: str,
        reference: str,
        amount: int | None,
        *,
        most: int,
        slices: Sequence[Slice],
        story: HoldStory,
        rest: Grant,
        now_ms: int,
        caps: Sequence[str] = (),
        once: Once | None = None,
    ) -> Refunded | Exceeded:
        """Reverse `amount` of a charge of `most`, by `reference`; None: all that is left of it.

        `slices` say which blocks paid, in the order in which they get it back; `caps` are the counters of spend caps
        that the charge counts in. What they cannot take is granted on
        the terms of `rest`. Outcomes, in this order: Refunded with `replayed`, Exceeded, Refunded. Raises
        InvalidInput, IdempotencyMismatch, AmountOverflow, Conflict (too many live blocks).
        """
        if amount is not None:
            _check_amount(amount)
        account = self._accounts.at(unit, now_ms)
        if (replayed := self._grants.replayed(once, now_ms, Refunded)) is not None:
            return replayed
        before = self._refunded.get(reference, 0)
        wanted = most - before if amount is None else amount
        if wanted <= 0 or before + wanted > most:
            return Exceeded(before, most)
        back = _backs(account, slices, before, wanted)
        restored = sum(slice_.amount for slice_ in back)
        left = wanted - restored
        if left:
            _check_end(rest, now_ms)
            check_room(account, left, blocks=1)
        for slice_ in back:
            account.restore(slice_.block, slice_.amount)
        self._members.count(story.customer_id, unit, held=0, spent=-wanted)
        counted, detail = self._counters.lower(caps, wanted), {"reference": reference}
        account.write(Kind.REFUND, now_ms, charged=wanted, hold=story, counted=counted, detail=detail)
        if left:
            block = account.add(rest, left, starts_at_ms=now_ms, now_ms=now_ms)
            account.write(Kind.GRANT, now_ms, about=block.number, grant=rest, detail={"reference": reference})
        entry = str(self._accounts.lines.position)
        account.advance(now_ms)
        self._refunded[reference] = before + wanted
        refunded = Refunded(
            amount=wanted,
            restored=restored,
            granted=left,
            block_id=rest.block_id if left else None,
            total=before + wanted,
            totals=account.totals,
            entry=entry,
        )
        return self._grants.keep(once, now_ms, refunded)


def _check_amount(amount: int) -> None:
    if checked(amount) == 0:
        raise InvalidInput("amount must be above 0; got 0.", "amount")


def _check_end(rest: Grant, now_ms: int) -> None:
    if rest.expires_at_ms is not None and rest.expires_at_ms <= now_ms:
        raise InvalidInput("What blocks cannot take back must expire in the future.", "expires_at_ms")


def taken_of(account: BookAccount, amount: int) -> tuple[Slice, ...]:
    """Up to `amount` of the active blocks, in burn order."""
    slices, left = list[Slice](), amount
    active = (block for block in account.live.values() if block.state is BlockState.ACTIVE)
    for block in sorted(active, key=burn_rank):
        taken = min(block.available, left)
        if taken:
            slices.append(Slice(block.number, taken))
            left -= taken
    return tuple(slices)


def _backs(account: BookAccount, slices: Sequence[Slice], before: int, wanted: int) -> list[Slice]:
    """What goes back into which blocks, of those that are active, when `before` has gone back already."""
    backs, skipped, left = list[Slice](), before, wanted
    for slice_ in slices:
        passed = min(slice_.amount, skipped)
        amount = min(slice_.amount - passed, left)
        skipped, left = skipped - passed, left - amount
        block = account.live.get(slice_.block)
        if amount and block is not None and block.state is BlockState.ACTIVE:
            backs.append(Slice(slice_.block, amount))
    return backs
