"""What happens to a request that costs before it is forwarded: its body is read, it is quoted, a hold is taken.

It answers nobody: whatever keeps a request from being served is a value, which the story tells the client.
"""

from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import msgspec
from msgspec.structs import replace

from sidecar.domain.clamp import Clamp, Clamped
from sidecar.domain.counted_quotes import Claims, placed
from sidecar.domain.errors import StoreError, StoreTimeout
from sidecar.domain.idempotency import KeyRefused, OnRepeat, read_key
from sidecar.domain.limits import Taking, takings
from sidecar.domain.metering import Charge, Source
from sidecar.domain.outcomes import RefusalCode, Refused
from sidecar.domain.quotes import Quote, Unquoted
from sidecar.domain.request_facts import RequestFacts
from sidecar.http1.errors import Failure
from sidecar.http1.exchange import Exchange
from sidecar.proxy.identity import Identities, Payer
from sidecar.proxy.load import Load
from sidecar.proxy.repeats import asked
from sidecar.proxy.terms import Route, Terms
from sidecar.services.bridging import Asking
from sidecar.services.hold import Hold
from sidecar.services.holds import Holds
from sidecar.store.repeats import Claim, Kept

_SHORT = (
    *(RefusalCode.INSUFFICIENT_CREDITS, RefusalCode.HOLDS_IN_FLIGHT),
    *(RefusalCode.POOL_CAP_REACHED, RefusalCode.SPEND_CAP_REACHED),
)
CLAMP_TRIES = 3
"""How often a request is lowered to what is left, while others take of it at the same time."""


class Admitted(msgspec.Struct, frozen=True):
    """The request may be served: it will be charged by `quote`, and `hold` is taken for it.

    `clamped`: it was lowered to what the balance buys, and must be sent as that says. `claim`: it is an attempt of a
    request that may be repeated; `replays`: its answer is to be kept for that.
    """

    quote: Quote
    hold: Hold
    clamped: Clamped | None = None
    claim: Claim | None = None
    replays: bool = False

    def beyond(self, charge: Charge) -> Charge:
        """What is left to charge of it."""
        if self.claim is None or self.claim.charged is None or charge.release:
            return charge
        return replace(charge, amount=max(charge.amount - self.claim.charged, 0), source=Source.REPEATED)


