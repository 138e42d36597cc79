"""Makes one customer of two: what the one was called by, its proxy keys and its credit become the other's.

The first step is for ever: the one says that it is the other now, and neither asks for credit nor gets any. All that
follows can be repeated, and a repetition finishes what somebody began. The ledger of each stays as it was written.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from sidecar.domain.blocks import BLOCKS_MAX
from sidecar.domain.customers import Customer
from sidecar.domain.errors import Conflict, InvalidInput, MergedInto, StoreError
from sidecar.domain.history import CustomerFilter
from sidecar.domain.ids import new_id
from sidecar.domain.once import Once
from sidecar.domain.outcomes import Sent
from sidecar.domain.transfers import CODE, NoRoom, Way
from sidecar.services.history import History
from sidecar.services.transferring import MERGES_MAX, Transferring
from sidecar.store.accounts import Accounts
from sidecar.store.customers import Customers
from sidecar.store.leases import Leases
from sidecar.store.open_holds import OpenHolds
from sidecar.store.pauses import Pauses

WAIT_S: Final = 5.0
LEASE_MS: Final = 60_000
"""So long nobody merges after a process that died at it."""
_LEASE: Final = "merging"


class Brought(msgspec.Struct, frozen=True):
    """Credit of one unit that went over."""

    transfer_id: str
    unit: str
    amount: int


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """What a merge did; of a repetition, what was left to do."""

    customer: Customer
    """Who it is now."""
    brought: tuple[Brought, ...]
    keys: int
    """How many proxy keys went over."""
    complete: bool
    """False: requests had begun in that very moment; a repetition brings what they give back."""


class Merging:
    """Of one tenant's environment. Everything may raise StoreError and ArchiveUnavailable."""

    def __init__(
        self,
        customers: Customers,
        accounts: Accounts,
        open_holds: OpenHolds,
        leases: Leases,
        transferring: Transferring,
        history: History,
        now_ms: Callable[[], int],
    ) -> None:
        self._customers = customers
        self._accounts = accounts
        self._open_holds = open_holds
        self._leases = leases
        self._transferring = transferring
        self._history = history
        self._now_ms = now_ms

    async def merge(self, one: Customer, into: Customer, detail: Mapping[str, str], reason: str = "") -> Merged:
        """Let `one` be `into`. Safe to repeat.

        Raises InvalidInput, and Conflict for who cannot be merged, or while another merge is under way; then nothing
        was changed.
        """
        async with self._alone():
            one, into = [await self._customers.get(each.customer_id) for each in (one, into)]
            if into.merged_into is not None:
                raise MergedInto(into.customer_id, into.merged_into)
            if one.merged_into != into.customer_id:
                await self._refuse(one, into)
            return await self._merge(one, into, detail, reason)

    async def _merge(self, one: Customer, into: Customer, detail: Mapping[str, str], reason: str) -> Merged:
        merged = await self._customers.merge(one.customer_id, into.customer_id)
        keys = await self._customers.move_keys(one.customer_id, into.customer_id)
        brought = await self._bring_all(one.customer_id, into.customer_id, detail, reason)
        customer = await self._customers.hand_over(merged)
        holds, _ = await self._open_holds.page(customer_id=one.customer_id, limit=1, cursor=None)
        return Merged(customer=customer, brought=tuple(brought), keys=keys, complete=not holds)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """One merge at a time: two could make two customers each the other, and then nobody would be left."""
        token, pauses, loop = secrets.token_hex(16), Pauses(), asyncio.get_running_loop()
        until = loop.time() + WAIT_S
        while not await self._leases.take(_LEASE, token, LEASE_MS):
            if loop.time() > until:
                raise Conflict("Another merge is under way; repeat this one in a moment.")
            await asyncio.sleep(pauses.next_s())
        try:
            yield
        finally:
            with contextlib.suppress(StoreError):
                await self._leases.give_back(_LEASE, token)

    async def follow(self, customer_id: str, detail: Mapping[str, str]) -> None:
        """What has come to a customer that was merged, and what it owes since, is who it is now's, too."""
        into_id = customer_id
        for _ in range(MERGES_MAX):
            merged_into = (await self._customers.get(into_id)).merged_into
            if merged_into is None:
                break
            into_id = merged_into
        if into_id != customer_id:
            await self._bring_all(customer_id, into_id, detail, "")

    async def _bring_all(self, one_id: str, into_id: str, detail: Mapping[str, str], reason: str) -> list[Brought]:
        """In each unit, what the one owes is paid by the other, and then what it has is the other's."""
        brought = []
        for account in await self._accounts.accounts(one_id):
            if account.totals.owed:
                await self._bring(into_id, one_id, account.unit, account.totals.owed, detail, reason)
            found = await self._bring(one_id, into_id, account.unit, None, detail, reason)
            brought += [] if found is None else [found]
        return brought

    async def _bring(
        self, from_id: str, to_id: str, unit: str, amount: int | None, detail: Mapping[str, str], reason: str
    ) -> Brought | None:
        """`amount`, which the giver owes if need be, or all that there is: so each time is a transfer of its own."""
        transfer_id = new_id(CODE, self._now_ms(), secrets.token_bytes(10))
        way = Way(
            transfer_id=transfer_id, from_id=from_id, to_id=to_id, unit=unit, reason=reason, detail=dict(detail)
        )
        told = {**detail, "counterparty": to_id, **({"why": reason} if reason else {})}
        once = Once(f"merge:{transfer_id}", "0")
        sent = await self._transferring.send(way, amount, once, told, owe=amount is not None)
        return Brought(transfer_id, unit, sent.taken.amount) if isinstance(sent, Sent) else None

    async def _refuse(self, one: Customer, into: Customer) -> None:
        if one.customer_id == into.customer_id:
            raise InvalidInput(f"{one.customer_id} is this customer already.", "from_customer_id")
        if one.merged_into is not None:
            raise MergedInto(one.customer_id, one.merged_into)
        for customer in (one, into):
            if customer.parent_id is not None:
                raise Conflict(f"{customer.customer_id} is a member of a pool; only who pays for itself is merged.")
        if (await self._history.customers(CustomerFilter(parent_id=one.customer_id), None, 1)).items:
            raise Conflict(f"{one.customer_id} pays for the members of its pool, who cannot change to another.")
        holds, _ = await self._open_holds.page(customer_id=one.customer_id, limit=1, cursor=None)
        if holds:
            raise Conflict(
                f"{one.customer_id} has requests under way: merge it when their holds are settled. To have no new "
                "ones, suspend it first."
            )
        for account in await self._accounts.accounts(one.customer_id):
            theirs = await self._accounts.account(into.customer_id, account.unit)
            if len(theirs.blocks) + len(account.blocks) > BLOCKS_MAX:
                raise NoRoom(into.customer_id, account.unit)
