"""Answers that accept a job: its hold stays, and its upstream was given what it takes to settle it later."""

from sidecar.domain.quotes import Quote
from sidecar.http1.errors import End
from sidecar.http1.exchange import Exchange
from sidecar.http1.fields import Pairs
from sidecar.http1.heads import ResponseHead
from sidecar.proxy.terms import Terms
from sidecar.services.deferred import Deferred
from sidecar.services.hold import Bridged, Hold
from sidecar.services.holds import Holds

TOKEN = b"x-settle-token"
_RESERVATION = b"x-reservation-id"


class Deferring:
    """For rules with `settle: later`; shared by all requests of a process."""

    def __init__(self, holds: Holds, deferred: Deferred, *, via: bool) -> None:
        self._holds = holds
        self._deferred = deferred
        self._via = via

    def told(self, terms: Terms, quote: Quote, hold: Hold) -> Pairs:
        """What the upstream is told, by which it can settle the request."""
        later = terms.rule.later
        if later is None or isinstance(hold, Bridged):
            return ()
        token = self._deferred.token(quote, hold, later.within_s)
        return ((_RESERVATION, hold.reservation_id.encode()), (TOKEN, token.encode()))

    def accepts(self, terms: Terms, hold: Hold, answer: ResponseHead) -> bool:
        """Whether this answer says that the cost comes later."""
        later = terms.rule.later
        return later is not None and answer.status in later.on and not isinstance(hold, Bridged)

    async def leave_open(self, exchange: Exchange, terms: Terms, hold: Hold) -> End:
        """Keep the hold for whoever settles it, and pass the answer on as it is; how that ended."""
        assert terms.rule.later is not None
        await self._holds.leave_open(hold, terms.rule.later.within_s)
        line = b"" if terms.shadow else b"x-reservation-id: %b\r\n" % hold.reservation_id.encode()
        return exchange.relay(terms.drops_down, line, via=self._via) or await exchange.ended()
