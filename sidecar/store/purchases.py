"""Purchases in the store: a block for other credit of the same customer, both or neither in one script."""

from collections.abc import Mapping

import msgspec

from sidecar.domain.amounts import MAX_AMOUNT, checked
from sidecar.domain.blocks import BLOCKS_MAX, Grant, Purchase, checked_grant
from sidecar.domain.errors import (
    AmountOverflow,
    Conflict,
    IdempotencyMismatch,
    InvalidInput,
    MergedInto,
    NotFound,
    StoreCorrupt,
)
from sidecar.domain.once import Once
from sidecar.domain.outcomes import Bought, Short
from sidecar.store.accounts import business_keys, scope_of
from sidecar.store.business_keys import BusinessKeys
from sidecar.store.commands import PURCHASE
from sidecar.store.keys import Keys
from sidecar.store.lane import Lane

_encode = msgspec.json.Encoder().encode


class Purchases:
    """Of one tenant's environment. Every method raises StoreError when the store does not answer."""

    def __init__(self, lane: Lane, *, tenant: str, environment: str) -> None:
        self._lane = lane
        self._keys = Keys(tenant, environment)
        self._business_keys = BusinessKeys(lane, self._keys)

    async def buy(self, customer_id: str, grant: Grant, once: Once, detail: Mapping[str, str]) -> Bought | Short:
        """Take what `grant.purchase` says out of the active blocks in burn order, and make the block.

        It is active at once. Answered once for each idempotency key in 24 hours, and once for ever for each purchase.
        Raises InvalidInput, IdempotencyMismatch, NotFound, MergedInto, AmountOverflow, Conflict (the purchase was
        made on other terms or by another customer, or there are too many live blocks).
        """
        purchase = grant.purchase
        assert purchase is not None, "it is bought"
        if checked(purchase.amount) == 0:
            raise InvalidInput("amount must be above 0; got 0.", "amount")
        checked_grant(grant)
        place = self._keys.of(customer_id)
        payer, account = self._keys.account(customer_id, purchase.unit), self._keys.account(customer_id, grant.unit)
        keys = [
            *place.ledger, payer.account, payer.terms, account.account, account.terms, place.business,
            self._keys.ledger_once(customer_id, once.key),
        ]  # fmt: skip
        names, scope = business_keys(grant), scope_of(grant)
        arguments: list[bytes | str | int] = [
            payer.name, account.name, once.fingerprint, *names, purchase.terms, purchase.amount, purchase.wallet,
            _encode({**detail, "purchase": purchase.purchase_id}), grant.block_id, grant.amount, grant.priority,
            1 if grant.price_paid else 0, grant.expires_at_ms or 0, grant.duration_ms or 0, "\n".join(scope),
            _encode(grant), *scope,
        ]  # fmt: skip
        await self._business_keys.claim(customer_id, names)
        word, *told = await self._lane.send(PURCHASE.pack(keys, arguments))
        if word in {b"bought", b"replayed", b"duplicate"}:
            entry, block_id = told[0].decode().split(" ", 1)
            return Bought(
                block_id=block_id, entry=entry, replayed=word == b"replayed", duplicate=word == b"duplicate"
            )
        await self._business_keys.unclaim(customer_id, names)
        if word == b"short":
            return Short(purchase.amount, int(told[0]))
        raise _error(customer_id, grant, purchase, [word, *told])


def _error(customer_id: str, grant: Grant, purchase: Purchase, reply: list[bytes]) -> Exception:
    match reply[0]:
        case b"mismatch":
            return IdempotencyMismatch()
        case b"unknown":
            return NotFound(f"There is no customer {customer_id}.")
        case b"used":
            return Conflict(
                f"The purchase {purchase.purchase_id!r} was made on other terms; its id is good for one, for ever."
            )
        case b"merged":
            return MergedInto(customer_id, reply[1].decode())
        case b"past":
            return InvalidInput("A block must expire in the future. Nothing was bought.", "expires_at_ms")
        case b"overflow":
            return AmountOverflow(
                f"With this {customer_id} would have been granted more than {MAX_AMOUNT} base units of {grant.unit}. "
                "Nothing was bought."
            )
        case b"too_many":
            return Conflict(f"{customer_id} has {BLOCKS_MAX} live blocks of {grant.unit}; void or use some up first.")
        case b"scopes":
            return Conflict(
                f"{customer_id} has blocks of {grant.unit} with 255 different sets of features and rules."
            )
    return StoreCorrupt(f"The script purchase answered {reply!r}.")
