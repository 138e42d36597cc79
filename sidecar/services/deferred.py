"""Requests that are settled later: their upstream gets a token, and says with it what the request cost.

Nothing is kept for that but the hold: the token says all that is needed to price and to settle, and is signed, so
that its bearer can settle this one reservation, by the price that was agreed, and nothing else.
"""

import time
from collections.abc import Callable, Iterable

import msgspec

from sidecar.domain.errors import Conflict, NotFound, Unsigned
from sidecar.domain.later import SettleClaims
from sidecar.domain.metering import Bill, Charge, Source
from sidecar.domain.meters.reader import Reading
from sidecar.domain.outcomes import HoldState, Rejected, Resolved, Settled, UnknownReservation
from sidecar.domain.tokens import SETTLE, Signer
from sidecar.services.hold import Hold
from sidecar.store.hold_record import HoldRecord, hold_record
from sidecar.store.ledger import Ledger

UNSIGNED = "The token is not one that this sidecar gave to an upstream in `x-settle-token`."


class SettledLater(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a request that was settled later. `charged`: base units of `unit`; None: it was released."""

    reservation_id: str
    unit: str
    charged: int | None
    replayed: bool = False


class Deferred:
    """Signs tokens, and settles by them."""

    def __init__(self, ledger: Ledger, signer: Signer, now_s: Callable[[], float] = time.time) -> None:
        self._ledger = ledger
        self._signer = signer
        self._now_s = now_s
        self.settled_total = 0
        """Requests that were charged or released by a token."""

    def token(self, quote: Bill, hold: Hold, within_s: int) -> str:
        """What the upstream of this request settles it with, within so long."""
        record = hold.record
        claims = SettleClaims.of(
            quote,
            until_ms=round((self._now_s() + within_s) * 1000),
            reservation_id=record.reservation_id,
            customer_id=record.customer_id,
            payer_id=record.payer_id,
            unit=record.unit,
            held=record.held,
            rule=record.rule,
        )
        return self._signer.sign(SETTLE, claims)

    async def settle(self, token: str, usage: Reading | None) -> SettledLater:
        """Charge the request for `usage` by the price of its quote, or without any, release it. Safe to repeat.

        Raises Unsigned for what is no token of ours, InvalidInput for usage that its price does not go by, NotFound
        when its time is over and its hold gone, Conflict when it was settled otherwise; and as the ledger does.
        """
        claims = self.claims(token)
        if claims is None:
            raise Unsigned(UNSIGNED)
        if usage is None:
            return await self.end(claims, None)
        amount, words = claims.charge(usage)
        return await self.end(claims, Charge(amount, words, Source.REPORTED, False))

    def claims(self, token: str) -> SettleClaims | None:
        """What a token of ours says; None for any other."""
        return self._signer.read(SETTLE, token, SettleClaims)

    async def end(self, claims: SettleClaims, charge: Charge | None) -> SettledLater:
        """Charge it, or release it without a charge. Raises as `settle`."""
        record = _record(claims)
        if charge is None or charge.release:
            outcome: Settled | UnknownReservation | Resolved | Rejected = await self._ledger.release(
                record, "settled.failed: it failed, or nobody knows how it ended"
            )
        else:
            outcome = await self._ledger.commit(record, charge.amount, charge.usage, charge.source)
        if isinstance(outcome, Settled):
            self.settled_total += not outcome.replayed
            charged = None if charge is None or charge.release else outcome.charged
            return SettledLater(
                reservation_id=claims.reservation_id, unit=claims.unit, charged=charged, replayed=outcome.replayed
            )
        if isinstance(outcome, Resolved) and outcome.state is not HoldState.EXPIRED:
            raise Conflict(f"The reservation {claims.reservation_id} was settled otherwise: it is {outcome.state}.")
        raise NotFound(f"The reservation {claims.reservation_id} is not held any more: its time is over.")


class AnyDeferred:
    """Settles by the tokens of several tenants and environments: a token says by its seal whose it is."""

    def __init__(self, each: Callable[[], Iterable[Deferred]]) -> None:
        self._each = each

    async def settle(self, token: str, usage: Reading | None) -> SettledLater:
        """As that one which gave the token. Raises Unsigned when none did."""
        for deferred in self._each():
            if deferred.claims(token) is not None:
                return await deferred.settle(token, usage)
        raise Unsigned(UNSIGNED)


def _record(claims: SettleClaims) -> HoldRecord:
    return hold_record(
        customer_id=claims.customer_id,
        payer_id=claims.payer_id,
        reservation_id=claims.reservation_id,
        parts=((claims.unit, claims.held),),
        ttl_ms=1,
        feature="",
        rule=claims.rule,
        remember=True,
    )