class Admission:
    """Admits requests; shared by all requests of a process."""

    def __init__(self, holds: Holds, identities: Identities, load: Load, *, inspect_max_bytes: int) -> None:
        self._holds = holds
        self._identities = identities
        self._load = load
        self._inspect_max_bytes = inspect_max_bytes

    async def admit(
        self, exchange: Exchange, route: Route, payer: Payer
    ) -> Admitted | Kept | Failure | Unquoted | Refused | KeyRefused:
        """Quote the request and hold what it may cost.

        In this order: `KeyRefused` when it should have an idempotency key, `Failure` when its body does not come,
        `Refused` when the price goes by a customer that is unknown, `Unquoted` when it has no price, `Refused`
        because of its key or `Kept` where that has an answer, `Refused` by the ledger; nothing is held then, nor when
        StoreError is raised.
        """
        terms, rule, key = route.terms, route.terms.rule, b""
        if rule.idempotency is not None:
            read = read_key(rule.idempotency, exchange.head.get(rule.idempotency.header))
            if isinstance(read, KeyRefused):
                return read
            key = read
        failure = exchange.failure
        if _lacks_body(exchange, terms) or (key and not exchange.request_done):
            failure = await self._read_body(exchange) or exchange.failure
        if failure is not None:
            return failure
        external_id = await self._identities.external_id(payer) if terms.needs_external_id else ""
        if external_id is None:
            return await self._unidentified(exchange, route, payer)
        facts = self._facts(exchange, route, payer.customer_id, external_id)
        quote = rule.quote(facts)
        if isinstance(quote, Unquoted):
            return quote
        if key:
            return await self._attempt(exchange, route, payer, facts, quote, key)
        hold = await self._take(exchange, terms, payer, facts, quote, rule.on_short.wait_ms)
        if not isinstance(hold, Refused):
            return Admitted(_held(quote, hold), hold)
        if hold.code is RefusalCode.UNIDENTIFIED:
            return await self._unidentified(exchange, route, payer)
        return await self._refused(exchange, route, payer, facts, hold)

    async def _attempt(
        self, exchange: Exchange, route: Route, payer: Payer, facts: RequestFacts, quote: Quote, key: bytes
    ) -> Admitted | Kept | Failure | Unquoted | Refused | KeyRefused:
        """Hold what an attempt of a request may cost beyond those before it, unless one of them is open."""
        rule, repeats = route.terms.rule, self._holds.repeats
        assert rule.idempotency is not None
        request = asked(exchange, route, key, self._inspect_max_bytes)
        customer_id, credential = payer.customer_id, payer.credential
        attempt_id, wait_ms = self._holds.next_id(), rule.on_short.wait_ms
        try:
            claim = await repeats.claim(customer_id, credential, request, attempt_id, rule.idempotency, wait_ms)
        except StoreTimeout:
            # It may be this attempt's now, which will never be reserved.
            self._holds.unclaim_later(Claim(customer_id, request.name, attempt_id))
            raise
        if isinstance(claim, Refused) and claim.code is RefusalCode.UNIDENTIFIED:
            return await self._unidentified(exchange, route, payer)
        if not isinstance(claim, Claim):
            return claim
        hold = await self._take(exchange, route.terms, payer, facts, quote, wait_ms, claim)
        if isinstance(hold, Refused):
            admitted = await self._refused(exchange, route, payer, facts, hold, claim)
        else:
            admitted = Admitted(_held(quote, hold), hold)
        if isinstance(admitted, Admitted):
            return replace(admitted, claim=claim, replays=rule.idempotency.on_repeat is OnRepeat.REPLAY)
        with suppress(StoreError):
            await repeats.unclaim(claim)
        return admitted

    async def keep(self, terms: Terms, admitted: Admitted, answer: bytes | None) -> None:
        """Keep the answer of a request for its repetitions; without the store, these are forwarded."""
        claim, idempotency = admitted.claim, terms.rule.idempotency
        if answer is not None and claim is not None and idempotency is not None:
            with suppress(StoreError):
                await self._holds.repeats.keep(claim, answer, idempotency.keep_ms)

    async def _refused(
        self,
        exchange: Exchange,
        route: Route,
        payer: Payer,
        facts: RequestFacts,
        refused: Refused,
        claim: Claim | None = None,
    ) -> Admitted | Failure | Refused:
        """What the rule does when it does not fit, all waiting in vain."""
        if exchange.failure is not None:
            return exchange.failure
        clamp = route.terms.rule.on_short.clamp
        if clamp is None or refused.code not in _SHORT:
            return refused
        return await self._clamp(clamp, facts, exchange, route.terms, payer, refused, claim)

    async def _unidentified(
        self, exchange: Exchange, route: Route, payer: Payer
    ) -> Admitted | Kept | Failure | Unquoted | Refused | KeyRefused:
        """Admit the request of whoever its external id belongs to by now; it may have changed hands."""
        sources = route.terms.rule.identity
        other = await self._identities.look_again(payer, sources, exchange.head, exchange.peer)
        if other is None:
            return Refused(RefusalCode.UNIDENTIFIED)
        return await self.admit(exchange, route, other)

    async def _read_body(self, exchange: Exchange) -> Failure | None:
        """Read what has not come yet, if there is memory for it; it is given back when the body can go on."""
        size = exchange.head.length if exchange.head.length >= 0 else self._inspect_max_bytes
        size = min(size, self._inspect_max_bytes)
        crowded = self._load.take_body(size)
        if crowded is None:
            try:
                await exchange.read_body(self._inspect_max_bytes)
            finally:
                self._load.give_body_back(size)
        return crowded

    async def quoted(self, exchange: Exchange, route: Route, payer: Payer | None) -> Quote | None:
        """What a request may cost that is served whoever asks; None when that cannot be said."""
        terms = route.terms
        if _lacks_body(exchange, terms) and await self._read_body(exchange) is not None:
            return None
        customer_id, external_id = "", ""
        if payer is not None:
            customer_id = payer.customer_id
            with suppress(StoreError):
                external_id = (terms.needs_external_id and await self._identities.external_id(payer)) or ""
        quote = terms.rule.quote(self._facts(exchange, route, customer_id, external_id))
        return quote if isinstance(quote, Quote) else None

    async def _clamp(
        self,
        clamp: Clamp,
        facts: RequestFacts,
        exchange: Exchange,
        terms: Terms,
        payer: Payer,
        refused: Refused,
        claim: Claim | None,
    ) -> Admitted | Refused:
        """Lower the request to what is available; the first refusal when that does not succeed."""
        left = refused
        for _ in range(CLAMP_TRIES):
            clamped = clamp.fit(facts, terms.rule.quote, left.available) if left.code in _SHORT else None
            if clamped is None:
                break
            hold = await self._take(exchange, terms, payer, facts, clamped.quote, claim=claim)
            if not isinstance(hold, Refused):
                return Admitted(_held(clamped.quote, hold), hold, clamped)
            left = hold
        return refused

    def _take(
        self,
        exchange: Exchange,
        terms: Terms,
        payer: Payer,
        facts: RequestFacts,
        quote: Quote,
        wait_ms: int = 0,
        claim: Claim | None = None,
    ) -> Coroutine[Any, Any, Hold | Refused]:
        rule, amount, attempt_id = terms.rule, quote.hold, ""
        if claim is not None:
            amount, attempt_id = max(amount - (claim.charged or 0), 0), claim.reservation_id
        elif terms.rule.later is not None:
            # Its end is remembered, for who says twice what it cost.
            attempt_id = self._holds.next_id()
        if terms.bridges and claim is None:
            return self._take_or_bridge(exchange, terms, payer, facts, quote, wait_ms, attempt_id)
        return self._holds.take(
            payer.customer_id,
            payer.credential,
            terms.unit.name,
            amount,
            rule.feature,
            rule.name,
            rules_version=terms.rules_version,
            wait_ms=wait_ms,
            tell_how=exchange.park,
            claims=Claims(quote) if quote.counters else None,
            attempt_id=attempt_id,
            limits=_takings(terms, payer, facts),
        )

    def _take_or_bridge(
        self,
        exchange: Exchange,
        terms: Terms,
        payer: Payer,
        facts: RequestFacts,
        quote: Quote,
        wait_ms: int,
        attempt_id: str,
    ) -> Coroutine[Any, Any, Hold | Refused]:
        """The same for a rule whose requests may be served while the store does not answer."""
        rule = terms.rule
        asking = Asking(
            customer_id=payer.customer_id,
            credential=payer.credential,
            unit=terms.unit.name,
            feature=rule.feature,
            rule=rule.name,
            rules_version=terms.rules_version,
        )

        def reserve() -> Coroutine[Any, Any, Hold | Refused]:
            return self._holds.take(
                *(asking.customer_id, asking.credential, asking.unit, quote.hold, asking.feature, asking.rule),
                rules_version=asking.rules_version,
                wait_ms=wait_ms,
                tell_how=exchange.park,
                attempt_id=attempt_id,
                limits=_takings(terms, payer, facts),
            )

        return self._holds.bridging.take(asking, quote.hold, rule.on_store_down, reserve)

    def _facts(self, exchange: Exchange, route: Route, customer_id: str, external_id: str) -> RequestFacts:
        body = exchange.whole_body(self._inspect_max_bytes) if route.terms.reads_body else None
        body_bytes = len(body) if body is not None else max(exchange.head.length, 0)
        return RequestFacts(
            exchange.head, route.path, route.query, body, body_bytes, customer_id, external_id, route.form
        )


