"""Grants, voids and extensions of the model, and what makes them repeatable.

An idempotency key is good for 24 hours and for one request: repeated, it gets the first answer again. A business
key (`dedup_key`, `external_payment_id`) is good for one grant, for ever. A refusal uses up neither, nor does a grant
of which a cap leaves nothing.
"""

from collections.abc import Mapping
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.blocks import BLOCKS_MAX, Block, BlockState, Grant, checked_grant
from sidecar.domain.book_account import BookAccount, BookAccounts, end_of, is_over
from sidecar.domain.errors import AmountOverflow, Conflict, IdempotencyMismatch, InvalidInput, NotFound
from sidecar.domain.journal import HoldStory, Kind
from sidecar.domain.once import Once
from sidecar.domain.outcomes import Bought, Changed, Granted, Refunded, Taken, TakenBack
from sidecar.domain.periods import Turned
from sidecar.domain.transfers import transfer_story

ONCE_MS = 24 * 3_600_000
NO_DETAIL: Mapping[str, str] = {}

_Answer = TypeVar("_Answer", Granted, Changed, TakenBack, Taken, Refunded, Bought, Turned)


class _Done(msgspec.Struct, frozen=True):
    """What an idempotency key was used for."""

    fingerprint: str
    answer: Granted | Changed | TakenBack | Taken | Refunded | Bought | Turned
    until_ms: int


class BookGrants:
    """What brings blocks into the accounts and ends or extends them by request."""

    def __init__(self, accounts: BookAccounts) -> None:
        self._accounts = accounts
        self._payer_id = accounts.lines.payer_id
        self._done: dict[str, _Done] = {}
        self._business: dict[tuple[str, str], tuple[Grant, Granted]] = {}

    def grant(
        self, grant: Grant, *, now_ms: int, once: Once | None = None, detail: Mapping[str, str] = NO_DETAIL
    ) -> Granted:
        """A new block of `grant.amount`, or of what its cap leaves of it. Active at once, it repays debt first.

        Outcomes, in this order: Granted with `replayed`, with `duplicate`, without a block (the cap left nothing),
        with a block. Raises, in this order: InvalidInput, IdempotencyMismatch, Conflict (its business key was used
        for another amount or unit), InvalidInput (its expiry is past), NotFound (there is no live block to start
        after), AmountOverflow, Conflict (too many live blocks); nothing was changed then.
        """
        checked_grant(grant)
        account = self._accounts.at(grant.unit, now_ms)
        if (replayed := self.replayed(once, now_ms, Granted)) is not None:
            return replayed
        for key in _business_keys(grant):
            if (used := self._business.get(key)) is not None:
                first, answer = used
                if (first.unit, first.amount, first.bonus) != (grant.unit, grant.amount, grant.bonus):
                    raise Conflict(f"The key {key[1]!r} was used for a grant of another amount; it is good for one.")
                return replace(answer, duplicate=True)
        starts_at_ms = _start_of(account, grant, now_ms)
        amount = _within_cap(account, grant)
        if not amount:
            return Granted(block_id=None, amount=0, totals=account.totals, withheld=grant.amount)
        check_room(account, amount + grant.bonus, blocks=2 if grant.bonus else 1)
        kind, told = Kind.GRANT, dict[str, HoldStory]()
        if grant.transfer is not None:
            kind, told = Kind.TRANSFER_IN, {"hold": transfer_story(grant.transfer, self._payer_id)}
        for each, size in ((grant, amount), *([(grant.bonus_grant(), grant.bonus)] if grant.bonus else [])):
            block = account.add(each, size, starts_at_ms=starts_at_ms, now_ms=now_ms)
            account.write(kind, now_ms, about=block.number, grant=each, detail=dict(detail), **told)
        entry = self._entry()
        account.advance(now_ms)
        granted = Granted(
            block_id=grant.block_id,
            amount=amount,
            totals=account.totals,
            entry=entry,
            withheld=grant.amount - amount,
        )
        for key in _business_keys(grant):
            self._business[key] = grant, granted
        return self.keep(once, now_ms, granted)

    def void(
        self, block_id: str, *, now_ms: int, once: Once | None = None, detail: Mapping[str, str] = NO_DETAIL
    ) -> Changed:
        """Nothing of the block can be spent from now on; what holds have of it is voided when it comes back.

        Raises NotFound when there is no such block or it is over.
        """
        if (replayed := self.replayed(once, now_ms, Changed)) is not None:
            return replayed
        account, block = self._standing(block_id, now_ms)
        amount = account.void(block.number, now_ms, dict(detail))
        return self._changed(account, block_id, amount, now_ms, once)

    def extend(
        self,
        block_id: str,
        expires_at_ms: int | None,
        *,
        now_ms: int,
        once: Once | None = None,
        detail: Mapping[str, str] = NO_DETAIL,
    ) -> Changed:
        """The block expires at another time, later or earlier, or never (None); its place in the order follows.

        Raises NotFound when there is no such block or it is over, Conflict when it is queued (its duration counts
        from a start that is not known), InvalidInput when the time is not after now and after its start.
        """
        if (replayed := self.replayed(once, now_ms, Changed)) is not None:
            return replayed
        account, block = self._standing(block_id, now_ms)
        if block.state is BlockState.QUEUED or block.starts_at_ms is None:
            raise Conflict(f"Block {block_id} has not started; its duration counts from its start.")
        _check_end(expires_at_ms, max(now_ms, block.starts_at_ms))
        account.extend(block.number, expires_at_ms, now_ms, dict(detail))
        return self._changed(account, block_id, 0, now_ms, once)

    def _standing(self, block_id: str, now_ms: int) -> tuple[BookAccount, Block]:
        for unit in list(self._accounts.by_unit):
            account = self._accounts.at(unit, now_ms)
            block = account.named(block_id)
            if block is not None and not is_over(block):
                return account, block
        raise NotFound(f"There is no block {block_id} that has not ended.")

    def _changed(self, account: BookAccount, block_id: str, amount: int, now_ms: int, once: Once | None) -> Changed:
        entry = self._entry()
        account.advance(now_ms)
        changed = Changed(block_id=block_id, amount=amount, totals=account.totals, entry=entry)
        return self.keep(once, now_ms, changed)

    def replayed(self, once: Once | None, now_ms: int, kind: type[_Answer]) -> _Answer | None:
        """The answer that the key was given before, if it was. IdempotencyMismatch for another request."""
        done = None if once is None else self._done.get(once.key)
        if once is None or done is None or done.until_ms <= now_ms:
            return None
        if done.fingerprint != once.fingerprint or not isinstance(done.answer, kind):
            raise IdempotencyMismatch
        return replace(done.answer, replayed=True)

    def keep(self, once: Once | None, now_ms: int, answer: _Answer) -> _Answer:
        """`answer`, which the key gets from now on."""
        if once is not None:
            self._done[once.key] = _Done(once.fingerprint, answer, now_ms + ONCE_MS)
        return answer

    def _entry(self) -> str:
        return str(self._accounts.lines.position)


