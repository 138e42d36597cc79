"""What is watched for on balances: what a customer has of its own, or else what holds for everybody.

The archive looks at it as it takes each batch of the journal, in one transaction with the batch: what is written here
holds for what is archived from then on, and each alarm is told exactly once.
"""

from collections.abc import Sequence

import msgspec

from sidecar.archive.archive import Archive
from sidecar.domain.alarms import checked_thresholds
from sidecar.domain.watches import EVERYBODY, Thresholds, Watch, WatchKind
from sidecar.services.history import History

_encode = msgspec.json.Encoder().encode


class Watching:
    """Of one tenant's environment. Everything raises ArchiveUnavailable when the archive does not answer."""

    def __init__(self, archive: Archive, history: History) -> None:
        self._archive = archive
        self._history = history

    async def set_thresholds(
        self, customer_id: str, unit: str, amounts: Sequence[int], *, expected: int | None, now_ms: int
    ) -> Watch:
        """Let alarms go off when what is left of `unit` falls to one of `amounts`; none: no alarms.

        For `EVERYBODY`: of customers who have none of their own. Raises InvalidInput, VersionConflict.
        """
        body = _encode(Thresholds(amounts=checked_thresholds(amounts)))
        return await self._archive.put_watch(
            WatchKind.THRESHOLDS, customer_id, unit, body, expected=expected, now_ms=now_ms
        )

    async def drop_thresholds(self, customer_id: str, unit: str, *, expected: int | None) -> None:
        """Let hold what holds for everybody; or nothing. Raises NotFound, VersionConflict."""
        await self._archive.remove_watch(WatchKind.THRESHOLDS, customer_id, unit, expected=expected)

    async def thresholds(self, customer_id: str) -> list[Watch]:
        """What holds for a customer, in the order of the units; of `EVERYBODY` what was set for it."""
        if customer_id == EVERYBODY:
            return await self._archive.watches(WatchKind.THRESHOLDS, [EVERYBODY])
        await self._history.catch_up(customer_id)
        known = await self._archive.watches(WatchKind.THRESHOLDS, [EVERYBODY, customer_id])
        # A customer's own are later in the list of those of a unit, and take the place of everybody's.
        ordered = sorted(known, key=lambda watch: watch.customer_id != EVERYBODY)
        holding = {watch.unit: watch for watch in ordered}
        return [holding[unit] for unit in sorted(holding)]