def lowered(exchange: Exchange, clamped: Clamped) -> bytes:
    """Send on what the balance buys; the header line that tells the client."""
    head = exchange.head
    path, _, query = head.target.partition(b"?")
    if clamped.query != query:
        exchange.head = head.with_target(b"%b?%b" % (path, clamped.query))
    return b"x-credits-clamped: %b=%d\r\n" % (clamped.field.encode(), clamped.value)


def _takings(terms: Terms, payer: Payer, facts: RequestFacts) -> tuple[Taking, ...]:
    """What the request takes of the rule's limits."""
    limits, rule = terms.rule.limits, terms.rule
    if not limits:
        return ()
    estimate = rule.quoter.estimate(facts) if terms.limits_read_usage else {}
    return takings(limits, rule.name, payer.credential, estimate)


def _held(quote: Quote, hold: Hold) -> Quote:
    """The quote where the counters of its price stood when the hold was taken."""
    if not quote.counters:
        return quote
    stands = {counter.key: stand for counter, stand in zip(quote.counters.values(), hold.stands, strict=True)}
    return replace(placed(quote, stands), hold=hold.held)


def _lacks_body(exchange: Exchange, terms: Terms) -> bool:
    """Whether a quote must wait for the body; of one that is only measured, its announced length is enough."""
    if not terms.reads_body or exchange.request_done:
        return False
    return terms.reads_content or exchange.head.length < 0
