"""Gives charges back, found in the ledger by their entries: whole or in part, never more than was charged."""

from collections.abc import Mapping

from sidecar.domain.blocks import Grant, Slice
from sidecar.domain.counters import is_of_cap
from sidecar.domain.errors import Conflict, NotFound
from sidecar.domain.history import Entry, EntryFilter
from sidecar.domain.journal import HoldStory, Kind, Moved
from sidecar.domain.once import Once
from sidecar.domain.outcomes import Exceeded, Refunded
from sidecar.services.history import History
from sidecar.services.usage import hold_id_of
from sidecar.store.accounts import Accounts
from sidecar.store.corrections import Charged, Corrections

CHARGES = (Kind.COMMIT, Kind.LATE_COMMIT, Kind.STEP_COMMIT)


class Refunding:
    """Of one tenant's environment. Everything may raise StoreError and ArchiveUnavailable."""

    def __init__(self, accounts: Accounts, corrections: Corrections, history: History) -> None:
        self._accounts = accounts
        self._corrections = corrections
        self._history = history

    async def entry(self, payer_id: str, entry_id: str) -> Entry:
        """An entry of the payer's ledger. Raises NotFound."""
        page = await self._history.entries(EntryFilter(customer_id=payer_id, entry_id=entry_id), None, 1)
        if not page.items:
            raise NotFound("There is no such entry in the ledger of this customer.")
        return page.items[0]

    async def event(self, event_id: str) -> Entry:
        """The entry that a usage event was charged by. Raises NotFound."""
        wanted = EntryFilter(reservation_id=hold_id_of(event_id), types=CHARGES)
        page = await self._history.entries(wanted, None, 1)
        if not page.items:
            raise NotFound("There is no such usage event.")
        return page.items[0]

    async def refund(
        self, entry: Entry, amount: int | None, rest: Grant, once: Once, detail: Mapping[str, str]
    ) -> Refunded | Exceeded:
        """Reverse `amount` of what an entry charged, None: all that is left of it.

        It goes back into the blocks that paid, the last of them first, where these are alive; else into a new block
        on the terms of `rest`. Raises Conflict for an entry that charged nothing, and as `Corrections.refund`.
        """
        if entry.type not in CHARGES or not entry.charged:
            raise Conflict(f"The entry {entry.entry_id} charged nothing that could be given back.")
        live = (await self._accounts.account(entry.customer_id, entry.unit)).blocks
        numbers = {block.grant.block_id: block.number for block in live}
        paid = [move for move in reversed(entry.moves) if move.what is Moved.SPENT]
        charged = Charged(
            reference=entry.entry_id,
            amount=entry.charged,
            # A block that has left the account has the number of none.
            slices=tuple(Slice(numbers.get(move.block_id, 0), move.amount) for move in paid),
            story=_story(entry),
            member="" if entry.asker_id in {"", entry.customer_id} else entry.asker_id,
            usage=entry.usage,
            source=entry.source,
            caps=tuple(each.key for each in entry.counted if is_of_cap(each.key)),
        )
        return await self._corrections.refund(entry.customer_id, entry.unit, charged, amount, rest, once, detail)


def _story(entry: Entry) -> HoldStory:
    return HoldStory(
        reservation_id=entry.reservation_id,
        customer_id=entry.asker_id,
        feature=entry.feature,
        rule=entry.rule,
        rules_version=entry.rules_version,
        held=0,
        reserved_at_ms=entry.reserved_at_ms,
        charged_before=0,
    )
