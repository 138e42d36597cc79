"""What is watched for on balances: what a customer has of its own, or else what holds for everybody.

The archive looks at it as it takes each batch of the journal, in one transaction with the batch: what is written here
holds for what is archived from then on, and each alarm is told exactly once.
"""

from collections.abc import Sequence

import msgspec

from sidecar.archive.archive import Archive
from sidecar.domain.alarms import checked_thresholds
from sidecar.domain.auto_topups import AutoTopup, RequestFilter, TopupRequest
from sidecar.domain.history import Page
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

    async def drop_thresholds(self, customer_id: str, unit: str, *, expected: int | None, now_ms: int) -> None:
        """Let hold what holds for everybody; or nothing. Raises NotFound, VersionConflict."""
        await self._archive.remove_watch(WatchKind.THRESHOLDS, customer_id, unit, expected=expected, now_ms=now_ms)

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

    async def set_auto_topup(
        self, customer_id: str, unit: str, rule: AutoTopup, *, expected: int | None, now_ms: int
    ) -> Watch:
        """Ask for more of `unit` by this rule from now on, and at once if it is low. Raises VersionConflict."""
        watch = await self._archive.put_watch(
            WatchKind.AUTO_TOPUP, customer_id, unit, _encode(rule), expected=expected, now_ms=now_ms
        )
        await self._archive.ask_for_topup(customer_id, unit, now_ms=now_ms)
        return watch

    async def drop_auto_topup(self, customer_id: str, unit: str, *, expected: int | None, now_ms: int) -> None:
        """Ask no more; what is outstanding is canceled. Raises NotFound, VersionConflict."""
        await self._archive.remove_watch(WatchKind.AUTO_TOPUP, customer_id, unit, expected=expected, now_ms=now_ms)

    async def auto_topups(self, customer_id: str) -> list[Watch]:
        """The rules of a customer, in the order of the units."""
        return await self._archive.watches(WatchKind.AUTO_TOPUP, [customer_id])

    async def topup_requests(self, wanted: RequestFilter, cursor: str | None, limit: int) -> Page[TopupRequest]:
        """The newest first. InvalidInput for a cursor that is none."""
        await self._history.catch_up(wanted.customer_id)
        return await self._archive.topup_requests(wanted, cursor, limit)

    async def topup_request(self, request_id: str) -> TopupRequest:
        """Raises NotFound. It waits for nothing: who knows the id has it from the archive."""
        return await self._archive.topup_request(request_id)

    async def decline(self, request_id: str, reason: str, *, now_ms: int) -> TopupRequest:
        """Say that a request will not be fulfilled; again, it stays as it is.

        Raises NotFound, Conflict for one that has ended otherwise.
        """
        return await self._archive.decline_topup(request_id, reason, now_ms=now_ms)
