"""Brings what one customer gives to another: taken at once, on its way until every piece of it is the other's.

A process may die at any point. What is on its way stays there, and is brought by whoever finds it: a repetition
of the call, or the worker, which looks again and again. Each piece is granted once for ever, however often it is
tried.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.blocks import BLOCKS_MAX, Grant
from sidecar.domain.errors import Conflict, MergedInto, NotFound, SidecarError, StoreError
from sidecar.domain.ids import PARTITIONS
from sidecar.domain.once import Once
from sidecar.domain.outcomes import Granted, Sent, Short
from sidecar.domain.transfers import Room, Transfer, Way, arrivals
from sidecar.services.history import History
from sidecar.store.accounts import Accounts
from sidecar.store.transfers import Transfers

log = logging.getLogger("sidecar.transferring")

INTERVAL_S: Final = 2.0
MERGES_MAX: Final = 16
"""So often one customer may have become another before it is found out who it is."""
_FINGERPRINT: Final = "0"


class Transferring:
    """Of one tenant's environment. `run` finishes what others have begun, until it is cancelled."""

    def __init__(self, accounts: Accounts, transfers: Transfers, history: History) -> None:
        self._accounts = accounts
        self._transfers = transfers
        self._history = history
        self._stuck: set[str] = set()
        self.finished_total = 0
        """Transfers that somebody had begun and not finished."""

    async def send(
        self, way: Way, amount: int | None, once: Once, detail: Mapping[str, str], *, owe: bool = False
    ) -> Sent | Short:
        """Take `amount` from one customer and give it to the other, block by block; None: all that there is.

        With `owe` what the blocks do not cover becomes debt. Raises as `Transfers.send`; StoreError or
        ArchiveUnavailable, when what was taken arrives later. What has not arrived when this returns had no room, and
        waits for it.
        """
        theirs = await self._accounts.account(way.to_id, way.unit)
        room = Room(max(0, BLOCKS_MAX - len(theirs.blocks)), MAX_AMOUNT - theirs.totals.granted)
        sent = await self._transfers.send(way, amount, room, owe=owe, once=once, detail=detail)
        if isinstance(sent, Sent):
            transfer = await self._transfers.on_its_way(way.from_id, sent.transfer_id)
            if transfer is not None:
                await self._bring(transfer)
        return sent

    async def on_its_way(self, from_id: str, transfer_id: str) -> bool:
        """Whether a piece of it has not arrived. Raises StoreError."""
        return await self._transfers.on_its_way(from_id, transfer_id) is not None

    async def run(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            try:
                await self.look()
            except SidecarError as error:
                log.debug("what is on its way is looked at later: %s", error.detail)

    async def look(self) -> None:
        """Finish everything that is on its way. Raises StoreError, ArchiveUnavailable."""
        for partition in range(PARTITIONS):
            async for transfer in self._transfers.waiting(partition):
                self.finished_total += await self._bring(transfer)

    async def _bring(self, transfer: Transfer) -> bool:
        """Whether it has arrived. Raises StoreError, ArchiveUnavailable.

        What is taken is archived first: a store that is lost and made again never has it on both sides.
        """
        transfer_id = transfer.way.transfer_id
        await self._history.archived(transfer.way.from_id, transfer.entry)
        try:
            for grant in arrivals(transfer):
                await self._give(transfer.way, grant)
        except StoreError:
            raise
        except SidecarError as error:
            if transfer_id not in self._stuck:
                log.warning("%s cannot arrive yet, and is tried again and again: %s", transfer_id, error.detail)
            self._stuck.add(transfer_id)
            return False
        self._stuck.discard(transfer_id)
        await self._transfers.arrived(transfer)
        return True

    async def _give(self, way: Way, grant: Grant) -> Granted:
        """To its receiver, or to whom that has become. The first one is always asked first: it may have it."""
        to_id = way.to_id
        once = Once(f"transfer:{grant.transfer}", _FINGERPRINT)
        detail = {**way.detail, "counterparty": way.from_id}
        for _ in range(MERGES_MAX):
            try:
                return await self._accounts.grant(to_id, grant, once, detail)
            except MergedInto as merged:
                to_id = merged.into_id
            except NotFound:
                if grant.starts_after_block_id is None:
                    raise
                # What it would wait for has arrived, and is over already.
                grant = replace(grant, starts_after_block_id=None)
        raise Conflict(f"{way.to_id} was merged too often.")
