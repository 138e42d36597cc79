"""Chargebacks in the model: what was granted for money that went back is taken back, in its block or elsewhere."""

from collections.abc import Mapping
from itertools import chain

from sidecar.domain.blocks import Block, BlockState, Slice, bonus_id
from sidecar.domain.book_account import BookAccount, BookAccounts, is_over
from sidecar.domain.book_grants import NO_DETAIL, BookGrants
from sidecar.domain.burn_order import draw
from sidecar.domain.errors import Conflict, NotFound
from sidecar.domain.history import BlockSums
from sidecar.domain.journal import HoldStory, Kind
from sidecar.domain.once import Once
from sidecar.domain.outcomes import TakenBack


class BookChargebacks:
    """Of one payer. Repeatable as grants are, by the same keys."""

    def __init__(self, payer_id: str, accounts: BookAccounts, grants: BookGrants) -> None:
        self._payer_id = payer_id
        self._accounts = accounts
        self._grants = grants
        self._taken: dict[str, int] = {}
        """By block, what was taken back but not voided."""

    def known(self, unit: str, block_id: str, *, now_ms: int) -> BlockSums:
        """What is known of a block, live or not. Raises NotFound."""
        account = self._accounts.at(unit, now_ms)
        for block in chain(account.live.values(), account.gone.values()):
            if block.grant.block_id == block_id:
                return BlockSums(
                    unit=unit,
                    granted=block.granted,
                    spent=block.spent,
                    remaining=block.available + block.held,
                    taken_back=self._taken.get(block_id, 0),
                    grant=block.grant,
                )
        raise NotFound(f"There was never a block {block_id}.")

    def take_back(
        self,
        unit: str,
        block_id: str,
        amount: int | None,
        *,
        owe: bool,
        now_ms: int,
        once: Once | None = None,
        detail: Mapping[str, str] = NO_DETAIL,
    ) -> TakenBack:
        """Take back all of a block and of its bonus, or `amount` of the block; with `owe`, what was spent, too.

        What was spent is taken out of other blocks, and is debt then. Raises IdempotencyMismatch; Conflict when
        there is not so much to take back.
        """
        account = self._accounts.at(unit, now_ms)
        if (replayed := self._grants.replayed(once, now_ms, TakenBack)) is not None:
            return replayed
        known = self.known(unit, block_id, now_ms=now_ms)
        lost = known.spent - known.taken_back
        block, bonus = account.named(block_id), account.named(bonus_id(block_id))
        ends = [each for each in (block, bonus) if amount is None and each is not None]
        own = _own(block, amount)
        beyond = lost if amount is None else amount - own
        if beyond > lost or (amount is None and not beyond + sum(each.available for each in ends)):
            raise Conflict("There is not so much to take back.")
        voided = sum(account.void(each.number, now_ms, dict(detail)) for each in ends if not is_over(each))
        charged = owed = 0
        if block is not None and own:
            account.spend([Slice(block.number, own)])
        if owe:
            slices, missing = draw(account.live.values(), beyond, "", "")
            account.spend(slices)
            owed = account.owe(missing)
            charged = beyond - missing + owed
        charged += own
        uncollected = own + beyond - charged
        if own + beyond:
            self._write(account, block_id, charged, uncollected, now_ms, detail)
            self._taken[block_id] = known.taken_back + own + beyond
        entry = str(self._accounts.lines.position)
        account.advance(now_ms)
        taken = TakenBack(
            voided=voided, charged=charged, owed=owed, uncollected=uncollected, totals=account.totals, entry=entry
        )
        return self._grants.keep(once, now_ms, taken)

    def _write(
        self,
        account: BookAccount,
        block_id: str,
        charged: int,
        uncollected: int,
        now_ms: int,
        detail: Mapping[str, str],
    ) -> None:
        story = HoldStory(
            reservation_id=block_id,
            customer_id=self._payer_id,
            feature="",
            rule="",
            held=0,
            reserved_at_ms=now_ms,
            charged_before=0,
        )
        told = dict(detail)
        account.write(Kind.CHARGEBACK, now_ms, hold=story, charged=charged, uncollected=uncollected, detail=told)


def _own(block: Block | None, amount: int | None) -> int:
    """What of an amount is still in the block."""
    if block is None or amount is None or block.state is not BlockState.ACTIVE:
        return 0
    return min(block.available, amount)
