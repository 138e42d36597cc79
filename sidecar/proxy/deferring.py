"""Answers that accept a job: its hold stays, and its upstream was given what it takes to settle it later."""

import logging
from typing import Final

from sidecar.domain.errors import StoreError
from sidecar.domain.later import Poll
from sidecar.domain.quotes import Quote
from sidecar.http1.errors import End
from sidecar.http1.exchange import Exchange
from sidecar.http1.fields import Pairs
from sidecar.http1.heads import ResponseHead
from sidecar.proxy.terms import Terms
from sidecar.services.deferred import Deferred
from sidecar.services.hold import Bridged, Hold
from sidecar.services.holds import Holds
from sidecar.services.polling import Job, Polling

log = logging.getLogger("sidecar.polling")

SEEN_MAX_BYTES: Final = 65_536
"""The id of a job stands in the first of these."""
TOKEN = b"x-settle-token"
_RESERVATION = b"x-reservation-id"


class Deferring:
    """For rules with `settle: later`; shared by all requests of a process."""

    def __init__(self, holds: Holds, deferred: Deferred, polling: Polling, *, via: bool) -> None:
        self._holds = holds
        self._deferred = deferred
        self._polling = polling
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

    async def leave_open(self, exchange: Exchange, terms: Terms, quote: Quote, hold: Hold) -> End:
        """Keep the hold for whoever settles it, and pass the answer on as it is; how that ended.

        Where the rule polls, the job is asked for from now on.
        """
        later = terms.rule.later
        assert later is not None
        await self._holds.leave_open(hold, later.within_s)
        line = b"" if terms.shadow else b"x-reservation-id: %b\r\n" % hold.reservation_id.encode()
        seen = Seen()
        through = seen.see if later.poll is not None and not later.poll.id_header else None
        end = exchange.relay(terms.drops_down, line, through, via=self._via) or await exchange.ended()
        if later.poll is not None and exchange.response is not None:
            await self._poll(later.poll, terms, quote, hold, exchange.response, seen.body)
        return end

    async def _poll(
        self, poll: Poll, terms: Terms, quote: Quote, hold: Hold, answer: ResponseHead, body: bytes
    ) -> None:
        path, later = poll.path_of(answer, body), terms.rule.later
        assert later is not None
        if path is None:
            log.warning(
                "rule %s: the answer that accepted %s says no id of a job", terms.rule.name, hold.reservation_id
            )
            return
        token = self._deferred.token(quote, hold, later.within_s)
        job = Job(
            token=token, path=path, rule=terms.rule.name, poll=poll, on_unknown=terms.rule.quoter.tariff.on_unknown
        )
        try:
            await self._polling.begin(hold.record.customer_id, poll, job)
        except StoreError as error:
            log.error("the job of %s is not asked for: %s", hold.reservation_id, error.detail)  # noqa: TRY400  (says it all)


class Seen:
    """The beginning of a body that passes."""

    def __init__(self) -> None:
        self.body = b""

    def see(self, piece: bytes) -> bytes:
        if len(self.body) < SEEN_MAX_BYTES:
            self.body += piece
        return piece
