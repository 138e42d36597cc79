"""What happens to a request that costs before it is forwarded: its body is read, it is quoted, a hold is taken.

It answers nobody: whatever keeps a request from being served is a value, which the story tells the client.
"""

import msgspec

from sidecar.domain.outcomes import Refused
from sidecar.domain.quotes import Quote, Unquoted
from sidecar.domain.request_facts import RequestFacts
from sidecar.http1.errors import Failure
from sidecar.http1.exchange import Exchange
from sidecar.proxy.identity import Payer
from sidecar.proxy.terms import Route
from sidecar.services.holds import Hold, Holds


class Admitted(msgspec.Struct, frozen=True):
    """The request may be served: it will be charged by `quote`, and `hold` is taken for it."""

    quote: Quote
    hold: Hold


class Admission:
    """Admits requests; shared by all requests of a process."""

    def __init__(self, holds: Holds, *, inspect_max_bytes: int) -> None:
        self._holds = holds
        self._inspect_max_bytes = inspect_max_bytes

    async def admit(self, exchange: Exchange, route: Route, payer: Payer) -> Admitted | Failure | Unquoted | Refused:
        """Quote the request and hold what it may cost.

        In this order: `Failure` when its body does not come, `Unquoted` when it has no price, `Refused` by the
        ledger; nothing is held then, nor when StoreError is raised.
        """
        terms, rule = route.terms, route.terms.rule
        if terms.reads_body and not exchange.request_done:
            await exchange.read_body(self._inspect_max_bytes)
        if exchange.failure is not None:
            return exchange.failure
        quote = rule.quote(self._facts(exchange, route))
        if isinstance(quote, Unquoted):
            return quote
        hold = await self._holds.take(
            payer.customer_id, payer.credential, terms.unit.name, quote.hold, rule.feature, rule.name
        )
        return hold if isinstance(hold, Refused) else Admitted(quote, hold)

    def _facts(self, exchange: Exchange, route: Route) -> RequestFacts:
        body = exchange.whole_body(self._inspect_max_bytes) if route.terms.reads_body else None
        body_bytes = len(body) if body is not None else max(exchange.head.length, 0)
        return RequestFacts(exchange.head, route.path, route.query, body, body_bytes)
