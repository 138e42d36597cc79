"""The story of one request: match, identify, admit, forward, read, settle. Read it from top to bottom.

Whatever happens after a hold is taken, it is settled once: with the charge that the meter says, or by a release.
"""

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from typing import Any

from sidecar.domain.amounts import Unit
from sidecar.domain.denials import Denial
from sidecar.domain.errors import StoreError
from sidecar.domain.forms import may_be_form
from sidecar.domain.idempotency import KeyRefused
from sidecar.domain.metering import RELEASED, Source
from sidecar.domain.outcomes import RefusalCode, Refused
from sidecar.domain.paths import normalise
from sidecar.domain.quotes import Unquoted
from sidecar.domain.rules import RuleSet, TrustedHeader
from sidecar.http1.errors import End, Failure, Phase
from sidecar.http1.exchange import Exchange
from sidecar.http1.fields import Pairs
from sidecar.http1.heads import ResponseHead
from sidecar.http1.reasons import reason_of
from sidecar.proxy import exits, refusals
from sidecar.proxy.admission import Admission, Admitted, lowered
from sidecar.proxy.codings import UnreadAnswers, going_over, wanted
from sidecar.proxy.deferring import Deferring
from sidecar.proxy.elastic import metered
from sidecar.proxy.identity import Identities, Payer
from sidecar.proxy.load import Load
from sidecar.proxy.refusals import Refusal
from sidecar.proxy.repeats import Copy, answer_again
from sidecar.proxy.request_ids import RequestIds
from sidecar.proxy.session import Session, pass_on
from sidecar.proxy.settlements import Settlements
from sidecar.proxy.shadow import Shadow, warn_of_shadow
from sidecar.proxy.terms import Route, Terms
from sidecar.proxy.upstreams import Upstreams
from sidecar.services.holds import Holds
from sidecar.store.repeats import Kept
from sidecar.telemetry import Metrics

