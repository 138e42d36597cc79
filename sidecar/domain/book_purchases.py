"""Purchases in the model: a block for other credit of the same customer, both or neither."""

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from sidecar.domain.amounts import checked
from sidecar.domain.blocks import Block, BlockState, Grant, Slice, checked_grant
from sidecar.domain.book_account import BookAccounts, end_of
from sidecar.domain.book_grants import NO_DETAIL, BookGrants, check_room
from sidecar.domain.burn_order import burn_rank
from sidecar.domain.errors import Conflict, InvalidInput
from sidecar.domain.journal import Kind
from sidecar.domain.once import Once
from sidecar.domain.outcomes import Bought, Short


class BookPurchases:
    """Of one payer. Repeatable as grants are, by the same keys, and by the id of the purchase."""

    def __init__(self, accounts: BookAccounts, grants: BookGrants) -> None:
        self._accounts = accounts
        self._grants = grants
        self._bought: dict[str, tuple[str, Bought]] = {}
        """By id, on which terms, and what."""

    def buy(
        self, grant: Grant, *, now_ms: int, once: Once | None = None, detail: Mapping[str, str] = NO_DETAIL
    ) -> Bought | Short:
        """Take what `grant.purchase` says out of the blocks in burn order, and make the block, active at once.

        Outcomes, in this order: Bought with `replayed`, with `duplicate`, Short, Bought. Raises InvalidInput,
        IdempotencyMismatch, Conflict (the purchase was made on other terms, or too many live blocks), AmountOverflow.
        """
        purchase = grant.purchase
        assert purchase is not None, "it is bought"
        if checked(purchase.amount) == 0:
            raise InvalidInput("amount must be above 0; got 0.", "amount")
        checked_grant(grant)
        if (replayed := self._grants.replayed(once, now_ms, Bought)) is not None:
            return replayed
        terms, bought = self._bought.get(purchase.purchase_id, ("", None))
        if bought is not None:
            if terms != purchase.terms:
                raise Conflict(f"The purchase {purchase.purchase_id!r} was made on other terms.")
            return replace(bought, duplicate=True)
        ends_at_ms = end_of(grant, now_ms)
        if ends_at_ms is not None and ends_at_ms <= now_ms:
            raise InvalidInput("A block must expire in the future.", "expires_at_ms")
        payer, account = (self._accounts.at(unit, now_ms) for unit in (purchase.unit, grant.unit))
        slices = _paid(payer.live.values(), purchase.amount, purchase.wallet)
        if (there := sum(slice_.amount for slice_ in slices)) < purchase.amount:
            return Short(purchase.amount, there)
        check_room(account, grant.amount, blocks=1)
        told = {**detail, "purchase": purchase.purchase_id}
        payer.spend(slices)
        payer.write(Kind.PURCHASE, now_ms, charged=purchase.amount, detail=told)
        block = account.add(grant, grant.amount, starts_at_ms=now_ms, now_ms=now_ms)
        account.write(Kind.GRANT, now_ms, about=block.number, grant=grant, detail=told)
        answer = Bought(block_id=grant.block_id, entry=str(self._accounts.lines.position))
        for each in (account, payer):
            each.advance(now_ms)
        self._bought[purchase.purchase_id] = purchase.terms, answer
        return self._grants.keep(once, now_ms, answer)


def _paid(blocks: Iterable[Block], amount: int, wallet: str) -> list[Slice]:
    """Up to `amount`, out of the active blocks of the wallet, or out of any."""
    slices, left = list[Slice](), amount
    for block in sorted(blocks, key=burn_rank):
        if block.state is BlockState.ACTIVE and wallet in {"", block.grant.wallet}:
            taken = min(block.available, left)
            if taken:
                slices.append(Slice(block.number, taken))
                left -= taken
    return slices
