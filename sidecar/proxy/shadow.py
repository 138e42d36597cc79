"""Requests that would be refused, while nothing is refused yet: served, metered, written down, and never charged.

So the balances of a rule in shadow are those that it would have had without: what fits is held and charged as ever,
and what would not have run costs nothing and makes no debt.
"""

import logging
from collections.abc import Iterable

from sidecar.domain.errors import StoreError
from sidecar.domain.outcomes import Refused
from sidecar.domain.quotes import Quote
from sidecar.http1.errors import End, Failure
from sidecar.http1.exchange import Exchange
from sidecar.proxy import exits
from sidecar.proxy.codings import going_over, wanted
from sidecar.proxy.identity import Payer
from sidecar.proxy.session import Metered, pass_on
from sidecar.proxy.terms import Terms
from sidecar.proxy.upstreams import Upstreams
from sidecar.services.holds import Holds
from sidecar.telemetry import Metrics

log = logging.getLogger("sidecar.shadow")


def warn_of_shadow(rules: Iterable[Terms]) -> None:
    """Nobody shall believe that a rule in shadow keeps anybody out."""
    names = [terms.rule.name for terms in rules if terms.shadow]
    if names:
        log.warning("in shadow, so that nothing is refused: %s", ", ".join(names))


class Shadow:
    """Serves what would be refused, and keeps a record of it."""

    def __init__(self, holds: Holds, upstreams: Upstreams, metrics: Metrics, *, via: bool) -> None:
        self._holds = holds
        self._upstreams = upstreams
        self._metrics = metrics
        self._via = via

    async def serve(self, exchange: Exchange, terms: Terms, quote: Quote | None) -> Failure | tuple[End, int]:
        """Forward and relay; how the answer ended, and what it would have cost in base units, if `quote` can say.

        The caller finishes the exchange.
        """
        if exchange.failure is not None:
            return exchange.failure
        exchange.drains = terms.drains
        extra, upgrade = going_over(exchange.head, terms.rule.upgrade), terms.rule.upgrade
        if quote is not None:
            extra = wanted(exchange.head, quote, trailers=terms.reads_trailers, upgrade=upgrade)
        if quote is not None and quote.form is not None:
            exchange.watch(quote.form.glance)
        body = quote.body if quote is not None else None
        drops = terms.drops_down
        answer = await self._upstreams.forward(exchange, terms.rule.retry, terms.drops_up, extra, body, drops)
        if isinstance(answer, Failure):
            return answer
        if exchange.tunnels and quote is not None:
            charge = await Metered(exchange, terms, quote.bill(answer.status, answer)).pass_on(b"", via=self._via)
            self._metrics.uncharged[terms.unit.name] += charge.amount
            return await exchange.ended(), charge.amount
        if quote is None:
            return pass_on(exchange, drops, via=self._via) or await exchange.ended(), 0
        meter = quote.meter(answer.status, answer)
        end = exchange.relay(drops, b"", meter.feed, meter.flush, quote.plain_answer, self._via) or (
            await exchange.ended()
        )
        duration_ms = round((self._upstreams.engine.loop.time() - exchange.started_s) * 1000)
        meter_end = exits.meter_end_of(exchange.failure)
        charge = meter.finish(
            meter_end, exchange.request_bytes, exchange.response_bytes, duration_ms, exchange.response_trailers
        )
        self._metrics.uncharged[terms.unit.name] += charge.amount
        return end, charge.amount

    async def record(self, terms: Terms, payer: Payer | None, code: str, quote: Quote | None, cost: int) -> None:
        """Say in log and ledger what would have happened, in base units.

        The ledger has a hold of nothing that was released, with this as its reason, where the customer can have one:
        its books are as before.
        """
        customer = payer.customer_id if payer is not None else "-"
        needed = quote.hold if quote is not None else 0
        unit, rule = terms.unit.name, terms.rule
        log.info(
            "rule=%s refusal=%s customer=%s unit=%s hold=%d cost=%d", rule.name, code, customer, unit, needed, cost
        )
        if payer is None:
            return
        said = (payer.customer_id, payer.credential, unit, 0, rule.feature, rule.name)
        try:
            hold = await self._holds.take(*said, rules_version=terms.rules_version)
        except StoreError:
            return
        if not isinstance(hold, Refused):
            await self._holds.release(hold, f"shadow: {code}, hold {needed}, cost {cost}")
