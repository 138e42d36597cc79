"""The story of one request: match, identify, admit, forward, read, settle. Read it from top to bottom.

Whatever happens after a hold is taken, it is settled once: with the charge that the meter says, or by a release.
"""

import asyncio
import logging
from collections.abc import Mapping

from sidecar.domain.amounts import Unit
from sidecar.domain.clamp import Clamped
from sidecar.domain.errors import StoreError
from sidecar.domain.metering import LEARNT_FROM, RELEASED, Charge, Source
from sidecar.domain.metering import End as MeterEnd
from sidecar.domain.outcomes import RefusalCode, Refused, Settled
from sidecar.domain.paths import normalise
from sidecar.domain.quotes import Quote, Unquoted
from sidecar.domain.rules import RuleSet, TrustedHeader
from sidecar.http1.errors import End, Failure, Phase
from sidecar.http1.exchange import Exchange
from sidecar.http1.fields import Pairs
from sidecar.http1.heads import ResponseHead
from sidecar.http1.reasons import reason_of
from sidecar.proxy import refusals
from sidecar.proxy.admission import Admission, Admitted
from sidecar.proxy.codings import readable_only, with_trailers
from sidecar.proxy.identity import Identities, Payer
from sidecar.proxy.load import Load
from sidecar.proxy.refusals import Refusal
from sidecar.proxy.request_ids import RequestIds
from sidecar.proxy.terms import Route, Terms
from sidecar.proxy.upstreams import Unavailable, Upstreams
from sidecar.services.holds import Hold, Holds
from sidecar.telemetry import Metrics

access_log = logging.getLogger("sidecar.access")

_METER_ENDS = {
    End.CLIENT_GONE: MeterEnd.CLIENT_GONE,
    End.CLIENT_BROKE: MeterEnd.CLIENT_GONE,
    End.UPSTREAM_FAILED: MeterEnd.UPSTREAM_FAILED,
    # For an upstream that is too slow, and for our restart, a customer does not pay more than for one that fails.
    End.TIMED_OUT: MeterEnd.UPSTREAM_FAILED,
    End.CUT: MeterEnd.UPSTREAM_FAILED,
}
_SOURCES = {
    source: b"x-credits-source: %b\r\n" % source.encode()
    for source in (Source.ESTIMATED, Source.OBSERVED, Source.HOLD)
}
_PLAIN_ANSWER = ((b"Accept-Encoding", b"identity"),)