access_log = logging.getLogger("sidecar.access")


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
        deferring: Deferring,
        inspect_max_bytes: int,
        wait_for_commit: bool,
        step_s: float,
        shadow: bool = False,
    ) -> None:
        """`shadow`: nothing is refused, whatever rules say."""
        self._units = units
        self._shadow = shadow
        self._policy = upstreams.addresses[0].policy
        self._admission = Admission(holds, identities, load, inspect_max_bytes=inspect_max_bytes)
        self._load = load
        self._holds = holds
        self._identities = identities
        self._metrics = metrics
        self._settlements = Settlements(holds, metrics)
        self._upstreams = upstreams
        self._shadowed = Shadow(holds, upstreams, metrics, via=self._policy.via)
        self._deferring = deferring
        self._request_ids = request_ids
        self._wait_for_commit = wait_for_commit
        self._step_s = step_s
        self._now = asyncio.get_running_loop().time
        self._unread = UnreadAnswers(self._now)
        self.use(rules)
        self._log_access = access_log.isEnabledFor(logging.INFO)

    def use(self, rules: RuleSet) -> None:
        """From the next request on, these rules decide; requests under way keep theirs."""
        units, policy, shadow = self._units, self._policy, self._shadow
        self._terms = {
            rule.name: Terms.of(rule, rules.version, units[rule.unit], policy, shadow=shadow) for rule in rules.rules
        }
        self._unmatched = Terms.unmatched(rules, policy, shadow=shadow)
        warn_of_shadow(self._terms.values())
        self._upstreams.engine.takes_upgrades = any(rule.upgrade for rule in rules.rules)
        self._rules = rules
        self._edition = object()

    def tell(self, exchange: Exchange) -> Coroutine[Any, Any, None]:
        """Everything that happens to one request: what its head alone decides at once, the rest as it is awaited.

        A coroutine that awaits another one costs a request as much as a small meter does, so there are few of them.
        """
        route = exchange.head.notes.route
        if not isinstance(route, Route) or route.edition is not self._edition:
            found = self._route(exchange)
            if isinstance(found, Refusal):
                return self._turn_away(exchange, self._unmatched, found)
            route = found
        crowded = self._load.full()
        if crowded is not None:
            return self._fail(exchange, route.terms, crowded)
        if route.terms.rule.free:
            return self._pass(exchange, route.terms)
        if route.payer is not None:
            return self._admit(exchange, route, route.payer)
        return self._identify(exchange, route)

    def failed(self, exchange: Exchange) -> None:
        """Telling it has raised, by a defect of ours: nothing is held any more."""
        route = exchange.head.notes.route
        name = route.terms.rule.name if isinstance(route, Route) else ""
        self._metrics.requests[name, "failed"] += 1

    async def _identify(self, exchange: Exchange, route: Route) -> None:
        """Find out who pays, then go on."""
        payer = await self._look_up(exchange, route.terms)
        if isinstance(payer, Refusal):
            await self._turn_away(exchange, route.terms, payer, route)
        else:
            await self._admit(exchange, route, payer)

    async def _admit(self, exchange: Exchange, route: Route, payer: Payer) -> None:
        """Hold what the request may cost and serve it, or say why not."""
        terms, exchange.party = route.terms, payer.customer_id
        if not self._load.enter(payer.customer_id):
            self._refuse_crowding(exchange, terms)
            return
        try:
            admitted = self._upstreams.unavailable() or await self._admission.admit(exchange, route, payer)
        except StoreError:
            refusal = refusals.without_store(self._request_ids.next(), terms.rule.errors)
            await self._turn_away(exchange, terms, refusal, route, payer)
        else:
            if isinstance(admitted, Admitted):
                await self._serve(exchange, terms, admitted)
            elif isinstance(admitted, Kept):
                answer_again(exchange, admitted.answer)
                self._count(exchange, terms, "replayed")
            elif isinstance(admitted, Failure):
                self._answer_failure(exchange, terms, admitted)
            else:
                await self._turn_away(exchange, terms, self._refusal(terms, admitted), route, payer)
        finally:
            self._load.leave(payer.customer_id)

    # --- Before anything is held --------------------------------------------------------------------------------

    async def _fail(self, exchange: Exchange, terms: Terms, failure: Failure) -> None:
        self._answer_failure(exchange, terms, failure)

    async def _pass(self, exchange: Exchange, terms: Terms) -> None:
        """A free route: forwarded, not metered."""
        drops, asks = terms.drops_down, going_over(exchange.head, terms.rule.upgrade)
        answer = await self._upstreams.forward(exchange, terms.rule.retry, terms.drops_up, asks, interim_drops=drops)
        if isinstance(answer, Failure):
            self._answer_failure(exchange, terms, answer)
            return
        end = pass_on(exchange, drops, via=self._policy.via) or await exchange.ended()
        self._end(exchange, end)
        self._count(exchange, terms, "free" if end is End.COMPLETE else end)

    def _route(self, exchange: Exchange) -> Route | Refusal:
        """Which rule decides, and who pays if a key says so.

        It depends on the head alone, so it is kept with the head.
        """
        head = exchange.head
        target, _, query = head.target.partition(b"?")
        path = normalise(target)
        if path is None:
            detail = "The path can be read in more than one way: send it without `.`, `..` and empty segments."
            return Refusal("bad_request", detail, self._request_ids.next())
        rule = self._rules.match(head.method, path, head.host, head)
        if rule is None:
            detail = "No rule covers this method and path."
            return Refusal(RefusalCode.UNMATCHED_ROUTE, detail, self._request_ids.next())
        if head.named and head.upgrade not in (b"", rule.upgrade):
            detail = "This rule's requests cannot go over to another protocol than its own."
            return Refusal("upgrade_unsupported", detail, self._request_ids.next())
        payer = None
        if not rule.free and not any(isinstance(source, TrustedHeader) for source in rule.identity):
            payer = self._identities.known(rule.identity, head, exchange.peer)
        route = Route(
            edition=self._edition,
            terms=self._terms[rule.name],
            path=path,
            query=query,
            form=may_be_form(head),
            payer=payer,
        )
        head.notes.route = route
        return route

    async def _look_up(self, exchange: Exchange, terms: Terms) -> Payer | Refusal:
        """Who pays, asking the store if need be."""
        sources, head, peer = terms.rule.identity, exchange.head, exchange.peer
        try:
            payer = self._identities.known(sources, head, peer) or await self._identities.look_up(sources, head, peer)
        except StoreError:
            return refusals.without_store(self._request_ids.next(), terms.rule.errors)
        return payer or refusals.unidentified(self._request_ids.next(), terms.rule.errors)

    def _refusal(self, terms: Terms, denied: Unquoted | KeyRefused | Refused) -> Refusal:
        request_id, shape = self._request_ids.next(), terms.rule.errors
        if isinstance(denied, Unquoted | KeyRefused):
            return Refusal(denied.code, denied.detail, request_id, shape=shape)
        wait_s = self._metrics.typical_request_s()
        return refusals.of_refused(denied, terms.unit, request_id, shape, retry_after_s=wait_s)

    async def _turn_away(
        self,
        exchange: Exchange,
        terms: Terms,
        refusal: Refusal,
        route: Route | None = None,
        payer: Payer | None = None,
    ) -> None:
        """Tell the client why its request does not pass; in shadow, serve it all the same, and charge nothing."""
        if not terms.shadow:
            self._answer(exchange, terms, refusal)
            return
        crowded = self._load.full()
        if crowded is not None:
            self._answer_failure(exchange, terms, crowded)
            return
        self._metrics.shadow_refusals[terms.rule.name, refusal.code] += 1
        quote = await self._admission.quoted(exchange, route, payer) if route is not None else None
        served = await self._shadowed.serve(exchange, terms, quote)
        if isinstance(served, Failure):
            self._answer_failure(exchange, terms, served)
            return
        end, cost = served
        self._end(exchange, end)
        self._count(exchange, terms, "shadow", refusal.code)
        await self._shadowed.record(terms, payer, refusal.code, quote, cost)

    # --- While something is held --------------------------------------------------------------------------------

    async def _serve(self, exchange: Exchange, terms: Terms, admitted: Admitted) -> None:
        """Forward, relay, settle; from here on every way out settles the hold."""
        quote, hold = admitted.quote, admitted.hold
        drops = terms.drops_down_limited if hold.limits else terms.drops_down
        self._metrics.held[terms.unit.name] += hold.held
        settled = False
        try:
            fields, extra_line = self._prepare(exchange, terms, admitted)
            answer = await self._upstreams.forward(
                exchange, terms.rule.retry, terms.drops_up, fields, quote.body, drops
            )
            if isinstance(answer, Failure) or answer.status == 101:
                settled = True
                await self._serve_otherwise(exchange, terms, admitted, answer, extra_line)
                return
            if self._deferring.accepts(terms, hold, answer):
                settled = True
                self._end(exchange, await self._deferring.leave_open(exchange, terms, quote, hold))
                self._count(exchange, terms, "deferred")
                return
            meter, rewrites = metered(exchange, terms, admitted, answer, self._holds.upkeep, self._metrics.cut)
            extra = (
                b"" if terms.shadow else b"x-reservation-id: %b\r\n%b" % (hold.reservation_id.encode(), extra_line)
            )
            passes = Copy(meter.feed, meter.flush) if admitted.replays else meter
            end = exchange.relay(drops, extra, passes.feed, passes.flush, rewrites, self._policy.via) or (
                await exchange.ended()
            )
            duration_ms = round((self._now() - exchange.started_s) * 1000)
            broken = exchange.failure
            charge = meter.finish(
                exits.meter_end_of(broken),
                exchange.request_bytes,
                exchange.response_bytes,
                duration_ms,
                exchange.response_trailers,
            )
            if charge.source is not Source.REPORTED:
                self._unread.look_at(terms.rule.name, quote, answer)
            charge = admitted.beyond(charge)
            if isinstance(passes, Copy) and end is End.COMPLETE and not charge.release:
                await self._admission.keep(terms, admitted, passes.packed(exchange, answer, drops))
            settled = True
            if end is not End.COMPLETE or not (self._wait_for_commit or charge.counted):
                self._end(exchange, end, terms.charged(charge, None))
            done = await self._settlements.ending(terms, hold, charge, broken or answer)
            self._settlements.note(terms, hold, charge, done)
            if not exchange.answered:
                exchange.finish(terms.charged(charge, done))
            self._count(exchange, terms, "released" if charge.release else "charged")
        finally:
            if not settled:
                await self._settlements.settle(terms, hold, RELEASED, None)

    async def _serve_otherwise(
        self, exchange: Exchange, terms: Terms, admitted: Admitted, answer: ResponseHead | Failure, extra_line: bytes
    ) -> None:
        """What is no answer: a failure, or all of a session that has gone over to another protocol."""
        quote, hold = admitted.quote, admitted.hold
        if isinstance(answer, Failure):
            meter_end = exits.of_failure(answer).meter_end
            charge = RELEASED if meter_end is None else quote.without_answer(meter_end)
            await self._settlements.settle(terms, hold, admitted.beyond(charge), answer)
            self._answer_failure(exchange, terms, answer)
            return
        bill, upkeep = quote.bill(answer.status, answer), self._holds.upkeep
        session = Session(exchange, terms, bill, hold, upkeep, self._metrics, step_s=self._step_s)
        extra = b"" if terms.shadow else b"x-reservation-id: %b\r\n%b" % (hold.reservation_id.encode(), extra_line)
        charge, told = RELEASED, None
        self._metrics.sessions[terms.rule.name] += 1
        try:
            charge = await session.pass_on(extra, via=self._policy.via)
            told = exchange.failure or answer
        finally:
            self._metrics.sessions[terms.rule.name] -= 1
            await self._settlements.settle(terms, hold, charge, told, session.steps)
            session.count_steps()
        self._count(exchange, terms, "released" if charge.release else "charged")

    def _prepare(self, exchange: Exchange, terms: Terms, admitted: Admitted) -> tuple[Pairs, bytes]:
        """What the upstream is told beside the request, and the lines that its answer gets."""
        quote, hold, lines = admitted.quote, admitted.hold, terms.unit_line
        if hold.limits:
            lines += terms.limits_told(hold.limits)
        exchange.drains = terms.drains
        if admitted.clamped is not None:
            self._metrics.clamped[terms.rule.name] += 1
            lines += lowered(exchange, admitted.clamped)
        if quote.form is not None:
            exchange.watch(quote.form.glance if terms.shadow else quote.form.see)
        upgrade = terms.rule.upgrade
        fields = wanted(exchange.head, quote, trailers=terms.reads_trailers, plain=terms.cuts, upgrade=upgrade)
        if terms.rule.later is not None:
            fields += self._deferring.told(terms, quote, hold)
        return fields, lines

    # --- Answers of our own -------------------------------------------------------------------------------------

    def _end(self, exchange: Exchange, end: End, late: bytes = b"") -> None:
        if end is End.COMPLETE:
            exchange.finish(late)
        else:
            exchange.cut()

    def _refuse_crowding(self, exchange: Exchange, terms: Terms) -> None:
        instance, wait_s = self._request_ids.next(), self._metrics.typical_request_s()
        self._answer(exchange, terms, refusals.crowded(self._load.customer_max, instance, terms.rule.errors, wait_s))

    def _answer_failure(self, exchange: Exchange, terms: Terms, failure: Failure) -> None:
        """Tell a client why there is no answer from the upstream; one that has gone is not told."""
        refusal = refusals.of_failure(failure, exchange.broken, self._request_ids.next(), terms.rule.errors)
        if refusal is None:
            self._count(exchange, terms, failure.end)
            return
        if failure.end in (End.TIMED_OUT, End.UPSTREAM_FAILED) and failure.phase is not Phase.REQUEST:
            self._metrics.upstream_failures[failure.phase] += 1
        self._answer(exchange, terms, refusal)

    def _answer(self, exchange: Exchange, terms: Terms, refusal: Refusal) -> None:
        exchange.answer(refusal.status, reason_of(refusal.status), refusal.pairs, refusal.body)
        self._metrics.refusals[refusal.code] += 1
        self._metrics.denials[Denial(refusal.code, terms.rule.name, exchange.party)] += 1
        self._count(exchange, terms, "refused")

    def _count(self, exchange: Exchange, terms: Terms, outcome: str, would_be: str = "") -> None:
        """`would_be` is the refusal that a request in shadow was spared."""
        name = terms.rule.name
        took_s = self._now() - exchange.started_s
        self._metrics.requests[name, outcome] += 1
        if not exchange.upgrade:
            self._metrics.request_seconds.add(took_s)
        if self._log_access:
            head = exchange.head
            status = exchange.response.status if exchange.response is not None else 0
            access_log.info(
                "%s %s rule=%s outcome=%s upstream_status=%d bytes=%d ms=%d",
                head.method.decode("ascii"),
                head.target.partition(b"?")[0].decode("ascii"),
                name or "-",
                f"{outcome}:{would_be}" if would_be else outcome,
                status,
                exchange.response_bytes,
                round(took_s * 1000),
            )
