"""Periods in the model: what a customer's credit of a unit becomes when one ends and the next begins."""

from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from sidecar.domain.blocks import Block, BlockState, Grant, Slice, checked_grant
from sidecar.domain.book_account import BookAccount, BookAccounts
from sidecar.domain.book_grants import NO_DETAIL, BookGrants, check_room
from sidecar.domain.burn_order import burn_rank
from sidecar.domain.journal import Kind
from sidecar.domain.once import Once
from sidecar.domain.periods import SERIES, Closed, Closing, Opened, Turned, checked_carry


class BookPeriods:
    """Of one payer. Repeatable as grants are, by the same keys, and by the instants that name ends and starts."""

    def __init__(self, accounts: BookAccounts, grants: BookGrants) -> None:
        self._accounts = accounts
        self._grants = grants
        self._closed: dict[tuple[str, int], Closed] = {}
        self._opened: dict[tuple[str, int], Opened] = {}

    def turn(
        self,
        unit: str,
        closing: Closing | None,
        grant: Grant | None,
        *,
        now_ms: int,
        once: Once | None = None,
        detail: Mapping[str, str] = NO_DETAIL,
    ) -> Turned:
        """Close the period that ends, open the one that `grant` says, or both as one; each happens once, for ever.

        Closing takes what is not carried out of the active blocks of periods, in burn order; what holds have of them
        is left alone, and comes back to them. Whatever else there is in the account is left alone too.
        Raises InvalidInput, IdempotencyMismatch, AmountOverflow, Conflict (too many live blocks); nothing was changed
        then.
        """
        if closing is not None:
            checked_carry(closing.carry)
        if grant is not None:
            checked_grant(grant)
        if (replayed := self._grants.replayed(once, now_ms, Turned)) is not None:
            return replayed
        account = self._accounts.at(unit, now_ms)
        closed = None if closing is None else self._closed.get((unit, closing.ends_at_ms))
        period = None if grant is None else grant.period_starts_at_ms
        opened = None if period is None else self._opened.get((unit, period))
        if grant is not None and opened is None:
            check_room(account, grant.amount, blocks=1)
        closed = replace(closed, duplicate=True) if closed else self._close(account, closing, now_ms, detail)
        opened = replace(opened, duplicate=True) if opened else self._open(account, grant, now_ms, detail)
        turned = Turned(closed=closed, opened=opened, entry=str(self._accounts.lines.position))
        account.advance(now_ms)
        return self._grants.keep(once, now_ms, turned)

    def _close(
        self, account: BookAccount, closing: Closing | None, now_ms: int, detail: Mapping[str, str]
    ) -> Closed | None:
        if closing is None:
            return None
        carry, blocks = closing.carry, list(_of_periods(account))
        available = sum(block.available for block in blocks)
        carried = carry.of(available)
        left = available - carried
        for block in blocks:
            taken = min(block.available, left)
            account.expire_early(Slice(block.number, taken))
            left -= taken
        closed = Closed(available=available, expired=available - carried, carried=carried, balance=_balance(account))
        account.write(Kind.PERIOD_CLOSE, now_ms, detail={**detail, "period": f"{closing.ends_at_ms},{closed.text}"})
        if carry.lasts_ms is not None:
            ends_at_ms = now_ms + carry.lasts_ms
            for block in _of_periods(account):
                lives_longer = block.expires_at_ms is None or block.expires_at_ms > ends_at_ms
                if lives_longer and block.available + block.held:
                    account.extend(block.number, ends_at_ms, now_ms, dict(detail))
        self._closed[account.unit, closing.ends_at_ms] = closed
        return closed

    def _open(
        self, account: BookAccount, grant: Grant | None, now_ms: int, detail: Mapping[str, str]
    ) -> Opened | None:
        if grant is None or grant.period_starts_at_ms is None:
            return None
        block = account.add(grant, grant.amount, starts_at_ms=now_ms, now_ms=now_ms)
        account.write(Kind.GRANT, now_ms, about=block.number, grant=grant, detail=dict(detail))
        opened = Opened(block_id=grant.block_id, amount=grant.amount, balance=_balance(account))
        self._opened[account.unit, grant.period_starts_at_ms] = opened
        return opened


def _of_periods(account: BookAccount) -> Iterator[Block]:
    """The active blocks that periods brought, in burn order."""
    for block in sorted(account.live.values(), key=burn_rank):
        if block.state is BlockState.ACTIVE and block.grant.series == SERIES:
            yield block


def _balance(account: BookAccount) -> int:
    totals = account.totals
    return totals.available + totals.held - totals.owed