class Story:
    """Handles exchanges; shared by all requests of a process."""

    def __init__(
        self,
        *,
        rules: RuleSet,
        units: Mapping[str, Unit],
        holds: Holds,
        identities: Identities,
        metrics: Metrics,
        upstreams: Upstreams,
        request_ids: RequestIds,
        load: Load,
        inspect_max_bytes: int,
        wait_for_commit: bool,
    ) -> None:
        self._units = units
        self._policy = upstreams.addresses[0].policy
        self.use(rules)
        self._admission = Admission(holds, identities, load, inspect_max_bytes=inspect_max_bytes)
        self._load = load
        self._holds = holds
        self._identities = identities
        self._metrics = metrics
        self._upstreams = upstreams
        self._request_ids = request_ids
        self._wait_for_commit = wait_for_commit
        self._now = asyncio.get_running_loop().time
        self._log_access = access_log.isEnabledFor(logging.INFO)

    def use(self, rules: RuleSet) -> None:
        """From the next request on, these rules decide; requests under way keep theirs."""
        units, policy = self._units, self._policy
        self._terms = {rule.name: Terms.of(rule, rules.version, units[rule.unit], policy) for rule in rules.rules}
        self._rules = rules
        self._edition = object()

    async def tell(self, exchange: Exchange) -> None:
        """Everything that happens to one request."""
        route = exchange.head.notes.route
        if not isinstance(route, Route) or route.edition is not self._edition:
            route = self._route(exchange)
            if route is None:
                return
        terms = route.terms
        crowded = self._load.full()
        if crowded is not None:
            self._answer_failure(exchange, terms, crowded)
            return
        if terms.rule.free:
            await self._pass(exchange, terms)
            return
        payer = route.payer or await self._look_up(exchange, terms)
        if payer is None:
            return
        if not self._load.enter(payer.customer_id):
            self._refuse_crowding(exchange, terms)
            return
        try:
            await self._admit(exchange, route, payer)
        finally:
            self._load.leave(payer.customer_id)

    async def _admit(self, exchange: Exchange, route: Route, payer: Payer) -> None:
        """Hold what the request may cost and serve it, or say why not."""
        terms, exchange.party = route.terms, payer.customer_id
        unavailable = self._upstreams.unavailable()
        if unavailable is not None:
            self._answer_failure(exchange, terms, unavailable)
            return
        try:
            admitted = await self._admission.admit(exchange, route, payer)
        except StoreError:
            self._refuse_without_store(exchange, terms)
            return
        if isinstance(admitted, Admitted):
            await self._serve(exchange, terms, admitted)
        elif isinstance(admitted, Failure):
            self._answer_failure(exchange, terms, admitted)
        elif isinstance(admitted, Unquoted):
            self._refuse(exchange, terms, admitted.code, admitted.detail)
        else:
            self._refuse_unheld(exchange, terms, admitted)

    # --- Before anything is held --------------------------------------------------------------------------------

    async def _pass(self, exchange: Exchange, terms: Terms) -> None:
        """A free route: forwarded, not metered."""
        answer = await self._upstreams.forward(
            exchange, terms.rule.retry, terms.drops_up, interim_drops=terms.drops_down
        )
        if isinstance(answer, Failure):
            self._answer_failure(exchange, terms, answer)
            return
        end = exchange.relay(terms.drops_down, via=self._policy.via) or await exchange.ended()
        self._end(exchange, end)
        self._count(exchange, terms, "free" if end is End.COMPLETE else end)

    def _route(self, exchange: Exchange) -> Route | None:
        """Which rule decides, and who pays if a key says so; None when the request has been answered instead.

        It depends on the head alone, so it is kept with the head.
        """
        head = exchange.head
        target, _, query = head.target.partition(b"?")
        path = normalise(target)
        if path is None:
            detail = "The path can be read in more than one way: send it without `.`, `..` and empty segments."
            self._refuse(exchange, None, "bad_request", detail)
            return None
        rule = self._rules.match(head.method, path, head.host, head)
        if rule is None:
            self._refuse(exchange, None, RefusalCode.UNMATCHED_ROUTE, "No rule covers this method and path.")
            return None
        payer = None
        if not rule.free and not any(isinstance(source, TrustedHeader) for source in rule.identity):
            payer = self._identities.known(rule.identity, head, exchange.peer)
        route = Route(edition=self._edition, terms=self._terms[rule.name], path=path, query=query, payer=payer)
        head.notes.route = route
        return route

    async def _look_up(self, exchange: Exchange, terms: Terms) -> Payer | None:
        """Who pays, asking the store if need be; None when the request has been answered instead."""
        sources, head, peer = terms.rule.identity, exchange.head, exchange.peer
        try:
            payer = self._identities.known(sources, head, peer) or await self._identities.look_up(sources, head, peer)
        except StoreError:
            self._refuse_without_store(exchange, terms)
            return None
        if payer is None:
            self._answer(exchange, terms, refusals.unidentified(self._request_ids.next(), terms.rule.errors))
        return payer

    # --- While something is held --------------------------------------------------------------------------------

    async def _serve(self, exchange: Exchange, terms: Terms, admitted: Admitted) -> None:
        """Forward, relay, settle; from here on every way out settles the hold."""
        quote, hold, extra_line = admitted.quote, admitted.hold, terms.unit_line
        self._metrics.held[terms.unit.name] += hold.held
        settled = False
        try:
            exchange.drains = terms.drains
            if admitted.clamped is not None:
                extra_line += self._lower(exchange, terms, admitted.clamped)
            wanted = _wanted(exchange, quote, terms)
            answer = await self._upstreams.forward(
                exchange, terms.rule.retry, terms.drops_up, wanted, quote.body, terms.drops_down
            )
            if isinstance(answer, Failure):
                charge = quote.without_answer(_METER_ENDS[answer.end]) if answer.dispatched else RELEASED
                settled = True
                await self._settle(terms, hold, charge, answer.detail)
                self._answer_failure(exchange, terms, answer)
                return
            meter = quote.meter(answer.status, answer)
            extra = b"x-reservation-id: %b\r\n%b" % (hold.reservation_id.encode(), extra_line)
            end = exchange.relay(
                terms.drops_down, extra, meter.feed, meter.flush, quote.plain_answer, self._policy.via
            ) or (await exchange.ended())
            duration_ms = round((self._now() - exchange.started_s) * 1000)
            meter_end = MeterEnd.COMPLETE if end is End.COMPLETE else _METER_ENDS[end]
            charge = meter.finish(
                meter_end,
                exchange.request_bytes,
                exchange.response_bytes,
                duration_ms,
                exchange.response_trailers,
            )
            settled = True
            if end is not End.COMPLETE or not self._wait_for_commit:
                self._end(exchange, end, _charged(charge, None))
            done = await self._settle(terms, hold, charge, _reason(answer, end) if charge.release else "")
            if not exchange.answered:
                exchange.finish(_charged(charge, done))
            self._count(exchange, terms, "released" if charge.release else "charged")
        finally:
            if not settled:
                await self._settle(terms, hold, RELEASED, "internal error")

    def _lower(self, exchange: Exchange, terms: Terms, clamped: Clamped) -> bytes:
        """Send on what the balance buys; the header line that tells the client."""
        head = exchange.head
        path, _, query = head.target.partition(b"?")
        if clamped.query != query:
            exchange.head = head.with_target(b"%b?%b" % (path, clamped.query))
        self._metrics.clamped[terms.rule.name] += 1
        return b"x-credits-clamped: %b=%d\r\n" % (clamped.field.encode(), clamped.value)

    async def _settle(self, terms: Terms, hold: Hold, charge: Charge, reason: str) -> Settled | None:
        """Commit or release; None when the store has not acknowledged it yet."""
        if charge.release:
            done = await self._holds.release(hold, reason)
        else:
            done = await self._holds.commit(hold, charge.amount, charge.usage, charge.source)
        if terms.recent is not None and charge.source in LEARNT_FROM:
            terms.recent.add(charge.amount)
        metrics, unit = self._metrics, terms.unit.name
        metrics.charges[charge.source] += 1
        metrics.charged[unit] += charge.amount
        metrics.returned[unit] += max(hold.held - charge.amount, 0)
        if done is not None and done.owed:
            metrics.owed[unit] += done.owed
        return done

    # --- Answers of our own -------------------------------------------------------------------------------------

    def _end(self, exchange: Exchange, end: End, late: bytes = b"") -> None:
        if end is End.COMPLETE:
            exchange.finish(late)
        else:
            exchange.cut()

    def _refuse(self, exchange: Exchange, terms: Terms | None, code: str, detail: str) -> None:
        shape = terms.rule.errors if terms is not None else "problem"
        self._answer(exchange, terms, Refusal(code, detail, self._request_ids.next(), shape=shape))

    def _refuse_unheld(self, exchange: Exchange, terms: Terms, refused: Refused) -> None:
        request_id, wait_s = self._request_ids.next(), self._metrics.typical_request_s()
        refusal = refusals.of_refused(refused, terms.unit, request_id, terms.rule.errors, retry_after_s=wait_s)
        self._answer(exchange, terms, refusal)

    def _refuse_crowding(self, exchange: Exchange, terms: Terms) -> None:
        detail = f"This customer has {self._load.customer_max} requests in flight here, as many as one may have."
        instance, wait_s = self._request_ids.next(), self._metrics.typical_request_s()
        shape = terms.rule.errors
        self._answer(
            exchange, terms, Refusal("too_many_in_flight", detail, instance, shape=shape, retry_after_s=wait_s)
        )

    def _refuse_without_store(self, exchange: Exchange, terms: Terms) -> None:
        detail = (
            "The credit store does not answer, so nothing can be charged now. Nothing was forwarded; try again soon."
        )
        self._refuse(exchange, terms, RefusalCode.STORE_UNAVAILABLE, detail)

    def _answer_failure(self, exchange: Exchange, terms: Terms, failure: Failure) -> None:
        """Tell a client why there is no answer from the upstream; one that has gone is not told."""
        shape = terms.rule.errors
        match failure.end:
            case End.CLIENT_BROKE if exchange.broken is not None:
                refusal = refusals.of_protocol_error(exchange.broken, self._request_ids.next(), shape)
            case End.CUT:
                refusal = Refusal("shutting_down", failure.detail, self._request_ids.next(), shape=shape)
            case End.SHED:
                refusal = Refusal("overloaded", failure.detail, self._request_ids.next(), shape=shape)
            case End.TIMED_OUT:
                refusal = Refusal("upstream_timed_out", failure.detail, self._request_ids.next(), shape=shape)
            case End.UPSTREAM_FAILED if isinstance(failure, Unavailable):
                wait_s, instance = failure.retry_after_s, self._request_ids.next()
                refusal = Refusal("upstream_unavailable", failure.detail, instance, shape=shape, retry_after_s=wait_s)
            case End.UPSTREAM_FAILED:
                code = "upstream_unreachable" if failure.phase is Phase.CONNECT else "upstream_broken"
                refusal = Refusal(code, failure.detail, self._request_ids.next(), shape=shape)
            case _:
                self._count(exchange, terms, failure.end)
                return
        if failure.end in (End.TIMED_OUT, End.UPSTREAM_FAILED):
            self._metrics.upstream_failures[failure.phase] += 1
        self._answer(exchange, terms, refusal)

    def _answer(self, exchange: Exchange, terms: Terms | None, refusal: Refusal) -> None:
        exchange.answer(refusal.status, reason_of(refusal.status), refusal.pairs, refusal.body)
        self._metrics.refusals[refusal.code] += 1
        self._count(exchange, terms, "refused")

    def _count(self, exchange: Exchange, terms: Terms | None, outcome: str) -> None:
        name = terms.rule.name if terms is not None else ""
        took_s = self._now() - exchange.started_s
        self._metrics.requests[name, outcome] += 1
        self._metrics.request_seconds.add(took_s)
        if self._log_access:
            head = exchange.head
            status = exchange.response.status if exchange.response is not None else 0
            access_log.info(
                "%s %s rule=%s outcome=%s upstream_status=%d bytes=%d ms=%d",
                head.method.decode("ascii"),
                head.target.partition(b"?")[0].decode("ascii"),
                name or "-",
                outcome,
                status,
                exchange.response_bytes,
                round(took_s * 1000),
            )


def _reason(answer: ResponseHead, end: End) -> str:
    """Why a hold is released, for the journal."""
    return f"status {answer.status}" if end is End.COMPLETE else end.value


def _charged(charge: Charge, done: Settled | None) -> bytes:
    """The header lines that say what was charged, from what unless it was reported, and what is left if known."""
    source = _SOURCES.get(charge.source, b"")
    if done is None:
        return b"x-credits-charged: %d\r\n%b" % (charge.amount, source)
    return b"x-credits-charged: %d\r\nx-credits-available: %d\r\n%b" % (done.charged, done.available, source)


def _wanted(exchange: Exchange, quote: Quote, terms: Terms) -> Pairs:
    """The fields that say how the upstream may answer, where the client's own are not right."""
    fields: Pairs = ()
    if quote.plain_answer:
        fields = _PLAIN_ANSWER
    elif quote.readable_codings:
        accepted = exchange.head.get(b"accept-encoding")
        fields = () if accepted is None else readable_only(accepted)
    return with_trailers(fields) if terms.reads_trailers else fields