def _business_keys(grant: Grant) -> list[tuple[str, str]]:
    names = ("dedup_key", "external_payment_id", "transfer")
    return [(name, key) for name in names if (key := getattr(grant, name)) is not None]


def _start_of(account: BookAccount, grant: Grant, now_ms: int) -> int | None:
    """When the block starts, at once if that is past; None: when the one before it is over."""
    if grant.starts_after_block_id is not None:
        if account.named(grant.starts_after_block_id) is None:
            raise NotFound(f"There is no live block {grant.starts_after_block_id} of {grant.unit} to start after.")
        return None
    starts_at_ms = max(now_ms, grant.starts_at_ms or 0)
    if grant.transfer is None:
        # What was on its way arrives even if it is past its end.
        _check_end(end_of(grant, starts_at_ms), starts_at_ms)
    return starts_at_ms


def _check_end(expires_at_ms: int | None, after_ms: int) -> None:
    if expires_at_ms is not None and expires_at_ms <= after_ms:
        raise InvalidInput("A block must expire in the future, and after it starts.", "expires_at_ms")


def _within_cap(account: BookAccount, grant: Grant) -> int:
    """What may be granted, so that the live blocks of the series do not hold more than the cap together."""
    if grant.cap is None:
        return grant.amount
    series = [block for block in account.live.values() if block.grant.series == grant.series]
    current = sum(block.available + block.held for block in series)
    return max(0, min(grant.amount, grant.cap - current))


def check_room(account: BookAccount, amount: int, blocks: int) -> None:
    """Raises AmountOverflow, Conflict: there is no place for so many more blocks, of `amount` together."""
    granted = account.totals.granted
    if granted + amount > MAX_AMOUNT:
        raise AmountOverflow(
            f"{granted} base units of {account.unit} were granted so far; {amount} more would pass {MAX_AMOUNT}. "
            "Nothing was granted."
        )
    if len(account.live) + blocks > BLOCKS_MAX:
        raise Conflict(f"The account has {BLOCKS_MAX} live blocks of {account.unit}, the most that it can have.")
